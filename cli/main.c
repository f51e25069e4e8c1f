/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/main.c - finds the sub-command and runs it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "run", cmd_run, "boot a microVM and run a command in it" },
	{ "image", cmd_image, "build and inspect root images" },
	{ "policy", cmd_policy, "say what egress rules admit" },
	{ "doctor", cmd_doctor, "say what this machine can run, and what to do about the rest" },
	{ "version", cmd_version, "print the version" },
};

static void usage(FILE *out)
{
	fputs("usage: sandbox COMMAND [ARGUMENT...]\n\ncommands:\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\n`sandbox COMMAND --help` explains each.\n", out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return CLI_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sandbox: unknown command '%s'; `sandbox --help` lists them\n", argv[1]);
	return CLI_USAGE;
}
