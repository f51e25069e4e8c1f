/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools.c - requests of the client for the host tools, and their answers. A request is checked and copied, waits for one of TOOL_THREADS threads,
 * runs there as sequential code (vfs/call.h), and is answered from the loop. It ends early when the client cancels it, its time is over, or the VM ends.
 *
 * The client is trusted, and bounded all the same: PROTO_TOOLS_MAX requests at once, each with one body and one answer of at most PROTO_BODY_MAX bytes. A
 * client that does not read leaves its answers here, counted against that limit. */
#include "host/tools.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/tools_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TOOL_THREADS = 4,
       STALE_TRIES = 4 };

static const struct {
	const char *verb; /* of messages */
	int (*run)(struct tool *t);
	bool changes, changes2; /* what is at path, at path2 */
	uint32_t how;           /* enum proto_changed_flags */
} tool_table[PROTO_TOOL_COUNT_] = {
	[PROTO_TOOL_STAT] = { .verb = "stat", .run = tool_stat },
	[PROTO_TOOL_LIST] = { .verb = "list", .run = tool_list },
	[PROTO_TOOL_READ] = { .verb = "read", .run = tool_read },
	[PROTO_TOOL_READ_LINES] = { .verb = "read", .run = tool_read_lines },
	[PROTO_TOOL_WRITE] = { .verb = "write", .run = tool_write, .changes = true },
	[PROTO_TOOL_PATCH] = { .verb = "patch", .run = tool_patch, .changes = true, .how = PROTO_CHANGED_NAMES },
	[PROTO_TOOL_MKDIR] = { .verb = "make", .run = tool_mkdir, .changes = true },
	[PROTO_TOOL_REMOVE] = { .verb = "remove", .run = tool_remove, .changes = true, .how = PROTO_CHANGED_NAMES },
	[PROTO_TOOL_RENAME] = { .verb = "rename", .run = tool_rename, .changes = true, .changes2 = true, .how = PROTO_CHANGED_NAMES },
	[PROTO_TOOL_LINK] = { .verb = "link", .run = tool_link, .changes2 = true },
	[PROTO_TOOL_SYMLINK] = { .verb = "make", .run = tool_symlink, .changes = true },
	[PROTO_TOOL_READLINK] = { .verb = "read the link", .run = tool_readlink },
	[PROTO_TOOL_SETATTR] = { .verb = "change", .run = tool_setattr, .changes = true },
	[PROTO_TOOL_SEARCH] = { .verb = "search", .run = tool_search },
};

/* ------------------------------------------------------------------ for the tools */

int tool_fail(struct tool *t, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->message, sizeof(t->message), fmt, ap);
	va_end(ap);
	return code;
}

int tool_walk(struct tool *t, const char *path, unsigned flags, struct walk *ret)
{
	int r;

	if (t->m.flags & PROTO_TOOLF_PARENTS && flags & WALK_MISSING)
		flags |= WALK_PARENTS;
	if (t->m.flags & PROTO_TOOLF_OWNER) {
		flags |= WALK_OWNER;
		t->c.uid = t->m.uid;
		t->c.gid = t->m.gid;
	}
	r = walk(&t->c, t->prefix, path, flags, ret);
	if (r < 0 && ret->why)
		(void)tool_fail(t, r, "cannot %s '%s': %s", tool_table[t->m.tool].verb, path, ret->why);
	return r;
}

void tool_set_owner(struct tool *t, const struct walk *w)
{
	bool given = t->m.flags & PROTO_TOOLF_OWNER;

	t->c.uid = given ? t->m.uid : w->dir_attr.uid;
	t->c.gid = given ? t->m.gid : w->dir_attr.gid;
}

void tool_set_attr(struct tool *t, const struct vattr *a)
{
	struct msg_fs_result *r = &t->r;

	r->ino = a->ino;
	r->size = a->size;
	r->blocks = a->blocks;
	r->mode = a->mode;
	r->nlink = a->nlink;
	r->uid = a->uid;
	r->gid = a->gid;
	r->rdev = a->rdev;
	r->atime_sec = (uint64_t)a->atime.sec;
	r->atime_nsec = a->atime.nsec;
	r->mtime_sec = (uint64_t)a->mtime.sec;
	r->mtime_nsec = a->mtime.nsec;
	r->ctime_sec = (uint64_t)a->ctime.sec;
	r->ctime_nsec = a->ctime.nsec;
}

/* ------------------------------------------------------------------ answers */

static void tool_free(struct tool *t)
{
	list_del(&t->node);
	t->tools->count--;
	loop_timer_del(t->tools->loop, &t->timer);
	buf_done(&t->data);
	free(t->path);
	free(t->path2);
	free(t->body);
	free(t);
}

/* One for which memory is short becomes a short one, which says that. */
static void put_answer(struct tools *ts, uint32_t chan, const struct msg_fs_result *r)
{
	static const struct msg_fs_result no_memory = { .err = ENOMEM, .message = { (const uint8_t *)"out of memory", 13 } };

	if (!msg_fs_result_put(ctl_out(ts->ctl), chan, r))
		(void)msg_fs_result_put(ctl_out(ts->ctl), chan, &no_memory);
	ctl_send(ts->ctl);
}

static void answer(struct tool *t)
{
	if (t->error < 0)
		t->r = (struct msg_fs_result){ .err = (uint32_t)-t->error, .message = slice_of(t->message) };
	else
		t->r.data = (struct slice){ .p = buf_data(&t->data), .len = buf_len(&t->data) };
	put_answer(t->tools, t->chan, &t->r);
	tool_free(t);
}

static void refuse(struct tools *ts, uint32_t chan, int code, const char *message)
{
	put_answer(ts, chan, &(struct msg_fs_result){ .err = (uint32_t)-code, .message = slice_of(message) });
}

/* Every failure has words. */
static void explain(struct tool *t)
{
	if (t->c.stop == t->error && t->error == -ETIMEDOUT)
		(void)tool_fail(t, t->error, "cannot %s '%s': not done within %u ms", tool_table[t->m.tool].verb, t->path, t->m.timeout_ms);
	else if (t->c.stop == t->error && t->error == -ECANCELED)
		(void)tool_fail(t, t->error, "cannot %s '%s': cancelled", tool_table[t->m.tool].verb, t->path);
	else if (!t->message[0])
		(void)tool_fail(t, t->error, "cannot %s '%s': %s", tool_table[t->m.tool].verb, t->path, strerror(-t->error));
}

/* ------------------------------------------------------------------ the life of a request */

/* A file system that knows its objects by their names answers -ESTALE for one that others moved after it was looked up. The kernel looks up again
 * then, and so does this. Not for a patch, where it means something, and not for what would be done twice. */
static bool try_again(const struct tool *t)
{
	bool repeatable = t->m.tool != PROTO_TOOL_PATCH && !(t->m.tool == PROTO_TOOL_WRITE && t->m.flags & PROTO_TOOLF_APPEND);

	return t->error == -ESTALE && repeatable && t->m.ino == 0;
}

/* On a thread of the pool. */
static void tool_run(struct work *w)
{
	struct tool *t = CONTAINER_OF(w, struct tool, work);

	for (int i = 0; i < STALE_TRIES && (i == 0 || try_again(t)); i++) {
		t->r = (struct msg_fs_result){ 0 };
		t->message[0] = '\0';
		buf_done(&t->data);
		t->error = tool_table[t->m.tool].run(t);
	}
}

/* The guest's watchers hear of it. */
static void tell_guest(const struct tool *t)
{
	if (tool_table[t->m.tool].changes)
		files_tell(t->tools->files, t->at, tool_table[t->m.tool].how, t->path);
	if (tool_table[t->m.tool].changes2)
		files_tell(t->tools->files, t->at, tool_table[t->m.tool].how, t->path2);
}

static void tool_ended(struct work *w)
{
	struct tool *t = CONTAINER_OF(w, struct tool, work);
	struct tools *ts = t->tools;

	loop_timer_del(ts->loop, &t->timer);
	caller_done(&t->c);
	if (t->error < 0) {
		explain(t);
		buf_done(&t->data);
	} else {
		tell_guest(t);
	}
	list_del(&t->node);
	list_add_tail(&ts->answered, &t->node);
	tools_resume(ts);
}

static void tool_too_long(struct loop_timer *timer)
{
	caller_stop(&CONTAINER_OF(timer, struct tool, timer)->c, -ETIMEDOUT);
}

static int tool_begin(struct tool *t, struct vfs *fs)
{
	struct tools *ts = t->tools;
	int r = 0;

	caller_init(&t->c, &ts->callers, fs);
	if (t->m.timeout_ms > 0)
		r = loop_timer_set(ts->loop, &t->timer, loop_now_ns(ts->loop) + t->m.timeout_ms * NS_PER_MS, tool_too_long);
	t->work.run = tool_run;
	t->work.done = tool_ended;
	if (r == 0)
		r = work_submit(ts->pool, &t->work);
	if (r < 0)
		caller_done(&t->c);
	return r;
}

/* Threads and their way to the loop, made by the first request. */
static int tools_start(struct tools *ts)
{
	int r = ts->callers.loop ? 0 : callers_init(&ts->callers, ts->loop);

	return r == 0 && !ts->pool ? work_pool_create(ts->loop, TOOL_THREADS, &ts->pool) : r;
}

static const struct attachment *find_attachment(const struct tools *ts, struct slice path)
{
	for (unsigned i = 0; i < ts->files->count; i++)
		if (ts->files->at[i].fs && slice_is(path, ts->files->at[i].config->path))
			return &ts->files->at[i];
	return NULL;
}

static struct tool *tool_new(struct tools *ts, const struct frame *f)
{
	struct tool *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tools = ts;
	t->chan = f->chan;
	list_init(&t->node);
	list_add_tail(&ts->running, &t->node);
	ts->count++;
	buf_init(&t->data, PROTO_TOOL_DATA_MAX);
	t->body = malloc(f->len);
	if (t->body) {
		memcpy(t->body, f->body, f->len);
		(void)msg_fs_tool_decode(t->body, f->len, &t->m); /* it was well formed */
		t->path = slice_dup(t->m.path);
		t->path2 = slice_dup(t->m.path2);
	}
	if (t->body && t->path && t->path2)
		return t;
	tool_free(t);
	return NULL;
}

static void tools_request(struct tools *ts, const struct frame *f, const struct msg_fs_tool *m)
{
	const struct attachment *a = find_attachment(ts, m->mount);
	char message[256];
	struct tool *t;
	int r;

	if (!a) {
		(void)snprintf(message, sizeof(message), "host filesystem tools not found: %.*s", (int)MIN(m->mount.len, sizeof(message)),
			       m->mount.len ? (const char *)m->mount.p : "");
		refuse(ts, f->chan, -ENOENT, message);
		return;
	}
	r = tools_start(ts);
	t = r == 0 ? tool_new(ts, f) : NULL;
	if (!t) {
		refuse(ts, f->chan, r < 0 ? r : -ENOMEM, "the host process is short of memory or descriptors");
		return;
	}
	t->at = a;
	t->prefix = a->config->path;
	r = tool_begin(t, a->fs);
	if (r < 0) {
		tool_free(t);
		refuse(ts, f->chan, r, "the host process cannot start a thread");
	}
}

static void tools_cancel(struct tools *ts, uint32_t chan)
{
	LIST_EACH (pos, &ts->running) {
		struct tool *t = CONTAINER_OF(pos, struct tool, node);

		if (t->chan == chan)
			caller_stop(&t->c, -ECANCELED);
	}
}

static int tools_changed(const struct tools *ts, const struct frame *f)
{
	const struct attachment *a;
	struct msg_fs_changed m;
	char path[PROTO_FS_PATH_MAX + 1];

	if (msg_fs_changed_decode(f->body, f->len, &m) < 0 || m.path.len > PROTO_FS_PATH_MAX)
		return -EPROTO;
	a = find_attachment(ts, m.mount);
	slice_copy(m.path, path, sizeof(path));
	if (a)
		files_tell(ts->files, a, PROTO_CHANGED_NAMES, path);
	return 0;
}

int tools_frame(struct tools *ts, const struct frame *f)
{
	struct msg_fs_tool_cancel cancel;
	struct msg_fs_tool m;

	if (f->type == PROTO_FS_TOOL_CANCEL) {
		if (msg_fs_tool_cancel_decode(f->body, f->len, &cancel) < 0)
			return -EPROTO;
		tools_cancel(ts, f->chan);
		return 0;
	}
	if (f->type == PROTO_FS_CHANGED)
		return tools_changed(ts, f);
	if (msg_fs_tool_decode(f->body, f->len, &m) < 0 || m.tool >= PROTO_TOOL_COUNT_ || m.flags & ~(uint32_t)PROTO_TOOLF_ALL_ ||
	    m.set & ~(uint32_t)PROTO_TOOLSET_ALL_ || ts->count >= PROTO_TOOLS_MAX)
		return -EPROTO;
	tools_request(ts, f, &m);
	return 0;
}

void tools_resume(struct tools *ts)
{
	while (ts->loop && !ts->closing && !list_empty(&ts->answered) && !ctl_congested(ts->ctl))
		answer(CONTAINER_OF(ts->answered.next, struct tool, node));
}

void tools_init(struct tools *ts, struct loop *loop, struct ctl *ctl, const struct files *files)
{
	*ts = (struct tools){ .loop = loop, .ctl = ctl, .files = files };
	list_init(&ts->running);
	list_init(&ts->answered);
}

void tools_done(struct tools *ts)
{
	if (!ts->loop)
		return;
	ts->closing = true;
	LIST_EACH (pos, &ts->running)
		caller_finish(&CONTAINER_OF(pos, struct tool, node)->c);
	while (!list_empty(&ts->running)) /* their ends move them to the other list */
		work_finish(ts->pool, &CONTAINER_OF(ts->running.next, struct tool, node)->work);
	while (!list_empty(&ts->answered))
		tool_free(CONTAINER_OF(ts->answered.next, struct tool, node));
	work_pool_free(ts->pool);
	callers_done(&ts->callers);
	ts->loop = NULL;
}
