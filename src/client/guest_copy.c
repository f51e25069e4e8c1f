/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_copy.c - trees between host and guest, as tar archives that exist only on their way. The host's side is base/totar.c and, for what comes from
 * the guest and is hostile until shown otherwise, base/untar.c. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/totar.h"
#include "base/untar.h"
#include "client/guest_call.h"

#include <errno.h>
#include <limits.h>
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

int sbx_guest_copy_in(struct sbx_vm *vm, const char *host_path, const char *guest_path, const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	const struct place_rules rules = rules_of(vm);
	AUTOFREE struct guest_call *c = NULL;
	char name[NAME_MAX + 1];
	struct totar *t;
	int r = guest_call_create(vm, opts, &c, err);

	if (r == 0)
		r = guest_call_path(guest_path, err);
	if (r == 0)
		r = totar_create(host_path, &rules, &t, err);
	if (r < 0)
		return r;
	(void)totar_name(host_path, name, sizeof(name)); /* or totar_create() would have said so */
	c->argv[0] = "tar-in";
	c->argv[1] = guest_path;
	c->argv[2] = name;
	c->argv[3] = owner_arg(c);
	c->source = read_tree;
	c->user = t;
	r = guest_call_run(vm, c);
	totar_free(t);
	return r;
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

int sbx_guest_copy_out(struct sbx_vm *vm, const char *guest_path, const char *host_path, const struct sbx_guest_opts *opts, struct sbx_copied *ret,
		       struct sbx_err *err)
{
	const struct place_rules rules = rules_of(vm);
	AUTOFREE struct guest_call *c = NULL;
	struct untar_stats stats;
	char name[NAME_MAX + 1];
	struct untar *u;
	int r = guest_call_create(vm, opts, &c, err);

	if (r == 0)
		r = guest_call_path(guest_path, err);
	if (r == 0 && totar_name(guest_path, name, sizeof(name)) < 0)
		r = err_set(err, -EINVAL, "the guest's path '%s' does not say what its last name is: write it without '..'", guest_path);
	if (r == 0)
		r = untar_create(&(struct untar_config){ .dst = host_path, .rules = &rules, .name = name, .max_bytes = c->o.max_bytes }, &u, err);
	if (r < 0)
		return r;
	c->argv[0] = "tar-out";
	c->argv[1] = guest_path;
	c->sink = write_tree;
	c->user = u;
	r = guest_call_run(vm, c);
	if (r == 0)
		r = untar_finish(u, &stats, err);
	untar_free(u);
	if (r < 0)
		err_printable(err); /* names from the archive */
	else if (ret)
		tell(&stats, ret);
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

int sbx_guest_tar_out(struct sbx_vm *vm, const char *guest_path, int (*sink)(const void *data, size_t len, void *user), void *user,
		      const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct stream s = { .sink = sink, .user = user };
	AUTOFREE struct guest_call *c = NULL;
	int r = guest_call_create(vm, opts, &c, err);

	if (r == 0)
		r = guest_call_path(guest_path, err);
	if (r < 0)
		return r;
	c->argv[0] = "tar-out";
	c->argv[1] = guest_path;
	c->sink = to_sink;
	c->user = &s;
	return guest_call_run(vm, c);
}

int sbx_guest_tar_in(struct sbx_vm *vm, const char *guest_dir, ssize_t (*source)(void *data, size_t size, void *user), void *user,
		     const struct sbx_guest_opts *opts, struct sbx_err *err)
{
	struct stream s = { .source = source, .user = user };
	AUTOFREE struct guest_call *c = NULL;
	int r = guest_call_create(vm, opts, &c, err);

	if (r == 0)
		r = guest_call_path(guest_dir, err);
	if (r < 0)
		return r;
	c->argv[0] = "tar-in";
	c->argv[1] = guest_dir;
	c->argv[2] = "/"; /* its own names */
	c->argv[3] = owner_arg(c);
	c->source = from_source;
	c->user = &s;
	return guest_call_run(vm, c);
}
