/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_files.c - single files and directories of the running guest. What comes back is the guest's word: bounded, checked in its form, and believed no
 * further. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/guest_call.h"
#include "proto/object.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	LIST_MAX = 1000000, /* entries, if the caller does not say */
	LIST_BYTES_MAX = 128 << 20,
	MODE_MAX = 07777,
};

/* ---- Traffic ---- */

/* What a call takes in and gives out. */
struct traffic {
	struct buf out;
	const char *over; /* what it means when there is more than fits */
	size_t max;       /* entries of a list */
	const uint8_t *in;
	size_t in_left;
	uint8_t in_copy[]; /* of a call that nobody waits for */
};

static int take_output(struct guest_call *c, const void *data, size_t len)
{
	struct traffic *t = c->user;

	if (buf_room(&t->out) < len)
		return err_set(c->err, -EFBIG, "%s", t->over);
	return buf_put(&t->out, data, len) ? 0 : err_set(c->err, -ENOMEM, "out of memory");
}

static ssize_t give_input(struct guest_call *c, void *data, size_t size)
{
	struct traffic *t = c->user;
	size_t n = MIN(size, t->in_left);

	if (n > 0)
		memcpy(data, t->in, n);
	t->in += n;
	t->in_left -= n;
	return (ssize_t)n;
}

static void free_traffic(struct guest_call *c)
{
	struct traffic *t = c->user;

	buf_done(&t->out);
	free(t);
}

static struct traffic *add_traffic(struct guest_call *c, size_t in_bytes)
{
	struct traffic *t = calloc(1, sizeof(*t) + in_bytes);

	if (!t) {
		(void)err_set(c->err, -ENOMEM, "out of memory");
		return NULL;
	}
	c->user = t;
	c->release = free_traffic;
	return t;
}

/* The call's output, up to @max bytes; more is an error with the words @over. */
static int collect(struct guest_call *c, size_t max, const char *over, int (*finish)(struct guest_call *c, struct sbx_guest_result *ret))
{
	struct traffic *t = add_traffic(c, 0);

	if (!t)
		return -ENOMEM;
	t->over = over;
	buf_init(&t->out, max);
	c->sink = take_output;
	c->finish = finish;
	return 0;
}

/* The call's input: the request's data, which is gone when nobody waits for the call. */
static int supply(struct guest_call *c, const struct sbx_guest_request *q)
{
	struct traffic *t = add_traffic(c, c->ended ? q->data_len : 0);

	if (!t)
		return -ENOMEM;
	buf_init(&t->out, 0);
	t->in = c->ended ? t->in_copy : q->data;
	t->in_left = q->data_len;
	if (c->ended && q->data_len > 0)
		memcpy(t->in_copy, q->data, q->data_len);
	c->source = give_input;
	return 0;
}

/* ---- Results ---- */

static int finish_read(struct guest_call *c, struct sbx_guest_result *ret)
{
	const struct buf *out = &((struct traffic *)c->user)->out;
	char *content = malloc(buf_len(out) + 1);

	if (!content)
		return err_set(c->err, -ENOMEM, "out of memory");
	slice_copy((struct slice){ .p = buf_data(out), .len = buf_len(out) }, content, buf_len(out) + 1);
	ret->data = content;
	ret->len = buf_len(out);
	return 0;
}

static struct sbx_guest_stat stat_of(const struct object *o)
{
	return (struct sbx_guest_stat){
		.mode = o->mode,
		.uid = o->uid,
		.gid = o->gid,
		.nlink = o->nlink,
		.ino = o->ino,
		.size = o->size,
		.rdev = o->rdev,
		.mtime_sec = o->mtime_sec,
		.mtime_nsec = o->mtime_nsec,
	};
}

static int nonsense(struct sbx_err *err)
{
	return err_set(err, -EPROTO, "the guest's answer makes no sense");
}

static int finish_stat(struct guest_call *c, struct sbx_guest_result *ret)
{
	const struct buf *out = &((struct traffic *)c->user)->out;
	struct object o;
	size_t used;

	if (object_next(buf_data(out), buf_len(out), &o, &used) != 1)
		return nonsense(c->err);
	ret->stat = stat_of(&o);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sbx_guest_entry *)a)->name, ((const struct sbx_guest_entry *)b)->name);
}

/* How many records there are, each with a name, and the bytes of their texts with NULs. */
static int count_records(const struct buf *b, size_t *ret_count, size_t *ret_text)
{
	size_t used;

	*ret_count = *ret_text = 0;
	for (size_t at = 0; at < buf_len(b); at += used) {
		struct object o;

		if (object_next(buf_data(b) + at, buf_len(b) - at, &o, &used) != 1 || o.name.len == 0)
			return -EPROTO;
		++*ret_count;
		*ret_text += o.name.len + o.target.len + 2;
	}
	return 0;
}

static const char *keep_text(char **at, struct slice s)
{
	char *text = *at;

	slice_copy(s, text, s.len + 1);
	*at += s.len + 1;
	return text;
}

static int make_list(const struct buf *b, size_t max, struct sbx_guest_list *ret, struct sbx_err *err)
{
	struct sbx_guest_entry *entry;
	size_t count, text_bytes, used;
	char *text;

	if (count_records(b, &count, &text_bytes) < 0)
		return nonsense(err);
	if (count > max)
		return err_set(err, -EFBIG, "the directory has more than %zu entries", max);
	entry = malloc(count * sizeof(*entry) + text_bytes + 1);
	if (!entry)
		return err_set(err, -ENOMEM, "out of memory");
	text = (char *)(entry + count);
	for (size_t at = 0, i = 0; i < count; at += used, i++) {
		struct object o;

		(void)object_next(buf_data(b) + at, buf_len(b) - at, &o, &used);
		entry[i].stat = stat_of(&o);
		entry[i].name = keep_text(&text, o.name);
		entry[i].target = keep_text(&text, o.target);
	}
	qsort(entry, count, sizeof(*entry), by_name);
	*ret = (struct sbx_guest_list){ .entries = entry, .count = count, .memory = entry };
	return 0;
}

static int finish_list(struct guest_call *c, struct sbx_guest_result *ret)
{
	const struct traffic *t = c->user;

	return make_list(&t->out, t->max, &ret->list, c->err);
}

void sbx_guest_list_done(struct sbx_guest_list *list)
{
	free(list->memory);
	*list = (struct sbx_guest_list){ .count = 0 };
}

/* ---- Requests ---- */

static const char *flag_arg(uint32_t flags, uint32_t flag)
{
	return flags & flag ? "1" : "0";
}

static int octal_arg(struct guest_call *c, int mode, const char *none)
{
	if (mode > MODE_MAX || (mode < 0 && !none))
		return err_set(c->err, -EINVAL, "mode is %#o; it must be permissions (up to 07777)%s", (unsigned)mode, none ? ", or -1" : "");
	(void)snprintf(c->octal, sizeof(c->octal), "%o", (unsigned)mode);
	c->argv[2] = mode < 0 ? none : c->octal;
	return 0;
}

static int prepare_list(struct guest_call *c, const struct sbx_guest_request *q)
{
	int r = collect(c, LIST_BYTES_MAX, "the names in the directory are too long together", finish_list);

	if (r == 0)
		((struct traffic *)c->user)->max = q->max ? q->max : LIST_MAX;
	return r;
}

int guest_files_prepare(struct guest_call *c, const struct sbx_guest_request *q)
{
	static const char *const builtin[] = {
		[SBX_GUEST_READ_FILE] = "read",
		[SBX_GUEST_WRITE_FILE] = "write",
		[SBX_GUEST_STAT] = "stat",
		[SBX_GUEST_LIST] = "list",
		[SBX_GUEST_MKDIR] = "mkdir",
		[SBX_GUEST_REMOVE] = "remove",
		[SBX_GUEST_RENAME] = "rename",
	};
	int r;

	c->argv[0] = builtin[q->op];
	c->argv[1] = q->path;
	switch (q->op) {
	case SBX_GUEST_READ_FILE:
		return collect(c, q->max ? q->max : SIZE_MAX / 4, "the file is larger than the caller takes", finish_read);
	case SBX_GUEST_WRITE_FILE:
		r = octal_arg(c, q->mode, "-");
		return r < 0 ? r : supply(c, q);
	case SBX_GUEST_STAT:
		c->argv[2] = flag_arg(q->flags, SBX_GUEST_FOLLOW);
		return collect(c, OBJECT_HEAD_BYTES + OBJECT_NAME_MAX + OBJECT_TARGET_MAX, "the guest's answer is too long", finish_stat);
	case SBX_GUEST_LIST:
		return prepare_list(c, q);
	case SBX_GUEST_MKDIR:
		c->argv[3] = flag_arg(q->flags, SBX_GUEST_PARENTS);
		return octal_arg(c, q->mode, NULL);
	case SBX_GUEST_REMOVE:
		c->argv[2] = flag_arg(q->flags, SBX_GUEST_RECURSIVE);
		return 0;
	default:
		c->argv[2] = q->path2;
		return guest_call_path(q->path2, c->err);
	}
}

/* ---- The calls that wait ---- */

#define REQUEST(op_, path_, opts_, ...) ((struct sbx_guest_request){ .op = (op_), .path = (path_), .opts = (opts_), __VA_ARGS__ })

int sbx_guest_read_file(struct sbx_vm *vm, const char *path, size_t max, const struct sbx_guest_opts *opts, char **ret, size_t *ret_len, struct sbx_err *err)
{
	struct sbx_guest_result result;
	int r = guest_request_run(vm, &REQUEST(SBX_GUEST_READ_FILE, path, opts, .max = max), &result, err);

	if (r < 0)
		return r;
	*ret = result.data;
	*ret_len = result.len;
	return 0;
}

int sbx_guest_write_file(struct sbx_vm *vm, const char *path, const void *data, size_t len, int mode, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct sbx_guest_result result;

	return guest_request_run(vm, &REQUEST(SBX_GUEST_WRITE_FILE, path, opts, .data = data ? data : "", .data_len = len, .mode = mode), &result, err);
}

int sbx_guest_stat(struct sbx_vm *vm, const char *path, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_guest_stat *ret, struct sbx_err *err)
{
	struct sbx_guest_result result;
	int r = guest_request_run(vm, &REQUEST(SBX_GUEST_STAT, path, opts, .flags = flags), &result, err);

	if (r == 0)
		*ret = result.stat;
	return r;
}

int sbx_guest_list(struct sbx_vm *vm, const char *path, size_t max, const struct sbx_guest_opts *opts, struct sbx_guest_list *ret, struct sbx_err *err)
{
	struct sbx_guest_result result;
	int r = guest_request_run(vm, &REQUEST(SBX_GUEST_LIST, path, opts, .max = max), &result, err);

	if (r == 0)
		*ret = result.list;
	return r;
}

int sbx_guest_mkdir(struct sbx_vm *vm, const char *path, uint32_t mode, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct sbx_guest_result result;

	/* A mode that is no int is none of permissions either. */
	return guest_request_run(vm, &REQUEST(SBX_GUEST_MKDIR, path, opts, .mode = mode > INT_MAX ? INT_MAX : (int)mode, .flags = flags), &result, err);
}

int sbx_guest_remove(struct sbx_vm *vm, const char *path, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct sbx_guest_result result;

	return guest_request_run(vm, &REQUEST(SBX_GUEST_REMOVE, path, opts, .flags = flags), &result, err);
}

int sbx_guest_rename(struct sbx_vm *vm, const char *from, const char *to, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct sbx_guest_result result;

	return guest_request_run(vm, &REQUEST(SBX_GUEST_RENAME, from, opts, .path2 = to), &result, err);
}
