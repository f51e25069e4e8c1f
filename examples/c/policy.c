/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a program may reach, and a log of what it tried, on stderr: policy PORT COMMAND ARG… lets it connect to that port of this machine, and to nothing else.
 *
 *	cc policy.c $(pkg-config --cflags --libs sbx) -o policy */
#include <sbx.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct sbx_vm_config config = SBX_VM_CONFIG_INIT;
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result result;
	struct sbx_vm *vm;
	struct sbx_err err;
	char rule[64];
	int code;

	if (argc < 3)
		return fprintf(stderr, "usage: policy PORT COMMAND ARG…\n"), 2;
	(void)snprintf(rule, sizeof(rule), "tcp:127.0.0.1/32:%s", argv[1]);
	config.flags = SBX_VM_NETWORK;
	config.outbound_rules = (const char *const[]){ rule };
	config.outbound_count = 1;
	config.net_log_fd = 2;
	spec.argv = (const char *const *)argv + 2;
	if (sbx_vm_start(&config, &vm, &err) < 0 || sbx_vm_wait_ready(vm, NULL, &err) < 0 ||
	    sbx_exec_wait(vm, &spec, NULL, 0, 0, &result, &err) < 0)
		return fprintf(stderr, "%s\n%s", err.message, err.console), 1;
	fwrite(result.out, 1, result.out_len, stdout);
	fwrite(result.err, 1, result.err_len, stderr);
	code = result.code;
	sbx_exec_result_done(&result);
	sbx_vm_free(vm);
	return code;
}
