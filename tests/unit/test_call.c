/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* File systems from other threads: operations, what is held and dropped, cancelling, the end, and replacing a file. */
#include "vfs/call.h"

#include "base/cleanup.h"
#include "vfs/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../test.h"
#include "job.h"

static struct loop *loop;
static struct callers set;
static struct vfs *mem;

static void setup(void)
{
	const struct mem_config config = { .max_bytes = 16 << 20, .max_inodes = 5000, .root_mode = 0755 };

	CHECK(loop_create(&loop) == 0 && callers_init(&set, loop) == 0 && mem_create(&config, &mem) == 0, "setup");
}

static void teardown(void)
{
	vfs_free(mem); /* asserts that nobody holds anything */
	callers_done(&set);
	loop_free(loop);
}

static void with_mem(void (*run)(struct job *j))
{
	setup();
	job_run(&set, mem, run, NULL);
	teardown();
}

static void every_call(struct job *j)
{
	struct caller *c = &j->c;
	struct held *root = call_root(c), *dir, *file, *open, *again, *link;
	static char big[3 * CALL_IO_MAX + 5], back[sizeof(big) + 1];
	char target[VFS_PATH_MAX + 1];
	struct vattr a;

	memset(big, 'x', sizeof(big));
	CHECK(call_mkdir(c, root, "d", 0700) == 0 && call_mkdir(c, root, "d", 0700) == -EEXIST, "mkdir");
	CHECK(call_lookup(c, root, "d", &dir, &a) == 0 && S_ISDIR(a.mode), "lookup");
	CHECK(call_lookup(c, root, "nothing", &file, NULL) == -ENOENT, "lookup of nothing");
	c->uid = 7;
	CHECK(call_create(c, dir, "f", 0640, O_WRONLY | O_EXCL, &file, &a) == 0 && a.uid == 7 && a.mode == (S_IFREG | 0640), "create");
	CHECK(call_write(c, file, 0, big, sizeof(big)) == 0, "write");
	CHECK(call_flush(c, file) == 0, "flush");
	CHECK(call_open(c, file, O_RDONLY, &open) == 0, "open");
	CHECK(call_read(c, open, 0, back, sizeof(back)) == (ssize_t)sizeof(big) && memcmp(big, back, sizeof(big)) == 0, "read");
	CHECK(call_read(c, open, sizeof(big), back, 1) == 0, "read at the end");
	CHECK(call_setattr(c, file, VFS_SET_SIZE, &(struct vattr){ .size = 3 }, &a) == 0 && a.size == 3, "setattr");
	CHECK(call_getattr(c, open, &a) == 0 && a.size == 3, "getattr");
	CHECK(call_link(c, file, root, "g") == 0 && call_lookup(c, root, "g", &again, &a) == 0 && a.nlink == 2, "link");
	CHECK(call_setxattr(c, file, "user.a", "v", 1) == 0 && call_listxattr(c, again, back, 100) == 7, "xattr");
	CHECK(call_getxattr(c, again, "user.a", back, 100) == 1 && back[0] == 'v', "getxattr");
	CHECK(call_symlink(c, root, "l", "d/f") == 0 && call_lookup(c, root, "l", &link, NULL) == 0, "symlink");
	CHECK(call_readlink(c, link, target) == 0 && strcmp(target, "d/f") == 0, "readlink");
	CHECK(call_readlink(c, dir, target) == -EINVAL, "readlink of a directory");
	CHECK(call_rename(c, root, "g", dir, "h", 0) == 0, "rename");
	CHECK(call_rmdir(c, root, "d") == -ENOTEMPTY, "rmdir");
	CHECK(call_unlink(c, dir, "f") == 0 && call_unlink(c, dir, "h") == 0 && call_rmdir(c, root, "d") == 0, "unlink");
	held_drop(file);
	held_drop(NULL);
	held_drop(root);
	/* The others are dropped with the caller. */
}

TEST(every_operation_can_be_made_from_another_thread)
{
	with_mem(every_call);
}

static void read_dir(struct job *j)
{
	struct caller *c = &j->c;
	AUTODROP struct held *open = NULL;
	struct vfs_dir d;
	struct vfs_dirent e;
	const char *name;
	char text[16];
	unsigned found[2] = { 0 }, with_attributes = 0;

	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(text, sizeof(text), "file-%u", i);
		put_file(c, text, "");
	}
	CHECK(call_open(c, call_root(c), O_RDONLY | O_DIRECTORY, &open) == 0, "open");
	vfs_dir_init(&d, 0, false);
	for (unsigned plus = 0; plus < 2; plus++) {
		uint64_t off = 0;
		bool any = true;

		while (any) {
			any = false;
			CHECK(call_readdir(c, open, off, plus, &d) == 0, "readdir");
			while (vfs_dir_next(&d, &e, &name)) {
				CHECK(!e.node, "a vnode came along");
				CHECK(e.attr.mode == 0 || plus, "attributes that nobody asked for");
				with_attributes += e.attr.mode != 0;
				found[plus] += e.name_len > 2;
				off = e.next;
				any = true;
			}
		}
	}
	vfs_dir_done(&d);
	CHECK(found[0] == 3000 && found[1] == 3000 && with_attributes == 3000, "%u, %u, %u", found[0], found[1], with_attributes);
}

TEST(directories_are_read_in_batches_without_references)
{
	with_mem(read_dir);
}

/* ------------------------------------------------------------------ a file system that does not answer */

struct slow {
	struct vfs fs;
	struct vnode node;
	struct vfs_op *pending;
	bool ignores_cancel;
	unsigned submits;
};

static void slow_submit(struct vfs *fs, struct vfs_op *op)
{
	struct slow *s = CONTAINER_OF(fs, struct slow, fs);

	s->submits++;
	s->pending = op;
}

static void slow_end(struct slow *s, int error)
{
	struct vfs_op *op = s->pending;

	s->pending = NULL;
	vfs_done(op, error);
}

static void slow_cancel(struct vfs *fs, struct vfs_op *op)
{
	struct slow *s = CONTAINER_OF(fs, struct slow, fs);

	CHECK(s->pending == op, "another operation");
	if (!s->ignores_cancel)
		slow_end(s, -EINTR);
}

static void slow_finish(struct vfs *fs, struct vfs_op *op)
{
	(void)op;
	slow_end(CONTAINER_OF(fs, struct slow, fs), 0);
}

static void slow_node_free(struct vnode *n)
{
	(void)n;
	CHECK(false, "the root was freed");
}

static const struct vfs_ops slow_ops = { .name = "slow", .submit = slow_submit, .cancel = slow_cancel, .finish = slow_finish, .node_free = slow_node_free };

static void slow_setup(struct slow *s)
{
	*s = (struct slow){ .fs.ops = &slow_ops };
	s->node = (struct vnode){ .fs = &s->fs, .refs = 1 };
	s->fs.root = &s->node;
	CHECK(loop_create(&loop) == 0 && callers_init(&set, loop) == 0, "setup");
}

static void slow_teardown(const struct slow *s)
{
	CHECK(s->node.refs == 1 && !s->pending, "%u references", s->node.refs);
	callers_done(&set);
	loop_free(loop);
}

static void two_getattrs(struct job *j)
{
	int *results = j->arg;

	results[0] = call_getattr(&j->c, call_root(&j->c), NULL);
	results[1] = call_getattr(&j->c, call_root(&j->c), NULL);
}

static void until_pending(const struct slow *s)
{
	while (!s->pending)
		CHECK(loop_once(loop, -1) == 0, "loop");
}

TEST(a_stopped_caller_fails_with_the_reason_now_and_later)
{
	struct slow s;
	struct job j;
	int results[2] = { 1, 1 };

	slow_setup(&s);
	job_start(&j, &set, &s.fs, two_getattrs, results);
	until_pending(&s);
	caller_stop(&j.c, -ETIMEDOUT);
	caller_stop(&j.c, -ECANCELED);
	job_wait(&j);
	CHECK(results[0] == -ETIMEDOUT && results[1] == -ETIMEDOUT && s.submits == 1, "%d, %d, %u submitted", results[0], results[1], s.submits);
	slow_teardown(&s);
}

TEST(a_cancelled_operation_that_succeeds_all_the_same_has_succeeded)
{
	struct slow s;
	struct job j;
	int results[2] = { 1, 1 };

	slow_setup(&s);
	s.ignores_cancel = true;
	job_start(&j, &set, &s.fs, two_getattrs, results);
	until_pending(&s);
	caller_stop(&j.c, -ECANCELED);
	slow_end(&s, 0);
	job_wait(&j);
	CHECK(results[0] == 0 && results[1] == -ECANCELED, "%d, %d", results[0], results[1]);
	slow_teardown(&s);
}

TEST(an_interruption_that_is_the_file_systems_own_is_reported_as_it_is)
{
	struct slow s;
	struct job j;
	int results[2] = { 1, 1 };

	slow_setup(&s);
	job_start(&j, &set, &s.fs, two_getattrs, results);
	until_pending(&s);
	slow_end(&s, -EINTR);
	until_pending(&s);
	slow_end(&s, -EIO);
	job_wait(&j);
	CHECK(results[0] == -EINTR && results[1] == -EIO, "%d, %d", results[0], results[1]);
	slow_teardown(&s);
}

TEST(at_the_end_of_the_file_system_nothing_stays_on_its_way)
{
	struct slow s;
	struct job j;
	int results[2] = { 1, 1 };

	slow_setup(&s);
	s.ignores_cancel = true;
	job_start(&j, &set, &s.fs, two_getattrs, results);
	until_pending(&s);
	caller_finish(&j.c);
	CHECK(!s.pending, "the operation is still on its way");
	job_wait(&j);
	CHECK(results[0] == 0 && results[1] == -ESHUTDOWN, "%d, %d", results[0], results[1]);
	slow_teardown(&s);
}

TEST(what_was_posted_and_never_submitted_ends_too)
{
	struct slow s;
	struct job j;
	int results[2] = { 1, 1 };
	enum caller_state state = CALLER_IDLE;

	slow_setup(&s);
	job_start(&j, &set, &s.fs, two_getattrs, results);
	while (state != CALLER_POSTED) { /* without the loop, which would submit it */
		pthread_mutex_lock(&set.lock);
		state = j.c.state;
		pthread_mutex_unlock(&set.lock);
	}
	caller_finish(&j.c);
	job_wait(&j);
	CHECK(results[0] == -ESHUTDOWN && results[1] == -ESHUTDOWN && s.submits == 0, "%d, %d", results[0], results[1]);
	slow_teardown(&s);
}

/* ------------------------------------------------------------------ replacing */

static bool exists(struct caller *c, const char *name)
{
	AUTODROP struct held *h = NULL;

	return call_lookup(c, call_root(c), name, &h, NULL) == 0;
}

static void replace(struct job *j)
{
	static const struct {
		const char *why, *touch;
		int want;
	} cases[] = { { "unchanged", NULL, 0 }, { "written to", "f", -ESTALE }, { "another file in its place", "other", -ESTALE }, { "gone", "", -ESTALE } };
	struct caller *c = &j->c;
	char back[16] = "";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTODROP struct held *old = NULL;
		struct held *temp, *now;
		struct vattr before;
		int r;

		put_file(c, "f", "old");
		CHECK(call_lookup(c, call_root(c), "f", &old, &before) == 0, "lookup");
		CHECK(call_create(c, call_root(c), "temp", 0600, O_WRONLY | O_EXCL, &temp, NULL) == 0, "create");
		call_undo_set(c, call_root(c), "temp");
		CHECK(call_write(c, temp, 0, "new", 3) == 0, "write");
		held_drop(temp);
		if (cases[i].touch && strcmp(cases[i].touch, "f") == 0)
			put_file(c, "f", "OLD");
		else if (cases[i].touch)
			CHECK(call_unlink(c, call_root(c), "f") == 0, "unlink");
		if (cases[i].touch && strcmp(cases[i].touch, "other") == 0)
			put_file(c, "f", "old");
		r = call_replace(c, "f", old, &before);
		CHECK(r == cases[i].want, "%s: %d", cases[i].why, r);
		if (r < 0)
			call_undo(c);
		CHECK(!exists(c, "temp"), "%s: the temporary file is there", cases[i].why);
		if (call_lookup(c, call_root(c), "f", &old, NULL) < 0)
			continue;
		CHECK(call_open(c, old, O_RDONLY, &now) == 0 && call_read(c, now, 0, back, 10) == 3, "read");
		CHECK((strncmp(back, "new", 3) == 0) == (r == 0), "%s: holds '%s'", cases[i].why, back);
	}
}

TEST(a_file_is_replaced_if_it_is_still_what_was_seen)
{
	with_mem(replace);
}

static void leave_half_done(struct job *j)
{
	struct caller *c = &j->c;
	struct held *dir, *temp;

	put_dir(c, "d");
	CHECK(call_lookup(c, call_root(c), "d", &dir, NULL) == 0, "lookup");
	CHECK(call_create(c, dir, "temp", 0600, O_WRONLY | O_EXCL, &temp, NULL) == 0, "create");
	call_undo_set(c, dir, "temp");
	held_drop(dir); /* and yet held: it is needed to take back */
	held_drop(temp);
	CHECK(call_getattr(c, call_root(c), NULL) == 0, "getattr"); /* what was dropped is gone by now */
}

static void check_nothing_left(struct job *j)
{
	CHECK(call_rmdir(&j->c, call_root(&j->c), "d") == 0, "the directory is not empty");
}

TEST(what_a_job_leaves_half_done_is_taken_back_by_its_end)
{
	setup();
	job_run(&set, mem, leave_half_done, NULL);
	job_run(&set, mem, check_nothing_left, NULL);
	teardown();
}

static void undo_when_stopped(struct job *j)
{
	struct caller *c = &j->c;

	leave_half_done(j);
	pthread_mutex_lock(&set.lock);
	c->stop = -ETIMEDOUT;
	pthread_mutex_unlock(&set.lock);
	CHECK(call_getattr(c, call_root(c), NULL) == -ETIMEDOUT, "not stopped");
	call_undo(c);
	CHECK(!c->undo_dir, "a stopped job cannot take back what it did");
}

TEST(a_stopped_job_takes_back_what_it_did)
{
	setup();
	job_run(&set, mem, undo_when_stopped, NULL);
	job_run(&set, mem, check_nothing_left, NULL);
	teardown();
}

static void churn(struct job *j)
{
	struct caller *c = &j->c;
	unsigned number = *(unsigned *)j->arg;
	char name[16];

	(void)snprintf(name, sizeof(name), "f%u", number);
	for (int i = 0; i < 300; i++) {
		struct held *h;

		put_file(c, name, "content");
		CHECK(call_lookup(c, call_root(c), name, &h, NULL) == 0, "lookup");
		CHECK(call_unlink(c, call_root(c), name) == 0, "unlink");
		if (i % 2)
			held_drop(h);
	}
}

TEST(many_jobs_work_on_one_file_system_at_once)
{
	struct job j[8];
	unsigned number[8];

	setup();
	for (unsigned i = 0; i < 8; i++) {
		number[i] = i;
		job_start(&j[i], &set, mem, churn, &number[i]);
	}
	for (unsigned i = 0; i < 8; i++)
		job_wait(&j[i]);
	teardown();
}

static void try_all(struct job *j)
{
	struct caller *c = &j->c;
	struct held *h, *dir, *open;
	struct vfs_dir d;

	vfs_dir_init(&d, 0, false);
	if (call_mkdir(c, call_root(c), "d", 0755) == 0 && call_lookup(c, call_root(c), "d", &dir, NULL) == 0 &&
	    call_create(c, dir, "f", 0644, O_RDWR, &h, NULL) == 0 && call_write(c, h, 0, "abc", 3) == 0 &&
	    call_open(c, dir, O_RDONLY, &open) == 0)
		(void)call_readdir(c, open, 0, true, &d);
	vfs_dir_done(&d);
}

TEST(without_memory_jobs_fail_and_nothing_is_lost)
{
	FAULT_LOOP {
		fault_pause();
		setup();
		fault_resume();
		job_run(&set, mem, try_all, NULL);
		fault_pause();
		teardown();
		fault_resume();
	}
}

enum { LISTED = 50 };

static unsigned listings; /* that succeeded */
static unsigned unsaid;   /* batches for which memory was short and the file system did not say so */

/* The file system in memory says -ENOMEM itself when not even one entry had room; this one is like the others, which do not. */
static void (*said_to)(struct vfs_op *op);
static const struct vfs_ops *mem_ops;

static void unsaying_done(struct vfs_op *op)
{
	unsaid += op->error == -ENOMEM;
	op->error = op->error == -ENOMEM ? 0 : op->error;
	op->done = said_to;
	op->done(op);
}

static void unsaying_submit(struct vfs *fs, struct vfs_op *op)
{
	if (op->code == VFS_READDIR) {
		said_to = op->done;
		op->done = unsaying_done;
	}
	mem_ops->submit(fs, op);
}

/* Whether the listing was whole is looked at for every allocation that can fail on the way, be it the file system's or the copy's. */
static void list_short_of_memory(struct job *j)
{
	struct caller *c = &j->c;
	struct held *open;
	struct vfs_dir d;
	char name[16];

	fault_pause();
	for (unsigned i = 0; i < LISTED; i++) {
		(void)snprintf(name, sizeof(name), "%u", i);
		CHECK(call_mkdir(c, call_root(c), name, 0755) == 0, "mkdir %s", name);
	}
	CHECK(call_open(c, call_root(c), O_RDONLY, &open) == 0, "open");
	vfs_dir_init(&d, 0, false);
	fault_resume();
	for (uint64_t off = 0, seen = 0, more = 1; more;) {
		int r = call_readdir(c, open, off, true, &d);
		struct vfs_dirent e;
		const char *text;

		if (r < 0) {
			CHECK(r == -ENOMEM && fault_happened(), "got %d", r);
			break;
		}
		for (more = 0; vfs_dir_next(&d, &e, &text); more++)
			off = e.next;
		seen += more;
		if (!more) {
			CHECK(seen == LISTED + 2, "the directory ended after %u entries", (unsigned)seen);
			listings++;
		}
	}
	vfs_dir_done(&d);
}

TEST(a_directory_does_not_end_where_memory_does)
{
	struct vfs_ops ops;
	unsigned failed = 0;

	FAULT_LOOP {
		fault_pause();
		setup();
		mem_ops = mem->ops;
		ops = *mem_ops;
		ops.submit = unsaying_submit;
		mem->ops = &ops;
		fault_resume();
		job_run(&set, mem, list_short_of_memory, NULL);
		fault_pause();
		teardown();
		failed += fault_happened();
		fault_resume();
	}
	CHECK(failed > 3 && unsaid > 0 && listings > 0, "%u passes with failures, %u unsaid, %u whole listings", failed, unsaid, listings);
}

TEST(callers_that_could_not_be_made_can_be_unmade)
{
	CHECK(loop_create(&loop) == 0, "loop");
	FAULT_LOOP {
		struct callers s = { 0 };
		int r = callers_init(&s, loop);

		CHECK((r == 0) == !fault_happened(), "got %d", r);
		callers_done(&s);
	}
	loop_free(loop);
}

RUN_TESTS(T(every_operation_can_be_made_from_another_thread), T(directories_are_read_in_batches_without_references),
	  T(a_stopped_caller_fails_with_the_reason_now_and_later), T(a_cancelled_operation_that_succeeds_all_the_same_has_succeeded),
	  T(an_interruption_that_is_the_file_systems_own_is_reported_as_it_is), T(at_the_end_of_the_file_system_nothing_stays_on_its_way),
	  T(what_was_posted_and_never_submitted_ends_too), T(a_file_is_replaced_if_it_is_still_what_was_seen),
	  T(what_a_job_leaves_half_done_is_taken_back_by_its_end), T(a_stopped_job_takes_back_what_it_did),
	  T(many_jobs_work_on_one_file_system_at_once), T(without_memory_jobs_fail_and_nothing_is_lost),
	  T(a_directory_does_not_end_where_memory_does),
	  T(callers_that_could_not_be_made_can_be_unmade))
