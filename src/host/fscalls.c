/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/fscalls.c - between the callback provider and the client. A call waits here until the client can take it: at most PROTO_FS_CALLS_MAX are there
 * unanswered, of a file system at most what it asked for, and none is sent while the socket is congested. What waits is not copied: its frame is made when
 * it is sent. File systems take turns, so that one whose callbacks hang holds up no other before all calls of the VM hang.
 *
 * Trusts the client with nothing but its own VM: a channel that names no call (answered, cancelled, timed out, made up) is counted and ignored; what an
 * answer says is the provider's to check; a frame that cannot be decoded, which libsbx never makes, drops the client.
 *
 * A call's time begins when the provider has it, so that a client that reads nothing ends it as well. All calls of a file system have the same
 * time, so the order of their beginnings is that of their ends. */
#include "host/fscalls.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "sbx.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

_Static_assert((int)CB_STAT == (int)PROTO_FSOP_STAT && (int)CB_LIST == (int)PROTO_FSOP_LIST && (int)CB_READ == (int)PROTO_FSOP_READ &&
		       (int)CB_CREATE == (int)PROTO_FSOP_CREATE && (int)CB_WRITE == (int)PROTO_FSOP_WRITE &&
		       (int)CB_TRUNCATE == (int)PROTO_FSOP_TRUNCATE && (int)CB_MKDIR == (int)PROTO_FSOP_MKDIR &&
		       (int)CB_UNLINK == (int)PROTO_FSOP_UNLINK && (int)CB_RMDIR == (int)PROTO_FSOP_RMDIR && (int)CB_RENAME == (int)PROTO_FSOP_RENAME &&
		       (int)CB_SYMLINK == (int)PROTO_FSOP_SYMLINK && (int)CB_READLINK == (int)PROTO_FSOP_READLINK &&
		       (int)CB_SET_ATTR == (int)PROTO_FSOP_SET_ATTR && (int)CB_FSYNC == (int)PROTO_FSOP_FSYNC &&
		       (int)CB_CODE_COUNT_ == (int)PROTO_FSOP_COUNT_,
	       "operations travel as they are");
_Static_assert((int)CB_TYPE_REGULAR == (int)PROTO_FILE_REGULAR && (int)CB_TYPE_DIRECTORY == (int)PROTO_FILE_DIRECTORY &&
		       (int)CB_TYPE_SYMLINK == (int)PROTO_FILE_SYMLINK && CB_SIZE_UNKNOWN == SBX_SIZE_UNKNOWN,
	       "so do types");
_Static_assert((int)CB_CHANGE_MODE == (int)SBX_CHANGE_MODE && (int)CB_CHANGE_UID == (int)SBX_CHANGE_UID && (int)CB_CHANGE_GID == (int)SBX_CHANGE_GID &&
		       (int)CB_CHANGE_MTIME == (int)SBX_CHANGE_MTIME,
	       "so do changes");
_Static_assert((int)CB_IO_MAX == (int)PROTO_FS_IO_MAX && (int)CB_LIST_MAX == (int)PROTO_FS_LIST_MAX && (int)VFS_PATH_MAX == (int)PROTO_FS_PATH_MAX,
	       "limits agree");

static void fscalls_timer(struct loop_timer *t);
static void fscalls_task(struct loop_task *t);

static bool port_can_send(const struct fsport *p)
{
	return !list_empty(&p->waiting) && p->out < p->max;
}

/* Gets a port its turn if it has something to send. */
static void port_ready(struct fsport *p)
{
	if (list_empty(&p->ready) && port_can_send(p))
		list_add_tail(&p->all->ready, &p->ready);
}

/* Takes a call out of everything here. */
static void call_forget(struct cb_call *c)
{
	struct fsport *p = c->port;

	list_del(&c->node);
	list_del(&c->due);
	if (c->id != 0) {
		(void)idmap_del(&p->all->out, c->id);
		c->id = 0;
		p->out--;
	}
	if (port_can_send(p))
		port_ready(p);
	else
		list_del(&p->ready);
}

static void call_reply_error(struct cb_call *c, int error)
{
	call_forget(c);
	c->reply(c, &(struct cb_reply){ .kind = CB_REPLY_ERROR, .error = error });
}

/* ------------------------------------------------------------------ sending */

static bool call_encode(struct buf *out, const struct fsport *p, uint32_t id, const struct cb_request *r)
{
	struct msg_fs_call m = {
		.fs = p->number,
		.op = (uint32_t)r->code,
		.flags = r->flags,
		.mode = r->mode,
		.uid = r->uid,
		.gid = r->gid,
		.off = r->off,
		.len = r->len,
		.path = slice_of(r->path),
		.path2 = slice_of(r->path2),
	};
	size_t at = buf_len(out);
	uint8_t *data;

	if (!msg_fs_call_put(out, id, &m))
		return false;
	if (!r->data)
		return true;
	data = frame_grow(out, at, (size_t)r->len);
	if (!data)
		return false;
	(void)vfs_iov_get(r->data, r->data_at, data, (size_t)r->len); /* straight from guest memory, once */
	return true;
}

static int call_send(struct fsport *p, struct cb_call *c)
{
	struct fscalls *f = p->all;
	struct cb_request r;
	uint32_t id;

	if (idmap_add(&f->out, c, &id) < 0)
		return -ENOMEM;
	c->describe(c, &r);
	if (!call_encode(ctl_out(f->ctl), p, id, &r)) {
		(void)idmap_del(&f->out, id);
		return -ENOMEM;
	}
	c->id = id;
	p->out++;
	return 0;
}

/* Sends what may be sent, a call of each file system in turn. */
static void fscalls_pump(struct fscalls *f)
{
	bool sent = false;

	while (!list_empty(&f->ready) && f->out.count < PROTO_FS_CALLS_MAX && !ctl_congested(f->ctl)) {
		struct fsport *p = CONTAINER_OF(f->ready.next, struct fsport, ready);
		struct cb_call *c = CONTAINER_OF(p->waiting.next, struct cb_call, node);

		list_del(&c->node);
		list_del(&p->ready);
		if (call_send(p, c) < 0) {
			list_add_tail(&f->failed, &c->node);
			loop_task_add(f->ctl->loop, &f->task, fscalls_task);
		}
		port_ready(p);
		sent = true;
	}
	if (sent)
		ctl_send(f->ctl);
}

/* After a cancellation, when there may be room; and the ends of calls that could not be sent. */
static void fscalls_task(struct loop_task *t)
{
	struct fscalls *f = CONTAINER_OF(t, struct fscalls, task);

	while (!list_empty(&f->failed))
		call_reply_error(CONTAINER_OF(f->failed.next, struct cb_call, node), -ENOMEM);
	fscalls_pump(f);
}

static void call_tell_cancelled(struct fscalls *f, uint32_t id)
{
	(void)msg_fs_cancel_put(ctl_out(f->ctl), id, &(struct msg_fs_cancel){ 0 }); /* without memory: its answer will find nobody */
	ctl_send(f->ctl);
}

/* ------------------------------------------------------------------ time */

static void fscalls_arm(struct fscalls *f, uint64_t at_ns)
{
	if (f->armed && f->timer.at_ns <= at_ns)
		return;
	f->armed = loop_timer_set(f->ctl->loop, &f->timer, at_ns, fscalls_timer) == 0;
}

static void port_expire(struct fsport *p, uint64_t now_ns)
{
	while (!list_empty(&p->due)) {
		struct cb_call *c = CONTAINER_OF(p->due.next, struct cb_call, due);

		if (c->deadline_ns > now_ns)
			break;
		if (c->id != 0)
			call_tell_cancelled(p->all, c->id);
		call_reply_error(c, -ETIMEDOUT);
	}
}

void fscalls_expire(struct fscalls *f, uint64_t now_ns)
{
	LIST_EACH (pos, &f->ports)
		port_expire(CONTAINER_OF(pos, struct fsport, node), now_ns);
	LIST_EACH (pos, &f->ports) {
		struct fsport *p = CONTAINER_OF(pos, struct fsport, node);

		if (!list_empty(&p->due))
			fscalls_arm(f, CONTAINER_OF(p->due.next, struct cb_call, due)->deadline_ns);
	}
	fscalls_pump(f);
}

static void fscalls_timer(struct loop_timer *t)
{
	struct fscalls *f = CONTAINER_OF(t, struct fscalls, timer);

	f->armed = false;
	fscalls_expire(f, loop_now_ns(f->ctl->loop));
}

/* ------------------------------------------------------------------ the provider's side */

static void fscalls_submit(void *user, struct cb_call *c)
{
	struct fsport *p = user;
	struct fscalls *f = p->all;

	c->port = p;
	c->id = 0;
	list_init(&c->due);
	list_add_tail(&p->waiting, &c->node);
	if (p->timeout_ns) {
		c->deadline_ns = loop_now_ns(f->ctl->loop) + p->timeout_ns;
		list_add_tail(&p->due, &c->due);
		fscalls_arm(f, c->deadline_ns);
	}
	port_ready(p);
	fscalls_pump(f);
}

static void fscalls_cancel(void *user, struct cb_call *c)
{
	struct fsport *p = user;

	if (c->id != 0) {
		call_tell_cancelled(p->all, c->id);
		loop_task_add(p->all->ctl->loop, &p->all->task, fscalls_task); /* there is room for another */
	}
	call_forget(c);
}

const struct cb_transport fscalls_transport = { .submit = fscalls_submit, .cancel = fscalls_cancel };

/* ------------------------------------------------------------------ the client's side */

static int reply_stat(const struct frame *f, struct cb_reply *ret)
{
	struct msg_fs_stat m;

	if (msg_fs_stat_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	*ret = (struct cb_reply){
		.kind = CB_REPLY_STAT,
		.stat = {
			.type = m.type,
			.mode = m.mode,
			.size = m.size,
			.mtime_ns = (int64_t)m.mtime_ns,
			.uid = m.uid,
			.gid = m.gid,
		},
	};
	return 0;
}

static int reply_decode(const struct frame *f, struct cb_reply *ret)
{
	struct msg_fs_error error;
	struct msg_fs_entries entries;
	struct msg_fs_count count;

	switch (f->type) {
	case PROTO_FS_ERROR:
		if (msg_fs_error_decode(f->body, f->len, &error) < 0)
			return -EPROTO;
		*ret = (struct cb_reply){ .kind = CB_REPLY_ERROR, .error = error.err <= 4095 ? -(int)error.err : -EIO };
		return 0;
	case PROTO_FS_STAT:
		return reply_stat(f, ret);
	case PROTO_FS_ENTRIES:
		if (msg_fs_entries_decode(f->body, f->len, &entries) < 0)
			return -EPROTO;
		*ret = (struct cb_reply){
			.kind = CB_REPLY_ENTRIES, .data = entries.entries.p, .len = entries.entries.len, .more = entries.more != 0
		};
		return 0;
	case PROTO_FS_DATA:
		*ret = (struct cb_reply){ .kind = CB_REPLY_DATA, .data = f->body, .len = f->len };
		return 0;
	case PROTO_FS_COUNT:
		if (msg_fs_count_decode(f->body, f->len, &count) < 0)
			return -EPROTO;
		*ret = (struct cb_reply){ .kind = CB_REPLY_COUNT, .count = count.count };
		return 0;
	default:
		return -EPROTO;
	}
}

int fscalls_frame(struct fscalls *f, const struct frame *frame)
{
	struct cb_call *c = idmap_get(&f->out, frame->chan);
	struct cb_reply r;

	if (reply_decode(frame, &r) < 0)
		return -EPROTO;
	if (!c) {
		f->late++;
		return 0;
	}
	if (!r.more)
		call_forget(c);
	c->reply(c, &r);
	fscalls_pump(f);
	return 0;
}

void fscalls_resume(struct fscalls *f)
{
	fscalls_pump(f);
}

/* ------------------------------------------------------------------ life */

void fscalls_init(struct fscalls *f, struct ctl *ctl)
{
	*f = (struct fscalls){ .ctl = ctl };
	idmap_init(&f->out, PROTO_FS_CALLS_MAX);
	list_init(&f->ports);
	list_init(&f->ready);
	list_init(&f->failed);
}

int fscalls_add(struct fscalls *f, uint32_t number, uint32_t max_calls, uint32_t timeout_ms, struct fsport **ret)
{
	struct fsport *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->all = f;
	p->number = number;
	p->max = max_calls ? max_calls : PROTO_FS_CALLS_MAX;
	p->timeout_ns = timeout_ms * NS_PER_MS;
	list_init(&p->waiting);
	list_init(&p->due);
	list_init(&p->ready);
	list_add_tail(&f->ports, &p->node);
	*ret = p;
	return 0;
}

void fscalls_done(struct fscalls *f)
{
	if (!f->ctl)
		return;
	loop_timer_del(f->ctl->loop, &f->timer);
	loop_task_del(f->ctl->loop, &f->task);
	LIST_EACH (pos, &f->ports) {
		struct fsport *p = CONTAINER_OF(pos, struct fsport, node);

		assert(list_empty(&p->waiting) && list_empty(&p->due) && p->out == 0);
		free(p);
	}
	idmap_done(&f->out);
	f->ctl = NULL;
}
