/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/http.c - hooks of the guest's requests: calls out, answers in. As with files, a call is kept until JavaScript has answered it, or nobody waits for it any
 * more. Fields of headers are bytes to HTTP and Latin-1 to JavaScript, which loses none. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Out ---- */

static void set_latin1(struct object *o, const char *name, const char *text)
{
	napi_value v;

	if (text && !o->bad)
		object_set(o, name, napi_good(o->env, napi_create_string_latin1(o->env, text, NAPI_AUTO_LENGTH, &v)) ? v : NULL);
}

/* Names and values in turn. */
static napi_value field_value(napi_env env, const void *array, size_t i)
{
	const struct sbx_http_header *h = (const struct sbx_http_header *)array + i / 2;
	napi_value v;

	return napi_good(env, napi_create_string_latin1(env, i % 2 == 0 ? h->name : h->value, NAPI_AUTO_LENGTH, &v)) ? v : NULL;
}

static napi_value request_value(napi_env env, const struct sbx_http_request *r)
{
	struct object o;

	object_init(&o, env);
	set_latin1(&o, "protocol", r->protocol);
	set_latin1(&o, "method", r->method);
	set_latin1(&o, "url", r->url);
	object_list(&o, "headers", 2 * r->header_count, field_value, r->headers);
	set_latin1(&o, "originalIp", r->original_ip);
	object_number(&o, "originalPort", r->original_port);
	set_latin1(&o, "upstreamIp", r->upstream_ip);
	object_number(&o, "upstreamPort", r->upstream_port);
	set_latin1(&o, "sni", r->tls_sni);
	set_latin1(&o, "alpn", r->tls_alpn);
	return object_value(&o);
}

static void on_request(struct sbx_http_call *call, const struct sbx_http_request *request, void *user)
{
	struct http_source *source = user;
	struct vm_handle *vm = source->vm;
	struct event e;
	napi_value v;
	uint32_t id;

	if (!event_begin(&e, vm)) {
		(void)sbx_http_refuse(call, 502, "the hook is gone");
		return;
	}
	id = slots_add(&vm->things[THING_HTTP_CALL], call);
	v = request_value(vm->env, request);
	if (id == 0 || !v) {
		(void)slots_del(&vm->things[THING_HTTP_CALL], id);
		(void)sbx_http_refuse(call, 502, "too many requests");
		event_drop(&e);
		return;
	}
	sbx_http_call_keep(call);
	sbx_http_call_set_user(call, slots_place(&vm->things[THING_HTTP_CALL], id));
	event_number(&e, source->number);
	event_number(&e, id);
	event_add(&e, napi_ok, v);
	event_send(&e, EV_REQUEST);
}

/* Also when the VM is freed, on another thread: then JavaScript hears nothing. */
static void on_cancel(struct sbx_http_call *call, void *user)
{
	struct http_source *source = user;
	uint32_t id = slots_id(&source->vm->things[THING_HTTP_CALL], sbx_http_call_user(call));
	struct event e;

	(void)slots_del(&source->vm->things[THING_HTTP_CALL], id);
	sbx_http_call_free(call);
	if (!event_begin(&e, source->vm))
		return;
	event_number(&e, id);
	event_send(&e, EV_REQUEST_CANCEL);
}

void http_release(struct vm_handle *vm)
{
	struct sbx_http_call *call;
	uint32_t id;

	while ((call = slots_any(&vm->things[THING_HTTP_CALL], &id))) {
		(void)slots_del(&vm->things[THING_HTTP_CALL], id);
		sbx_http_call_free(call);
	}
}

/* ---- The configuration ---- */

/* A list of the configuration: what an entry is read into. */
struct entries {
	const char *name;
	size_t size;
	bool (*parse)(napi_env env, napi_value v, struct http_source *source, struct arena *a, void *ret);
};

static bool parse_hook(napi_env env, napi_value v, struct http_source *source, struct arena *a, void *ret)
{
	struct sbx_http_hook *hook = ret;

	*hook = (struct sbx_http_hook)SBX_HTTP_HOOK_INIT;
	hook->on_request = on_request;
	hook->on_cancel = on_cancel;
	hook->user = source;
	return prop_string(env, v, "origin", a, &hook->origin) && prop_u32(env, v, "timeoutMs", &hook->timeout_ms);
}

static bool parse_injection(napi_env env, napi_value v, struct http_source *source, struct arena *a, void *ret)
{
	struct sbx_http_injection *i = ret;

	(void)source;
	*i = (struct sbx_http_injection)SBX_HTTP_INJECTION_INIT;
	return prop_string(env, v, "origin", a, &i->origin) && prop_string(env, v, "name", a, &i->name) && prop_string(env, v, "value", a, &i->value);
}

static bool parse_secret(napi_env env, napi_value v, struct http_source *source, struct arena *a, void *ret)
{
	struct sbx_http_secret *s = ret;

	(void)source;
	*s = (struct sbx_http_secret)SBX_HTTP_SECRET_INIT;
	return prop_string(env, v, "origin", a, &s->origin) && prop_string(env, v, "placeholder", a, &s->placeholder) && prop_string(env, v, "value", a, &s->value);
}

/* @vm: has sources for the entries; NULL: they need none. */
static bool parse_entries(napi_env env, napi_value v, const struct entries *e, struct vm_handle *vm, struct arena *a, const void **ret, size_t *ret_count)
{
	napi_value list, item;
	uint32_t count;
	char *all;

	if (!prop_list(env, v, e->name, SBX_HTTP_HOOKS_MAX, &list, &count))
		return false;
	all = arena_alloc(env, a, ((size_t)count + 1) * e->size);
	if (!all)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!napi_good(env, napi_get_element(env, list, i, &item)) || !e->parse(env, item, vm ? &vm->hooks[i] : NULL, a, all + i * e->size))
			return false;
	*ret = all;
	*ret_count = count;
	return true;
}

static bool make_sources(napi_env env, struct vm_handle *vm)
{
	vm->hooks = calloc(SBX_HTTP_HOOKS_MAX, sizeof(*vm->hooks));
	if (!vm->hooks)
		return throw_text(env, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < SBX_HTTP_HOOKS_MAX; i++)
		vm->hooks[i] = (struct http_source){ .vm = vm, .number = i };
	return true;
}

bool http_parse(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret)
{
	static const struct entries hooks = { "hooks", sizeof(struct sbx_http_hook), parse_hook };
	static const struct entries injections = { "injections", sizeof(struct sbx_http_injection), parse_injection };
	static const struct entries secrets = { "secrets", sizeof(struct sbx_http_secret), parse_secret };
	struct sbx_vm_config *c = &ret->c;
	struct arena *a = &ret->arena;

	return make_sources(env, vm) && parse_entries(env, v, &hooks, vm, a, (const void **)&c->http_hooks, &c->http_hook_count) &&
	       parse_entries(env, v, &injections, NULL, a, (const void **)&c->http_injections, &c->http_injection_count) &&
	       parse_entries(env, v, &secrets, NULL, a, (const void **)&c->http_secrets, &c->http_secret_count) &&
	       prop_string(env, v, "trustPem", a, &c->http_trust_pem) && prop_string(env, v, "caCertificatePem", a, &c->http_ca_certificate_pem) &&
	       prop_string(env, v, "caPrivateKeyPem", a, &c->http_ca_private_key_pem);
}

/* ---- In ---- */

static void answered(const struct thing *t)
{
	(void)slots_del(&t->vm->things[THING_HTTP_CALL], t->id);
	sbx_http_call_free(t->item);
}

static const char *latin1(napi_env env, napi_value list, uint32_t i, struct arena *a)
{
	napi_value item;
	size_t len, got;
	char *text;

	if (!napi_good(env, napi_get_element(env, list, i, &item)) || !napi_good(env, napi_get_value_string_latin1(env, item, NULL, 0, &len)))
		return NULL;
	text = arena_alloc(env, a, len + 1);
	if (!text || !napi_good(env, napi_get_value_string_latin1(env, item, text, len + 1, &got)))
		return NULL;
	if (strlen(text) != got) {
		(void)throw_text(env, -EINVAL, "a header field must not contain NUL bytes");
		return NULL;
	}
	return text;
}

/* Applies what was changed: @set has names and values in turn, @drop names. */
static int change(napi_env env, struct sbx_http_call *call, napi_value set, napi_value drop, struct arena *a, struct sbx_err *err)
{
	uint32_t set_count, drop_count;
	int r = 0;

	if (!napi_good(env, napi_get_array_length(env, set, &set_count)) || !napi_good(env, napi_get_array_length(env, drop, &drop_count)))
		return -EFAULT;
	for (uint32_t i = 0; i < drop_count && r == 0; i++) {
		const char *name = latin1(env, drop, i, a);

		r = name ? sbx_http_delete_header(call, name, err) : -EFAULT;
	}
	for (uint32_t i = 0; i + 1 < set_count && r == 0; i += 2) {
		const char *name = latin1(env, set, i, a), *value = name ? latin1(env, set, i + 1, a) : NULL;

		r = value ? sbx_http_set_header(call, name, value, err) : -EFAULT;
	}
	return r;
}

napi_value http_forward(napi_env env, napi_callback_info info)
{
	struct arena a = { 0 };
	struct sbx_err err;
	struct thing t;
	int r;

	if (!thing_get(env, info, 4, THING_HTTP_CALL, &t))
		return NULL;
	if (!t.item)
		return number_value(env, 0);
	r = change(env, t.item, t.args[2], t.args[3], &a, &err);
	arena_free(&a);
	if (r == 0 || r == -EALREADY) {
		(void)sbx_http_forward(t.item);
		answered(&t);
		return number_value(env, 0);
	}
	if (r != -EFAULT) /* else an exception is pending */
		(void)throw_error(env, r, &err);
	return NULL; /* the call stays open */
}

napi_value http_refuse(napi_env env, napi_callback_info info)
{
	struct arena a = { 0 };
	uint32_t status;
	const char *text;
	struct thing t;
	int r = 0;

	if (!thing_get(env, info, 4, THING_HTTP_CALL, &t) || !value_u32(env, t.args[2], "the status", &status))
		return NULL;
	if (!value_string(env, t.args[3], "the text", &a, &text)) {
		arena_free(&a);
		return NULL;
	}
	if (t.item) {
		r = sbx_http_refuse(t.item, status, text);
		answered(&t);
	}
	arena_free(&a);
	return number_value(env, r);
}

napi_value http_remove(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	uint32_t index;

	if (!args_get(env, info, 2, args) || !(vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the hook's number", &index))
		return NULL;
	return number_value(env, sbx_http_hook_remove(vm->vm, index));
}
