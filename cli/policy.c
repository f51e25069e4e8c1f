/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/policy.c - `sandbox policy check`: what egress rules say about a flow. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "sbx.h"

static const char policy_help[] =
	"usage: sandbox policy check [RULE...] -- tcp|udp DESTINATION\n"
	"\n"
	"Says whether the rules admit a flow of the guest to DESTINATION (ADDRESS:PORT, [IPV6]:PORT or NAME:PORT), and which rule does.\n"
	"\n"
	"rules:\n"
	"  tcp:CIDR[:PORTS], udp:CIDR[:PORTS]   an address range, like tcp:10.1.0.0/16:5432\n"
	"  public[:PORTS]                       TCP and UDP to globally routable addresses\n"
	"  host:NAME[:PORTS]                    TCP to what the guest's resolver gave for NAME; *.NAME for every name below it\n"
	"PORTS are numbers and ranges, like 80,443,8000-8010; every port when left out.\n"
	"\n"
	"exit status: 0 admitted, 1 denied, 2 the rules or the destination make no sense.\n";

bool cli_check_rule(const char *rule, struct sbx_err *err)
{
	struct sbx_verdict any;

	return sbx_policy_check(&rule, 1, "tcp", "192.0.2.1:1", &any, err) == 0;
}

int cmd_policy(int argc, char **argv)
{
	struct sbx_verdict v;
	struct sbx_err err;
	int count = 0;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(policy_help, stdout);
		return CLI_OK;
	}
	while (2 + count < argc && strcmp(argv[2 + count], "--") != 0)
		count++;
	if (argc < 2 || strcmp(argv[1], "check") != 0 || argc != count + 5) {
		fprintf(stderr, "sandbox policy: write `sandbox policy check RULE... -- tcp|udp DESTINATION`; `sandbox policy --help` says more\n");
		return CLI_USAGE;
	}
	for (int i = 2; i < 2 + count; i++) {
		if (!cli_check_rule(argv[i], &err)) {
			fprintf(stderr, "sandbox policy: rule '%s': %s\n", argv[i], err.message);
			return CLI_USAGE;
		}
	}
	if (sbx_policy_check((const char *const *)argv + 2, (size_t)count, argv[count + 3], argv[count + 4], &v, &err) < 0) {
		fprintf(stderr, "sandbox policy: %s\n", err.message);
		return CLI_USAGE;
	}
	if (v.admit)
		printf("admitted by %s\n", argv[2 + v.rule]);
	else
		printf("denied: %s\n", v.reason);
	return v.admit ? CLI_OK : CLI_FAILED;
}
