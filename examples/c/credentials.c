/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A credential that the guest uses and never has: credentials PORT gives requests to this machine's port the token of the environment's API_TOKEN, and no others.
 *
 *	cc credentials.c $(pkg-config --cflags --libs sbx) -o credentials */
#include <sbx.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct sbx_vm_config config = SBX_VM_CONFIG_INIT;
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_http_injection header = SBX_HTTP_INJECTION_INIT;
	struct sbx_exec_result result;
	struct sbx_vm *vm;
	struct sbx_err err;
	const char *token = getenv("API_TOKEN");
	char rule[64], origin[64], value[256], script[128];

	if (argc != 2 || !token)
		return fprintf(stderr, "usage: API_TOKEN=… credentials PORT\n"), 2;
	(void)snprintf(rule, sizeof(rule), "tcp:127.0.0.1/32:%s", argv[1]);
	(void)snprintf(origin, sizeof(origin), "http://10.0.2.1:%s", argv[1]); /* the guest's gateway stands for this machine's loopback */
	(void)snprintf(value, sizeof(value), "Bearer %s", token);
	(void)snprintf(script, sizeof(script), "wget -qO- %s/v1/me; env; cat /proc/self/environ", origin);
	header.origin = origin;
	header.name = "Authorization";
	header.value = value;
	config.flags = SBX_VM_NETWORK;
	config.outbound_rules = (const char *const[]){ rule };
	config.outbound_count = 1;
	config.http_injections = &header;
	config.http_injection_count = 1;
	spec.argv = (const char *const[]){ "sh", "-c", script, NULL };
	if (sbx_vm_start(&config, &vm, &err) < 0 || sbx_vm_wait_ready(vm, NULL, &err) < 0 ||
	    sbx_exec_wait(vm, &spec, NULL, 0, 0, &result, &err) < 0)
		return fprintf(stderr, "%s\n%s", err.message, err.console), 1;
	fwrite(result.out, 1, result.out_len, stdout);
	sbx_exec_result_done(&result);
	sbx_vm_free(vm);
	return 0;
}
