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
	id = slots_add(&vm->requests, call);
	v = request_value(vm->env, request);
	if (id == 0 || !v) {
		(void)slots_del(&vm->requests, id);
		(void)sbx_http_refuse(call, 502, "too many requests");
		event_drop(&e);
		return;
	}
	sbx_http_call_keep(call);
	sbx_http_call_set_user(call, slots_place(&vm->requests, id));
	event_number(&e, source->number);
	event_number(&e, id);
	event_add(&e, napi_ok, v);
	event_send(&e, EV_REQUEST);
}

/* Also when the VM is freed, on another thread: then JavaScript hears nothing. */
static void on_cancel(struct sbx_http_call *call, void *user)
{
	struct http_source *source = user;
	uint32_t id = slots_id(&source->vm->requests, sbx_http_call_user(call));
	struct event e;

	(void)slots_del(&source->vm->requests, id);
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

	while ((call = slots_any(&vm->requests, &id))) {
		(void)slots_del(&vm->requests, id);
		sbx_http_call_free(call);
	}
}

/* ---- The configuration ---- */

static bool parse_hook(napi_env env, napi_value v, struct http_source *source, struct arena *a, struct sbx_http_hook *ret)
{
	*ret = (struct sbx_http_hook)SBX_HTTP_HOOK_INIT;
	ret->on_request = on_request;
	ret->on_cancel = on_cancel;
	ret->user = source;
	return prop_string(env, v, "origin", a, &ret->origin) && prop_u32(env, v, "timeoutMs", &ret->timeout_ms);
}

static bool parse_hooks(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret)
{
	struct sbx_http_hook *hooks;
	napi_value list, item;
	uint32_t count;

	if (!prop_list(env, v, "hooks", SBX_HTTP_HOOKS_MAX, &list, &count))
		return false;
	hooks = arena_alloc(env, &ret->arena, ((size_t)count + 1) * sizeof(*hooks));
	vm->hooks = calloc((size_t)count + 1, sizeof(*vm->hooks));
	if (!hooks || !vm->hooks)
		return throw_text(env, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < count; i++) {
		vm->hooks[i] = (struct http_source){ .vm = vm, .number = i };
		if (!napi_good(env, napi_get_element(env, list, i, &item)) || !parse_hook(env, item, &vm->hooks[i], &ret->arena, &hooks[i]))
			return false;
	}
	ret->c.http_hooks = hooks;
	ret->c.http_hook_count = count;
	return true;
}

static bool parse_injections(napi_env env, napi_value v, struct vm_config *ret)
{
	struct sbx_http_injection *all;
	napi_value list, item;
	uint32_t count;

	if (!prop_list(env, v, "injections", SBX_HTTP_HOOKS_MAX, &list, &count))
		return false;
	all = arena_alloc(env, &ret->arena, ((size_t)count + 1) * sizeof(*all));
	if (!all)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		all[i] = (struct sbx_http_injection)SBX_HTTP_INJECTION_INIT;
		if (!napi_good(env, napi_get_element(env, list, i, &item)) || !prop_string(env, item, "origin", &ret->arena, &all[i].origin) ||
		    !prop_string(env, item, "name", &ret->arena, &all[i].name) || !prop_string(env, item, "value", &ret->arena, &all[i].value))
			return false;
	}
	ret->c.http_injections = all;
	ret->c.http_injection_count = count;
	return true;
}

bool http_parse(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret)
{
	struct sbx_vm_config *c = &ret->c;

	return parse_hooks(env, v, vm, ret) && parse_injections(env, v, ret) && prop_string(env, v, "trustPem", &ret->arena, &c->http_trust_pem) &&
	       prop_string(env, v, "caCertificatePem", &ret->arena, &c->http_ca_certificate_pem) &&
	       prop_string(env, v, "caPrivateKeyPem", &ret->arena, &c->http_ca_private_key_pem);
}

/* ---- In ---- */

/* What answers begin with: false with an exception pending; a call that is over is NULL in @ret. */
static bool answer_begin(napi_env env, napi_callback_info info, size_t want, napi_value args[ARGS_MAX], struct vm_handle **ret_vm, uint32_t *ret_id,
			 struct sbx_http_call **ret)
{
	if (!args_get(env, info, want, args) || !(*ret_vm = vm_get(env, args[0])) || !value_u32(env, args[1], "the request's number", ret_id))
		return false;
	*ret = slots_get(&(*ret_vm)->requests, *ret_id);
	return true;
}

static void answer_end(struct vm_handle *vm, uint32_t id, struct sbx_http_call *call)
{
	(void)slots_del(&vm->requests, id);
	sbx_http_call_free(call);
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
	napi_value args[ARGS_MAX];
	struct sbx_http_call *call;
	struct arena a = { 0 };
	struct vm_handle *vm;
	struct sbx_err err;
	uint32_t id;
	int r;

	if (!answer_begin(env, info, 4, args, &vm, &id, &call))
		return NULL;
	if (!call)
		return number_value(env, 0);
	r = change(env, call, args[2], args[3], &a, &err);
	arena_free(&a);
	if (r == 0 || r == -EALREADY) {
		(void)sbx_http_forward(call);
		answer_end(vm, id, call);
		return number_value(env, 0);
	}
	if (r != -EFAULT) /* else an exception is pending */
		(void)throw_error(env, r, &err);
	return NULL; /* the call stays open */
}

napi_value http_refuse(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX];
	struct sbx_http_call *call;
	struct arena a = { 0 };
	struct vm_handle *vm;
	uint32_t id, status;
	const char *text;
	int r = 0;

	if (!answer_begin(env, info, 4, args, &vm, &id, &call) || !value_u32(env, args[2], "the status", &status))
		return NULL;
	if (!value_string(env, args[3], "the text", &a, &text)) {
		arena_free(&a);
		return NULL;
	}
	if (call) {
		r = sbx_http_refuse(call, status, text);
		answer_end(vm, id, call);
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
