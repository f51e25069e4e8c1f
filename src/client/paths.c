/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/paths.c - where an installation keeps its parts. */
#include "base/cleanup.h"
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const artifact_name[] = {
	[SBX_ARTIFACT_HOST] = "sandbox-host",
	[SBX_ARTIFACT_KERNEL] = "vmlinux",
	[SBX_ARTIFACT_INIT] = "sandbox-init",
	[SBX_ARTIFACT_IMAGE] = "default.erofs",
};

static bool holds_host(const char *dir)
{
	char path[PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, artifact_name[SBX_ARTIFACT_HOST]);
	return access(path, X_OK) == 0;
}

/* The directory of the running program, or "" when /proc does not say. */
static void program_dir(char *ret, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret, size - 1);
	char *slash;

	ret[n > 0 ? n : 0] = '\0';
	slash = strrchr(ret, '/');
	if (slash)
		*slash = '\0';
}

static void artifact_dir(char *ret, size_t size)
{
	const char *env = secure_getenv("SANDBOX_LIBDIR");
	char dir[PATH_MAX - 32];

	if (env && env[0] == '/') {
		(void)snprintf(ret, size, "%s", env);
		return;
	}
	program_dir(dir, sizeof(dir));
	(void)snprintf(ret, size, "%s", dir);
	if (dir[0] && holds_host(ret))
		return;
	(void)snprintf(ret, size, "%s/../lib/sandbox", dir);
	if (dir[0] && holds_host(ret))
		return;
	(void)snprintf(ret, size, "%s", SBX_PKGLIBDIR);
}

int sbx_default_path(enum sbx_artifact which, char *ret, size_t size)
{
	char dir[PATH_MAX];
	char path[2 * PATH_MAX];

	if ((size_t)which >= ARRAY_LEN(artifact_name))
		return -EINVAL;
	artifact_dir(dir, sizeof(dir));
	(void)snprintf(path, sizeof(path), "%s/%s", dir, artifact_name[which]);
	if (strlen(path) >= size)
		return -ENAMETOOLONG;
	memcpy(ret, path, strlen(path) + 1);
	return 0;
}

const char *sbx_version(void)
{
	return SBX_VERSION;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find_in_path(const char *name, char *ret, size_t size)
{
	const char *dirs = secure_getenv("PATH");

	for (const char *d = dirs ? dirs : "/usr/bin:/usr/local/bin"; *d;) {
		int len = (int)strcspn(d, ":");
		char candidate[PATH_MAX];

		(void)snprintf(candidate, sizeof(candidate), "%.*s/%s", len, d, name);
		if (candidate[0] == '/' && is_program(candidate)) {
			(void)snprintf(ret, size, "%s", candidate);
			return true;
		}
		d += len;
		d += *d == ':';
	}
	return false;
}

void qemu_find(const char *path, char *ret, size_t size)
{
	char *here;

	ret[0] = '\0';
	if (!path || (path[0] && !strchr(path, '/'))) {
		if (find_in_path(path ? path : "qemu-system-x86_64", ret, size) || !path)
			return;
	}
	/* As given, but that the host process need not be where we are: the engine says what is wrong with it. */
	here = path[0] && path[0] != '/' ? realpath(".", NULL) : NULL;
	(void)snprintf(ret, size, "%s%s%s", here ? here : "", here ? "/" : "", path);
	free(here);
}
