/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/value.c - JavaScript values in and out. Trusts nothing about a value: whatever its type, the outcome is a value of ours or an
 * exception, and never a cut string: one that holds a NUL is refused. */
#include "addon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 1 << 20 }; /* entries of an array of strings */

bool napi_good(napi_env env, napi_status status)
{
	const napi_extended_error_info *info = NULL;
	bool pending = false;

	if (status == napi_ok)
		return true;
	if (napi_get_last_error_info(env, &info) != napi_ok)
		info = NULL;
	if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
		(void)napi_throw_error(env, NULL, info && info->error_message ? info->error_message : "Node-API failed");
	return false;
}

bool error_create(napi_env env, int code, const struct sbx_err *err, napi_value *ret)
{
	napi_value message, number, console, e;

	if (napi_create_string_utf8(env, err->message, NAPI_AUTO_LENGTH, &message) != napi_ok || napi_create_error(env, NULL, message, &e) != napi_ok ||
	    napi_create_int32(env, code, &number) != napi_ok || napi_set_named_property(env, e, "errno", number) != napi_ok ||
	    napi_create_string_utf8(env, err->console, NAPI_AUTO_LENGTH, &console) != napi_ok ||
	    napi_set_named_property(env, e, "console", console) != napi_ok)
		return false;
	*ret = e;
	return true;
}

bool throw_error(napi_env env, int code, const struct sbx_err *err)
{
	napi_value e;

	if (error_create(env, code, err, &e))
		(void)napi_throw(env, e);
	return false;
}

bool throw_text(napi_env env, int code, const char *message)
{
	struct sbx_err err = { .code = code };

	(void)snprintf(err.message, sizeof(err.message), "%s", message);
	return throw_error(env, code, &err);
}

static bool throw_type(napi_env env, const char *what, const char *wanted)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "%s must be %s", what, wanted);
	return throw_text(env, -EINVAL, text);
}

void report_exception(napi_env env)
{
	bool pending = false;
	napi_value e;

	if (napi_is_exception_pending(env, &pending) == napi_ok && pending && napi_get_and_clear_last_exception(env, &e) == napi_ok)
		(void)napi_fatal_exception(env, e);
}

bool args_get(napi_env env, napi_callback_info info, size_t want, napi_value args[ARGS_MAX])
{
	size_t count = ARGS_MAX;

	if (!napi_good(env, napi_get_cb_info(env, info, &count, args, NULL, NULL)))
		return false;
	return count >= want || throw_text(env, -EINVAL, "too few arguments");
}

/* ---- Memory ---- */

struct arena_block {
	struct arena_block *next;
	max_align_t data[];
};

void *arena_alloc(napi_env env, struct arena *a, size_t size)
{
	struct arena_block *b = calloc(1, sizeof(*b) + size);

	if (!b) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	b->next = a->blocks;
	a->blocks = b;
	return b->data;
}

void arena_free(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}

/* ---- In ---- */

static bool is_type(napi_env env, napi_value v, napi_valuetype want)
{
	napi_valuetype type;

	return napi_typeof(env, v, &type) == napi_ok && type == want;
}

bool value_string(napi_env env, napi_value v, const char *what, struct arena *a, const char **ret)
{
	size_t len, got;
	char *text;

	if (!is_type(env, v, napi_string))
		return throw_type(env, what, "a string");
	if (!napi_good(env, napi_get_value_string_utf8(env, v, NULL, 0, &len)))
		return false;
	text = arena_alloc(env, a, len + 1);
	if (!text || !napi_good(env, napi_get_value_string_utf8(env, v, text, len + 1, &got)))
		return false;
	if (strlen(text) != got)
		return throw_type(env, what, "a string without NUL bytes");
	*ret = text;
	return true;
}

bool value_u64(napi_env env, napi_value v, const char *what, uint64_t *ret)
{
	double n;

	if (!is_type(env, v, napi_number) || napi_get_value_double(env, v, &n) != napi_ok)
		return throw_type(env, what, "a number");
	if (!(n >= 0 && n <= (double)JS_INTEGER_MAX) || (double)(uint64_t)n != n)
		return throw_type(env, what, "a whole number that is not negative");
	*ret = (uint64_t)n;
	return true;
}

bool value_u32(napi_env env, napi_value v, const char *what, uint32_t *ret)
{
	uint64_t n;

	if (!value_u64(env, v, what, &n))
		return false;
	if (n > UINT32_MAX)
		return throw_type(env, what, "less than 2^32");
	*ret = (uint32_t)n;
	return true;
}

bool value_bytes(napi_env env, napi_value v, const char *what, const void **ret, size_t *ret_len)
{
	napi_typedarray_type type;
	bool is_array = false;
	void *data;
	size_t len;

	if (napi_is_typedarray(env, v, &is_array) != napi_ok || !is_array ||
	    napi_get_typedarray_info(env, v, &type, &len, &data, NULL, NULL) != napi_ok || type != napi_uint8_array)
		return throw_type(env, what, "a Uint8Array");
	*ret = data ? data : "";
	*ret_len = len;
	return true;
}

bool prop_value(napi_env env, napi_value obj, const char *name, napi_value *ret, bool *ret_present)
{
	if (!is_type(env, obj, napi_object))
		return throw_type(env, "the argument", "an object");
	if (!napi_good(env, napi_get_named_property(env, obj, name, ret)))
		return false;
	*ret_present = !is_type(env, *ret, napi_undefined) && !is_type(env, *ret, napi_null);
	return true;
}

bool prop_string(napi_env env, napi_value obj, const char *name, struct arena *a, const char **ret)
{
	bool present;
	napi_value v;

	if (!prop_value(env, obj, name, &v, &present))
		return false;
	return !present || value_string(env, v, name, a, ret);
}

bool prop_u64(napi_env env, napi_value obj, const char *name, uint64_t *ret)
{
	bool present;
	napi_value v;

	if (!prop_value(env, obj, name, &v, &present))
		return false;
	return !present || value_u64(env, v, name, ret);
}

bool prop_u32(napi_env env, napi_value obj, const char *name, uint32_t *ret)
{
	bool present;
	napi_value v;

	if (!prop_value(env, obj, name, &v, &present))
		return false;
	return !present || value_u32(env, v, name, ret);
}

bool prop_bytes(napi_env env, napi_value obj, const char *name, const void **ret, size_t *ret_len)
{
	bool present;
	napi_value v;

	if (!prop_value(env, obj, name, &v, &present))
		return false;
	return !present || value_bytes(env, v, name, ret, ret_len);
}

bool prop_flag(napi_env env, napi_value obj, const char *name, uint32_t bit, uint32_t *flags)
{
	bool present, set = false;
	napi_value v;

	if (!prop_value(env, obj, name, &v, &present))
		return false;
	if (present && napi_get_value_bool(env, v, &set) != napi_ok)
		return throw_type(env, name, "a boolean");
	*flags |= set ? bit : 0;
	return true;
}

static bool value_list(napi_env env, napi_value v, const char *what, uint32_t max, uint32_t *ret_count)
{
	bool is_array = false;
	char wanted[64];

	if (napi_is_array(env, v, &is_array) == napi_ok && is_array && napi_get_array_length(env, v, ret_count) == napi_ok && *ret_count <= max)
		return true;
	(void)snprintf(wanted, sizeof(wanted), "an array of at most %u", max);
	return throw_type(env, what, wanted);
}

bool prop_list(napi_env env, napi_value obj, const char *name, uint32_t max, napi_value *ret, uint32_t *ret_count)
{
	bool present;

	*ret_count = 0;
	if (!prop_value(env, obj, name, ret, &present))
		return false;
	return !present || value_list(env, *ret, name, max, ret_count);
}

bool value_strings(napi_env env, napi_value v, const char *name, struct arena *a, const char *const **ret, size_t *ret_count)
{
	const char **list;
	uint32_t count;

	if (!value_list(env, v, name, LIST_MAX, &count))
		return false;
	if (count == 0)
		return true;
	list = arena_alloc(env, a, ((size_t)count + 1) * sizeof(*list));
	if (!list)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		napi_value item;

		if (!napi_good(env, napi_get_element(env, v, i, &item)) || !value_string(env, item, name, a, &list[i]))
			return false;
	}
	*ret = list;
	if (ret_count)
		*ret_count = count;
	return true;
}

bool prop_strings(napi_env env, napi_value obj, const char *name, struct arena *a, const char *const **ret, size_t *ret_count)
{
	bool present;
	napi_value v;

	if (!prop_value(env, obj, name, &v, &present))
		return false;
	return !present || value_strings(env, v, name, a, ret, ret_count);
}

bool value_optional_string(napi_env env, napi_value v, const char *what, struct arena *a, const char **ret)
{
	return is_type(env, v, napi_undefined) || value_string(env, v, what, a, ret);
}

/* ---- Out ---- */

napi_value number_value(napi_env env, double n)
{
	napi_value v;

	return napi_good(env, napi_create_double(env, n, &v)) ? v : NULL;
}

napi_value undefined_value(napi_env env)
{
	napi_value v;

	return napi_good(env, napi_get_undefined(env, &v)) ? v : NULL;
}

void object_init(struct object *o, napi_env env)
{
	*o = (struct object){ .env = env };
	o->bad = !napi_good(env, napi_create_object(env, &o->value));
}

void object_set(struct object *o, const char *name, napi_value v)
{
	o->bad = o->bad || !v || !napi_good(o->env, napi_set_named_property(o->env, o->value, name, v));
}

void object_number(struct object *o, const char *name, double n)
{
	if (!o->bad)
		object_set(o, name, number_value(o->env, n));
}

void object_bool(struct object *o, const char *name, bool b)
{
	napi_value v;

	if (!o->bad)
		object_set(o, name, napi_good(o->env, napi_get_boolean(o->env, b, &v)) ? v : NULL);
}

void object_string(struct object *o, const char *name, const char *text)
{
	napi_value v;

	if (!o->bad)
		object_set(o, name, napi_good(o->env, napi_create_string_utf8(o->env, text, NAPI_AUTO_LENGTH, &v)) ? v : NULL);
}

void object_list(struct object *o, const char *name, size_t count, napi_value (*item)(napi_env env, const void *array, size_t i), const void *array)
{
	napi_env env = o->env;
	napi_value list;

	if (o->bad || !napi_good(env, napi_create_array_with_length(env, count, &list))) {
		o->bad = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		napi_handle_scope scope;
		napi_value v;

		if (!napi_good(env, napi_open_handle_scope(env, &scope))) {
			o->bad = true;
			return;
		}
		v = item(env, array, i);
		o->bad = !v || !napi_good(env, napi_set_element(env, list, (uint32_t)i, v));
		(void)napi_close_handle_scope(env, scope);
		if (o->bad)
			return;
	}
	object_set(o, name, list);
}

napi_value object_value(struct object *o)
{
	return o->bad ? NULL : o->value;
}
