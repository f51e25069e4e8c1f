/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_files.c - single files and directories of the running guest. What comes back is the guest's word: bounded, checked in its form, and believed no
 * further. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/guest_call.h"
#include "proto/object.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	LIST_MAX = 1000000, /* entries, if the caller does not say */
	LIST_BYTES_MAX = 128 << 20,
	MODE_MAX = 07777,
};

/* ---- Calls ---- */

/* What a call takes in and gives out. */
struct traffic {
	struct buf out;
	const char *over; /* what it means when there is more than fits */
	const uint8_t *in;
	size_t in_left;
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

/* Runs a builtin with up to three arguments, of which the first is a path of the guest. @t (may be NULL) has been initialised. */
static int run(struct sbx_vm *vm, const char *const *argv, struct traffic *t, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	AUTOFREE struct guest_call *c = NULL;
	int r = guest_call_create(vm, opts, &c, err);

	if (r == 0)
		r = guest_call_path(argv[1], err);
	if (r < 0)
		return r;
	for (size_t i = 0; argv[i]; i++)
		c->argv[i] = argv[i];
	c->user = t;
	c->sink = t ? take_output : NULL;
	c->source = t && t->in ? give_input : NULL;
	return guest_call_run(vm, c);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const char *flag_arg(uint32_t flags, uint32_t flag)
{
	return flags & flag ? "1" : "0";
}

/* ---- Files ---- */

int sbx_guest_read_file(struct sbx_vm *vm, const char *path, size_t max, const struct sbx_guest_opts *opts, char **ret, size_t *ret_len, struct sbx_err *err)
{
	struct traffic t = { .over = "the file is larger than the caller takes" };
	char *content = NULL;
	int r;

	buf_init(&t.out, max ? max : SIZE_MAX / 4);
	r = run(vm, ARGS("read", path), &t, opts, err);
	if (r == 0) {
		content = malloc(buf_len(&t.out) + 1);
		if (!content)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	if (r == 0) {
		slice_copy((struct slice){ .p = buf_data(&t.out), .len = buf_len(&t.out) }, content, buf_len(&t.out) + 1);
		*ret = content;
		*ret_len = buf_len(&t.out);
	}
	buf_done(&t.out);
	return r;
}

int sbx_guest_write_file(struct sbx_vm *vm, const char *path, const void *data, size_t len, int mode, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct traffic t = { .in = data ? data : (const uint8_t *)"", .in_left = len };
	char octal[16] = "-";

	if (mode > MODE_MAX)
		return err_set(err, -EINVAL, "mode is %#o; it must be permissions (up to 07777), or -1", (unsigned)mode);
	if (mode >= 0)
		(void)snprintf(octal, sizeof(octal), "%o", (unsigned)mode);
	return run(vm, ARGS("write", path, octal), &t, opts, err);
}

/* ---- What is there ---- */

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

int sbx_guest_stat(struct sbx_vm *vm, const char *path, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_guest_stat *ret, struct sbx_err *err)
{
	struct traffic t = { .over = "the guest's answer is too long" };
	struct object o;
	size_t used;
	int r;

	buf_init(&t.out, OBJECT_HEAD_BYTES + OBJECT_NAME_MAX + OBJECT_TARGET_MAX);
	r = run(vm, ARGS("stat", path, flag_arg(flags, SBX_GUEST_FOLLOW)), &t, opts, err);
	if (r == 0 && object_next(buf_data(&t.out), buf_len(&t.out), &o, &used) != 1)
		r = nonsense(err);
	if (r == 0)
		*ret = stat_of(&o);
	buf_done(&t.out);
	return r;
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

int sbx_guest_list(struct sbx_vm *vm, const char *path, size_t max, const struct sbx_guest_opts *opts, struct sbx_guest_list *ret, struct sbx_err *err)
{
	struct traffic t = { .over = "the names in the directory are too long together" };
	int r;

	buf_init(&t.out, LIST_BYTES_MAX);
	r = run(vm, ARGS("list", path), &t, opts, err);
	if (r == 0)
		r = make_list(&t.out, max ? max : LIST_MAX, ret, err);
	buf_done(&t.out);
	return r;
}

void sbx_guest_list_done(struct sbx_guest_list *list)
{
	free(list->memory);
	*list = (struct sbx_guest_list){ .count = 0 };
}

/* ---- Changes ---- */

int sbx_guest_mkdir(struct sbx_vm *vm, const char *path, uint32_t mode, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	char octal[16];

	if (mode > MODE_MAX)
		return err_set(err, -EINVAL, "mode is %#o; it must be permissions (up to 07777)", mode);
	(void)snprintf(octal, sizeof(octal), "%o", mode);
	return run(vm, ARGS("mkdir", path, octal, flag_arg(flags, SBX_GUEST_PARENTS)), NULL, opts, err);
}

int sbx_guest_remove(struct sbx_vm *vm, const char *path, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	return run(vm, ARGS("remove", path, flag_arg(flags, SBX_GUEST_RECURSIVE)), NULL, opts, err);
}

int sbx_guest_rename(struct sbx_vm *vm, const char *from, const char *to, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	int r = guest_call_path(to, err);

	return r < 0 ? r : run(vm, ARGS("rename", from, to), NULL, opts, err);
}
