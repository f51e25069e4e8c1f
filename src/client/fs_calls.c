/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_calls.c - file systems of the embedding program: FS_CALL frames in, its callbacks called, and the handles of calls.
 *
 * A handle is one object on the heap. It is in the table, under the slot of the channel that the host process chose, as long as an answer is
 * wanted; after that (answered, cancelled, the VM ended) handle->vm is NULL and every answer is -EALREADY. It is freed when the callback returns,
 * or, if it was kept, by sbx_fs_call_free(). */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/fs_impl.h"
#include "client/replies.h"

#include <errno.h>
#include <string.h>

/* ---- Handles ---- */

struct sbx_vm *fs_call_close(struct sbx_fs_call *c)
{
	struct sbx_vm *vm = c->vm;

	vm->fs->out[(c->chan & 0xffff) - 1] = NULL;
	c->vm = NULL;
	return vm;
}

void sbx_fs_call_keep(struct sbx_fs_call *c)
{
	c->kept = true;
}

/* Frees a handle that nobody holds any more. */
static void call_drop(struct sbx_fs_call *c)
{
	if (c->vm)
		fs_answer_error(c, EIO);
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
		fs_answer_nomem(vm, f->chan);
		return 0;
	}
	*c = (struct sbx_fs_call){ .vm = vm, .served = served, .chan = f->chan, .op = (enum proto_fs_op)m.op, .length = (size_t)m.len, .in_callback = true };
	fs->out[slot] = c;
	if (!invoke(c, &m) && c->vm)
		fs_answer_error(c, EOPNOTSUPP);
	c->in_callback = false;
	if (!c->kept)
		call_drop(c);
	return 0;
}

/* Nobody waits for @c, which is in the table and was therefore kept. */
static void call_cancel(struct sbx_fs_call *c)
{
	const struct served *s = c->served;

	(void)fs_call_close(c);
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
	replies_drop(&vm->fs->replies, f->chan);
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
	replies_drop(&vm->fs->replies, 0);
	free(vm->fs);
	vm->fs = NULL;
}
