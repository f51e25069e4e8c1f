/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/httpcalls.c - between the hooks and the client. A request waits here until the client can take it: at most PROTO_HTTP_CALLS_MAX are there unanswered, and
 * none is sent while the socket is congested. How many wait is bounded by the connections of the proxy.
 *
 * Trusts the client with nothing but its own VM: an answer to no call (late, cancelled, made up) is ignored; a header that hooks may not write makes the request
 * fail with a 502, whether or not libsbx has let it pass. A call has a time, from its beginning here; then the request is refused. */
#include "host/httpcalls.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)HTTP_ANSWER_BYTES_MAX == (int)PROTO_HTTP_BODY_MAX && (int)HTTP_HOOKS_MAX >= (int)PROTO_HOOKS_MAX, "limits agree");

struct httpcall {
	struct list node; /* waiting */
	struct httpport *port;
	struct http_run *run;
	uint32_t id; /* 0: not sent */
	struct loop_timer timer;
};

static void calls_task(struct loop_task *t);

/* Takes a call out of everything here, and frees it. */
static struct http_run *call_end(struct httpcall *c)
{
	struct httpcalls *all = c->port->all;
	struct http_run *run = c->run;

	list_del(&c->node);
	loop_timer_del(all->ctl->loop, &c->timer);
	if (c->id != 0)
		(void)idmap_del(&all->out, c->id);
	free(c);
	if (!list_empty(&all->waiting))
		loop_task_add(all->ctl->loop, &all->task, calls_task);
	return run;
}

static void refuse(struct http_run *run, unsigned status, const char *why, const char *text)
{
	http_run_end(run, &(struct http_verdict){ .kind = HTTP_REFUSE, .status = status, .why = why, .text = text });
}

static void tell_cancelled(struct httpcalls *all, uint32_t id)
{
	if (id == 0)
		return;
	(void)msg_http_cancel_put(ctl_out(all->ctl), id, &(struct msg_http_cancel){ 0 }); /* without memory: its answer will find nobody */
	ctl_send(all->ctl);
}

static void call_timeout(struct loop_timer *t)
{
	struct httpcall *c = CONTAINER_OF(t, struct httpcall, timer);

	tell_cancelled(c->port->all, c->id);
	refuse(call_end(c), 502, "a hook did not answer in time", "a hook did not answer in time");
}

/* ---- To the client ---- */

/* C strings of all fields, name and value in turn, behind their pointers; NULL: no memory. */
static const char **fields_strings(const struct http_fields *f)
{
	size_t len = 0, count = 2 * (size_t)f->count;
	const char **s;
	char *p;

	for (unsigned i = 0; i < f->count; i++)
		len += (size_t)f->at[i].name_len + f->at[i].value_len + 2;
	s = malloc(count * sizeof(*s) + len + 1);
	if (!s)
		return NULL;
	p = (char *)(s + count);
	for (unsigned i = 0; i < f->count; i++) {
		struct h1_field v = http_fields_get(f, i);

		s[2 * (size_t)i] = p;
		p = mempcpy(p, v.name.p, v.name.len);
		*p++ = '\0';
		s[2 * (size_t)i + 1] = p;
		p = mempcpy(p, v.value.p, v.value.len);
		*p++ = '\0';
	}
	return s;
}

static struct slice slice_text(struct h1_text t)
{
	return (struct slice){ (const uint8_t *)t.p, t.len };
}

static bool call_put(struct buf *out, const struct httpcall *c)
{
	const struct http_request *q = &c->run->request;
	AUTOFREE const char **fields = fields_strings(&q->fields);
	char origin[HTTP_ORIGIN_TEXT_MAX], original[IP_TEXT_MAX], up[IP_TEXT_MAX];
	struct msg_http_call m = {
		.hook = c->port->number,
		.flags = (q->http2 ? PROTO_HTTPF_H2 : 0U) | (q->tls ? PROTO_HTTPF_TLS : 0U),
		.original_port = q->original_port,
		.upstream_port = q->upstream_port,
		.original = { (const uint8_t *)original, 0 },
		.sni = slice_of(q->sni),
		.alpn = slice_of(q->alpn),
		.method = slice_text(q->method),
		.path = slice_text(q->path),
		.fields = { .count = 2 * q->fields.count, .array = fields },
	};

	ip_format(&q->original, original);
	ip_format(&q->upstream, up);
	http_origin_format(q->origin, origin);
	m.original = slice_of(original);
	m.upstream = slice_of(up);
	m.origin = slice_of(origin);
	return fields && msg_http_call_put(out, c->id, &m);
}

static int call_send(struct httpcall *c)
{
	struct httpcalls *all = c->port->all;
	int r = idmap_add(&all->out, c, &c->id);

	if (r < 0)
		return r;
	if (call_put(ctl_out(all->ctl), c))
		return 0;
	(void)idmap_del(&all->out, c->id);
	c->id = 0;
	return -ENOMEM;
}

static void calls_pump(struct httpcalls *all)
{
	while (!list_empty(&all->waiting) && all->out.count < PROTO_HTTP_CALLS_MAX && !ctl_congested(all->ctl)) {
		struct httpcall *c = CONTAINER_OF(all->waiting.next, struct httpcall, node);

		list_del(&c->node);
		ctl_send(all->ctl);
		if (call_send(c) < 0) {
			refuse(call_end(c), 502, "out of memory", "the host has no memory"); /* others have their turn by the task */
			return;
		}
	}
}

static void calls_task(struct loop_task *t)
{
	calls_pump(CONTAINER_OF(t, struct httpcalls, task));
}

void httpcalls_resume(struct httpcalls *c)
{
	if (c->ctl)
		calls_pump(c);
}

/* From a task, so that a request that cannot be sent does not end from inside of being asked. */
static void on_ask(void *user, struct http_run *run)
{
	struct httpport *p = user;
	struct loop *loop = p->all->ctl->loop;
	struct httpcall *c = calloc(1, sizeof(*c));

	run->user = c;
	if (!c || (p->timeout_ns && loop_timer_set(loop, &c->timer, loop_now_ns(loop) + p->timeout_ns, call_timeout) < 0)) {
		free(c);
		refuse(run, 502, "out of memory", "the host has no memory");
		return;
	}
	c->port = p;
	c->run = run;
	list_add_tail(&p->all->waiting, &c->node);
	loop_task_add(loop, &p->all->task, calls_task);
}

static void on_cancel(void *user, struct http_run *run)
{
	struct httpcall *c = run->user;

	(void)user;
	tell_cancelled(c->port->all, c->id);
	(void)call_end(c);
}

const struct http_hook_ops httpcalls_ops = { .ask = on_ask, .cancel = on_cancel };

/* ---- From the client ---- */

static struct h1_text text_of(struct slice s)
{
	return (struct h1_text){ (const char *)s.p, s.len };
}

static bool edits_make_sense(struct slices edits)
{
	struct slice s;

	if (edits.count % 3 != 0)
		return false;
	for (uint32_t i = 0; slices_next(&edits, &s); i++)
		if (i % 3 == 0 && !slice_is(s, "=") && !slice_is(s, "+") && !slice_is(s, "-"))
			return false;
	return true;
}

/* One edit. NULL, or what is wrong with it. */
static const char *edit(struct http_fields *f, struct slice op, struct h1_text name, struct h1_text value)
{
	int r = 0;

	if (http_field_problem(name, value))
		return "a hook changed what it must not";
	if (slice_is(op, "="))
		r = http_fields_set(f, name, value);
	else if (slice_is(op, "+"))
		r = http_fields_append(f, name, value);
	else
		(void)http_fields_delete(f, name);
	return r < 0 ? "the request's head is too large with what a hook adds" : NULL;
}

static int frame_forward(struct httpcall *c, const struct frame *f)
{
	struct slice op, name, value;
	struct msg_http_forward m;
	struct http_run *run = c->run;
	const char *wrong = NULL;

	if (msg_http_forward_decode(f->body, f->len, &m) < 0 || !edits_make_sense(m.edits))
		return -EPROTO;
	run->changed |= m.edits.count > 0;
	while (!wrong && slices_next(&m.edits, &op) && slices_next(&m.edits, &name) && slices_next(&m.edits, &value))
		wrong = edit(&run->request.fields, op, text_of(name), text_of(value));
	(void)call_end(c);
	if (wrong)
		refuse(run, 502, wrong, wrong);
	else
		http_run_continue(run);
	return 0;
}

static int frame_answer(struct httpcall *c, const struct frame *f)
{
	AUTOFREE struct http_fields *fields = NULL;
	struct slice name, value;
	struct msg_http_answer m;
	struct http_run *run = c->run;
	bool good;

	if (msg_http_answer_decode(f->body, f->len, &m) < 0 || m.fields.count % 2 != 0 || m.status < 200 || m.status > 599 || m.body.len > PROTO_HTTP_BODY_MAX)
		return -EPROTO;
	fields = malloc(sizeof(*fields));
	good = fields;
	if (fields)
		http_fields_init(fields);
	while (good && slices_next(&m.fields, &name) && slices_next(&m.fields, &value))
		good = !http_field_problem(text_of(name), text_of(value)) && http_fields_append(fields, text_of(name), text_of(value)) == 0;
	(void)call_end(c);
	if (good)
		http_run_end(run, &(struct http_verdict){ .kind = HTTP_ANSWER, .status = m.status, .fields = fields, .body = m.body.p, .len = m.body.len });
	else
		refuse(run, 502, "a hook answered what it must not", "a hook answered what it must not");
	if (fields)
		http_fields_done(fields);
	return 0;
}

static int frame_refuse(struct httpcall *c, const struct frame *f)
{
	struct msg_http_refuse m;
	char text[256];

	if (msg_http_refuse_decode(f->body, f->len, &m) < 0 || m.status < 400 || m.status > 599)
		return -EPROTO;
	slice_copy(m.text, text, sizeof(text));
	refuse(call_end(c), m.status, "a hook refused it", text);
	return 0;
}

static int frame_unhook(struct httpcalls *all, struct http_hooks *hooks, const struct frame *f)
{
	struct msg_http_unhook m;

	if (msg_http_unhook_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	LIST_EACH (node, &all->ports) {
		struct httpport *p = CONTAINER_OF(node, struct httpport, node);

		if (p->number != m.number)
			continue;
		http_hooks_remove(hooks, p->hook);
		list_del(&p->node);
		free(p);
	}
	return 0;
}

int httpcalls_frame(struct httpcalls *all, struct http_hooks *hooks, const struct frame *f)
{
	struct httpcall *c;

	if (!all->ctl)
		return -EPROTO;
	if (f->type == PROTO_HTTP_UNHOOK)
		return frame_unhook(all, hooks, f);
	c = idmap_get(&all->out, f->chan);
	if (!c)
		return 0;
	switch (f->type) {
	case PROTO_HTTP_FORWARD: return frame_forward(c, f);
	case PROTO_HTTP_ANSWER: return frame_answer(c, f);
	case PROTO_HTTP_REFUSE: return frame_refuse(c, f);
	default: return -EPROTO;
	}
}

/* ---- Life ---- */

void httpcalls_init(struct httpcalls *c, struct ctl *ctl)
{
	*c = (struct httpcalls){ .ctl = ctl };
	idmap_init(&c->out, PROTO_HTTP_CALLS_MAX);
	list_init(&c->ports);
	list_init(&c->waiting);
}

int httpcalls_add(struct httpcalls *c, struct http_hooks *hooks, const struct http_origin *o, uint32_t number, uint32_t timeout_ms)
{
	struct httpport *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	*p = (struct httpport){ .all = c, .number = number, .timeout_ns = timeout_ms * NS_PER_MS };
	r = http_hooks_add(hooks, o, &httpcalls_ops, p, &p->hook);
	if (r < 0) {
		free(p);
		return r;
	}
	list_add_tail(&c->ports, &p->node);
	return 0;
}

void httpcalls_done(struct httpcalls *c)
{
	if (!c->ctl)
		return;
	loop_task_del(c->ctl->loop, &c->task);
	LIST_EACH (node, &c->ports)
		free(CONTAINER_OF(node, struct httpport, node));
	idmap_done(&c->out);
	c->ctl = NULL;
}
