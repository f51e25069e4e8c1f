/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_request.c - calls into the guest's own tree as requests: one that somebody waits for, and one whose end is told by a dispatch. The second is
 * known by a number until it has ended; there are as many at most as programs of a VM. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/guest_call.h"

#include <errno.h>
#include <string.h>

/* A request that nobody waits for. */
struct pending {
	struct guest_call *call;
	uint32_t id;
	struct sbx_err err;
	void (*done)(struct sbx_vm *vm, const struct sbx_guest_result *result, void *user);
	void *user;
};

static int request_prepare(struct guest_call *c, const struct sbx_guest_request *q)
{
	int r = guest_call_path(q->path, c->err);

	if (r < 0)
		return r;
	if (q->op == SBX_GUEST_COPY_IN || q->op == SBX_GUEST_COPY_OUT)
		return q->path2 ? guest_copy_prepare(c, q) : err_set(c->err, -EINVAL, "the host's path is missing");
	return guest_files_prepare(c, q);
}

int guest_request_run(struct sbx_vm *vm, const struct sbx_guest_request *q, struct sbx_guest_result *ret, struct sbx_err *err)
{
	struct sbx_err own;
	struct guest_call *c = NULL;
	int r = vm_refuse_reentry(vm, err);

	*ret = (struct sbx_guest_result){ 0 };
	if (r == 0)
		r = guest_call_create(vm, q->opts, &c, err ? err : &own);
	if (r == 0)
		r = request_prepare(c, q);
	if (r == 0)
		r = guest_call_run(c);
	if (r == 0 && c->finish)
		r = c->finish(c, ret);
	guest_call_free(c);
	return r;
}

/* ---- Requests that nobody waits for ---- */

/* The user may do anything in done: nothing of @p is touched afterwards. */
static void pending_done(struct pending *p, int r)
{
	struct sbx_guest_result result = { 0 };
	struct sbx_vm *vm = p->call->vm;

	if (r == 0 && p->call->finish)
		r = p->call->finish(p->call, &result);
	guest_call_free(p->call);
	result.code = r;
	if (r < 0)
		(void)memccpy(result.message, p->err.message, 0, sizeof(result.message) - 1);
	(void)idmap_del(&vm->guest_requests, p->id);
	p->done(vm, &result, p->user);
	sbx_guest_result_done(&result);
	free(p);
}

static void on_ended(struct guest_call *c, int r)
{
	pending_done(CONTAINER_OF(c->err, struct pending, err), r);
}

static int pending_start(struct sbx_vm *vm, const struct sbx_guest_request *q, struct pending *p)
{
	int r = guest_call_create(vm, q->opts, &p->call, &p->err);

	if (r < 0)
		return r;
	p->call->ended = on_ended;
	r = request_prepare(p->call, q);
	if (r < 0)
		return r;
	r = idmap_add(&vm->guest_requests, p, &p->id);
	if (r < 0)
		return err_set(&p->err, r == -ENFILE ? -EAGAIN : r, r == -ENFILE ? "too many requests are under way; wait for one to end" : "out of memory");
	r = guest_call_start(p->call);
	if (r < 0)
		(void)idmap_del(&vm->guest_requests, p->id);
	return r;
}

int sbx_guest_submit(struct sbx_vm *vm, const struct sbx_guest_request *request, uint32_t *ret_id, struct sbx_err *err)
{
	struct sbx_guest_request q = SBX_GUEST_REQUEST_INIT;
	struct pending *p;
	int r;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (request->struct_size == 0 || request->struct_size > sizeof(q))
		return err_set(err, -EINVAL, "struct sbx_guest_request of %zu bytes: begin with SBX_GUEST_REQUEST_INIT, and use a library as new as its header (%zu)",
			       request->struct_size, sizeof(q));
	memcpy(&q, request, request->struct_size);
	if ((unsigned)q.op > SBX_GUEST_COPY_OUT || !q.done || (q.data_len > 0 && !q.data))
		return err_set(err, -EINVAL, "the request has no such op, no done, or no data");
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->done = q.done;
	p->user = q.user;
	r = pending_start(vm, &q, p);
	if (r < 0) {
		guest_call_free(p->call);
		if (err)
			*err = p->err;
		free(p);
		return r;
	}
	if (ret_id)
		*ret_id = p->id;
	return 0;
}

int sbx_guest_cancel(struct sbx_vm *vm, uint32_t id)
{
	struct pending *p = idmap_get(&vm->guest_requests, id);

	if (!p)
		return -ENOENT;
	pending_done(p, err_set(&p->err, -ECANCELED, "the request was cancelled"));
	return 0;
}

void sbx_guest_result_done(struct sbx_guest_result *r)
{
	free(r->data);
	r->data = NULL;
	sbx_guest_list_done(&r->list);
}
