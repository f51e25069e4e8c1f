/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/queries.c - what needs no VM: egress rules, what the machine can do, placeholders of secrets, the version. */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>

static napi_value verdict_value(napi_env env, const struct sbx_verdict *v)
{
	struct object o;

	object_init(&o, env);
	object_bool(&o, "admit", v->admit != 0);
	object_number(&o, "rule", v->rule);
	object_string(&o, "reason", v->reason);
	return object_value(&o);
}

static napi_value check_policy(napi_env env, napi_value query, struct arena *a)
{
	const char *const *rules = NULL;
	const char *proto = "tcp", *destination = "";
	struct sbx_verdict v;
	struct sbx_err err;
	size_t count = 0;
	int r;

	if (!prop_strings(env, query, "rules", a, &rules, &count) || !prop_string(env, query, "protocol", a, &proto) ||
	    !prop_string(env, query, "destination", a, &destination))
		return NULL;
	r = sbx_policy_check(rules, count, proto, destination, &v, &err);
	if (r < 0) {
		(void)throw_error(env, r, &err);
		return NULL;
	}
	return verdict_value(env, &v);
}

napi_value query_policy(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], v;
	struct arena a = { 0 };

	if (!args_get(env, info, 1, args))
		return NULL;
	v = check_policy(env, args[0], &a);
	arena_free(&a);
	return v;
}

struct probe_job {
	struct job job;
	struct arena arena;
	const char *host_path;
	struct sbx_probe probe;
	struct sbx_err err;
	int r;
};

static void probe_run(struct job *job)
{
	struct probe_job *p = CONTAINER_OF(job, struct probe_job, job);

	p->r = sbx_probe(p->host_path, NULL, &p->probe, &p->err);
}

static napi_value engine_value(napi_env env, const struct sbx_engine_probe *e)
{
	struct object o;

	object_init(&o, env);
	object_bool(&o, "usable", e->usable != 0);
	object_string(&o, "detail", e->detail);
	object_string(&o, "remedy", e->remedy);
	return object_value(&o);
}

static void probe_free(struct probe_job *p)
{
	arena_free(&p->arena);
	free(p);
}

static bool probe_settle(napi_env env, struct job *job, napi_value *ret)
{
	static const char *const names[] = { [SBX_ENGINE_AUTO] = "", [SBX_ENGINE_KVM] = "kvm", [SBX_ENGINE_QEMU] = "qemu" };
	struct probe_job *p = CONTAINER_OF(job, struct probe_job, job);
	bool good = p->r == 0;

	if (good) {
		struct object o;

		object_init(&o, env);
		object_string(&o, "chosen", names[p->probe.chosen]);
		object_set(&o, "kvm", engine_value(env, &p->probe.kvm));
		object_set(&o, "qemu", engine_value(env, &p->probe.qemu));
		*ret = object_value(&o);
	} else if (!error_create(env, p->r, &p->err, ret)) {
		*ret = NULL;
	}
	probe_free(p);
	return good;
}

napi_value query_probe(napi_env env, napi_callback_info info)
{
	napi_value args[ARGS_MAX], promise;
	struct probe_job *p;

	if (!args_get(env, info, 1, args))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p) {
		(void)throw_text(env, -ENOMEM, "out of memory");
		return NULL;
	}
	p->job = (struct job){ .run = probe_run, .settle = probe_settle };
	if (!value_string(env, args[0], "the host program's path", &p->arena, &p->host_path) || !job_start(env, &p->job, "sandbox.probe", &promise)) {
		probe_free(p);
		return NULL;
	}
	return promise;
}

napi_value query_placeholder(napi_env env, napi_callback_info info)
{
	char text[SBX_HTTP_PLACEHOLDER_BYTES];
	napi_value v;
	int r = sbx_http_placeholder(text);

	(void)info;
	if (r < 0) {
		(void)throw_text(env, r, "there are no random bytes");
		return NULL;
	}
	return napi_good(env, napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &v)) ? v : NULL;
}

napi_value query_version(napi_env env, napi_callback_info info)
{
	napi_value v;

	(void)info;
	return napi_good(env, napi_create_string_utf8(env, sbx_version(), NAPI_AUTO_LENGTH, &v)) ? v : NULL;
}
