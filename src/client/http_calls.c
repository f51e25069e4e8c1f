/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/http_calls.c - hooks of the embedding program: HTTP_CALL frames in, its callbacks called, and what they decide out.
 *
 * A handle is one object on the heap. It is in the table, under the slot of the channel that the host process chose, as long as an answer is wanted; after that
 * (answered, cancelled, the VM ended) handle->vm is NULL and every answer is -EALREADY. It is freed when the callback returns, or, if it was kept, by
 * sbx_http_call_free(). Changes are kept in the handle and go with the answer. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/replies.h"
#include "http/fields.h"
#include "http/origin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { EDITS_MAX = 512,
       EDIT_BYTES_MAX = HTTP_FIELDS_BYTES_MAX };

struct hook {
	void (*on_request)(struct sbx_http_call *call, const struct sbx_http_request *request, void *user);
	void (*on_cancel)(struct sbx_http_call *call, void *user);
	void *user;
	bool removed;
};

struct http_calls {
	struct list replies;                           /* that wait for room in the link */
	struct sbx_http_call *out[PROTO_HTTP_CALLS_MAX]; /* by the low half of the channel, less 1 */
	size_t hook_count;
	struct hook hook[];
};

struct sbx_http_call {
	struct sbx_vm *vm; /* NULL: no answer is wanted any more */
	const struct hook *hook;
	uint32_t chan;
	bool in_callback, kept;
	void *user;
	unsigned edit_count; /* operation, name and value, each with its NUL */
	struct buf edits;
};

/* ---- Handles ---- */

static struct sbx_vm *call_close(struct sbx_http_call *c)
{
	struct sbx_vm *vm = c->vm;

	vm->http->out[(c->chan & 0xffff) - 1] = NULL;
	c->vm = NULL;
	return vm;
}

static void call_free(struct sbx_http_call *c)
{
	if (buf_len(&c->edits) > 0)
		explicit_bzero(buf_data(&c->edits), buf_len(&c->edits));
	buf_done(&c->edits);
	free(c);
}

void sbx_http_call_keep(struct sbx_http_call *c)
{
	c->kept = true;
}

void sbx_http_call_free(struct sbx_http_call *c)
{
	if (!c)
		return;
	c->kept = false;
	if (c->in_callback)
		return;
	if (c->vm)
		(void)sbx_http_refuse(c, 502, "a hook gave up");
	call_free(c);
}

void sbx_http_call_set_user(struct sbx_http_call *c, void *user)
{
	c->user = user;
}

void *sbx_http_call_user(const struct sbx_http_call *c)
{
	return c->user;
}

/* ---- Answers ---- */

/* What an encoder gets. */
struct decision {
	const char *const *strings;
	uint32_t string_count;
	unsigned status;
	const char *text;
	const void *body;
	size_t len;
};

static bool put_forward(struct buf *out, uint32_t chan, const struct decision *d)
{
	return msg_http_forward_put(out, chan, &(struct msg_http_forward){ .edits = { .count = d->string_count, .array = d->strings } });
}

static bool put_answer(struct buf *out, uint32_t chan, const struct decision *d)
{
	struct msg_http_answer m = {
		.status = d->status, .fields = { .count = d->string_count, .array = d->strings }, .body = { .p = d->body, .len = d->len }
	};

	return msg_http_answer_put(out, chan, &m);
}

static bool put_refuse(struct buf *out, uint32_t chan, const struct decision *d)
{
	return msg_http_refuse_put(out, chan, &(struct msg_http_refuse){ .status = d->status, .text = slice_of(d->text) });
}

static void send_decision(struct sbx_vm *vm, uint32_t chan, bool (*put)(struct buf *out, uint32_t chan, const struct decision *d), size_t bytes,
			  const struct decision *d)
{
	static const struct decision failed = { .status = 502, .text = "a hook's program has no memory" };
	struct reply *waiting;
	struct buf *out = reply_place(vm, &vm->http->replies, chan, bytes, &waiting);

	if (!out || !put(out, chan, d)) {
		if (waiting)
			reply_free(waiting);
		(void)put_refuse(link_out(&vm->link), chan, &failed);
	}
	if (!vm->dispatching) /* else at the end of the dispatch, with what else there is */
		vm_send(vm);
}

static size_t strings_bytes(const struct decision *d)
{
	size_t bytes = PROTO_HEADER_BYTES + 32 + d->len + (d->text ? strlen(d->text) : 0);

	for (uint32_t i = 0; i < d->string_count; i++)
		bytes += 4 + strlen(d->strings[i]);
	return bytes;
}

int sbx_http_forward(struct sbx_http_call *c)
{
	const char *p = (const char *)buf_data(&c->edits);
	struct decision d = { .string_count = 3 * c->edit_count };
	AUTOFREE const char **strings = NULL;
	uint32_t chan = c->chan;
	struct sbx_vm *vm;

	if (!c->vm)
		return -EALREADY;
	strings = calloc(d.string_count + 1, sizeof(*strings));
	if (!strings)
		return sbx_http_refuse(c, 502, "a hook's program has no memory");
	for (uint32_t i = 0; i < d.string_count; i++, p += strlen(p) + 1)
		strings[i] = p;
	d.strings = strings;
	vm = call_close(c);
	send_decision(vm, chan, put_forward, strings_bytes(&d), &d);
	return 0;
}

int sbx_http_refuse(struct sbx_http_call *c, unsigned status, const char *text)
{
	struct decision d = { .status = status, .text = text };
	uint32_t chan = c->chan;
	struct sbx_vm *vm;

	if (!c->vm)
		return -EALREADY;
	if (status < 400 || status > 599 || !text)
		return -EINVAL;
	vm = call_close(c);
	send_decision(vm, chan, put_refuse, strings_bytes(&d), &d);
	return 0;
}

static int check_field(const char *name, const char *value, struct sbx_err *err)
{
	const char *problem = http_field_problem((struct h1_text){ name, strlen(name) }, (struct h1_text){ value, strlen(value) });

	return problem ? err_set(err, -EINVAL, "header '%.64s': %s", name, problem) : 0;
}

int sbx_http_answer(struct sbx_http_call *c, unsigned status, const struct sbx_http_header *headers, size_t count, const void *body, size_t len, struct sbx_err *err)
{
	struct decision d = { .status = status, .string_count = (uint32_t)(2 * count), .body = body, .len = len };
	AUTOFREE const char **strings = NULL;
	uint32_t chan = c->chan;
	struct sbx_vm *vm;
	int r = 0;

	if (!c->vm)
		return -EALREADY;
	if (status < 200 || status > 599)
		return err_set(err, -EINVAL, "status %u: must be from 200 to 599", status);
	if (len > SBX_HTTP_BODY_MAX)
		return err_set(err, -EINVAL, "a body of %zu bytes; at most %d fit", len, SBX_HTTP_BODY_MAX);
	if (count > H1_HEADERS_MAX)
		return err_set(err, -EINVAL, "%zu headers; at most %d", count, H1_HEADERS_MAX);
	strings = calloc(2 * count + 1, sizeof(*strings));
	if (!strings)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++) {
		strings[2 * i] = headers[i].name;
		strings[2 * i + 1] = headers[i].value;
		r = check_field(headers[i].name, headers[i].value, err);
	}
	if (r < 0)
		return r;
	d.strings = strings;
	if (strings_bytes(&d) > PROTO_BODY_MAX)
		return err_set(err, -EINVAL, "headers and body have %zu bytes; at most %d fit", strings_bytes(&d), PROTO_BODY_MAX);
	vm = call_close(c);
	send_decision(vm, chan, put_answer, strings_bytes(&d), &d);
	return 0;
}

static int add_edit(struct sbx_http_call *c, const char *op, const char *name, const char *value, struct sbx_err *err)
{
	size_t bytes = strlen(op) + strlen(name) + strlen(value) + 3;
	int r;

	if (!c->vm)
		return -EALREADY;
	r = check_field(name, value, err);
	if (r < 0)
		return r;
	if (c->edit_count == EDITS_MAX || bytes > buf_room(&c->edits))
		return err_set(err, -EINVAL, "header '%.64s': the changes of this request are more than %d, or more than %d bytes", name, EDITS_MAX, EDIT_BYTES_MAX);
	if (!buf_reserve(&c->edits, bytes))
		return err_set(err, -ENOMEM, "out of memory");
	(void)buf_put(&c->edits, op, strlen(op) + 1);
	(void)buf_put(&c->edits, name, strlen(name) + 1);
	(void)buf_put(&c->edits, value, strlen(value) + 1);
	c->edit_count++;
	return 0;
}

int sbx_http_set_header(struct sbx_http_call *c, const char *name, const char *value, struct sbx_err *err)
{
	return add_edit(c, "=", name, value, err);
}

int sbx_http_append_header(struct sbx_http_call *c, const char *name, const char *value, struct sbx_err *err)
{
	return add_edit(c, "+", name, value, err);
}

int sbx_http_delete_header(struct sbx_http_call *c, const char *name, struct sbx_err *err)
{
	return add_edit(c, "-", name, "", err);
}

bool http_calls_pump(struct sbx_vm *vm)
{
	return vm->http && replies_pump(vm, &vm->http->replies);
}

/* ---- Calls ---- */

/* C strings of what a call has, one behind the other in one piece of memory. */
struct strings {
	char *p, *mem;
};

static const char *string_of(struct strings *s, struct slice v)
{
	const char *at = s->p;

	slice_copy(v, s->p, v.len + 1);
	s->p += v.len + 1;
	return at;
}

static void call_hook(struct sbx_http_call *c, const struct msg_http_call *m, struct strings *s, struct sbx_http_header *headers)
{
	bool tls = m->flags & PROTO_HTTPF_TLS;
	struct sbx_http_request q = {
		.struct_size = sizeof(q),
		.protocol = m->flags & PROTO_HTTPF_H2 ? "h2" : "http/1.1",
		.headers = headers,
		.header_count = m->fields.count / 2,
		.original_port = (uint16_t)m->original_port,
		.upstream_port = (uint16_t)m->upstream_port,
	};
	struct slices fields = m->fields;
	struct slice v;

	for (size_t i = 0; i < q.header_count; i++) {
		(void)slices_next(&fields, &v);
		headers[i].name = string_of(s, v);
		(void)slices_next(&fields, &v);
		headers[i].value = string_of(s, v);
	}
	q.method = string_of(s, m->method);
	q.original_ip = string_of(s, m->original);
	q.upstream_ip = string_of(s, m->upstream);
	q.tls_sni = tls ? string_of(s, m->sni) : NULL;
	q.tls_alpn = tls ? string_of(s, m->alpn) : NULL;
	q.url = string_of(s, m->origin);
	if (!slice_is(m->path, "*")) { /* of OPTIONS: it asks about the server, whose URL has no path (RFC 9112, 3.2.4) */
		s->p--; /* the path goes on where the origin ends */
		(void)string_of(s, m->path);
	}
	c->hook->on_request(c, &q, c->hook->user);
}

static bool call_sane(const struct sbx_vm *vm, const struct frame *f, const struct msg_http_call *m)
{
	uint32_t slot = (f->chan & 0xffff) - 1;

	return m->hook < vm->http->hook_count && slot < PROTO_HTTP_CALLS_MAX && !vm->http->out[slot] && m->fields.count % 2 == 0 &&
	       m->fields.count / 2 <= HTTP_FIELDS_MAX;
}

static int http_call(struct sbx_vm *vm, const struct frame *f)
{
	AUTOFREE struct sbx_http_header *headers = NULL;
	struct sbx_http_call *c = NULL;
	struct msg_http_call m;
	struct strings s;

	if (msg_http_call_decode(f->body, f->len, &m) < 0 || !call_sane(vm, f, &m))
		return -EPROTO;
	headers = calloc(m.fields.count / 2 + 1, sizeof(*headers));
	s.p = s.mem = malloc(f->len + 16); /* each text has had a length of four bytes, and has a NUL now */
	c = calloc(1, sizeof(*c));
	if (!headers || !s.mem || !c) {
		send_decision(vm, f->chan, put_refuse, 64, &(struct decision){ .status = 502, .text = "a hook's program has no memory" });
		free(s.mem);
		free(c);
		return 0;
	}
	*c = (struct sbx_http_call){ .vm = vm, .hook = &vm->http->hook[m.hook], .chan = f->chan, .in_callback = true };
	buf_init(&c->edits, EDIT_BYTES_MAX);
	vm->http->out[(f->chan & 0xffff) - 1] = c;
	if (!c->hook->removed)
		call_hook(c, &m, &s, headers);
	c->in_callback = false;
	if (!c->kept) {
		(void)sbx_http_forward(c); /* -EALREADY: it was answered */
		call_free(c);
	}
	free(s.mem);
	return 0;
}

/* Nobody waits for @c, which is in the table and was therefore kept. */
static void call_cancel(struct sbx_http_call *c)
{
	const struct hook *h = c->hook;

	(void)call_close(c);
	if (h->on_cancel)
		h->on_cancel(c, h->user);
}

static int http_cancel(struct sbx_vm *vm, const struct frame *f)
{
	uint32_t slot = (f->chan & 0xffff) - 1;
	struct sbx_http_call *c;

	if (f->len != 0 || slot >= PROTO_HTTP_CALLS_MAX)
		return -EPROTO;
	c = vm->http->out[slot];
	if (c && c->chan == f->chan)
		call_cancel(c);
	replies_drop(&vm->http->replies, f->chan);
	return 0;
}

int http_frame(struct sbx_vm *vm, const struct frame *f)
{
	if (!vm->http)
		return -EPROTO;
	return f->type == PROTO_HTTP_CALL ? http_call(vm, f) : http_cancel(vm, f);
}

void http_lose_all(struct sbx_vm *vm)
{
	for (unsigned i = 0; vm->http && i < PROTO_HTTP_CALLS_MAX; i++)
		if (vm->http->out[i])
			call_cancel(vm->http->out[i]);
}

int sbx_http_hook_remove(struct sbx_vm *vm, size_t index)
{
	struct http_calls *h = vm->http;

	if (vm->ended)
		return -ENOTCONN;
	if (!h || index >= h->hook_count || h->hook[index].removed)
		return -ENOENT;
	h->hook[index].removed = true;
	(void)msg_http_unhook_put(link_out(&vm->link), 0, &(struct msg_http_unhook){ .number = (uint32_t)index }); /* without memory: calls are let go here */
	for (unsigned i = 0; i < PROTO_HTTP_CALLS_MAX; i++)
		if (h->out[i] && h->out[i]->hook == &h->hook[index] && h->out[i]->kept && !h->out[i]->in_callback)
			call_cancel(h->out[i]);
	if (!vm->dispatching)
		vm_send(vm);
	return 0;
}

/* ---- The table ---- */

int http_calls_create(struct sbx_vm *vm, const struct sbx_vm_config *c)
{
	if (c->http_hook_count == 0)
		return 0;
	vm->http = calloc(1, sizeof(*vm->http) + c->http_hook_count * sizeof(vm->http->hook[0]));
	if (!vm->http)
		return -ENOMEM;
	list_init(&vm->http->replies);
	vm->http->hook_count = c->http_hook_count;
	for (size_t i = 0; i < c->http_hook_count; i++)
		vm->http->hook[i] = (struct hook){
			.on_request = c->http_hooks[i].on_request, .on_cancel = c->http_hooks[i].on_cancel, .user = c->http_hooks[i].user
		};
	return 0;
}

void http_calls_free(struct sbx_vm *vm)
{
	if (!vm->http)
		return;
	replies_drop(&vm->http->replies, 0);
	free(vm->http);
	vm->http = NULL;
}
