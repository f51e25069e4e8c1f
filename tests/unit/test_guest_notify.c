/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How init tells watchers what the host changed, on a directory of this machine: here the attribute stays, which the file server takes no notice of. */
#include "../../guest/notify.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char base[] = "/tmp/sbx-notify-XXXXXX";
static int tree, watches;

static void put(const char *path)
{
	AUTOCLOSE int fd = openat(tree, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
}

/* A tree of d/f and d/link, a link to "out" beside the tree; what is in it is watched. */
static void setup(void)
{
	char path[64];

	CHECK(mkdtemp(base), "mkdtemp: %s", strerror(errno));
	if (setxattr(base, PROTO_FS_CHANGED_XATTR, "", 0, 0) < 0) {
		(void)rmdir(base);
		SKIP("no such attributes: %s", strerror(errno));
	}
	(void)snprintf(path, sizeof(path), "%s/tree", base);
	CHECK(mkdir(path, 0755) == 0, "mkdir");
	tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(tree >= 0 && mkdirat(tree, "d", 0755) == 0 && mkdirat(tree, "d/e", 0755) == 0, "tree");
	put("d/f");
	put("../out");
	CHECK(symlinkat("../../out", tree, "d/link") == 0 && symlinkat("d", tree, "way") == 0 && symlinkat("/tmp", tree, "away") == 0, "links");
	watches = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	(void)snprintf(path, sizeof(path), "%s/tree/d", base);
	CHECK(watches >= 0 && inotify_add_watch(watches, path, IN_ALL_EVENTS & ~(unsigned)IN_CLOSE & ~(unsigned)IN_OPEN & ~(unsigned)IN_ACCESS) >= 0, "watch");
	(void)snprintf(path, sizeof(path), "%s/out", base);
	CHECK(inotify_add_watch(watches, path, IN_ATTRIB) >= 0, "watch");
}

static void teardown(void)
{
	static const char *const made[] = { "d/f", "d/link", "way", "away", "../out" };

	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		CHECK(unlinkat(tree, made[i], 0) == 0, "%s", made[i]);
	CHECK(unlinkat(tree, "d/e", AT_REMOVEDIR) == 0 && unlinkat(tree, "d", AT_REMOVEDIR) == 0 && unlinkat(tree, "../tree", AT_REMOVEDIR) == 0, "rmdir");
	close(watches);
	close(tree);
	CHECK(rmdir(base) == 0, "%s", strerror(errno));
}

/* What has been heard: "attrib NAME" for each event; other events by number. */
static void heard(char *ret, size_t size)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t len = read(watches, events, sizeof(events));
	size_t at = 0;

	ret[0] = '\0';
	for (ssize_t i = 0; i < len;) {
		const struct inotify_event *e = (const void *)(events + i);

		at += (size_t)snprintf(ret + at, size - at, "%s%s(%d);", e->mask & IN_ATTRIB ? "attrib " : "other ", e->len ? e->name : ".", e->wd);
		i += (ssize_t)(sizeof(*e) + e->len);
	}
}

TEST(watchers_hear_of_what_is_there_and_of_the_directory_of_what_is_not)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{ "d/f", "attrib f(1);" },
		{ "/d/f", "attrib f(1);" },
		{ "d/e", "attrib e(1);" },
		{ "d/gone", "attrib .(1);" },
		{ "d", "attrib .(1);" },
		{ "d/.", "attrib .(1);" },
		{ "d/", "attrib .(1);" },
		{ "way/f", "attrib f(1);" },
		{ "", "" },          /* the root, which nobody watches */
		{ "gone", "" },      /* likewise */
		{ "gone/f", "" },
		{ "d/f/x", "" },
		{ "away/f", "" },
		{ "../out", "" },
		{ "d/../../out", "" },
	};
	char text[512];

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		notify_change(tree, cases[i].path);
		heard(text, sizeof(text));
		CHECK(strcmp(text, cases[i].want) == 0, "'%s': '%s' instead of '%s'", cases[i].path, text, cases[i].want);
	}
	CHECK(faccessat(tree, "d/gone", F_OK, 0) < 0, "something was made");
	teardown();
}

TEST(a_symbolic_link_is_told_of_and_not_what_it_leads_to)
{
	char text[512];

	setup();
	notify_change(tree, "d/link");
	heard(text, sizeof(text));
	CHECK(strcmp(text, "attrib link(1);") == 0, "'%s'", text);
	teardown();
}

TEST(watchers_of_what_lost_its_name_hear_of_it_and_others_do_not)
{
	char text[512], path[64];
	int fd, held, named;

	setup();
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/tree/d/%s", base, i ? "lost" : "f");
		put(i ? "d/lost" : "d/f");
		fd = inotify_add_watch(watches, path, IN_ATTRIB);
		CHECK(fd >= 0, "watch");
		*(i ? &held : &named) = fd;
	}
	fd = openat(tree, "d/lost", O_RDONLY | O_CLOEXEC); /* else the machine's file system forgets it, and the watch with it */
	CHECK(fd >= 0 && unlinkat(tree, "d/lost", 0) == 0, "unlink");
	heard(text, sizeof(text));
	CHECK(named != held, "one watch");
	notify_lost(tree);
	heard(text, sizeof(text));
	(void)snprintf(path, sizeof(path), "attrib lost(1);attrib .(%d);", held);
	CHECK(strcmp(text, path) == 0, "'%s'", text);
	close(fd);
	teardown();
}

TEST(a_process_of_its_own_tells_and_ends_with_its_socket)
{
	struct msg_guest_changed m = { .index = 2, .path = slice_of("d/f") };
	struct notify n;
	char text[512] = "";

	setup();
	notify_init(&n);
	notify_tell(&n, &m); /* there is no such tree */
	CHECK(n.fd < 0, "a process for nothing");
	notify_add(&n, 2, dup(tree));
	notify_tell(&n, &m);
	CHECK(n.fd >= 0, "no process");
	while (!text[0])
		heard(text, sizeof(text));
	CHECK(strcmp(text, "attrib f(1);") == 0, "'%s'", text);
	close_fd(&n.fd);
	close_fd(&n.tree[2]);
	teardown();
}

RUN_TESTS(T(watchers_hear_of_what_is_there_and_of_the_directory_of_what_is_not), T(a_symbolic_link_is_told_of_and_not_what_it_leads_to),
	  T(watchers_of_what_lost_its_name_hear_of_it_and_others_do_not), T(a_process_of_its_own_tells_and_ends_with_its_socket))
