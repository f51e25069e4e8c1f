/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/addon.c - the Node-API addon over sbx.h: what it exports. Thin: it moves values, puts a VM's descriptor into the event loop, and runs what waits on a
 * thread of the pool; everything else is the TypeScript in node/src, its only caller. Values from there are checked all the same: a wrong one is
 * an exception, never an abort. No globals: everything hangs on a VM's handle, so environments (worker threads) do not meet. */
#include "addon.h"

NAPI_MODULE_INIT(/* env, exports */)
{
	static const napi_property_descriptor functions[] = {
		{ "start", NULL, vm_start, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "close", NULL, vm_close, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "hostPid", NULL, vm_host_pid, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "exec", NULL, proc_exec, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "write", NULL, proc_write, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "closeStdin", NULL, proc_close_stdin, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "signal", NULL, proc_signal, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "resize", NULL, proc_resize, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "abort", NULL, proc_abort, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "ack", NULL, proc_ack, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "fileError", NULL, file_error, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "fileOk", NULL, file_ok, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "fileCount", NULL, file_count, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "fileData", NULL, file_data, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "fileStat", NULL, file_stat, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "fileEntries", NULL, file_entries, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "toolSubmit", NULL, request_submit, NULL, NULL, NULL, napi_enumerable, (void *)&tool_requests },
		{ "toolCancel", NULL, request_cancel, NULL, NULL, NULL, napi_enumerable, (void *)&tool_requests },
		{ "changed", NULL, tool_changed, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "guestSubmit", NULL, request_submit, NULL, NULL, NULL, napi_enumerable, (void *)&guest_requests },
		{ "guestCancel", NULL, request_cancel, NULL, NULL, NULL, napi_enumerable, (void *)&guest_requests },
		{ "httpForward", NULL, http_forward, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "httpRefuse", NULL, http_refuse, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "httpRemove", NULL, http_remove, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "controlSubmit", NULL, request_submit, NULL, NULL, NULL, napi_enumerable, (void *)&control_requests },
		{ "controlCancel", NULL, request_cancel, NULL, NULL, NULL, napi_enumerable, (void *)&control_requests },
		{ "policyCheck", NULL, query_policy, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "probe", NULL, query_probe, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "placeholder", NULL, query_placeholder, NULL, NULL, NULL, napi_enumerable, NULL },
		{ "version", NULL, query_version, NULL, NULL, NULL, napi_enumerable, NULL },
	};

	return napi_good(env, napi_define_properties(env, exports, ARRAY_LEN(functions), functions)) ? exports : NULL;
}
