/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_debian.c - where this machine's apt gets Debian from, so that an image is built from the same place: behind a local
 * mirror or a proxy mmdebstrap's own default, the public archive, is often out of reach.
 *
 * apt itself is asked, not its files. What it says is only used when it is about Debian's own archive: a third party's packages have no
 * business in an image because the host uses them.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { APT_OUTPUT_LEN = 65536 };

/* What a short program prints, as far as it fits; "" if it fails. */
static void ask(const char *const *argv, char *ret, size_t size)
{
	int ends[2], status = 0;
	size_t len = 0;
	ssize_t n = 0;
	pid_t pid;

	ret[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null < 0 || dup2(null, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(ends[1]);
	while (pid > 0 && len + 1 < size && ((n = read(ends[0], ret + len, size - 1 - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ret[pid > 0 && status == 0 ? len : 0] = '\0';
}

/* bookworm itself, or bookworm-updates or bookworm-security. */
static bool belongs(const char *release, const char *suite)
{
	size_t len = strlen(suite);

	if (strncmp(release, suite, len) != 0)
		return false;
	return release[len] == '\0' || strcmp(release + len, "-updates") == 0 || strcmp(release + len, "-security") == 0;
}

/* One line "URI|RELEASE|COMPONENT|SIGNED-BY|ORIGIN"; a field that apt does not know stays a "$(NAME)". */
static void take_line(char *line, const char *suite, struct debian_env *ret)
{
	char *field[5], text[sizeof(ret->lines[0])];
	bool own_key;
	int n;

	for (size_t i = 0; i < 5; i++) {
		field[i] = strsep(&line, "|");
		if (!field[i])
			return;
	}
	own_key = field[3][0] == '/' && !strstr(field[3], "debian-archive");
	if (!belongs(field[1], suite) || strcmp(field[2], "main") != 0)
		return;
	if (strcmp(field[4], "Debian") != 0 && (field[4][0] != '$' || own_key))
		return;
	n = own_key ? snprintf(text, sizeof(text), "deb [signed-by=%s] %s %s main", field[3], field[0], field[1])
		    : snprintf(text, sizeof(text), "deb %s %s main", field[0], field[1]);
	if (n < 0 || (size_t)n >= sizeof(text) || ret->line_count == IMAGE_MIRRORS_MAX)
		return;
	for (unsigned int i = 0; i < ret->line_count; i++)
		if (strcmp(ret->lines[i], text) == 0)
			return; /* another architecture of the same */
	memcpy(ret->lines[ret->line_count++], text, sizeof(text));
}

static void probe_archives(const char *suite, struct debian_env *ret)
{
	static const char *const argv[] = { "apt-get", "indextargets", "--format",
					    "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)|$(ORIGIN)",
					    "Created-By: Packages", NULL };
	char *text = malloc(APT_OUTPUT_LEN), *rest = text, *line;
	bool whole = false;

	if (!text)
		return;
	ask(argv, text, APT_OUTPUT_LEN);
	while ((line = strsep(&rest, "\n")))
		take_line(line, suite, ret);
	free(text);
	/* Updates without the release itself would not install: then better the default. */
	for (unsigned int i = 0; i < ret->line_count; i++) {
		const char *release = strrchr(ret->lines[i], ' ') - strlen(suite);

		whole |= release > ret->lines[i] && strncmp(release, suite, strlen(suite)) == 0 && release[-1] == ' ';
	}
	if (!whole)
		ret->line_count = 0;
}

/* apt-config prints HTTP='http://...' for what is set. apt takes the variable of that protocol's name just as well. */
static void probe_proxies(struct debian_env *ret)
{
	static const char *const argv[] = { "apt-config", "shell", "http_proxy", "Acquire::http::Proxy", "https_proxy",
					    "Acquire::https::Proxy", NULL };
	char text[1024], *rest = text, *line;
	size_t count = 0;

	ask(argv, text, sizeof(text));
	while (count < 2 && (line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');
		size_t len = value ? strlen(value) : 0;

		if (len < 4 || value[1] != '\'' || value[len - 1] != '\'')
			continue;
		value[len - 1] = '\0';
		value[0] = '\0';
		if (!getenv(line))
			snprintf(ret->proxy[count++], sizeof(ret->proxy[0]), "%s=%s", line, value + 2);
	}
}

void debian_probe(const char *suite, struct debian_env *ret)
{
	*ret = (struct debian_env){ 0 };
	probe_archives(suite, ret);
	probe_proxies(ret);
}
