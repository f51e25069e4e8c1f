/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/control.c - questions to the host process about the VM itself (pause, rules, ports, counters, ...): each has a number, which the answer comes with. One
 * that nobody waits for is told of by a dispatch; the blocking calls are the same with a wait on top. How many may be open is bounded. */
#include "client/control.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)SBX_CONTROLS_MAX <= (int)LINK_OUT_FDS_MAX, "each may have a descriptor on its way");

enum { ANSWER_TIMEOUT_MS = 10000 };

/* A question that has no answer yet. */
struct control {
	struct sbx_vm *vm;
	uint32_t id;
	enum sbx_control_op op;
	struct control_place place; /* PUBLISH: the port that was taken */
	void (*done)(struct sbx_vm *vm, const struct sbx_control_result *result, void *user);
	void *user;
};

/* ---- The end of one ---- */

/* The user may do anything in done, which is therefore the last. */
static void control_end(struct control *control, struct sbx_control_result *result)
{
	const struct control c = *control;

	(void)idmap_del(&c.vm->controls, c.id);
	free(control);
	result->port = c.place.port;
	c.done(c.vm, result, c.user);
}

static void control_fail(struct control *c, int code, const char *message)
{
	struct sbx_control_result result = { .code = code };

	slice_copy(slice_of(message), result.message, sizeof(result.message));
	control_end(c, &result);
}

void control_lose_all(struct sbx_vm *vm)
{
	uint32_t cursor = 0;
	struct control *c;
	struct sbx_err err;

	err_set(&err, -ENOTCONN, "the VM ended meanwhile: %s", vm->end_err.message);
	while ((c = idmap_next(&vm->controls, &cursor)))
		control_fail(c, -ENOTCONN, err.message);
}

/* ---- Answers ---- */

static int on_done_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct sbx_control_result result = { 0 };
	struct control *c;
	struct msg_done m;

	if (msg_done_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	c = idmap_get(&vm->controls, m.seq);
	if (!c)
		return 0; /* the one who asked has given up */
	result.code = m.err ? -(int)(m.err & 0xfff) : 0;
	slice_copy(m.message, result.message, sizeof(result.message));
	control_end(c, &result);
	return 0;
}

static int on_stats_frame(struct sbx_vm *vm, const struct frame *f)
{
	struct sbx_control_result result = { 0 };
	struct control *c;
	struct msg_stats m;

	if (msg_stats_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	c = idmap_get(&vm->controls, m.seq);
	if (!c || c->op != SBX_CONTROL_STATS)
		return 0;
	result.stats = (struct sbx_stats){
		.uptime_ns = m.uptime_ns,
		.host_rss_bytes = m.host_rss_bytes,
		.guest_rss_bytes = m.guest_rss_bytes,
		.vsock_rx_bytes = m.vsock_rx_bytes,
		.vsock_tx_bytes = m.vsock_tx_bytes,
		.blk_reads = m.blk_reads,
		.blk_read_bytes = m.blk_read_bytes,
		.execs_started = m.execs_started,
		.execs_running = m.execs_running,
		.oom_kills = m.oom_kills,
		.device_breaks = m.device_breaks,
		.net_bytes_out = m.net_bytes_out,
		.net_bytes_in = m.net_bytes_in,
		.net_flows_admitted = m.net_flows_admitted,
		.net_flows_denied = m.net_flows_denied,
		.net_flows_open = m.net_flows_open,
		.net_log_left_out = m.net_log_left_out,
		.fs_requests = m.fs_requests,
		.fs_read_bytes = m.fs_read_bytes,
		.fs_written_bytes = m.fs_written_bytes,
		.fs_objects = m.fs_objects,
		.fs_open = m.fs_open,
	};
	control_end(c, &result);
	return 0;
}

int control_frame(struct sbx_vm *vm, const struct frame *f)
{
	return f->type == PROTO_STATS ? on_stats_frame(vm, f) : on_done_frame(vm, f);
}

/* ---- Questions ---- */

/* What a request needs beside its struct. */
struct prepared {
	struct control_place place;
	int fd; /* goes along; -1: none */
};

static int prepare(const struct sbx_control_request *q, struct prepared *ret, struct sbx_err *err)
{
	switch (q->op) {
	case SBX_CONTROL_SET_RULES:
		return rules_check_texts(q->rules, q->rule_count, err);
	case SBX_CONTROL_PUBLISH:
		return publish_listen(q->address, q->port, q->guest_port, q->transport == SBX_UDP, &ret->place, &ret->fd, err);
	case SBX_CONTROL_UNPUBLISH:
		ret->place.port = q->port;
		ret->place.udp = q->transport == SBX_UDP;
		return publish_address(q->address, &ret->place.address, err);
	default:
		return 0;
	}
}

static bool put_unpublish(struct buf *out, uint32_t id, const struct control_place *p)
{
	struct msg_unpublish m = { .seq = id, .port = p->port, .udp = p->udp, .address = { p->address.bytes, p->address.family == 4 ? 4 : 16 } };

	return msg_unpublish_put(out, 0, &m);
}

static bool put_request(struct buf *out, uint32_t id, const struct sbx_control_request *q, const struct prepared *p)
{
	switch (q->op) {
	case SBX_CONTROL_PAUSE:
		return msg_pause_put(out, 0, &(struct msg_pause){ .seq = id });
	case SBX_CONTROL_RESUME:
		return msg_resume_put(out, 0, &(struct msg_resume){ .seq = id });
	case SBX_CONTROL_SHUTDOWN:
		return msg_shutdown_put(out, 0, &(struct msg_shutdown){ .seq = id });
	case SBX_CONTROL_STATS:
		return msg_stats_get_put(out, 0, &(struct msg_stats_get){ .seq = id });
	case SBX_CONTROL_SET_RULES:
		return msg_rules_set_put(out, 0, &(struct msg_rules_set){ .seq = id, .rules = { .count = (uint32_t)q->rule_count, .array = q->rules } });
	case SBX_CONTROL_PUBLISH:
		return msg_publish_put(out, 0, &(struct msg_publish){ .seq = id, .guest_port = q->guest_port });
	case SBX_CONTROL_UNPUBLISH:
		return put_unpublish(out, id, &p->place);
	}
	return false;
}

/* Queues the frame, with its descriptor, which is taken over. */
static int queue_request(struct control *c, const struct sbx_control_request *q, struct prepared *p, struct sbx_err *err)
{
	struct link *link = &c->vm->link;
	size_t at = buf_len(link_out(link));

	if (p->fd >= 0 && link->out_fd_count == LINK_OUT_FDS_MAX)
		return err_set(err, -EAGAIN, "too many descriptors are queued for the host process; dispatch, then try again");
	if (!put_request(link_out(link), c->id, q, p))
		return err_set(err, -ENOMEM, "out of memory, or too much is queued for the host process; dispatch, then try again");
	if (p->fd >= 0)
		link_out_fd(link, at, take_fd(&p->fd));
	vm_send(c->vm);
	return 0;
}

static int start(struct sbx_vm *vm, const struct sbx_control_request *q, uint32_t *ret_id, struct sbx_err *err)
{
	struct prepared p = { .fd = -1 };
	AUTOFREE struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	r = prepare(q, &p, err);
	if (r < 0)
		return r;
	*c = (struct control){ .vm = vm, .op = q->op, .place = p.place, .done = q->done, .user = q->user };
	r = idmap_add(&vm->controls, c, &c->id);
	if (r < 0) {
		r = r == -ENFILE ? err_set(err, -EAGAIN, "%d requests to the host process are not answered, which is the limit; dispatch, then try again", SBX_CONTROLS_MAX) :
				   err_set(err, r, "out of memory");
	} else {
		uint32_t id = c->id;

		r = queue_request(c, q, &p, err);
		if (r == 0 && ret_id)
			*ret_id = id;
		if (r < 0)
			(void)idmap_del(&vm->controls, id);
		else
			c = NULL; /* the table has it */
	}
	close_fd(&p.fd);
	return r;
}

int sbx_control_submit(struct sbx_vm *vm, const struct sbx_control_request *request, uint32_t *ret_id, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (request->struct_size == 0 || request->struct_size > sizeof(q))
		return err_set(err, -EINVAL, "struct sbx_control_request of %zu bytes: begin with SBX_CONTROL_REQUEST_INIT, and use a library as new as its header (%zu)",
			       request->struct_size, sizeof(q));
	memcpy(&q, request, request->struct_size);
	if ((unsigned)q.op > SBX_CONTROL_UNPUBLISH || (unsigned)q.transport > SBX_UDP || !q.done)
		return err_set(err, -EINVAL, "the request has no such op or transport, or no done");
	if (vm->ended)
		return err_set(err, -ENOTCONN, "the VM has ended: %s", vm->end_err.message);
	return start(vm, &q, ret_id, err);
}

/* Nobody wants the port any more: the host process, which has it or will have it, is asked to close it. */
static void take_back(struct sbx_vm *vm, const struct control_place *p)
{
	if (!vm->ended && put_unpublish(link_out(&vm->link), 0, p))
		vm_send(vm);
}

int sbx_control_cancel(struct sbx_vm *vm, uint32_t id)
{
	struct control *c = idmap_get(&vm->controls, id);

	if (!c)
		return -ENOENT;
	if (c->op == SBX_CONTROL_PUBLISH)
		take_back(vm, &c->place);
	control_fail(c, -ECANCELED, "the request was cancelled");
	return 0;
}

/* ---- Waiting ---- */

struct waiter {
	bool come;
	struct sbx_control_result result;
};

static void on_waited(struct sbx_vm *vm, const struct sbx_control_result *result, void *user)
{
	struct waiter *w = user;

	(void)vm;
	w->come = true;
	w->result = *result;
}

/* Asks, and waits for the answer. */
static int ask(struct sbx_vm *vm, const struct sbx_control_request *request, uint32_t timeout_ms, struct sbx_control_result *ret, struct sbx_err *err)
{
	struct sbx_control_request q = *request;
	struct waiter w = { .come = false };
	int r = vm_refuse_reentry(vm, err);
	uint32_t id = 0;

	q.done = on_waited;
	q.user = &w;
	if (r == 0)
		r = sbx_control_submit(vm, &q, &id, err);
	if (r < 0)
		return r;
	r = vm_wait(vm, &w.come, clock_mono_ns() + timeout_ms * NS_PER_MS);
	if (r < 0) {
		(void)sbx_control_cancel(vm, id);
		return r == -ETIMEDOUT ? err_set(err, r, "the host process has not answered for %u ms", timeout_ms) :
					 err_set(err, r, "cannot ask the host process: %s", strerror(-r));
	}
	if (w.result.code < 0)
		return err_set(err, w.result.code, "%s", w.result.message);
	if (ret)
		*ret = w.result;
	return 0;
}

static int ask_op(struct sbx_vm *vm, enum sbx_control_op op, struct sbx_control_result *ret, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;

	q.op = op;
	return ask(vm, &q, ANSWER_TIMEOUT_MS, ret, err);
}

int sbx_vm_pause(struct sbx_vm *vm, struct sbx_err *err)
{
	return ask_op(vm, SBX_CONTROL_PAUSE, NULL, err);
}

int sbx_vm_resume(struct sbx_vm *vm, struct sbx_err *err)
{
	return ask_op(vm, SBX_CONTROL_RESUME, NULL, err);
}

int sbx_vm_stats(struct sbx_vm *vm, struct sbx_stats *ret, struct sbx_err *err)
{
	struct sbx_control_result result;
	int r = ask_op(vm, SBX_CONTROL_STATS, &result, err);

	if (r == 0)
		*ret = result.stats;
	return r;
}

int sbx_vm_set_rules(struct sbx_vm *vm, const char *const *rules, size_t count, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;

	q.op = SBX_CONTROL_SET_RULES;
	q.rules = rules;
	q.rule_count = count;
	return ask(vm, &q, ANSWER_TIMEOUT_MS, NULL, err);
}

static int publish(struct sbx_vm *vm, enum sbx_transport transport, const char *address, uint16_t port, uint16_t guest_port, uint16_t *ret_port, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;
	struct sbx_control_result result;
	int r;

	q.op = SBX_CONTROL_PUBLISH;
	q.transport = transport;
	q.address = address;
	q.port = port;
	q.guest_port = guest_port;
	r = ask(vm, &q, ANSWER_TIMEOUT_MS, &result, err);
	if (r == 0 && ret_port)
		*ret_port = result.port;
	return r;
}

static int unpublish(struct sbx_vm *vm, enum sbx_transport transport, const char *address, uint16_t port, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;

	q.op = SBX_CONTROL_UNPUBLISH;
	q.transport = transport;
	q.address = address;
	q.port = port;
	return ask(vm, &q, ANSWER_TIMEOUT_MS, NULL, err);
}

int sbx_vm_publish(struct sbx_vm *vm, const char *address, uint16_t port, uint16_t guest_port, uint16_t *ret_port, struct sbx_err *err)
{
	return publish(vm, SBX_TCP, address, port, guest_port, ret_port, err);
}

int sbx_vm_unpublish(struct sbx_vm *vm, const char *address, uint16_t port, struct sbx_err *err)
{
	return unpublish(vm, SBX_TCP, address, port, err);
}

int sbx_vm_publish_udp(struct sbx_vm *vm, const char *address, uint16_t port, uint16_t guest_port, uint16_t *ret_port, struct sbx_err *err)
{
	return publish(vm, SBX_UDP, address, port, guest_port, ret_port, err);
}

int sbx_vm_unpublish_udp(struct sbx_vm *vm, const char *address, uint16_t port, struct sbx_err *err)
{
	return unpublish(vm, SBX_UDP, address, port, err);
}

int sbx_vm_stop(struct sbx_vm *vm, uint32_t timeout_ms, struct sbx_err *err)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;
	uint64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
	int r;

	q.op = SBX_CONTROL_SHUTDOWN;
	r = ask(vm, &q, timeout_ms, NULL, err);
	if (r == 0)
		r = vm_wait(vm, &vm->ended, deadline);
	if (vm->ended && vm->end_reason == SBX_END_STOPPED)
		return 0;
	if (r == -ETIMEDOUT)
		return err_set(err, r, "the guest did not power off within %u ms", timeout_ms);
	return r < 0 ? r : vm_ended_error(vm, err);
}
