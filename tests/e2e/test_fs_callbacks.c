/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file system of this program's, in a real guest: read, listed and written from there; callbacks that hang, answer twice, answer nonsense, or answer when the
 * VM has gone. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../support/vmrig.h"
#include "../test.h"

enum { FILES_MAX = 64,
       PATH_BYTES = 128,
       DATA_MAX = 4 << 20 };

/* An object of the file system. */
struct object {
	char path[PATH_BYTES]; /* "": a free slot */
	enum sbx_file_type type;
	uint32_t mode;
	int64_t mtime_ns;
	uint8_t *data; /* a file's bytes, a link's text */
	size_t size;
};

/* How the callbacks behave, beside serving. */
struct tree {
	struct object at[FILES_MAX];
	unsigned stats, lists, reads, cancels;
	struct sbx_fs_call *hung; /* kept: stat of "/hang" */
};

static struct object *find(struct tree *t, const char *path)
{
	for (unsigned i = 0; i < FILES_MAX; i++)
		if (t->at[i].path[0] && strcmp(t->at[i].path, path) == 0)
			return &t->at[i];
	return NULL;
}

static struct object *add(struct tree *t, const char *path, enum sbx_file_type type, const void *data, size_t size)
{
	for (unsigned i = 0; i < FILES_MAX; i++) {
		struct object *o = &t->at[i];

		if (o->path[0])
			continue;
		*o = (struct object){ .type = type, .mtime_ns = (int64_t)time(NULL) * 1000000000, .size = size };
		(void)snprintf(o->path, sizeof(o->path), "%s", path);
		o->data = calloc(1, type == SBX_FILE_REGULAR ? DATA_MAX : size + 1);
		if (size)
			memcpy(o->data, data, size);
		return o;
	}
	return NULL;
}

static void drop(struct object *o)
{
	free(o->data);
	*o = (struct object){ 0 };
}

static void tree_done(struct tree *t)
{
	for (unsigned i = 0; i < FILES_MAX; i++)
		drop(&t->at[i]);
	sbx_fs_call_free(t->hung);
}

/* Is @path directly in the directory @dir? Then the name. */
static const char *name_in(const char *dir, const char *path)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	if (strncmp(path, dir, len) != 0 || path[len] != '/' || path[len + 1] == '\0' || strchr(path + len + 1, '/'))
		return NULL;
	return path + len + 1;
}

static bool has_children(struct tree *t, const char *dir)
{
	for (unsigned i = 0; i < FILES_MAX; i++)
		if (t->at[i].path[0] && name_in(dir, t->at[i].path))
			return true;
	return false;
}

static struct sbx_file_stat stat_of(const struct object *o)
{
	struct sbx_file_stat s = SBX_FILE_STAT_INIT;

	s.type = o->type;
	s.mode = o->mode;
	s.size = strcmp(o->path, "/unsized") == 0 ? SBX_SIZE_UNKNOWN : o->size;
	s.mtime_ns = o->mtime_ns;
	return s;
}

static void on_stat(struct sbx_fs_call *c, const char *path, void *user)
{
	struct tree *t = user;
	struct object *o = find(t, path), root = { .type = SBX_FILE_DIRECTORY };
	struct sbx_file_stat s;

	t->stats++;
	if (strcmp(path, "/hang") == 0) {
		sbx_fs_call_keep(c);
		t->hung = c;
		return;
	}
	if (strcmp(path, "/") == 0)
		o = &root;
	if (!o) {
		(void)sbx_fs_reply_error(c, ENOENT);
		return;
	}
	s = stat_of(o);
	if (strcmp(path, "/nonsense") == 0)
		CHECK(sbx_fs_reply_data(c, "x", 1) == -EINVAL, "nonsense was taken");
	else
		CHECK(sbx_fs_reply_stat(c, &s) == 0, "stat of %s", path);
	CHECK(sbx_fs_reply_error(c, EACCES) == -EALREADY, "a second answer to %s was taken", path);
}

static void on_list(struct sbx_fs_call *c, const char *path, void *user)
{
	struct sbx_fs_entry e[FILES_MAX];
	struct sbx_file_stat s[FILES_MAX];
	struct tree *t = user;
	size_t count = 0;

	t->lists++;
	for (unsigned i = 0; i < FILES_MAX; i++) {
		const char *name = t->at[i].path[0] ? name_in(path, t->at[i].path) : NULL;

		if (!name)
			continue;
		s[count] = stat_of(&t->at[i]);
		e[count] = (struct sbx_fs_entry)SBX_FS_ENTRY_INIT;
		e[count].name = name;
		e[count].type = t->at[i].type;
		e[count].stat = i % 2 ? &s[count] : NULL;
		count++;
	}
	CHECK(sbx_fs_reply_entries(c, e, count) == 0, "list of %s", path);
}

static void on_read(struct sbx_fs_call *c, const char *path, uint64_t off, size_t len, void *user)
{
	struct tree *t = user;
	struct object *o = find(t, path);

	t->reads++;
	if (!o) {
		(void)sbx_fs_reply_error(c, ENOENT);
		return;
	}
	if (off >= o->size)
		len = 0;
	else if (len > o->size - off)
		len = (size_t)(o->size - off);
	CHECK(sbx_fs_reply_data(c, len ? o->data + off : NULL, len) == 0, "read of %s", path);
}

static void make(struct sbx_fs_call *c, struct tree *t, const char *path, enum sbx_file_type type, const char *text, uint32_t mode)
{
	struct object *o = find(t, path) ? NULL : add(t, path, type, text, strlen(text));

	if (!o) {
		(void)sbx_fs_reply_error(c, find(t, path) ? EEXIST : ENOSPC);
		return;
	}
	o->mode = mode;
	(void)sbx_fs_reply_ok(c);
}

static void on_create(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	make(c, user, path, SBX_FILE_REGULAR, "", mode);
}

static void on_mkdir(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	make(c, user, path, SBX_FILE_DIRECTORY, "", mode);
}

static void on_symlink(struct sbx_fs_call *c, const char *target, const char *path, void *user)
{
	make(c, user, path, SBX_FILE_SYMLINK, target, 0);
}

static void on_readlink(struct sbx_fs_call *c, const char *path, void *user)
{
	struct object *o = find(user, path);

	(void)sbx_fs_reply_data(c, o->data, o->size);
}

static void on_write(struct sbx_fs_call *c, const char *path, uint64_t off, const void *data, size_t len, void *user)
{
	struct object *o = find(user, path);

	if (!o || off > DATA_MAX || len > DATA_MAX - off) {
		(void)sbx_fs_reply_error(c, o ? ENOSPC : ENOENT);
		return;
	}
	memcpy(o->data + off, data, len);
	if (off + len > o->size)
		o->size = (size_t)off + len;
	(void)sbx_fs_reply_count(c, len);
}

static void on_truncate(struct sbx_fs_call *c, const char *path, uint64_t size, void *user)
{
	struct object *o = find(user, path);

	if (!o || size > DATA_MAX) {
		(void)sbx_fs_reply_error(c, o ? EFBIG : ENOENT);
		return;
	}
	if (size < o->size)
		memset(o->data + size, 0, o->size - (size_t)size);
	o->size = (size_t)size;
	(void)sbx_fs_reply_ok(c);
}

static void on_unlink(struct sbx_fs_call *c, const char *path, void *user)
{
	struct object *o = find(user, path);

	if (o)
		drop(o);
	(void)(o ? sbx_fs_reply_ok(c) : sbx_fs_reply_error(c, ENOENT));
}

static void on_rmdir(struct sbx_fs_call *c, const char *path, void *user)
{
	if (has_children(user, path))
		(void)sbx_fs_reply_error(c, ENOTEMPTY);
	else
		on_unlink(c, path, user);
}

static void on_rename(struct sbx_fs_call *c, const char *from, const char *to, uint32_t flags, void *user)
{
	struct tree *t = user;
	struct object *target = find(t, to);
	size_t len = strlen(from);

	if (flags || (target && has_children(t, to))) {
		(void)sbx_fs_reply_error(c, flags ? EINVAL : ENOTEMPTY);
		return;
	}
	if (target)
		drop(target);
	for (unsigned i = 0; i < FILES_MAX; i++) {
		char moved[2 * PATH_BYTES];

		if (strncmp(t->at[i].path, from, len) != 0 || (t->at[i].path[len] != '\0' && t->at[i].path[len] != '/'))
			continue;
		(void)snprintf(moved, sizeof(moved), "%s%s", to, t->at[i].path + len);
		(void)snprintf(t->at[i].path, sizeof(t->at[i].path), "%.*s", PATH_BYTES - 1, moved);
	}
	(void)sbx_fs_reply_ok(c);
}

static void on_set_attr(struct sbx_fs_call *c, const char *path, const struct sbx_fs_change *change, void *user)
{
	struct object *o = find(user, path);

	if (o && (change->what & SBX_CHANGE_MODE))
		o->mode = change->mode;
	if (o && (change->what & SBX_CHANGE_MTIME))
		o->mtime_ns = change->mtime_ns;
	(void)(o ? sbx_fs_reply_ok(c) : sbx_fs_reply_error(c, ENOENT));
}

static void on_cancel(struct sbx_fs_call *c, void *user)
{
	struct tree *t = user;

	CHECK(c == t->hung, "a call that was not kept was cancelled");
	t->cancels++;
	CHECK(sbx_fs_reply_error(c, EACCES) == -EALREADY, "a cancelled call takes answers");
}

static struct sbx_fs_callbacks readonly_callbacks(void)
{
	struct sbx_fs_callbacks cb = SBX_FS_CALLBACKS_INIT;

	cb.stat = on_stat;
	cb.list = on_list;
	cb.read = on_read;
	cb.on_cancel = on_cancel;
	return cb;
}

static struct sbx_fs_callbacks all_callbacks(void)
{
	struct sbx_fs_callbacks cb = readonly_callbacks();

	cb.create = on_create;
	cb.write = on_write;
	cb.truncate = on_truncate;
	cb.mkdir = on_mkdir;
	cb.unlink = on_unlink;
	cb.rmdir = on_rmdir;
	cb.rename = on_rename;
	cb.symlink = on_symlink;
	cb.readlink = on_readlink;
	cb.set_attr = on_set_attr;
	return cb;
}

/* ---- The VM ---- */

static struct sbx_vm *start(const struct sbx_fs_callbacks *cb, struct tree *t)
{
	struct sbx_mount m = vmrig_mount("/mnt", SBX_FS_CALLBACKS, NULL);

	m.callbacks = cb;
	m.callbacks_user = t;
	return vmrig_start(&m, 1);
}

struct record {
	unsigned exits;
	int code;
	struct sbx_proc *proc;
};

static void record_exit(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	struct record *r = user;

	(void)p;
	r->exits++;
	r->code = e->code;
}

static void begin(struct sbx_vm *vm, const char *script, struct record *r)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_err err;

	*r = (struct record){ 0 };
	s.argv = (const char *const[]){ "sh", "-c", script, NULL };
	s.on_exit = record_exit;
	s.user = r;
	CHECK(sbx_vm_exec(vm, &s, &r->proc, &err) == 0, "%s", err.message);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void close_quickly(struct sbx_vm *vm)
{
	uint64_t before = now_ms(), took;

	sbx_vm_free(vm);
	took = now_ms() - before;
	CHECK(took < 1000, "closing took %llu ms", (unsigned long long)took);
}

TEST(three_callbacks_make_a_file_system_to_read)
{
	struct sbx_fs_callbacks cb = readonly_callbacks();
	static struct tree t;
	struct sbx_vm *vm;
	struct object *big;

	(void)add(&t, "/hello", SBX_FILE_REGULAR, "hello\n", 6);
	(void)add(&t, "/dir", SBX_FILE_DIRECTORY, "", 0);
	(void)add(&t, "/dir/in it", SBX_FILE_REGULAR, "", 0);
	(void)add(&t, "/unsized", SBX_FILE_REGULAR, "12345", 5);
	(void)add(&t, "/nonsense", SBX_FILE_REGULAR, "", 0);
	big = add(&t, "/big", SBX_FILE_REGULAR, "", 0);
	big->size = 3000001;
	for (size_t i = 0; i < big->size; i++)
		big->data[i] = (uint8_t)('a' + i % 7);
	vm = start(&cb, &t);
	vmrig_prints(vm, "cat /mnt/hello; echo /mnt/*; ls /mnt/dir", "hello\n/mnt/big /mnt/dir /mnt/hello /mnt/nonsense /mnt/unsized\nin it\n");
	vmrig_prints(vm, "stat -c '%F %a %s %u' /mnt /mnt/hello; cat /mnt/big | wc -c; tail -c 3 /mnt/big", "directory 555 0 0\nregular file 444 6 0\n3000001\nbcd");
	vmrig_prints(vm, "cd /mnt; for f in big; do dd if=$f bs=1000 skip=2000 count=1 2>/dev/null | head -c 3; done", "cde");
	vmrig_prints(vm,
	       "cd /mnt; for c in 'cat unsized' 'cat nonsense' 'cat none' 'touch hello' 'mkdir x' 'rm hello' 'mv hello x' 'ln hello x' 'ln -s a x' 'chmod 777 hello'; do"
	       " $c 2>&1 >/dev/null | sed 's/.*: //'; done; true",
	       "Input/output error\nInput/output error\nNo such file or directory\nRead-only file system\nRead-only file system\nRead-only file system\nRead-only file system\n"
	       "Read-only file system\nRead-only file system\nRead-only file system\n");
	close_quickly(vm);
	tree_done(&t);
}

TEST(a_whole_file_system_is_written_from_the_guest)
{
	struct sbx_fs_callbacks cb = all_callbacks();
	static struct tree t;
	struct object *o;
	struct sbx_vm *vm = start(&cb, &t);

	vmrig_prints(vm, "cd /mnt && mkdir a && echo one > a/f && echo two >> a/f && cat a/f && stat -c %a a/f", "one\ntwo\n644\n");
	vmrig_prints(vm, "cd /mnt && mv a b && cat b/f && ln -s b/f l && readlink l && cat l && ls -A", "one\ntwo\nb/f\none\ntwo\nb\nl\n");
	vmrig_prints(vm, "cd /mnt && exec 3<b/f && rm b/f && ls -A b && cat <&3", "one\ntwo\n");
	vmrig_prints(vm, "cd /mnt && echo old > x && echo new > y && exec 3<x && mv y x && cat - x <&3 && ls -A b", "old\nnew\n");
	vmrig_prints(vm, "cd /mnt && dd if=/dev/urandom of=/tmp/r bs=1000 count=2500 2>/dev/null && cp /tmp/r r && cmp /tmp/r r && truncate -s 10 r && wc -c < r",
	       "10\n");
	vmrig_prints(vm, "cd /mnt && chmod 600 r && touch -d '2001-02-03 04:05:06' r && stat -c '%a %Y' r", "600 981173106\n");
	vmrig_prints(vm, "cd /mnt && rmdir b && rm l x r && ls -A && (echo > /mnt/n; mknod p p 2>&1 | sed 's/.*: //'; ln n m 2>&1 | sed 's/.*: //')",
	       "Operation not permitted\nOperation not permitted\n");
	vmrig_prints(vm, "cd /mnt && (for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5; do echo $i$j >> f$i; done) & done; wait) && cat f* | wc -l", "40\n");
	o = find(&t, "/f3");
	CHECK(o && o->size == 15 && memcmp(o->data, "31\n32\n33\n34\n35\n", 15) == 0, "what arrived: %.*s", o ? (int)o->size : 0, o ? (char *)o->data : "");
	for (unsigned i = 0; i < FILES_MAX; i++) /* every hidden file has been removed at its close */
		CHECK(!strstr(t.at[i].path, ".sbx-hidden"), "%s is left", t.at[i].path);
	close_quickly(vm);
	tree_done(&t);
}

TEST(a_file_system_without_rename_is_patched_in_place)
{
	struct sbx_fs_callbacks cb = all_callbacks();
	static const struct sbx_fs_edit edits[] = { { "one", 3, "first", 5 }, { "three\n", 6, "", 0 } }, bad[] = { { "first", 5, "1", 1 }, { "none", 4, "", 0 } };
	static struct tree t;
	struct sbx_vm *vm;
	struct sbx_err err;
	struct object *o = add(&t, "/f", SBX_FILE_REGULAR, "one\ntwo\nthree\n", 14);

	cb.rename = NULL;
	vm = start(&cb, &t);
	vmrig_prints(vm, "exec 3</mnt/f; cat <&3", "one\ntwo\nthree\n");
	CHECK(sbx_fs_patch(vm, "/mnt", "f", bad, 2, &err) == -ENODATA && o->size == 14, "%s", err.message);
	CHECK(sbx_fs_patch(vm, "/mnt", "f", edits, 2, &err) == 0, "%s", err.message);
	CHECK(o->size == 10 && memcmp(o->data, "first\ntwo\n", 10) == 0, "it became '%.*s'", (int)o->size, (const char *)o->data);
	for (unsigned i = 0; i < FILES_MAX; i++)
		CHECK(!t.at[i].path[0] || &t.at[i] == o, "%s was left behind", t.at[i].path);
	vmrig_prints(vm, "n=0; while [ $n -lt 100 ] && ! grep -q first /mnt/f; do sleep 0.1; n=$((n + 1)); done; cat /mnt/f", "first\ntwo\n");
	close_quickly(vm);
	tree_done(&t);
}

TEST(a_callback_that_hangs_holds_up_only_whoever_asked)
{
	struct sbx_fs_callbacks cb = readonly_callbacks();
	static struct tree t;
	struct record r;
	struct sbx_vm *vm;

	cb.call_timeout_ms = 0;
	(void)add(&t, "/hello", SBX_FILE_REGULAR, "hello\n", 6);
	vm = start(&cb, &t);
	begin(vm, "cat /mnt/hang", &r);
	while (!t.hung)
		vmrig_turn(vm);
	vmrig_prints(vm, "cat /mnt/hello; ls /mnt", "hello\nhello\n");
	CHECK(r.exits == 0, "the hung one ended with %d", r.code);
	CHECK(sbx_proc_abort(r.proc) == 0, "abort");
	while (r.exits == 0 || t.cancels == 0)
		vmrig_turn(vm);
	CHECK(r.code == 137, "it ended with %d", r.code);
	sbx_proc_free(r.proc);
	sbx_fs_call_free(t.hung);
	t.hung = NULL;
	begin(vm, "cat /mnt/hang", &r);
	while (!t.hung)
		vmrig_turn(vm);
	t.cancels = 0;
	close_quickly(vm);
	CHECK(t.cancels == 1, "%u cancels at the end", t.cancels);
	CHECK(sbx_fs_reply_error(t.hung, ENOENT) == -EALREADY, "an answer to a VM that has gone was taken");
	sbx_proc_free(r.proc);
	tree_done(&t);
}

TEST(a_callback_that_takes_too_long_is_a_time_out_in_the_guest)
{
	struct sbx_fs_callbacks cb = readonly_callbacks();
	static struct tree t;
	struct sbx_vm *vm;

	cb.call_timeout_ms = 300;
	vm = start(&cb, &t);
	vmrig_prints(vm, "cat /mnt/hang 2>&1 | sed 's/.*: //'", "Connection timed out\n");
	CHECK(t.cancels == 1 && t.hung, "%u cancels", t.cancels);
	CHECK(sbx_fs_reply_error(t.hung, ENOENT) == -EALREADY, "a late answer was taken");
	close_quickly(vm);
	tree_done(&t);
}

TEST(an_answer_that_comes_later_is_as_good)
{
	struct sbx_fs_callbacks cb = readonly_callbacks();
	struct sbx_file_stat s = SBX_FILE_STAT_INIT;
	static struct tree t;
	struct record r;
	struct sbx_vm *vm;

	(void)add(&t, "/hang", SBX_FILE_REGULAR, "late\n", 5);
	vm = start(&cb, &t);
	begin(vm, "test $(wc -c < /mnt/hang) = 5", &r);
	while (!t.hung)
		vmrig_turn(vm);
	s.type = SBX_FILE_REGULAR;
	s.size = 5;
	while (r.exits == 0) { /* each stat of it is kept, and answered from here */
		if (t.hung) {
			CHECK(sbx_fs_reply_stat(t.hung, &s) == 0, "the answer was not taken");
			CHECK(sbx_fs_reply_stat(t.hung, &s) == -EALREADY, "a second one was");
			sbx_fs_call_free(t.hung);
			t.hung = NULL;
		}
		vmrig_turn(vm);
	}
	CHECK(r.code == 0, "it ended with %d", r.code);
	sbx_proc_free(r.proc);
	close_quickly(vm);
	tree_done(&t);
}

enum { ENTRIES = 100000 };

static void list_many(struct sbx_fs_call *c, const char *path, void *user)
{
	static struct sbx_fs_entry e[ENTRIES];
	static char names[ENTRIES][24];

	(void)path;
	(void)user;
	for (unsigned i = 0; i < ENTRIES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "entry-%06u", i);
		e[i] = (struct sbx_fs_entry)SBX_FS_ENTRY_INIT;
		e[i].name = names[i];
		e[i].type = SBX_FILE_REGULAR;
	}
	CHECK(sbx_fs_reply_entries(c, e, ENTRIES) == 0, "list");
}

TEST(a_directory_of_a_hundred_thousand_entries_is_listed)
{
	struct sbx_fs_callbacks cb = readonly_callbacks();
	static struct tree t;
	struct sbx_vm *vm;

	test_timeout(180);
	cb.list = list_many;
	vm = start(&cb, &t);
	vmrig_prints(vm, "cd /mnt; set -- *; echo $# $1; shift 99999; echo $1", "100000 entry-000000\nentry-099999\n");
	close_quickly(vm);
	tree_done(&t);
}

RUN_TESTS(T(three_callbacks_make_a_file_system_to_read), T(a_whole_file_system_is_written_from_the_guest),
	  T(a_file_system_without_rename_is_patched_in_place), T(a_callback_that_hangs_holds_up_only_whoever_asked), T(a_callback_that_takes_too_long_is_a_time_out_in_the_guest),
	  T(an_answer_that_comes_later_is_as_good), T(a_directory_of_a_hundred_thousand_entries_is_listed))
