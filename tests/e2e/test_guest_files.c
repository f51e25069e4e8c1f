/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The running guest's own tree through libsbx. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/vmrig.h"
#include "../test.h"

static struct sbx_vm *vm;
static struct sbx_err err;
static char base[] = "/tmp/sbx-guest-files-XXXXXX";

static void begin_with(uint32_t flags, const struct sbx_mount *mount)
{
	struct sbx_vm_config c = vmrig_config();

	c.flags = flags;
	c.mounts = mount;
	c.mount_count = mount ? 1 : 0;
	CHECK(mkdtemp(base) && chdir(base) == 0, "mkdtemp");
	vm = vmrig_start_with(&c);
}

static void begin(uint32_t flags)
{
	begin_with(flags, NULL);
}

static void finish(void)
{
	char command[64];

	sbx_vm_free(vm);
	CHECK(chdir("/") == 0, "chdir");
	(void)snprintf(command, sizeof(command), "rm -rf %s", base);
	CHECK(system(command) == 0, "cannot clean up");
}

/* Runs a shell script in the guest; its output, which lives until the next call. */
static const char *guest(const char *script)
{
	static char text[4096];
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result r;

	s.argv = (const char *const[]){ "/bin/sh", "-c", script, NULL };
	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	(void)snprintf(text, sizeof(text), "%s%s", r.out, r.err);
	sbx_exec_result_done(&r);
	return text;
}

static int host(const char *script)
{
	return WEXITSTATUS(system(script));
}

static void make_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content), "%s: %s", path, strerror(errno));
	close(fd);
}

/* ---- */

TEST(files_are_written_and_read_with_any_content)
{
	static const char content[] = "a\0b\nc\xff";
	char *got;
	size_t len;

	begin(0);
	CHECK(sbx_guest_write_file(vm, "/tmp/f", content, sizeof(content), 0640, NULL, &err) == 0, "%s", err.message);
	CHECK(strcmp(guest("stat -c '%a %s %u' /tmp/f"), "640 7 0\n") == 0, "%s", guest("ls -l /tmp"));
	CHECK(sbx_guest_read_file(vm, "/tmp/f", 0, NULL, &got, &len, &err) == 0, "%s", err.message);
	CHECK(len == sizeof(content) && memcmp(got, content, len) == 0 && got[len] == '\0', "%zu bytes", len);
	free(got);
	CHECK(sbx_guest_write_file(vm, "/tmp/f", NULL, 0, -1, NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "/tmp/f", 7, NULL, &got, &len, &err) == 0 && len == 0, "%s", err.message);
	free(got);
	CHECK(strcmp(guest("stat -c %a /tmp/f; ls -A /tmp"), "640\nf\n") == 0, "%s", guest("ls -la /tmp"));
	CHECK(sbx_guest_read_file(vm, "/proc/version", 0, NULL, &got, &len, &err) == 0 && strstr(got, "Linux"), "%s", err.message);
	free(got);
	finish();
}

TEST(failures_come_with_their_errno_and_words)
{
	static const char text[] = "x";
	struct sbx_guest_opts nobody = SBX_GUEST_OPTS_INIT, unknown = SBX_GUEST_OPTS_INIT, quick = SBX_GUEST_OPTS_INIT;
	struct sbx_guest_stat st;
	struct sbx_guest_list list;
	char *got;
	size_t len;

	begin(0);
	nobody.run_as = "nobody";
	unknown.run_as = "no-such-user";
	quick.timeout_ms = 300;
	CHECK(sbx_guest_read_file(vm, "/no/such", 0, NULL, &got, &len, &err) == -ENOENT && strstr(err.message, "/no/such"), "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "/etc", 0, NULL, &got, &len, &err) == -EISDIR, "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "etc/passwd", 0, NULL, &got, &len, &err) == -EINVAL && strstr(err.message, "absolute"), "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "/etc/passwd", 3, NULL, &got, &len, &err) == -EFBIG, "%s", err.message);
	CHECK(sbx_guest_write_file(vm, "/etc/passwd", text, 1, -1, NULL, &err) == -EROFS, "%s", err.message);
	CHECK(sbx_guest_write_file(vm, "/new", text, 1, -1, NULL, &err) == -EROFS, "%s", err.message);
	CHECK(sbx_guest_write_file(vm, "/tmp/no/f", text, 1, -1, NULL, &err) == -ENOENT, "%s", err.message);
	CHECK(sbx_guest_write_file(vm, "/tmp/f", text, 1, 010000, NULL, &err) == -EINVAL, "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "/proc/1/environ", 0, &nobody, &got, &len, &err) == -EACCES, "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "/etc/passwd", 0, &unknown, &got, &len, &err) == -EIO && strstr(err.message, "no-such-user"), "%s", err.message);
	CHECK(sbx_guest_stat(vm, "/no", 0, NULL, &st, &err) == -ENOENT, "%s", err.message);
	CHECK(sbx_guest_list(vm, "/etc/passwd", 0, NULL, &list, &err) == -ENOTDIR, "%s", err.message);
	CHECK(sbx_guest_list(vm, "/proc", 3, NULL, &list, &err) == -EFBIG, "%s", err.message);
	CHECK(sbx_guest_mkdir(vm, "/tmp", 0755, 0, NULL, &err) == -EEXIST, "%s", err.message);
	CHECK(sbx_guest_remove(vm, "/tmp/none", 0, NULL, &err) == -ENOENT, "%s", err.message);
	CHECK(sbx_guest_rename(vm, "/tmp/none", "/tmp/x", NULL, &err) == -ENOENT, "%s", err.message);
	CHECK(sbx_guest_rename(vm, "/tmp/none", "x", NULL, &err) == -EINVAL, "%s", err.message);
	(void)guest("mkfifo /tmp/pipe; printf x >'/tmp/a\033[31m'");
	CHECK(sbx_guest_read_file(vm, "/tmp/pipe", 0, &quick, &got, &len, &err) == -ETIMEDOUT, "%s", err.message);
	CHECK(sbx_guest_list(vm, "/tmp/a\033[31m", 0, NULL, &list, &err) == -ENOTDIR && !strchr(err.message, '\033'), "%s", err.message);
	finish();
}

TEST(trees_are_listed_made_moved_and_removed)
{
	struct sbx_guest_list list;
	struct sbx_guest_stat st;

	begin(SBX_VM_WRITABLE);
	CHECK(sbx_guest_mkdir(vm, "/srv/a/b", 0770, SBX_GUEST_PARENTS, NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_write_file(vm, "/srv/a/b/file", "hello", 5, -1, NULL, &err) == 0, "%s", err.message);
	(void)guest("cd /srv/a; ln -s b/file link; mkfifo pipe; touch \"$(printf 'odd\\n\\377')\"; touch -d '2001-09-09 01:46:40' b/file");
	CHECK(sbx_guest_list(vm, "/srv/a", 0, NULL, &list, &err) == 0, "%s", err.message);
	CHECK(list.count == 4 && strcmp(list.entries[0].name, "b") == 0 && strcmp(list.entries[1].name, "link") == 0 && strcmp(list.entries[2].name, "odd\n\377") == 0,
	      "%zu entries", list.count);
	CHECK(S_ISDIR(list.entries[0].stat.mode) && (list.entries[0].stat.mode & 07777) == 0770 && strcmp(list.entries[1].target, "b/file") == 0, "entries");
	CHECK(S_ISFIFO(list.entries[3].stat.mode), "mode %o", list.entries[3].stat.mode);
	sbx_guest_list_done(&list);
	CHECK(sbx_guest_stat(vm, "/srv/a/link", SBX_GUEST_FOLLOW, NULL, &st, &err) == 0 && S_ISREG(st.mode) && st.size == 5 && st.mtime_sec == 1000000000, "%s", err.message);
	CHECK(sbx_guest_stat(vm, "/srv/a/link", 0, NULL, &st, &err) == 0 && S_ISLNK(st.mode), "%s", err.message);
	CHECK(sbx_guest_rename(vm, "/srv/a", "/srv/z", NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_remove(vm, "/srv/z", 0, NULL, &err) == -ENOTEMPTY, "%s", err.message);
	CHECK(sbx_guest_remove(vm, "/srv/z", SBX_GUEST_RECURSIVE, NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_list(vm, "/srv", 0, NULL, &list, &err) == 0 && list.count == 0, "%s", err.message);
	sbx_guest_list_done(&list);
	finish();
}

static void make_tree(void)
{
	CHECK(host("mkdir -p t/sub/empty && printf content >t/f && ln t/f t/sub/hard && ln -s ../f t/sub/link && mkfifo t/pipe && "
		   "head -c 3000000 /dev/urandom >t/big && printf odd >\"$(printf 't/odd\\n\\377')\" && chmod 751 t/sub && touch -d '2001-09-09 01:46:40.123' t/f && "
		   "chmod 4755 t/big") == 0,
	      "tree");
}

TEST(a_tree_goes_in_and_comes_out_the_same)
{
	struct sbx_copied copied;

	begin(0);
	make_tree();
	CHECK(sbx_guest_copy_in(vm, "t", "/tmp", NULL, &err) == 0, "%s", err.message);
	CHECK(strcmp(guest("cd /tmp/t && stat -c '%n %a %u' big sub pipe && cat f && readlink sub/link && [ f -ef sub/hard ] && stat -c %Y f"),
		     "big 4755 0\nsub 751 0\npipe 644 0\ncontent../f\n1000000000\n") == 0,
	      "%s", guest("ls -lR /tmp"));
	CHECK(sbx_guest_copy_out(vm, "/tmp/t", "out", NULL, &copied, &err) == 0, "%s", err.message);
	CHECK(host("diff -r --no-dereference -x pipe t out && [ out/f -ef out/sub/hard ] && [ \"$(stat -c %y t/f)\" = \"$(stat -c %y out/f)\" ] && "
		   "[ ! -e out/pipe ] && [ $(stat -c %a out/big) = 755 ] && [ $(stat -c %u out/f) = $(id -u) ]") == 0,
	      "they differ");
	CHECK(copied.skipped == 1 && strcmp(copied.first_skipped, "out/pipe") == 0 && copied.files == 8 && copied.bytes == 3000010, "%llu files, %llu bytes, %llu skipped",
	      (unsigned long long)copied.files, (unsigned long long)copied.bytes, (unsigned long long)copied.skipped);
	finish();
}

TEST(copies_land_where_cp_would_put_them)
{
	begin(0);
	make_file("f", "one");
	CHECK(mkdir("d", 0755) == 0, "mkdir");
	make_file("d/in", "two");
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/g", NULL, &err) == 0 && sbx_guest_copy_in(vm, "f", "/tmp/", NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_copy_in(vm, "d/.", "/tmp/made", NULL, &err) == 0 && sbx_guest_copy_in(vm, "d/.", "/tmp", NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_copy_in(vm, "d", "/tmp/d2/", NULL, &err) == 0, "%s", err.message);
	CHECK(strcmp(guest("cd /tmp; find . -type f | sort; stat -c %a ."), "./d2/in\n./f\n./g\n./in\n./made/in\n1777\n") == 0, "%s", guest("find /tmp"));
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/none/", NULL, &err) == -ENOTDIR, "%s", err.message);
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/none/f", NULL, &err) == -ENOENT && strstr(err.message, "in the guest"), "%s", err.message);
	CHECK(sbx_guest_copy_in(vm, "none", "/tmp", NULL, &err) == -ENOENT && strstr(err.message, "'none'"), "%s", err.message);
	CHECK(sbx_guest_copy_in(vm, "d", "/tmp/f", NULL, &err) == -ENOTDIR, "%s", err.message);
	CHECK(sbx_guest_copy_in(vm, "f", "/etc", NULL, &err) == -EROFS, "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/tmp/none", "x", NULL, NULL, &err) == -ENOENT && access("x", F_OK) < 0, "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/tmp/f", "no/such/x", NULL, NULL, &err) == -ENOENT && strstr(err.message, "no/such/"), "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/tmp/f", "d", NULL, NULL, &err) == 0 && access("d/f", F_OK) == 0, "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/tmp/d2/.", "d", NULL, NULL, &err) == 0 && access("d/d2", F_OK) < 0, "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/tmp/..", "x", NULL, NULL, &err) == -EINVAL, "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/etc/passwd", "f", NULL, NULL, &err) == 0 && host("grep -q root f") == 0, "%s", err.message);
	finish();
}

TEST(new_files_belong_to_whom_was_asked_for)
{
	struct sbx_guest_opts o = SBX_GUEST_OPTS_INIT;

	begin(0);
	make_file("f", "x");
	o.run_as = "nobody";
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/by-nobody", &o, &err) == 0, "%s", err.message);
	o.run_as = NULL;
	o.owner = "nobody";
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/for-nobody", &o, &err) == 0, "%s", err.message);
	o.owner = "77:88";
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/numbers", &o, &err) == 0, "%s", err.message);
	CHECK(strstr(guest("stat -c '%U' /tmp/by-nobody /tmp/for-nobody; stat -c '%u:%g' /tmp/numbers"), "nobody\nnobody\n77:88\n"), "%s", guest("ls -l /tmp"));
	o.owner = "no-such-user";
	CHECK(sbx_guest_copy_in(vm, "f", "/tmp/x", &o, &err) == -ENOENT && strstr(err.message, "no-such-user"), "%s", err.message);
	finish();
}

TEST(more_than_the_limit_does_not_come_out)
{
	struct sbx_guest_opts o = SBX_GUEST_OPTS_INIT;

	begin(0);
	o.max_bytes = 1 << 20;
	(void)guest("head -c 2000000 /dev/zero >/tmp/big");
	CHECK(sbx_guest_copy_out(vm, "/tmp/big", "big", &o, NULL, &err) == -EFBIG && strstr(err.message, "1048576"), "%s", err.message);
	CHECK(access("big", F_OK) < 0, "a part of it is left");
	finish();
}

/* A workload that exchanges directories for links all the time, to the host's files and to its own, while they are copied. */
TEST(a_guest_that_swaps_things_meanwhile_gets_nothing_out_of_place)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_proc *p;
	unsigned good = 0;

	begin(0);
	CHECK(mkdir("out", 0755) == 0 && mkdir("victim", 0755) == 0, "mkdir");
	make_file("victim/f", "untouched");
	(void)guest("mkdir -p /tmp/t/d /tmp/t/e; for i in 1 2 3 4 5 6 7 8 9; do echo $i >/tmp/t/d/$i; done; head -c 300000 /dev/zero >/tmp/t/d/big");
	s.argv = (const char *const[]){ "/bin/sh", "-c",
					"cd /tmp/t; while :; do mv d x; ln -s ../victim d; rm d; ln -s / d; rm d; mv x d; mv d/big d/f; : >d/f; rm e/l; ln -s ../../victim e/l; "
					"head -c 300000 /dev/zero >d/big; done 2>/dev/null",
					NULL };
	CHECK(sbx_vm_exec(vm, &s, &p, &err) == 0, "%s", err.message);
	for (int i = 0; i < 25; i++) {
		int r = sbx_guest_copy_out(vm, "/tmp/t/.", "out", NULL, NULL, &err);

		/* what it did to itself is an error, or not, but one with words; a directory may have been a link the last time */
		CHECK(r == 0 || err.message[0], "%d", r);
		good += r == 0;
		CHECK(host("[ \"$(cat victim/f)\" = untouched ] && [ $(ls | wc -l) = 2 ] && [ $(ls -A victim | wc -l) = 1 ]") == 0, "it got out");
		CHECK(host("rm -rf out/*") == 0, "rm");
	}
	CHECK(good > 0, "it never works: %s", err.message);
	sbx_proc_free(p);
	finish();
}

struct pipe_ends {
	int fd;
	uint64_t bytes;
	int fail;
};

static int to_file(const void *data, size_t len, void *user)
{
	struct pipe_ends *p = user;

	p->bytes += len;
	return p->fail ? p->fail : write(p->fd, data, len) == (ssize_t)len ? 0 : -errno;
}

static ssize_t from_file(void *data, size_t size, void *user)
{
	struct pipe_ends *p = user;

	return p->fail ? p->fail : read(p->fd, data, size);
}

TEST(archives_pass_as_streams)
{
	struct pipe_ends p = { .fd = -1 };

	begin(0);
	p.fd = open("archive", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	make_tree();
	CHECK(host("tar --format=gnu -cf gnu.tar t") == 0, "tar");
	CHECK(sbx_guest_copy_in(vm, "t", "/tmp/t", NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_tar_out(vm, "/tmp/t", to_file, &p, NULL, &err) == 0, "%s", err.message);
	CHECK(host("mkdir x && tar -C x -xf archive && diff -r --no-dereference -x pipe t x/t") == 0, "tar reads another tree");
	p.fail = -ENOSPC;
	CHECK(sbx_guest_tar_out(vm, "/tmp/t", to_file, &p, NULL, &err) == -ENOSPC && err.message[0], "%s", err.message);
	p.fail = 0;
	close(p.fd);
	p.fd = open("gnu.tar", O_RDONLY | O_CLOEXEC);
	CHECK(sbx_guest_mkdir(vm, "/tmp/in", 0755, 0, NULL, &err) == 0 && sbx_guest_tar_in(vm, "/tmp/in", from_file, &p, NULL, &err) == 0, "%s", err.message);
	CHECK(strcmp(guest("cmp /tmp/in/t/big /tmp/t/big && cmp /tmp/in/t/sub/hard /tmp/t/f && echo same"), "same\n") == 0, "%s", guest("ls -lR /tmp/in"));
	p.fail = -EIO;
	CHECK(sbx_guest_tar_in(vm, "/tmp/in", from_file, &p, NULL, &err) == -EIO, "%s", err.message);
	p.fail = 0;
	CHECK(lseek(p.fd, 100, SEEK_SET) == 100 && sbx_guest_tar_in(vm, "/tmp/in", from_file, &p, NULL, &err) == -EBADMSG, "%s", err.message);
	CHECK(sbx_guest_tar_in(vm, "/tmp/none", from_file, &p, NULL, &err) == -ENOENT, "%s", err.message);
	close(p.fd);
	finish();
}

TEST(hundreds_of_megabytes_go_both_ways)
{
	test_timeout(180);
	begin(0);
	CHECK(host("head -c 100000000 /dev/urandom >big") == 0, "urandom");
	CHECK(sbx_guest_copy_in(vm, "big", "/tmp/big", NULL, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_copy_out(vm, "/tmp/big", "back", NULL, NULL, &err) == 0, "%s", err.message);
	CHECK(host("cmp big back") == 0, "they differ");
	finish();
}

static void call_inside(struct sbx_proc *p, int stream, const void *data, size_t len, void *user)
{
	struct sbx_guest_stat st;

	(void)p;
	(void)stream;
	(void)data;
	(void)len;
	*(int *)user = sbx_guest_stat(vm, "/", 0, NULL, &st, NULL);
}

TEST(a_call_from_a_callback_or_without_a_guest_is_refused)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_guest_stat st;
	struct sbx_proc *p;
	int got = 0;

	begin(0);
	s.argv = (const char *const[]){ "echo", "x", NULL };
	s.on_output = call_inside;
	s.user = &got;
	CHECK(sbx_vm_exec(vm, &s, &p, &err) == 0, "%s", err.message);
	while (got == 0) {
		struct pollfd f = { .fd = sbx_vm_fd(vm), .events = POLLIN };

		(void)poll(&f, 1, 10000);
		(void)sbx_vm_dispatch(vm);
	}
	CHECK(got == -EDEADLK, "%d", got);
	sbx_proc_free(p);
	CHECK(sbx_vm_stop(vm, 20000, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_stat(vm, "/", 0, NULL, &st, &err) == -ENOTCONN, "%s", err.message);
	finish();
}

TEST(a_guest_that_does_not_answer_is_a_timeout_as_well)
{
	struct sbx_guest_opts quick = SBX_GUEST_OPTS_INIT;
	struct sbx_guest_stat st;

	begin(0);
	quick.timeout_ms = 200;
	CHECK(sbx_vm_pause(vm, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_stat(vm, "/", 0, &quick, &st, &err) == -ETIMEDOUT, "%s", err.message);
	CHECK(sbx_vm_resume(vm, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_stat(vm, "/", 0, NULL, &st, &err) == 0, "%s", err.message);
	finish();
}

/* ---- A file system of this program that does not answer ---- */

/* Calls that nobody answers. To give one up would answer it. */
static struct sbx_fs_call *hung[8];
static unsigned hung_count;

static void root_only(struct sbx_fs_call *call, const char *path, void *user)
{
	struct sbx_file_stat st = SBX_FILE_STAT_INIT;

	(void)user;
	st.type = SBX_FILE_DIRECTORY;
	if (strcmp(path, "/") == 0) {
		(void)sbx_fs_reply_stat(call, &st);
		return;
	}
	CHECK(hung_count < sizeof(hung) / sizeof(hung[0]), "a call too many");
	sbx_fs_call_keep(call);
	hung[hung_count++] = call;
}

static void no_entries(struct sbx_fs_call *call, const char *path, void *user)
{
	(void)path;
	(void)user;
	(void)sbx_fs_reply_entries(call, NULL, 0);
}

static void give_up(void)
{
	while (hung_count > 0)
		sbx_fs_call_free(hung[--hung_count]);
}

static void begin_with_hung_files(void)
{
	static const struct sbx_fs_callbacks callbacks = { .struct_size = sizeof(callbacks), .stat = root_only, .list = no_entries };
	struct sbx_mount m = SBX_MOUNT_INIT;

	m.path = "/mnt";
	m.kind = SBX_FS_CALLBACKS;
	m.callbacks = &callbacks;
	begin_with(0, &m);
}

static time_t now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

TEST(a_call_and_a_program_that_a_hung_file_system_holds_end_at_their_time_limit)
{
	struct sbx_guest_opts quick = SBX_GUEST_OPTS_INIT;
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result r;
	struct sbx_guest_stat st;
	time_t start;

	begin_with_hung_files();
	quick.timeout_ms = 300;
	start = now_s();
	CHECK(sbx_guest_stat(vm, "/mnt/x", 0, &quick, &st, &err) == -ETIMEDOUT, "%s", err.message);
	s.argv = (const char *const[]){ "/bin/sh", "-c", "cat /mnt/a & cat /mnt/b & cat /mnt/c", NULL };
	s.timeout_ms = 300;
	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	CHECK(r.reason == SBX_EXIT_TIMEOUT && r.code == 124, "reason %d", r.reason);
	sbx_exec_result_done(&r);
	CHECK(now_s() - start < 20, "it took %ld s", (long)(now_s() - start));
	CHECK(strcmp(guest("ps -o stat | grep -c D"), "0\n") == 0, "something is left: %s", guest("ps"));
	finish();
	give_up();
}

TEST(a_guest_with_programs_in_a_hung_file_system_powers_off)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_proc *p;

	begin_with_hung_files();
	s.argv = (const char *const[]){ "cat", "/mnt/x", NULL };
	CHECK(sbx_vm_exec(vm, &s, &p, &err) == 0, "%s", err.message);
	while (hung_count == 0) {
		struct pollfd f = { .fd = sbx_vm_fd(vm), .events = POLLIN };

		(void)poll(&f, 1, 10000);
		(void)sbx_vm_dispatch(vm);
	}
	CHECK(sbx_vm_stop(vm, 40000, &err) == 0, "%s", err.message);
	sbx_proc_free(p);
	finish();
	give_up();
}

TEST(a_guest_that_ends_under_a_call_is_an_error_with_its_reason)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_proc *p;
	char *got;
	size_t len;

	begin(0);
	(void)guest("mkfifo /tmp/pipe");
	s.argv = (const char *const[]){ "/bin/sh", "-c", "sleep 0.5; poweroff -f", NULL };
	CHECK(sbx_vm_exec(vm, &s, &p, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_read_file(vm, "/tmp/pipe", 0, NULL, &got, &len, &err) < 0 && strstr(err.message, "powered itself off"), "%s", err.message);
	sbx_proc_free(p);
	finish();
}

/* ---- Without waiting ---- */

struct answer {
	int count, code;
	char message[512];
	char text[64];
	size_t entries;
	uint64_t files;
};

static void on_done(struct sbx_vm *v, const struct sbx_guest_result *r, void *user)
{
	struct answer *a = user;

	(void)v;
	a->count++;
	a->code = r->code;
	(void)snprintf(a->message, sizeof(a->message), "%s", r->message);
	if (r->data)
		(void)snprintf(a->text, sizeof(a->text), "%s", r->data);
	a->entries = r->list.count;
	a->files = r->copied.files;
}

static struct sbx_guest_request request(enum sbx_guest_op op, const char *path, const char *path2, struct answer *a)
{
	struct sbx_guest_request q = SBX_GUEST_REQUEST_INIT;

	q.op = op;
	q.path = path;
	q.path2 = path2;
	q.done = on_done;
	q.user = a;
	return q;
}

static void dispatch_until(const struct answer *a)
{
	while (a->count == 0) {
		struct pollfd p = { .fd = sbx_vm_fd(vm), .events = POLLIN };

		CHECK(poll(&p, 1, 20000) == 1, "nothing happens");
		if (sbx_vm_dispatch(vm) < 0)
			return;
	}
}

static void run_request(struct sbx_guest_request q)
{
	struct answer *a = q.user;

	*a = (struct answer){ 0 };
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	dispatch_until(a);
	CHECK(a->count == 1, "done is called %d times", a->count);
}

TEST(requests_end_in_a_dispatch_with_what_the_calls_that_wait_give)
{
	char data[] = "content";
	struct sbx_guest_request q;
	struct answer a = { 0 };

	begin(0);
	make_file("from-host", "host\n");
	q = request(SBX_GUEST_WRITE_FILE, "/tmp/f", NULL, &a);
	q.data = data;
	q.data_len = 7;
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	memset(data, 'x', sizeof(data)); /* what was submitted was read */
	dispatch_until(&a);
	CHECK(a.code == 0, "%s", a.message);
	run_request(request(SBX_GUEST_READ_FILE, "/tmp/f", NULL, &a));
	CHECK(a.code == 0 && strcmp(a.text, "content") == 0, "%s%s", a.message, a.text);
	run_request(request(SBX_GUEST_COPY_IN, "/tmp", "from-host", &a));
	CHECK(a.code == 0, "%s", a.message);
	run_request(request(SBX_GUEST_LIST, "/tmp", NULL, &a));
	CHECK(a.code == 0 && a.entries == 2, "%zu %s", a.entries, a.message);
	run_request(request(SBX_GUEST_RENAME, "/tmp/f", "/tmp/g", &a));
	CHECK(a.code == 0, "%s", a.message);
	run_request(request(SBX_GUEST_COPY_OUT, "/tmp/.", "out", &a));
	CHECK(a.code == 0 && a.files >= 2 && host("cmp out/from-host from-host && test -e out/g") == 0, "%s", a.message);
	run_request(request(SBX_GUEST_STAT, "/tmp/f", NULL, &a));
	CHECK(a.code == -ENOENT, "%d %s", a.code, a.message);
	finish();
}

TEST(requests_that_make_no_sense_are_not_taken)
{
	struct answer a = { 0 };
	struct sbx_guest_request q;

	begin(0);
	q = request(SBX_GUEST_STAT, "relative", NULL, &a);
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == -EINVAL && strstr(err.message, "relative"), "%s", err.message);
	q = request(SBX_GUEST_RENAME, "/tmp/f", NULL, &a);
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == -EINVAL, "%s", err.message);
	q = request(SBX_GUEST_COPY_IN, "/tmp", "no-such-file", &a);
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == -ENOENT, "%s", err.message);
	q = request(SBX_GUEST_MKDIR, "/tmp/d", NULL, &a);
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == -EINVAL && strstr(err.message, "mode"), "%s", err.message);
	q = request((enum sbx_guest_op)99, "/tmp", NULL, &a);
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == -EINVAL, "%s", err.message);
	q = request(SBX_GUEST_STAT, "/tmp", NULL, &a);
	q.done = NULL;
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == -EINVAL, "%s", err.message);
	CHECK(a.count == 0, "done was called");
	finish();
}

TEST(a_request_that_hangs_is_cancelled_or_ends_with_the_vm)
{
	struct answer a = { 0 }, b = { 0 };
	struct sbx_guest_request q;
	uint32_t id;

	begin(0);
	(void)guest("mkfifo /tmp/pipe");
	q = request(SBX_GUEST_READ_FILE, "/tmp/pipe", NULL, &a);
	CHECK(sbx_guest_submit(vm, &q, &id, &err) == 0, "%s", err.message);
	CHECK(sbx_guest_cancel(vm, id) == 0 && a.count == 1 && a.code == -ECANCELED, "%d %s", a.code, a.message);
	CHECK(sbx_guest_cancel(vm, id) == -ENOENT && a.count == 1, "twice");
	q.user = &b;
	CHECK(sbx_guest_submit(vm, &q, NULL, &err) == 0, "%s", err.message);
	CHECK(strcmp(guest("echo alive"), "alive\n") == 0, "the VM goes on");
	finish();
	CHECK(b.count == 1 && b.code < 0, "%d %s", b.code, b.message);
}

RUN_TESTS(T(files_are_written_and_read_with_any_content), T(failures_come_with_their_errno_and_words), T(trees_are_listed_made_moved_and_removed),
	  T(a_tree_goes_in_and_comes_out_the_same), T(copies_land_where_cp_would_put_them), T(new_files_belong_to_whom_was_asked_for),
	  T(more_than_the_limit_does_not_come_out), T(a_guest_that_swaps_things_meanwhile_gets_nothing_out_of_place), T(archives_pass_as_streams),
	  T(hundreds_of_megabytes_go_both_ways), T(a_call_from_a_callback_or_without_a_guest_is_refused),
	  T(a_guest_that_does_not_answer_is_a_timeout_as_well), T(a_call_and_a_program_that_a_hung_file_system_holds_end_at_their_time_limit),
	  T(a_guest_with_programs_in_a_hung_file_system_powers_off),
	  T(a_guest_that_ends_under_a_call_is_an_error_with_its_reason), T(requests_end_in_a_dispatch_with_what_the_calls_that_wait_give),
	  T(requests_that_make_no_sense_are_not_taken), T(a_request_that_hangs_is_cancelled_or_ends_with_the_vm))
