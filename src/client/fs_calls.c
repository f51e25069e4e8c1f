/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_calls.c - file systems of the embedding program: FS_CALL frames in, its callbacks, answers out. What the program answers is checked here, so
 * that a mistake of its is told to it, and again by the host process, which trusts nobody.
 *
 * A call's handle is one object on the heap. It is in the table, under the slot of the channel that the host process chose, as long as an answer is
 * wanted; after that (answered, cancelled, the VM ended) handle->vm is NULL and every answer is -EALREADY. It is freed when the callback returns,
 * or, if it was kept, by sbx_fs_call_free().
 *
 * Answers go into the socket's queue at once, unless that is congested: then they wait as encoded frames in a list, of which vm_send() moves what fits.
 * What waits is bounded by the calls that the host process has out (PROTO_FS_CALLS_MAX, of SBX_FS_IO_MAX or SBX_FS_LIST_BYTES_MAX bytes each). */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/rd.h"
#include "client/client.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	ERRNO_MAX = 4095,
	NAME_BYTES_MAX = 255,
	ENTRY_BYTES = 4,
	ENTRY_STAT_BYTES = 28,
};

/* A mount or binding of kind SBX_FS_CALLBACKS. */
struct served {
	uint32_t number; /* by which the host process names it */
	struct sbx_fs_callbacks cb;
	void *user;
};

/* Frames of an answer that waits for room in the link. */
struct fs_reply {
	struct list node;
	uint32_t chan;
	struct buf frames;
};

struct fs_calls {
	struct list replies;
	struct sbx_fs_call *out[PROTO_FS_CALLS_MAX]; /* by the low half of the channel, less 1 */
	unsigned served_count;
	struct served served[];
};

struct sbx_fs_call {
	struct sbx_vm *vm; /* NULL: no answer is wanted any more */
	const struct served *served;
	uint32_t chan;
	enum proto_fs_op op;
	size_t length; /* of READ and WRITE */
	bool in_callback, kept;
	void *user;
};

/* ---- Answers ---- */

static void reply_free(struct fs_reply *r)
{
	list_del(&r->node);
	buf_done(&r->frames);
	free(r);
}

bool fs_calls_pump(struct sbx_vm *vm)
{
	struct fs_calls *fs = vm->fs;
	struct buf *out = link_out(&vm->link);
	bool moved = false;

	while (fs && !list_empty(&fs->replies) && !link_congested(&vm->link)) {
		struct fs_reply *r = CONTAINER_OF(fs->replies.next, struct fs_reply, node);
		struct frame f;
		uint8_t *dst;

		if (frame_peek(buf_data(&r->frames), buf_len(&r->frames), &f) <= 0) {
			reply_free(r);
			continue;
		}
		dst = buf_reserve(out, f.wire_len);
		if (!dst) {
			out->bad = false; /* nothing was lost: the next round tries again */
			break;
		}
		memcpy(dst, buf_data(&r->frames), f.wire_len);
		buf_commit(out, f.wire_len);
		buf_consume(&r->frames, f.wire_len);
		moved = true;
	}
	return moved;
}

/* The answer in full: what an encoder gets. */
struct answer_body {
	int error;
	const struct msg_fs_stat *stat;
	const void *data;
	size_t len;
	const struct sbx_fs_entry *entries;
	size_t entry_count;
	uint32_t count;
};

/* Takes the handle out of the table: what comes from now on is too late. */
static struct sbx_vm *call_close(struct sbx_fs_call *c)
{
	struct sbx_vm *vm = c->vm;

	vm->fs->out[(c->chan & 0xffff) - 1] = NULL;
	c->vm = NULL;
	return vm;
}

static bool put_error(struct buf *out, uint32_t chan, const struct answer_body *a)
{
	return msg_fs_error_put(out, chan, &(struct msg_fs_error){ .err = (uint32_t)a->error });
}

/* Where to encode an answer of about @bytes: the link, or a place to wait. NULL: out of memory. */
static struct buf *reply_place(struct sbx_vm *vm, uint32_t chan, size_t bytes, struct fs_reply **ret)
{
	struct fs_reply *r;

	*ret = NULL;
	if (list_empty(&vm->fs->replies) && !link_congested(&vm->link) && bytes <= LINK_OUT_MAX - LINK_CONGESTED_BYTES)
		return link_out(&vm->link);
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->chan = chan;
	buf_init(&r->frames, bytes);
	list_add_tail(&vm->fs->replies, &r->node);
	*ret = r;
	return &r->frames;
}

/* Sends an answer by @put, which needs @bytes at most. A client that is out of memory answers with that; if even that does not fit, the time limit
 * ends the call. */
static int call_answer(struct sbx_fs_call *c, bool (*put)(struct buf *out, uint32_t chan, const struct answer_body *a), size_t bytes,
		       const struct answer_body *a)
{
	struct sbx_vm *vm = call_close(c);
	struct answer_body failed = { .error = ENOMEM };
	struct fs_reply *waiting;
	struct buf *out = reply_place(vm, c->chan, bytes, &waiting);

	if (!out || !put(out, c->chan, a)) {
		if (waiting)
			reply_free(waiting);
		(void)put_error(link_out(&vm->link), c->chan, &failed);
	}
	if (!vm->dispatching) /* else at the end of the dispatch, with what else there is */
		vm_send(vm);
	return 0;
}

static int answer_error(struct sbx_fs_call *c, int error)
{
	struct answer_body a = { .error = error };

	return call_answer(c, put_error, PROTO_HEADER_BYTES + 4, &a);
}

/* The embedding program made a mistake: it hears of it, the guest gets EIO. */
static int answer_misfit(struct sbx_fs_call *c)
{
	(void)answer_error(c, EIO);
	return -EINVAL;
}

int sbx_fs_reply_error(struct sbx_fs_call *c, int error)
{
	if (!c->vm)
		return -EALREADY;
	if (error < 0 && error >= -ERRNO_MAX)
		error = -error;
	return answer_error(c, error > 0 && error <= ERRNO_MAX ? error : EIO);
}

int sbx_fs_reply_ok(struct sbx_fs_call *c)
{
	if (!c->vm)
		return -EALREADY;
	switch (c->op) {
	case PROTO_FSOP_STAT:
	case PROTO_FSOP_LIST:
	case PROTO_FSOP_READ:
	case PROTO_FSOP_WRITE:
	case PROTO_FSOP_READLINK:
		return answer_misfit(c);
	default:
		return answer_error(c, 0);
	}
}

static bool stat_encode(const struct sbx_file_stat *user, struct msg_fs_stat *ret)
{
	struct sbx_file_stat s = { 0 };

	if (user->struct_size == 0 || user->struct_size > sizeof(s))
		return false;
	memcpy(&s, user, user->struct_size);
	if (s.type < SBX_FILE_REGULAR || s.type > SBX_FILE_SYMLINK || s.mode > 07777 || (s.size > INT64_MAX && s.size != SBX_SIZE_UNKNOWN))
		return false;
	*ret = (struct msg_fs_stat){
		.type = (uint32_t)s.type,
		.mode = s.mode,
		.size = s.size,
		.mtime_ns = (uint64_t)s.mtime_ns,
		.uid = s.uid,
		.gid = s.gid,
	};
	return true;
}

static bool put_stat(struct buf *out, uint32_t chan, const struct answer_body *a)
{
	return msg_fs_stat_put(out, chan, a->stat);
}

int sbx_fs_reply_stat(struct sbx_fs_call *c, const struct sbx_file_stat *stat)
{
	/* What may be said to be there, of what was asked. */
	static const unsigned fits[PROTO_FSOP_COUNT_] = {
		[PROTO_FSOP_STAT] = 1U << SBX_FILE_REGULAR | 1U << SBX_FILE_DIRECTORY | 1U << SBX_FILE_SYMLINK,
		[PROTO_FSOP_CREATE] = 1U << SBX_FILE_REGULAR,
		[PROTO_FSOP_MKDIR] = 1U << SBX_FILE_DIRECTORY,
		[PROTO_FSOP_SYMLINK] = 1U << SBX_FILE_SYMLINK,
	};
	struct msg_fs_stat m;
	struct answer_body a = { .stat = &m };

	if (!c->vm)
		return -EALREADY;
	if (!stat_encode(stat, &m) || !(fits[c->op] & 1U << m.type))
		return answer_misfit(c);
	return call_answer(c, put_stat, PROTO_HEADER_BYTES + ENTRY_STAT_BYTES + 4, &a);
}

static bool name_fits(const char *name)
{
	size_t len = name ? strnlen(name, NAME_BYTES_MAX + 1) : 0;

	return len > 0 && len <= NAME_BYTES_MAX && !memchr(name, '/', len) && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* The @i-th entry of an array whose stride is the caller's size of the struct. */
static const struct sbx_fs_entry *nth(const struct sbx_fs_entry *entries, size_t i)
{
	return (const struct sbx_fs_entry *)((const char *)entries + i * entries->struct_size);
}

/* How the entries travel: how many bytes and frames at most; false if they cannot. */
static bool entries_measure(const struct sbx_fs_entry *entries, size_t count, size_t *ret_bytes)
{
	size_t bytes = 0;

	if (count > 0 && (entries->struct_size == 0 || entries->struct_size > sizeof(*entries)))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct sbx_fs_entry *e = nth(entries, i);
		struct msg_fs_stat m = { .type = (uint32_t)e->type };

		if (!name_fits(e->name) || e->type < SBX_FILE_REGULAR || e->type > SBX_FILE_SYMLINK || (e->stat && !stat_encode(e->stat, &m)) ||
		    m.type != (uint32_t)e->type)
			return false;
		bytes += ENTRY_BYTES + strlen(e->name) + (e->stat ? ENTRY_STAT_BYTES : 0);
		if (bytes > SBX_FS_LIST_BYTES_MAX)
			return false;
	}
	*ret_bytes = bytes;
	return true;
}

static void put_entry(struct buf *b, const struct sbx_fs_entry *e)
{
	size_t len = strlen(e->name);
	struct msg_fs_stat m;

	buf_put_u8(b, (uint8_t)e->type);
	buf_put_u8(b, e->stat != NULL);
	buf_put_le16(b, (uint16_t)len);
	(void)buf_put(b, e->name, len);
	if (!e->stat || !stat_encode(e->stat, &m))
		return;
	buf_put_le32(b, m.mode);
	buf_put_le64(b, m.size);
	buf_put_le64(b, m.mtime_ns);
	buf_put_le32(b, m.uid);
	buf_put_le32(b, m.gid);
}

static bool put_entries(struct buf *out, uint32_t chan, const struct answer_body *a)
{
	struct buf packed;
	bool good = true;
	size_t i = 0;

	buf_init(&packed, PROTO_FS_ENTRIES_MAX);
	do {
		while (i < a->entry_count && buf_room(&packed) >= ENTRY_BYTES + NAME_BYTES_MAX + ENTRY_STAT_BYTES)
			put_entry(&packed, nth(a->entries, i++));
		good = buf_ok(&packed) &&
		       msg_fs_entries_put(out, chan,
					  &(struct msg_fs_entries){ .more = i < a->entry_count,
								    .entries = { .p = buf_data(&packed), .len = buf_len(&packed) } });
		buf_consume(&packed, buf_len(&packed));
	} while (good && i < a->entry_count);
	buf_done(&packed);
	return good;
}

int sbx_fs_reply_entries(struct sbx_fs_call *c, const struct sbx_fs_entry *entries, size_t count)
{
	struct answer_body a = { .entries = entries, .entry_count = count };
	size_t bytes;

	if (!c->vm)
		return -EALREADY;
	if (c->op != PROTO_FSOP_LIST || !entries_measure(entries, count, &bytes))
		return answer_misfit(c);
	/* A frame is full when less than the longest entry fits: three quarters of its room at the very least. */
	return call_answer(c, put_entries, bytes + (bytes / (PROTO_FS_ENTRIES_MAX / 4 * 3) + 1) * (PROTO_HEADER_BYTES + 4), &a);
}

static bool put_data(struct buf *out, uint32_t chan, const struct answer_body *a)
{
	return msg_fs_data_put(out, chan, &(struct msg_fs_data){ .data = { .p = a->data, .len = a->len } });
}

int sbx_fs_reply_data(struct sbx_fs_call *c, const void *data, size_t len)
{
	struct answer_body a = { .data = data, .len = len };
	bool fits;

	if (!c->vm)
		return -EALREADY;
	if (c->op == PROTO_FSOP_READLINK)
		fits = len > 0 && len <= PROTO_FS_PATH_MAX && !memchr(data, '\0', len);
	else
		fits = c->op == PROTO_FSOP_READ && len <= c->length;
	return fits ? call_answer(c, put_data, PROTO_HEADER_BYTES + len, &a) : answer_misfit(c);
}

static bool put_count(struct buf *out, uint32_t chan, const struct answer_body *a)
{
	return msg_fs_count_put(out, chan, &(struct msg_fs_count){ .count = a->count });
}

int sbx_fs_reply_count(struct sbx_fs_call *c, size_t count)
{
	struct answer_body a = { .count = (uint32_t)count };

	if (!c->vm)
		return -EALREADY;
	if (c->op != PROTO_FSOP_WRITE || count > c->length || count == 0)
		return answer_misfit(c);
	return call_answer(c, put_count, PROTO_HEADER_BYTES + 4, &a);
}

/* ---- Handles ---- */

void sbx_fs_call_keep(struct sbx_fs_call *c)
{
	c->kept = true;
}

/* Frees a handle that nobody holds any more. */
static void call_drop(struct sbx_fs_call *c)
{
	if (c->vm)
		(void)answer_error(c, EIO);
	free(c);
}

void sbx_fs_call_free(struct sbx_fs_call *c)
{
	if (!c)
		return;
	c->kept = false;
	if (!c->in_callback)
		call_drop(c);
}

void sbx_fs_call_set_user(struct sbx_fs_call *c, void *user)
{
	c->user = user;
}

void *sbx_fs_call_user(const struct sbx_fs_call *c)
{
	return c->user;
}

/* ---- Calls ---- */

static bool invoke_reader(struct sbx_fs_call *c, const struct msg_fs_call *m, const char *path)
{
	const struct sbx_fs_callbacks *cb = &c->served->cb;
	void *user = c->served->user;

	switch (c->op) {
	case PROTO_FSOP_STAT:
		return cb->stat && (cb->stat(c, path, user), true);
	case PROTO_FSOP_LIST:
		return cb->list && (cb->list(c, path, user), true);
	case PROTO_FSOP_READ:
		return cb->read && (cb->read(c, path, m->off, c->length, user), true);
	case PROTO_FSOP_READLINK:
		return cb->readlink && (cb->readlink(c, path, user), true);
	default:
		return false;
	}
}

static bool invoke_name(struct sbx_fs_call *c, const struct msg_fs_call *m, const char *path, const char *path2)
{
	const struct sbx_fs_callbacks *cb = &c->served->cb;
	void *user = c->served->user;

	switch (c->op) {
	case PROTO_FSOP_CREATE:
		return cb->create && (cb->create(c, path, m->mode, user), true);
	case PROTO_FSOP_MKDIR:
		return cb->mkdir && (cb->mkdir(c, path, m->mode, user), true);
	case PROTO_FSOP_UNLINK:
		return cb->unlink && (cb->unlink(c, path, user), true);
	case PROTO_FSOP_RMDIR:
		return cb->rmdir && (cb->rmdir(c, path, user), true);
	case PROTO_FSOP_RENAME:
		return cb->rename && (cb->rename(c, path, path2, m->flags, user), true);
	case PROTO_FSOP_SYMLINK:
		return cb->symlink && (cb->symlink(c, path2, path, user), true);
	default:
		return false;
	}
}

static bool invoke_set_attr(struct sbx_fs_call *c, const struct msg_fs_call *m, const char *path)
{
	const struct sbx_fs_callbacks *cb = &c->served->cb;
	struct sbx_fs_change change = {
		.what = m->flags,
		.mode = m->mode,
		.uid = m->uid,
		.gid = m->gid,
		.mtime_ns = (int64_t)m->off,
	};

	if (!cb->set_attr)
		return false;
	cb->set_attr(c, path, &change, c->served->user);
	return true;
}

/* Calls the callback; false if there is none. */
static bool invoke(struct sbx_fs_call *c, const struct msg_fs_call *m)
{
	const struct sbx_fs_callbacks *cb = &c->served->cb;
	char path[PROTO_FS_PATH_MAX + 1], path2[PROTO_FS_PATH_MAX + 1];
	void *user = c->served->user;

	slice_copy(m->path, path, sizeof(path));
	slice_copy(m->path2, path2, sizeof(path2));
	switch (c->op) {
	case PROTO_FSOP_WRITE:
		return cb->write && (cb->write(c, path, m->off, m->data.p, c->length, user), true);
	case PROTO_FSOP_TRUNCATE:
		return cb->truncate && (cb->truncate(c, path, m->len, user), true);
	case PROTO_FSOP_SET_ATTR:
		return invoke_set_attr(c, m, path);
	case PROTO_FSOP_FSYNC:
		return cb->fsync && (cb->fsync(c, path, user), true);
	default:
		return invoke_reader(c, m, path) || invoke_name(c, m, path, path2);
	}
}

static const struct served *served_find(const struct fs_calls *fs, uint32_t number)
{
	for (unsigned i = 0; i < fs->served_count; i++)
		if (fs->served[i].number == number)
			return &fs->served[i];
	return NULL;
}

static bool call_sane(const struct msg_fs_call *m)
{
	if (m->op >= PROTO_FSOP_COUNT_ || m->path.len == 0 || m->path.len > PROTO_FS_PATH_MAX || m->path2.len > PROTO_FS_PATH_MAX || m->path.p[0] != '/')
		return false;
	if (m->op == PROTO_FSOP_READ && m->len > PROTO_FS_IO_MAX)
		return false;
	return m->op == PROTO_FSOP_WRITE ? m->len == m->data.len && m->len <= PROTO_FS_IO_MAX : m->data.len == 0;
}

static int fs_call(struct sbx_vm *vm, const struct frame *f)
{
	struct fs_calls *fs = vm->fs;
	uint32_t slot = (f->chan & 0xffff) - 1;
	const struct served *served;
	struct sbx_fs_call *c;
	struct msg_fs_call m;

	if (msg_fs_call_decode(f->body, f->len, &m) < 0 || !call_sane(&m) || slot >= PROTO_FS_CALLS_MAX || fs->out[slot])
		return -EPROTO;
	served = served_find(fs, m.fs);
	if (!served)
		return -EPROTO;
	c = calloc(1, sizeof(*c));
	if (!c) {
		(void)put_error(link_out(&vm->link), f->chan, &(struct answer_body){ .error = ENOMEM });
		return 0;
	}
	*c = (struct sbx_fs_call){ .vm = vm, .served = served, .chan = f->chan, .op = (enum proto_fs_op)m.op, .length = (size_t)m.len, .in_callback = true };
	fs->out[slot] = c;
	if (!invoke(c, &m) && c->vm)
		(void)answer_error(c, EOPNOTSUPP);
	c->in_callback = false;
	if (!c->kept)
		call_drop(c);
	return 0;
}

/* Nobody waits for @c, which is in the table and was therefore kept. */
static void call_cancel(struct sbx_fs_call *c)
{
	const struct served *s = c->served;

	(void)call_close(c);
	if (s->cb.on_cancel)
		s->cb.on_cancel(c, s->user);
}

static int fs_cancel(struct sbx_vm *vm, const struct frame *f)
{
	uint32_t slot = (f->chan & 0xffff) - 1;
	struct sbx_fs_call *c;

	if (f->len != 0 || slot >= PROTO_FS_CALLS_MAX)
		return -EPROTO;
	c = vm->fs->out[slot];
	if (c && c->chan == f->chan)
		call_cancel(c);
	LIST_EACH (pos, &vm->fs->replies) {
		struct fs_reply *r = CONTAINER_OF(pos, struct fs_reply, node);

		if (r->chan == f->chan)
			reply_free(r);
	}
	return 0;
}

int fs_frame(struct sbx_vm *vm, const struct frame *f)
{
	if (!vm->fs)
		return -EPROTO;
	return f->type == PROTO_FS_CALL ? fs_call(vm, f) : fs_cancel(vm, f);
}

void fs_lose_all(struct sbx_vm *vm)
{
	for (unsigned i = 0; vm->fs && i < PROTO_FS_CALLS_MAX; i++)
		if (vm->fs->out[i])
			call_cancel(vm->fs->out[i]);
}

/* ---- The table ---- */

int fs_callbacks_check(const struct sbx_fs_callbacks *user, const char *kind, const char *path, struct sbx_fs_callbacks *ret, struct sbx_err *err)
{
	if (user->struct_size == 0 || user->struct_size > sizeof(*ret))
		return err_set(err, -EINVAL,
			       "%s '%s': struct sbx_fs_callbacks of %zu bytes: begin with SBX_FS_CALLBACKS_INIT, and use a library as new as its header (%zu)",
			       kind, path, user->struct_size, sizeof(*ret));
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, user, user->struct_size);
	if (!ret->stat || !ret->list)
		return err_set(err, -EINVAL, "%s '%s': callbacks without %s; stat and list are required", kind, path, ret->stat ? "list" : "stat");
	return 0;
}

uint32_t fs_callbacks_ops(const struct sbx_fs_callbacks *cb)
{
	const bool has[PROTO_FSOP_COUNT_] = {
		[PROTO_FSOP_STAT] = cb->stat,
		[PROTO_FSOP_LIST] = cb->list,
		[PROTO_FSOP_READ] = cb->read,
		[PROTO_FSOP_CREATE] = cb->create,
		[PROTO_FSOP_WRITE] = cb->write,
		[PROTO_FSOP_TRUNCATE] = cb->truncate,
		[PROTO_FSOP_MKDIR] = cb->mkdir,
		[PROTO_FSOP_UNLINK] = cb->unlink,
		[PROTO_FSOP_RMDIR] = cb->rmdir,
		[PROTO_FSOP_RENAME] = cb->rename,
		[PROTO_FSOP_SYMLINK] = cb->symlink,
		[PROTO_FSOP_READLINK] = cb->readlink,
		[PROTO_FSOP_SET_ATTR] = cb->set_attr,
		[PROTO_FSOP_FSYNC] = cb->fsync,
	};
	uint32_t ops = 0;

	for (unsigned i = 0; i < PROTO_FSOP_COUNT_; i++)
		ops |= has[i] ? 1U << i : 0U;
	return ops;
}

int fs_calls_create(struct sbx_vm *vm, unsigned count)
{
	if (count == 0)
		return 0;
	vm->fs = calloc(1, sizeof(*vm->fs) + count * sizeof(vm->fs->served[0]));
	if (!vm->fs)
		return -ENOMEM;
	list_init(&vm->fs->replies);
	return 0;
}

void fs_calls_serve(struct sbx_vm *vm, uint32_t number, const struct sbx_fs_callbacks *cb, void *user)
{
	vm->fs->served[vm->fs->served_count++] = (struct served){ .number = number, .cb = *cb, .user = user };
}

void fs_calls_free(struct sbx_vm *vm)
{
	if (!vm->fs)
		return;
	LIST_EACH (pos, &vm->fs->replies)
		reply_free(CONTAINER_OF(pos, struct fs_reply, node));
	free(vm->fs);
	vm->fs = NULL;
}
