/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_copy.c - trees between host and guest, as tar archives that exist only on their way. The host's side is base/totar.c and, for what comes from
 * the guest and is hostile until shown otherwise, base/untar.c. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/totar.h"
#include "base/untar.h"
#include "client/guest_call.h"

#include <errno.h>
#include <string.h>

/* Where the host's paths may not be led astray. */
static struct place_rules rules_of(const struct sbx_vm *vm)
{
	return (struct place_rules){ .lent = vm->lent, .lent_count = vm->lent_count };
}

/* The owner of new files, for the guest's "tar-in". */
static const char *owner_arg(const struct guest_call *c)
{
	return c->o.owner ? c->o.owner : "-";
}

/* ---- In ---- */

static ssize_t read_tree(struct guest_call *c, void *data, size_t size)
{
	return totar_read(c->user, data, size, c->err);
}

static void free_reader(struct guest_call *c)
{
	totar_free(c->user);
}

static int prepare_in(struct guest_call *c, const char *host_path, const char *guest_path)
{
	const struct place_rules rules = rules_of(c->vm);
	struct totar *t;
	int r = totar_create(host_path, &rules, &t, c->err);

	if (r < 0)
		return r;
	(void)totar_name(host_path, c->name, sizeof(c->name)); /* or totar_create() would have said so */
	c->argv[0] = "tar-in";
	c->argv[1] = guest_path;
	c->argv[2] = c->name;
	c->argv[3] = owner_arg(c);
	c->source = read_tree;
	c->user = t;
	c->release = free_reader;
	return 0;
}

/* ---- Out ---- */

static int write_tree(struct guest_call *c, const void *data, size_t len)
{
	return untar_feed(c->user, data, len, c->err);
}

static void tell(const struct untar_stats *s, struct sbx_copied *ret)
{
	ret->files = s->entries;
	ret->bytes = s->bytes;
	ret->skipped = s->skipped;
	memcpy(ret->first_skipped, s->first_skipped, sizeof(ret->first_skipped));
}

_Static_assert(sizeof(((struct sbx_copied *)0)->first_skipped) == sizeof(((struct untar_stats *)0)->first_skipped), "copied as it is");

static int finish_out(struct guest_call *c, struct sbx_guest_result *ret)
{
	struct untar_stats stats;
	int r = untar_finish(c->user, &stats, c->err);

	if (r == 0)
		tell(&stats, &ret->copied);
	return r;
}

static void free_writer(struct guest_call *c)
{
	untar_free(c->user);
	err_printable(c->err); /* names from the archive */
}

static int prepare_out(struct guest_call *c, const char *guest_path, const char *host_path)
{
	const struct place_rules rules = rules_of(c->vm);
	struct untar *u;
	int r;

	if (totar_name(guest_path, c->name, sizeof(c->name)) < 0)
		return err_set(c->err, -EINVAL, "the guest's path '%s' does not say what its last name is: write it without '..'", guest_path);
	r = untar_create(&(struct untar_config){ .dst = host_path, .rules = &rules, .name = c->name, .max_bytes = c->o.max_bytes }, &u, c->err);
	if (r < 0)
		return r;
	c->argv[0] = "tar-out";
	c->argv[1] = guest_path;
	c->sink = write_tree;
	c->finish = finish_out;
	c->user = u;
	c->release = free_writer;
	return 0;
}

int guest_copy_prepare(struct guest_call *c, const struct sbx_guest_request *q)
{
	return q->op == SBX_GUEST_COPY_IN ? prepare_in(c, q->path2, q->path) : prepare_out(c, q->path, q->path2);
}

/* ---- The calls that wait ---- */

int sbx_guest_copy_in(struct sbx_vm *vm, const char *host_path, const char *guest_path, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	const struct sbx_guest_request q = { .op = SBX_GUEST_COPY_IN, .path = guest_path, .path2 = host_path, .opts = opts };
	struct sbx_guest_result result;

	return guest_request_run(vm, &q, &result, err);
}

int sbx_guest_copy_out(struct sbx_vm *vm, const char *guest_path, const char *host_path, const struct sbx_guest_opts *opts, struct sbx_copied *ret,
		       struct sbx_err *err)
{
	const struct sbx_guest_request q = { .op = SBX_GUEST_COPY_OUT, .path = guest_path, .path2 = host_path, .opts = opts };
	struct sbx_guest_result result;
	int r = guest_request_run(vm, &q, &result, err);

	if (r == 0 && ret)
		*ret = result.copied;
	return r;
}

/* ---- Archives as such ---- */

struct stream {
	int (*sink)(const void *data, size_t len, void *user);
	ssize_t (*source)(void *data, size_t size, void *user);
	void *user;
};

static int to_sink(struct guest_call *c, const void *data, size_t len)
{
	const struct stream *s = c->user;
	int r = s->sink(data, len, s->user);

	return r < 0 ? err_set(c->err, r, "the archive could not be taken: %s", strerror(-r)) : 0;
}

static ssize_t from_source(struct guest_call *c, void *data, size_t size)
{
	const struct stream *s = c->user;
	ssize_t n = s->source(data, size, s->user);

	return n < 0 ? err_set(c->err, (int)n, "the archive could not be given: %s", strerror((int)-n)) : n;
}

static int archive_call(struct sbx_vm *vm, const char *path, const struct sbx_guest_opts *opts, struct guest_call **ret, struct sbx_err *err)
{
	int r = vm_refuse_reentry(vm, err);

	if (r == 0)
		r = guest_call_path(path, err);
	return r < 0 ? r : guest_call_create(vm, opts, ret, err);
}

int sbx_guest_tar_out(struct sbx_vm *vm, const char *guest_path, int (*sink)(const void *data, size_t len, void *user), void *user,
		      const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct stream s = { .sink = sink, .user = user };
	struct guest_call *c = NULL;
	int r = archive_call(vm, guest_path, opts, &c, err);

	if (r < 0)
		return r;
	c->argv[0] = "tar-out";
	c->argv[1] = guest_path;
	c->sink = to_sink;
	c->user = &s;
	r = guest_call_run(c);
	guest_call_free(c);
	return r;
}

int sbx_guest_tar_in(struct sbx_vm *vm, const char *guest_dir, ssize_t (*source)(void *data, size_t size, void *user), void *user,
		     const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct stream s = { .source = source, .user = user };
	struct guest_call *c = NULL;
	int r = archive_call(vm, guest_dir, opts, &c, err);

	if (r < 0)
		return r;
	c->argv[0] = "tar-in";
	c->argv[1] = guest_dir;
	c->argv[2] = "/"; /* its own names */
	c->argv[3] = owner_arg(c);
	c->source = from_source;
	c->user = &s;
	r = guest_call_run(c);
	guest_call_free(c);
	return r;
}
