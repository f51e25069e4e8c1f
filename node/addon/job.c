/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/job.c - work on a thread of the pool that ends in a promise: for the calls of libsbx that wait (starting a process, its end, a probe), which
 * would hold up the event loop. Node waits for jobs that are under way before an environment goes, so a job always settles. */
#include "addon.h"

static void job_execute(napi_env env, void *data)
{
	struct job *job = data;

	(void)env;
	job->run(job);
}

static void job_complete(napi_env env, napi_status status, void *data)
{
	struct job *job = data;
	napi_deferred deferred = job->deferred;
	napi_value value = NULL;
	bool good;

	(void)status; /* nothing cancels a job */
	(void)napi_delete_async_work(env, job->work);
	good = job->settle(env, job, &value);
	if (value)
		(void)(good ? napi_resolve_deferred(env, deferred, value) : napi_reject_deferred(env, deferred, value));
}

bool job_start(napi_env env, struct job *job, const char *name, napi_value *ret_promise)
{
	napi_value resource;

	if (!napi_good(env, napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource)) ||
	    !napi_good(env, napi_create_async_work(env, NULL, resource, job_execute, job_complete, job, &job->work)))
		return false;
	if (napi_good(env, napi_create_promise(env, &job->deferred, ret_promise)) && napi_good(env, napi_queue_async_work(env, job->work)))
		return true;
	(void)napi_delete_async_work(env, job->work);
	return false;
}
