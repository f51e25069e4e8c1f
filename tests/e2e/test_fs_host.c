/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lent directories with a real guest and a host that does not stand still: a hostile program (tests/guest/fsescape.c) while the host exchanges
 * directories for links; what the host deletes; directories of many entries; and file systems that are full. SBX_BUILD and SBX_ENGINE say where and
 * with which engine. */
#include "sbx.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/vmrig.h"
#include "../test.h"

static char top[64]; /* holds "lent", which the guest gets, and "secret", which it does not */
static char lent[80], programs[4096];

static void path_in(const char *name, char *ret, size_t size)
{
	(void)snprintf(ret, size, "%s/%s", top, name);
}

static void make_dir(const char *name)
{
	char path[128];

	path_in(name, path, sizeof(path));
	CHECK(mkdir(path, 0755) == 0, "%s: %m", path);
}

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	path_in(name, path, sizeof(path));
	f = fopen(path, "we");
	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s: %m", path);
}

static void setup(void)
{
	const char *build = getenv("SBX_BUILD");

	test_timeout(300);
	(void)snprintf(top, sizeof(top), "/tmp/sbx-fs-host-XXXXXX");
	CHECK(mkdtemp(top) && build, "mkdtemp");
	(void)snprintf(programs, sizeof(programs), "%s/tests/guest", build);
	path_in("lent", lent, sizeof(lent));
	make_dir("lent");
}

static void shell(const char *what)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "cd '%s' && %s", top, what);
	CHECK(system(command) == 0, "%s", command); /* style: system: a test's own directory */
}

static void teardown(struct sbx_vm *vm)
{
	char command[128];

	sbx_vm_free(vm);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", top);
	CHECK(system(command) == 0, "cannot remove %s", top); /* style: system: a test's own directory */
}

/* ---- A hostile guest ---- */

enum { ROUNDS = 300,
       ROUNDS_LAB = 50 }; /* in an emulated machine's guest */

static atomic_bool stop;
static atomic_uint swaps;

/* Exchanges the directory for the link, and moves it out and in again, under whatever the guest does. */
static void *swap(void *arg)
{
	char d[128], l[128], out[128], e[128];

	(void)arg;
	path_in("lent/race/d", d, sizeof(d));
	path_in("lent/race/l", l, sizeof(l));
	path_in("lent/race/e", e, sizeof(e));
	path_in("out", out, sizeof(out));
	while (!stop) {
		(void)renameat2(AT_FDCWD, d, AT_FDCWD, l, RENAME_EXCHANGE);
		(void)renameat2(AT_FDCWD, e, AT_FDCWD, l, RENAME_EXCHANGE);
		if (renameat2(AT_FDCWD, d, AT_FDCWD, out, RENAME_NOREPLACE) == 0)
			(void)renameat2(AT_FDCWD, out, AT_FDCWD, d, RENAME_NOREPLACE);
		(void)renameat2(AT_FDCWD, d, AT_FDCWD, l, RENAME_EXCHANGE);
		swaps++;
	}
	return NULL;
}

static void holds(const char *name, const char *want)
{
	char path[128], text[128] = "";
	FILE *f;

	path_in(name, path, sizeof(path));
	f = fopen(path, "re");
	CHECK(f && fgets(text, sizeof(text), f) && strcmp(text, want) == 0, "%s holds '%s'", path, text);
	fclose(f);
}

TEST(nothing_that_a_program_of_the_guest_tries_leads_out_of_a_lent_directory)
{
	static const enum sbx_cache caches[] = { SBX_CACHE_AUTO, SBX_CACHE_NONE };
	struct sbx_mount m[3];
	struct sbx_vm *vm;
	pthread_t swapper;
	char script[256];

	setup();
	make_dir("secret");
	put("secret/f", "SECRET");
	put("secret/only-in-secret", "");
	make_dir("lent/race");
	make_dir("lent/race/d");
	put("lent/race/d/f", "inside");
	shell("ln -s \"$PWD/secret\" lent/race/l && chmod 444 secret/f && chmod 555 secret");
	for (size_t i = 0; i < 2; i++) {
		m[i] = vmrig_mount(i ? "/srv" : "/mnt", SBX_FS_HOST, lent);
		m[i].cache = caches[i];
	}
	m[2] = vmrig_mount("/opt", SBX_FS_HOST, programs);
	m[2].flags = SBX_MOUNT_READONLY;
	vm = vmrig_start(m, 3);
	stop = false;
	swaps = 0;
	CHECK(pthread_create(&swapper, NULL, swap, NULL) == 0, "thread");
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(script, sizeof(script), "exec /opt/fsescape %s %s/secret %d", m[i].path, top,
			       getenv("SBX_LAB") ? ROUNDS_LAB : ROUNDS);
		vmrig_prints(vm, script, "held\n");
	}
	stop = true;
	CHECK(pthread_join(swapper, NULL) == 0 && swaps > 100, "%u swaps", (unsigned)swaps);
	holds("secret/f", "SECRET");
	shell("[ \"$(ls -A secret | tr '\\n' ' ')\" = 'f only-in-secret ' ] && [ \"$(stat -c %a:%h secret/f)\" = 444:1 ]");
	teardown(vm);
}

/* ---- What the host takes away ---- */

TEST(a_directory_that_the_host_deletes_is_empty_in_the_guest_and_open_files_stay)
{
	struct sbx_mount m;
	struct sbx_vm *vm;

	setup();
	make_dir("lent/d");
	put("lent/d/f", "still here\n");
	m = vmrig_mount("/mnt", SBX_FS_HOST, lent);
	vm = vmrig_start(&m, 1);
	vmrig_prints(vm, "mkfifo /tmp/go /tmp/open; (exec 3</mnt/d/f; echo >/tmp/open; read x </tmp/go; cat <&3 >/tmp/seen; echo >/tmp/go) & cat /tmp/open", "\n");
	shell("rm -r lent");
	vmrig_prints(vm, "echo >/tmp/go; read x </tmp/go; cat /tmp/seen", "still here\n");
	vmrig_prints(vm,
		     "n=0; while [ $n -lt 100 ] && [ -n \"$(ls -A /mnt 2>/dev/null)\" ]; do sleep 0.1; n=$((n + 1)); done; ls -A /mnt | wc -l;"
		     " for c in 'cat /mnt/d/f' 'touch /mnt/new' 'mkdir /mnt/sub'; do $c 2>&1 | sed 's/.*: //'; done",
		     "0\nNo such file or directory\nNo such file or directory\nNo such file or directory\n");
	teardown(vm);
}

/* ---- Requests ---- */

static struct sbx_stats stats_of(struct sbx_vm *vm)
{
	struct sbx_stats s;
	struct sbx_err err;

	CHECK(sbx_vm_stats(vm, &s, &err) == 0, "%s", err.message);
	return s;
}

enum { SLACK = 24 }; /* requests about the directory, whose attributes are asked for again each second, and the like */

static void asks(struct sbx_vm *vm, const char *script, uint64_t bytes, uint64_t requests)
{
	struct sbx_stats before = stats_of(vm), after;

	vmrig_prints(vm, script, "");
	after = stats_of(vm);
	CHECK(after.fs_written_bytes - before.fs_written_bytes == bytes, "%s: %llu bytes", script,
	      (unsigned long long)(after.fs_written_bytes - before.fs_written_bytes));
	CHECK(after.fs_requests - before.fs_requests >= requests && after.fs_requests - before.fs_requests <= requests + SLACK, "%s: %llu requests", script,
	      (unsigned long long)(after.fs_requests - before.fs_requests));
}

/* Linux's kernel asks for capabilities before each write, but where the server takes them away by itself: image/kernel/patches. */
TEST(a_write_of_up_to_a_mebibyte_is_one_request_and_nothing_is_asked_before_it)
{
	struct sbx_mount m;
	struct sbx_vm *vm;

	setup();
	m = vmrig_mount("/mnt", SBX_FS_HOST, lent);
	vm = vmrig_start(&m, 1);
	asks(vm, "dd if=/dev/zero of=/mnt/large bs=1M count=64 2>/dev/null", 64 << 20, 64);
	asks(vm, "cd /mnt; i=0; while [ $i -lt 100 ]; do echo $i >$i; i=$((i + 1)); done", 290, 500); /* GETATTR of the directory, LOOKUP, CREATE, WRITE, RELEASE */
	asks(vm, "cd /mnt; i=0; while [ $i -lt 100 ]; do echo; i=$((i + 1)); done >lines", 100, 100);
	teardown(vm);
}

/* ---- Sizes ---- */

TEST(a_full_file_system_is_an_error_in_the_guest_and_loses_nothing)
{
	struct sbx_mount m = vmrig_mount("/mnt", SBX_FS_MEMORY, NULL);
	struct sbx_vm *vm;

	setup();
	m.max_bytes = 4 << 20;
	m.max_inodes = 10;
	vm = vmrig_start(&m, 1);
	vmrig_prints(vm, "cd /mnt; seq 10000 | head -c 40960 >kept; md5sum <kept >/tmp/sum; dd if=/dev/zero of=big bs=64k 2>&1 | grep -o 'No space left on device'",
		     "No space left on device\n");
	vmrig_prints(vm, "cd /mnt; echo more >>kept 2>/dev/null || echo full; md5sum <kept | cmp - /tmp/sum && rm big && echo more >>kept && tail -c 5 kept",
		     "full\nmore\n");
	vmrig_prints(vm, "cd /mnt; n=0; while mkdir d$n 2>/tmp/err; do n=$((n + 1)); done; sed 's/.*: //' /tmp/err; rmdir d0 && mkdir again && echo $n",
		     "No space left on device\n8\n");
	teardown(vm);
}

enum { ENTRIES = 100000,
       LINKS_MAX = 50000 }; /* of one file: ext4 has 65,000 */

TEST(a_directory_of_a_hundred_thousand_entries_is_read_in_the_guest)
{
	char first[128], path[128];
	struct sbx_mount m;
	struct sbx_vm *vm;

	setup();
	for (unsigned i = 0; i < ENTRIES; i++) {
		(void)snprintf(path, sizeof(path), "%s/entry-%06u", lent, i);
		if (i % LINKS_MAX == 0) { /* another file */
			(void)snprintf(first, sizeof(first), "lent/entry-%06u", i);
			put(first, "");
			(void)snprintf(first, sizeof(first), "%s", path);
		} else {
			CHECK(link(first, path) == 0, "%s: %m", path);
		}
	}
	m = vmrig_mount("/mnt", SBX_FS_HOST, lent);
	vm = vmrig_start(&m, 1);
	vmrig_prints(vm, "cd /mnt; set -- *; echo $# $1; shift 99999; echo $1; ls -a | wc -l; rm -f entry-0000*; ls -a | wc -l",
		     "100000 entry-000000\nentry-099999\n100002\n99902\n");
	teardown(vm);
}

RUN_TESTS(T(nothing_that_a_program_of_the_guest_tries_leads_out_of_a_lent_directory),
	  T(a_directory_that_the_host_deletes_is_empty_in_the_guest_and_open_files_stay),
	  T(a_write_of_up_to_a_mebibyte_is_one_request_and_nothing_is_asked_before_it),
	  T(a_full_file_system_is_an_error_in_the_guest_and_loses_nothing), T(a_directory_of_a_hundred_thousand_entries_is_read_in_the_guest))
