/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program in a microVM, and what it printed: run COMMAND ARG…
 *
 *	cc run.c $(pkg-config --cflags --libs sbx) -o run */
#include <sbx.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct sbx_vm_config config = SBX_VM_CONFIG_INIT;
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result result;
	struct sbx_vm *vm;
	struct sbx_err err;
	int code;

	spec.argv = argc > 1 ? (const char *const *)argv + 1 : (const char *const[]){ "uname", "-a", NULL };
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
