/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/fs_reply.c - the embedding program's answers to calls of its file systems: checked, so that a mistake of its is told to it (the host process, which
 * trusts nobody, checks again), encoded and sent.
 *
 * What waits for the socket is bounded by the calls that the host process has out (PROTO_FS_CALLS_MAX, of SBX_FS_IO_MAX or SBX_FS_LIST_BYTES_MAX bytes each). */
#include "base/cleanup.h"
#include "base/rd.h"
#include "client/fs_impl.h"
#include "client/replies.h"

#include <errno.h>
#include <string.h>

enum {
	ERRNO_MAX = 4095,
	NAME_BYTES_MAX = 255,
	ENTRY_BYTES = 4,
	ENTRY_STAT_BYTES = 28,
};

bool fs_calls_pump(struct sbx_vm *vm)
{
	return vm->fs && replies_pump(vm, &vm->fs->replies);
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

static bool put_error(struct buf *out, uint32_t chan, const struct answer_body *a)
{
	return msg_fs_error_put(out, chan, &(struct msg_fs_error){ .err = (uint32_t)a->error });
}

/* Sends an answer by @put, which needs @bytes at most. A client that is out of memory answers with that; if even that does not fit, the time limit
 * ends the call. */
static int call_answer(struct sbx_fs_call *c, bool (*put)(struct buf *out, uint32_t chan, const struct answer_body *a), size_t bytes,
		       const struct answer_body *a)
{
	struct sbx_vm *vm = fs_call_close(c);
	struct answer_body failed = { .error = ENOMEM };
	struct reply *waiting;
	struct buf *out = reply_place(vm, &vm->fs->replies, c->chan, bytes, &waiting);

	if (!out || !put(out, c->chan, a)) {
		if (waiting)
			reply_free(waiting);
		(void)put_error(link_out(&vm->link), c->chan, &failed);
	}
	if (!vm->dispatching) /* else at the end of the dispatch, with what else there is */
		vm_send(vm);
	return 0;
}

void fs_answer_error(struct sbx_fs_call *c, int error)
{
	struct answer_body a = { .error = error };

	(void)call_answer(c, put_error, PROTO_HEADER_BYTES + 4, &a);
}

void fs_answer_nomem(struct sbx_vm *vm, uint32_t chan)
{
	(void)put_error(link_out(&vm->link), chan, &(struct answer_body){ .error = ENOMEM });
}

/* The embedding program made a mistake: it hears of it, the guest gets EIO. */
static int answer_misfit(struct sbx_fs_call *c)
{
	fs_answer_error(c, EIO);
	return -EINVAL;
}

int sbx_fs_reply_error(struct sbx_fs_call *c, int error)
{
	if (!c->vm)
		return -EALREADY;
	if (error < 0 && error >= -ERRNO_MAX)
		error = -error;
	fs_answer_error(c, error > 0 && error <= ERRNO_MAX ? error : EIO);
	return 0;
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
		fs_answer_error(c, 0);
		return 0;
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
	return call_answer(c, put_entries, bytes + (bytes / ((size_t)PROTO_FS_ENTRIES_MAX / 4 * 3) + 1) * (PROTO_HEADER_BYTES + 4), &a);
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
