/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What programs expect of a file system (tests/guest/fscases.c), in a real guest: on a tmpfs of the guest's, and on every kind of mount with every cache
 * policy. All must give the same results, line by line. Where the machine's file system itself does not behave as a tmpfs, a lent directory may behave
 * as it does; callbacks differ in what they do not have. Then random operations on a file of each (tests/guest/fsx.c). SBX_BUILD and SBX_ENGINE say where
 * and with which engine. */
#include "sbx.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/dirfs.h"
#include "../support/vmrig.h"
#include "../test.h"

enum { LINES_MAX = 1000,
       MOUNTS = 6,
       FSX_OPERATIONS = 1000,
       FSX_OPERATIONS_LAB = 200 }; /* an emulated machine's guest */

static char base[64], programs[4096];
static struct dirfs dirfs;

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
	struct sbx_mount m = vmrig_mount(path, kind, source);

	m.cache = cache;
	return m;
}

static struct sbx_vm *start(void)
{
	static char lent[3][128];
	static struct sbx_fs_callbacks cb;
	const char *build = getenv("SBX_BUILD");
	struct sbx_mount mounts[MOUNTS];

	CHECK(build, "SBX_BUILD must be set");
	(void)snprintf(programs, sizeof(programs), "%s/tests/guest", build);
	(void)snprintf(lent[0], sizeof(lent[0]), "%s/none", base);
	(void)snprintf(lent[1], sizeof(lent[1]), "%s/always", base);
	mounts[0] = mount("/mnt", SBX_FS_HOST, base, SBX_CACHE_AUTO);
	mounts[1] = mount("/mnt/none", SBX_FS_HOST, lent[0], SBX_CACHE_NONE);
	mounts[2] = mount("/mnt/always", SBX_FS_HOST, lent[1], SBX_CACHE_ALWAYS);
	mounts[3] = mount("/mnt/memory", SBX_FS_MEMORY, NULL, SBX_CACHE_AUTO);
	mounts[4] = mount("/mnt/programs", SBX_FS_HOST, programs, SBX_CACHE_AUTO);
	mounts[4].flags = SBX_MOUNT_READONLY;
	(void)snprintf(lent[2], sizeof(lent[2]), "%s/callbacks", base);
	dirfs.root = open(lent[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dirfs.root >= 0, "%s: %m", lent[2]);
	cb = dirfs_callbacks();
	mounts[5] = mount("/mnt/callbacks", SBX_FS_CALLBACKS, NULL, SBX_CACHE_AUTO);
	mounts[5].callbacks = &cb;
	mounts[5].callbacks_user = &dirfs;
	return vmrig_start(mounts, MOUNTS);
}

/* The cases in a directory of the guest, or one of them; the text is the caller's. */
static char *in_guest(struct sbx_vm *vm, const char *dir, const char *only)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result r;
	struct sbx_err err;
	char *out;

	s.argv = (const char *const[]){ "sh", "-c", "mkdir -p \"$0\" && exec /mnt/programs/fscases \"$0\" \"$@\"", dir, only, NULL };
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

/* What callbacks answer in the place of CALLBACKS_LOST lines of a tmpfs, in order: each is something that docs/files.md says they do not have. */
enum { CALLBACKS_LOST = 53 };
static const char *const callbacks_differ[] = {
	/* no pipes and no other nodes */
	"modes: mknod: -1", "modes: stat: -2", "modes: fifo: 0",
	/* no hard links */
	"linking: link: -1", "linking: links: 1", "linking: stat: -2", "linking: one file: 0", "linking: over itself: -1", "linking: chmod of one: -2",
	"linking: the other: 100644", "linking: stat: -2", "linking: links: 0", "linking: content: -2",
	"special_files: fifo: -1", "special_files: stat: -2", "special_files: mode: 0", "special_files: through it: -9", "special_files: bind: -1",
	"special_files: stat: -2", "special_files: socket: 0", "special_files: listen: -22", "special_files: connect: -2", "special_files: bind again: -1",
	"renaming: link: -1", "renaming: stat: -2", "renaming: both names stay: 0",
	/* no files without a name */
	"open_files_without_a_name: O_TMPFILE: -95", "open_files_without_a_name: write: -9", "open_files_without_a_name: gets a name: -2",
	"open_files_without_a_name: content: -2",
	/* no holes */
	"large_files: data: 0", "large_files: blocks: 0",
	"allocating: fallocate: -95", "allocating: size: 10", "allocating: keeping the size: -95", "allocating: size: 10", "allocating: a hole: -95",
	"allocating: zero: 52",
	/* no times but that of modification */
	"times: seconds: 1234567", "times: and nanoseconds of access: 999999999", "times: the other: 7",
	/* create does not say for whom */
	"owners: made by user: 0", "owners: and group: 0",
	/* no extended attributes */
	"extended_attributes: set: -95", "extended_attributes: set to nothing: -95", "extended_attributes: create again: -95",
	"extended_attributes: replace what is not there: -95", "extended_attributes: get: -95", "extended_attributes: value: ''",
	"extended_attributes: too little room: -95", "extended_attributes: length: -95", "extended_attributes: what is not there: -95",
	"extended_attributes: list: -95", "extended_attributes: too little room: -95", "extended_attributes: remove: -95", "extended_attributes: again: -95",
	"extended_attributes: list: -95",
	/* no sizes */
	"file_systems: room: 0",
	/* a listing that begins anew has new positions */
	"listing: from the middle: 0",
};

/* Every line is the next one of @differ, or the next of @want behind the last that was found; @lost of these are passed over. */
static void compare_but(const char *dir, const struct lines *want, const char *const *differ, unsigned count, unsigned lost, const struct lines *got)
{
	unsigned w = 0, d = 0, passed = 0;

	for (unsigned i = 0; i < got->count; i++) {
		unsigned at = w;

		if (d < count && strcmp(got->at[i], differ[d]) == 0) {
			d++;
			continue;
		}
		while (at < want->count && strcmp(got->at[i], want->at[at]) != 0)
			at++;
		CHECK(at < want->count, "%s: %s\n# tmpfs: %s", dir, got->at[i], w < want->count ? want->at[w] : "nothing");
		passed += at - w;
		w = at + 1;
	}
	passed += want->count - w;
	CHECK(d == count && passed == lost, "%s: differs in %u of %u results from tmpfs, without %u of %u", dir, d, count, passed, lost);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static struct sbx_vm *setup(void)
{
	static const char *const dirs[] = { "auto", "none", "always", "memory", "callbacks", "programs", "host" };

	test_timeout(600);
	(void)snprintf(base, sizeof(base), "/tmp/test-fs-cases-XXXXXX");
	CHECK(mkdtemp(base), "mkdtemp");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		make_dir(dirs[i]);
	return start();
}

static void teardown(struct sbx_vm *vm)
{
	sbx_vm_free(vm);
	close(dirfs.root);
	CHECK(nftw(base, remove_one, 300, FTW_DEPTH | FTW_PHYS) == 0, "cannot clean up");
}

TEST(every_mount_behaves_as_a_tmpfs)
{
	static const char *const lent[] = { "/mnt/auto", "/mnt/none", "/mnt/always" };
	static struct lines want, host, got;
	char *texts[3];
	struct sbx_vm *vm = setup();

	texts[0] = in_guest(vm, "/tmp/cases", NULL);
	split(texts[0], &want);
	CHECK(want.count > 300, "%u lines", want.count);
	texts[1] = on_host();
	split(texts[1], &host);
	for (size_t i = 0; i < 3; i++) {
		texts[2] = in_guest(vm, lent[i], NULL);
		split(texts[2], &got);
		compare(lent[i], &want, &host, &got);
		free(texts[2]);
	}
	texts[2] = in_guest(vm, "/mnt/memory", NULL);
	split(texts[2], &got);
	compare("/mnt/memory", &want, NULL, &got);
	free(texts[2]);
	texts[2] = in_guest(vm, "/mnt/callbacks", NULL);
	split(texts[2], &got);
	compare_but("/mnt/callbacks", &want, callbacks_differ, sizeof(callbacks_differ) / sizeof(callbacks_differ[0]), CALLBACKS_LOST, &got);
	for (size_t i = 0; i < 3; i++)
		free(texts[i]);
	teardown(vm);
}

TEST(writing_takes_privileges_away_as_on_a_tmpfs)
{
	struct sbx_vm *vm = setup();
	char *want = in_guest(vm, "/tmp/cases", "privileges"), *got = in_guest(vm, "/mnt/memory", "privileges");

	CHECK(strstr(want, "it is there: 20\n") && strstr(want, "it has gone: 100777\n"), "%s", want);
	CHECK(strcmp(got, want) == 0, "it is\n%s# tmpfs:\n%s", got, want);
	free(want);
	free(got);
	teardown(vm);
}

/* Runs fsx in a directory of the guest; the line that it prints. */
static void run_fsx(struct sbx_vm *vm, const char *dir, unsigned seed, char *ret, size_t size)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result r;
	struct sbx_err err;
	char script[256];

	(void)snprintf(script, sizeof(script), "exec /mnt/programs/fsx %s/fsx %u %d", dir, seed,
		       getenv("SBX_LAB") ? FSX_OPERATIONS_LAB : FSX_OPERATIONS);
	s.argv = (const char *const[]){ "sh", "-c", script, NULL };
	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	CHECK(r.code == 0, "%s: code %d\n%s%s", script, r.code, r.out, r.err);
	(void)snprintf(ret, size, "%s", r.out);
	sbx_exec_result_done(&r);
}

/* What fsx says of a file of the host's. */
static void describe(const char *path, char *ret, size_t size)
{
	unsigned long long hash = 0xcbf29ce484222325u;
	FILE *f = fopen(path, "re");
	size_t len = 0;

	CHECK(f, "%s: %m", path);
	for (int c; (c = getc(f)) != EOF; len++)
		hash = (hash ^ (unsigned)c) * 0x100000001b3u;
	fclose(f);
	(void)snprintf(ret, size, "fsx: %zu %016llx\n", len, hash);
}

TEST(random_operations_and_mappings_do_as_a_model_does)
{
	static const char *const dirs[] = { "/tmp", "/mnt/memory", "/mnt/auto", "/mnt/none", "/mnt/always", "/mnt/callbacks" };
	struct sbx_vm *vm = setup();
	char line[128], want[128], path[128];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		run_fsx(vm, dirs[i], (unsigned)i + 1, line, sizeof(line));
		if (i < 2)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s/fsx", base, strrchr(dirs[i], '/'));
		describe(path, want, sizeof(want));
		CHECK(strcmp(line, want) == 0, "%s: the guest has '%s', the host '%s'", dirs[i], line, want);
	}
	teardown(vm);
}

RUN_TESTS(T(every_mount_behaves_as_a_tmpfs), T(writing_takes_privileges_away_as_on_a_tmpfs), T(random_operations_and_mappings_do_as_a_model_does))
