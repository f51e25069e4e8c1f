/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/result.c - parts that results of requests have in common, as JavaScript objects. What is in them was checked by libsbx; a failure of Node-API
 * makes the object fail as a whole. */
#include "addon.h"

void result_begin(struct object *o, napi_env env, int code, const char *message)
{
	object_init(o, env);
	object_number(o, "code", code);
	object_string(o, "message", message);
}

void object_bytes(struct object *o, const char *name, const void *data, size_t len)
{
	napi_value v;

	if (!o->bad)
		object_set(o, name, napi_good(o->env, napi_create_buffer_copy(o->env, len, data ? data : "", NULL, &v)) ? v : NULL);
}

void object_attr(struct object *o, const char *name, const struct sbx_fs_attr *a)
{
	struct object attr;

	if (o->bad)
		return;
	object_init(&attr, o->env);
	object_number(&attr, "mode", a->mode);
	object_number(&attr, "size", (double)a->size);
	object_number(&attr, "ino", (double)a->ino);
	object_number(&attr, "nlink", a->nlink);
	object_number(&attr, "uid", a->uid);
	object_number(&attr, "gid", a->gid);
	object_number(&attr, "mtimeMs", (double)a->mtime.tv_sec * 1e3 + (double)a->mtime.tv_nsec / 1e6);
	object_set(o, name, object_value(&attr));
}
