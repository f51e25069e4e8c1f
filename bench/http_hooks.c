/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/http_hooks.c - the embedding program of bench/http: starts bench/http_tap.c in the place of sandbox-host, and is its hooks until standard input ends.
 *
 *	http_hooks HTTP_TAP TAP DIR ROOTS RULE ORIGIN... [--callback ORIGIN...]
 *
 * Requests to each ORIGIN get the header "x-key": from the host process alone, or by a callback of this program's. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sbx.h"

enum { ORIGINS_MAX = 16,
       PEM_MAX = 1 << 20 };

static void on_request(struct sbx_http_call *call, const struct sbx_http_request *request, void *user)
{
	struct sbx_err err;

	(void)request;
	(void)user;
	if (sbx_http_set_header(call, "x-key", "from the embedder", &err) < 0 || sbx_http_forward(call) < 0)
		fprintf(stderr, "http_hooks: the callback failed\n");
}

static const char *read_text(const char *path)
{
	static char text[PEM_MAX];
	FILE *f = fopen(path, "re");

	if (f) {
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		(void)fclose(f);
	}
	return text;
}

static void serve(struct sbx_vm *vm)
{
	struct pollfd p[] = { { .fd = sbx_vm_fd(vm), .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
	char byte;

	while (sbx_vm_dispatch(vm) >= 0 && poll(p, 2, -1) > 0)
		if (p[1].revents && read(STDIN_FILENO, &byte, 1) <= 0)
			break;
}

int main(int argc, char **argv)
{
	struct sbx_http_injection header[ORIGINS_MAX];
	struct sbx_http_hook hook[ORIGINS_MAX];
	struct sbx_vm_config c = SBX_VM_CONFIG_INIT;
	char words[1024];
	struct sbx_err err;
	struct sbx_vm *vm;
	int callback = 0;

	if (argc < 7 || argc > ORIGINS_MAX)
		return fprintf(stderr, "usage: http_hooks HTTP_TAP TAP DIR ROOTS RULE ORIGIN... [--callback ORIGIN...]\n"), 2;
	(void)snprintf(words, sizeof(words), "%s %s", argv[2], argv[3]);
	for (int i = 6; i < argc; i++) {
		if (strcmp(argv[i], "--callback") == 0) {
			callback = 1;
		} else if (callback) {
			hook[c.http_hook_count] = (struct sbx_http_hook)SBX_HTTP_HOOK_INIT;
			hook[c.http_hook_count].origin = argv[i];
			hook[c.http_hook_count++].on_request = on_request;
		} else {
			header[c.http_injection_count] = (struct sbx_http_injection)SBX_HTTP_INJECTION_INIT;
			header[c.http_injection_count].origin = argv[i];
			header[c.http_injection_count].name = "x-key";
			header[c.http_injection_count++].value = "from the host";
		}
	}
	c.host_path = argv[1];
	c.cmdline = words;
	c.flags = SBX_VM_NETWORK;
	c.outbound_rules = (const char *const *)&argv[5];
	c.outbound_count = 1;
	c.http_hooks = hook;
	c.http_injections = header;
	c.http_trust_pem = read_text(argv[4]);
	if (sbx_vm_start(&c, &vm, &err) < 0)
		return fprintf(stderr, "http_hooks: %s\n", err.message), 1;
	serve(vm);
	sbx_vm_free(vm);
	return 0;
}
