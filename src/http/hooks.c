/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/hooks.c - see hooks.h. Headers that are only set come last, so that no other hook sees their values: they are what the guest and the embedder's
 * callbacks need not know.
 *
 * Hooks answer from inside as often as later; the way past them is a loop and no recursion, so that many hooks need no stack. */
#include "http/hooks.h"

#include "base/cleanup.h"
#include "http/secret.h"

#include <errno.h>
#include <string.h>

void http_hooks_init(struct http_hooks *h)
{
	list_init(&h->all);
	h->count = h->secrets = 0;
}

static struct http_hook *hook_of(struct list *node)
{
	return CONTAINER_OF(node, struct http_hook, node);
}

static void hook_free(struct http_hook *k)
{
	list_del(&k->node);
	free(k->name);
	if (k->value)
		explicit_bzero(k->value, strlen(k->value));
	free(k->value);
	free(k);
}

void http_hooks_done(struct http_hooks *h)
{
	LIST_EACH (node, &h->all)
		hook_free(hook_of(node));
}

/* Before the first that only sets a header, or at the end. */
static void enter(struct http_hooks *h, struct http_hook *k)
{
	struct list *before = &h->all;

	if (k->ops)
		for (before = h->all.next; before != &h->all && hook_of(before)->ops; before = before->next)
			;
	list_add_tail(before, &k->node);
	h->count++;
}

int http_hooks_add(struct http_hooks *h, const struct http_origin *o, const struct http_hook_ops *ops, void *user, struct http_hook **ret)
{
	struct http_hook *k;

	if (h->count >= HTTP_HOOKS_MAX)
		return -ENFILE;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->origin = *o;
	k->ops = ops;
	k->user = user;
	list_init(&k->runs);
	enter(h, k);
	*ret = k;
	return 0;
}

static int add_texts(struct http_hooks *h, const struct http_origin *o, const char *name, const char *value, bool secret)
{
	struct http_hook *k;
	int r = http_hooks_add(h, o, NULL, NULL, &k);

	if (r < 0)
		return r;
	k->secret = secret;
	k->name = strdup(name);
	k->value = strdup(value);
	h->secrets += secret;
	if (k->name && k->value)
		return 0;
	h->secrets -= secret;
	h->count--;
	hook_free(k);
	return -ENOMEM;
}

int http_hooks_add_header(struct http_hooks *h, const struct http_origin *o, const char *name, const char *value)
{
	return add_texts(h, o, name, value, false);
}

int http_hooks_add_secret(struct http_hooks *h, const struct http_origin *o, const char *placeholder, const char *value)
{
	return add_texts(h, o, placeholder, value, true);
}

void http_hooks_remove(struct http_hooks *h, struct http_hook *k)
{
	struct list runs;

	/* Those who wait go on, which may do anything but find this hook again. */
	list_init(&runs);
	while (!list_empty(&k->runs)) {
		struct list *node = k->runs.next;
		struct http_run *run = CONTAINER_OF(node, struct http_run, node);

		k->ops->cancel(k->user, run);
		run->waiting = false;
		run->at = k->node.prev == &h->all ? NULL : hook_of(k->node.prev);
		list_del(node);
		list_add_tail(&runs, node);
	}
	h->count--;
	hook_free(k);
	while (!list_empty(&runs))
		http_run_continue(CONTAINER_OF(runs.next, struct http_run, node));
}

bool http_hooks_port(const struct http_hooks *h, bool tls, uint16_t port)
{
	LIST_EACH (node, &h->all) {
		const struct http_hook *k = hook_of(node);

		if (k->origin.tls == tls && k->origin.port == port)
			return true;
	}
	return false;
}

bool http_hooks_match(const struct http_hooks *h, const struct http_origin *o)
{
	LIST_EACH (node, &h->all) {
		if (http_origin_equal(&hook_of(node)->origin, o))
			return true;
	}
	return false;
}

bool http_hooks_look(const struct http_hooks *h, const struct http_origin *o)
{
	return h->secrets > 0 || http_hooks_match(h, o);
}

/* ---- Runs ---- */

static void run_done(struct http_run *run, const struct http_verdict *v)
{
	run->at = NULL;
	run->all = NULL;
	run->done(run, v);
}

/* The next hook for the request behind run->at. */
static struct http_hook *next_hook(const struct http_run *run)
{
	struct list *node = run->at ? run->at->node.next : run->all->all.next;

	while (node != &run->all->all && !http_origin_equal(&hook_of(node)->origin, run->request.origin))
		node = node->next;
	return node == &run->all->all ? NULL : hook_of(node);
}

static const struct http_verdict no_room = { .kind = HTTP_REFUSE,
					     .status = 502,
					     .why = "a hook's header does not fit",
					     .text = "the request's head is too large with what a hook adds" };

/* The request's origin gets the secret with that placeholder. */
static bool has_secret(const struct http_run *run, const char *placeholder)
{
	LIST_EACH (node, &run->all->all) {
		const struct http_hook *k = hook_of(node);

		if (k->secret && strcmp(k->name, placeholder) == 0 && http_origin_equal(&k->origin, run->request.origin))
			return true;
	}
	return false;
}

static const struct http_verdict stray = { .kind = HTTP_REFUSE,
					   .status = 403,
					   .why = "a secret's placeholder is not for this origin",
					   .text = "outbound denied" };

/* A header has the placeholder of a secret that is for another origin. */
static bool has_stray(const struct http_run *run)
{
	if (run->all->secrets == 0)
		return false;
	LIST_EACH (node, &run->all->all) {
		const struct http_hook *k = hook_of(node);

		if (k->secret && !has_secret(run, k->name) && http_secret_in(&run->request.fields, h1_text_of(k->name)))
			return true;
	}
	return false;
}

/* Sets a header, or fills a secret in. */
static bool apply_text(struct http_run *run, const struct http_hook *k)
{
	struct http_fields *f = &run->request.fields;
	int r;

	if (k->secret) {
		r = http_secret_fill(f, h1_text_of(k->name), h1_text_of(k->value));
		run->changed |= r > 0;
		return r >= 0;
	}
	r = http_fields_set(f, h1_text_of(k->name), h1_text_of(k->value));
	http_fields_hide(f, h1_text_of(k->name));
	run->changed |= r == 0;
	return r == 0;
}

static void run_on(struct http_run *run)
{
	if (run->running)
		return; /* the loop below goes on */
	run->running = true;
	while (run->all && !run->waiting) {
		struct http_hook *k = next_hook(run);

		run->at = k;
		if (!k) {
			run->running = false;
			run_done(run, &(struct http_verdict){ .kind = HTTP_FORWARD });
			return;
		}
		run->hooks++;
		if (k->ops) {
			run->waiting = true;
			list_add_tail(&k->runs, &run->node);
			k->ops->ask(k->user, run);
		} else if (!apply_text(run, k)) {
			run->running = false;
			run_done(run, &no_room);
			return;
		}
	}
	run->running = false;
}

void http_run_continue(struct http_run *run)
{
	run->waiting = false;
	list_del(&run->node);
	run_on(run);
}

void http_run_end(struct http_run *run, const struct http_verdict *v)
{
	run->waiting = false;
	list_del(&run->node);
	run_done(run, v);
}

void http_run_cancel(struct http_run *run)
{
	if (!run->all)
		return;
	list_del(&run->node);
	if (run->waiting)
		run->at->ops->cancel(run->at->user, run);
	run->waiting = false;
	run->all = NULL;
	run->at = NULL;
}

void http_run_start(struct http_hooks *h, struct http_run *run)
{
	run->changed = false;
	run->hooks = 0;
	run->all = h;
	run->at = NULL;
	run->waiting = run->running = false;
	list_init(&run->node);
	if (has_stray(run))
		run_done(run, &stray);
	else
		run_on(run);
}

int http_run_start_h1(struct http_hooks *h, struct http_run *run, const struct h1_head *head)
{
	int r = 0;

	http_fields_init(&run->request.fields);
	for (unsigned i = 0; i < head->field_count && r == 0; i++)
		r = http_fields_append(&run->request.fields, head->field[i].name, head->field[i].value);
	if (r == 0)
		http_run_start(h, run);
	return r;
}
