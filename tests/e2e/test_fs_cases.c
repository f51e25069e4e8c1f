/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What programs expect of a file system (tests/guest/fscases.c), in a real guest: on a tmpfs of the guest's, and on every kind of mount with every cache
 * policy. All must give the same results, line by line. Where the machine's file system itself does not behave as a tmpfs, a lent directory may behave
 * as it does. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"

enum { LINES_MAX = 1000,
       MOUNTS = 5 };

static char base[64], paths[4][4096], programs[4096];

/* The lines of a program's output, in place. */
struct lines {
	char *at[LINES_MAX];
	unsigned count;
};

static void split(char *text, struct lines *ret)
{
	char *save = NULL;

	ret->count = 0;
	for (char *s = strtok_r(text, "\n", &save); s && ret->count < LINES_MAX; s = strtok_r(NULL, "\n", &save))
		ret->at[ret->count++] = s;
}

static void make_dir(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	CHECK(mkdir(path, 0755) == 0, "%s: %m", path);
}

static struct sbx_mount mount(const char *path, enum sbx_fs_kind kind, const char *source, enum sbx_cache cache)
{
	struct sbx_mount m = SBX_MOUNT_INIT;

	m.path = path;
	m.kind = kind;
	m.source = source;
	m.cache = cache;
	return m;
}

static struct sbx_vm *start(void)
{
	static const char *const names[] = { "sandbox-host", "vmlinux", "sandbox-init", "default.erofs" };
	static char lent[2][128];
	const char *build = getenv("SBX_BUILD"), *engine = getenv("SBX_ENGINE");
	struct sbx_vm_config c = SBX_VM_CONFIG_INIT;
	struct sbx_mount mounts[MOUNTS];
	struct sbx_vm *vm;
	struct sbx_err err;

	CHECK(build && engine, "SBX_BUILD and SBX_ENGINE must be set");
	for (size_t i = 0; i < 4; i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", build, names[i]);
	(void)snprintf(programs, sizeof(programs), "%s/tests/guest", build);
	(void)snprintf(lent[0], sizeof(lent[0]), "%s/none", base);
	(void)snprintf(lent[1], sizeof(lent[1]), "%s/always", base);
	mounts[0] = mount("/mnt", SBX_FS_HOST, base, SBX_CACHE_AUTO);
	mounts[1] = mount("/mnt/none", SBX_FS_HOST, lent[0], SBX_CACHE_NONE);
	mounts[2] = mount("/mnt/always", SBX_FS_HOST, lent[1], SBX_CACHE_ALWAYS);
	mounts[3] = mount("/mnt/memory", SBX_FS_MEMORY, NULL, SBX_CACHE_AUTO);
	mounts[4] = mount("/mnt/programs", SBX_FS_HOST, programs, SBX_CACHE_AUTO);
	mounts[4].flags = SBX_MOUNT_READONLY;
	c.host_path = paths[0];
	c.kernel_path = paths[1];
	c.init_path = paths[2];
	c.image_path = paths[3];
	c.engine = strcmp(engine, "kvm") == 0 ? SBX_ENGINE_KVM : SBX_ENGINE_QEMU;
	c.mounts = mounts;
	c.mount_count = MOUNTS;
	CHECK(sbx_vm_start(&c, &vm, &err) == 0, "%s", err.message);
	CHECK(sbx_vm_wait_ready(vm, NULL, &err) == 0, "%s\n%s", err.message, err.console);
	return vm;
}

/* The cases in a directory of the guest; the text is the caller's. */
static char *in_guest(struct sbx_vm *vm, const char *dir)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result r;
	struct sbx_err err;
	char *out;

	s.argv = (const char *const[]){ "sh", "-c", "mkdir -p \"$0\" && exec /mnt/programs/fscases \"$0\"", dir, NULL };
	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	CHECK(r.code == 0, "%s: code %d\n%s", dir, r.code, r.err);
	out = strdup(r.out);
	sbx_exec_result_done(&r);
	CHECK(out, "memory");
	return out;
}

/* The same on this machine, in the directory that is lent. */
static char *on_host(void)
{
	static char text[1 << 16];
	char command[8192];
	size_t len;
	FILE *p;

	(void)snprintf(command, sizeof(command), "%s/fscases %s/host", programs, base);
	p = popen(command, "re");
	CHECK(p, "popen");
	len = fread(text, 1, sizeof(text) - 1, p);
	text[len] = '\0';
	CHECK(pclose(p) == 0 && len > 0, "%s", command);
	return strdup(text);
}

/* Results that are known to differ, with the reason. */
static bool excused(const char *dir, const char *line)
{
	/* A directory without a name cannot be asked for by one, and "none" asks each time. */
	return strcmp(dir, "/mnt/none") == 0 && strncmp(line, "removing_the_working_directory", 30) == 0;
}

static void compare(const char *dir, const struct lines *want, const struct lines *also, const struct lines *got)
{
	unsigned bad = 0;

	CHECK(got->count == want->count, "%s: %u lines instead of %u", dir, got->count, want->count);
	for (unsigned i = 0; i < got->count; i++) {
		if (strcmp(got->at[i], want->at[i]) == 0 || (also && i < also->count && strcmp(got->at[i], also->at[i]) == 0) || excused(dir, got->at[i]))
			continue;
		printf("# %s: %s\n# tmpfs: %s\n", dir, got->at[i], want->at[i]);
		bad++;
	}
	CHECK(bad == 0, "%s: %u results differ", dir, bad);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

TEST(every_mount_behaves_as_a_tmpfs)
{
	static const char *const lent[] = { "/mnt/auto", "/mnt/none", "/mnt/always" };
	static struct lines want, host, got;
	char *texts[3];
	struct sbx_vm *vm;

	test_timeout(600);
	(void)snprintf(base, sizeof(base), "/tmp/test-fs-cases-XXXXXX");
	CHECK(mkdtemp(base), "mkdtemp");
	make_dir("auto");
	make_dir("none");
	make_dir("always");
	make_dir("memory");
	make_dir("programs");
	make_dir("host");
	vm = start();
	texts[0] = in_guest(vm, "/tmp/cases");
	split(texts[0], &want);
	CHECK(want.count > 300, "%u lines", want.count);
	texts[1] = on_host();
	split(texts[1], &host);
	for (size_t i = 0; i < 3; i++) {
		texts[2] = in_guest(vm, lent[i]);
		split(texts[2], &got);
		compare(lent[i], &want, &host, &got);
		free(texts[2]);
	}
	texts[2] = in_guest(vm, "/mnt/memory");
	split(texts[2], &got);
	compare("/mnt/memory", &want, NULL, &got);
	for (size_t i = 0; i < 3; i++)
		free(texts[i]);
	sbx_vm_free(vm);
	CHECK(nftw(base, remove_one, 300, FTW_DEPTH | FTW_PHYS) == 0, "cannot clean up");
}

RUN_TESTS(T(every_mount_behaves_as_a_tmpfs))
