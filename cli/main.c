/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/main.c - finds the sub-command and runs it. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

const char *cli_refused(char **argv, const char *shorts, char letter[3])
{
	const char *arg = argv[optind - 1]; /* that of a letter may still be the next one, as letters stand together */

	/* 0: there is no such name. A letter that there is needs no value, so it was written out and given one. */
	if (strncmp(arg, "--", 2) == 0 && (optopt == 0 || optopt > UCHAR_MAX || strchr(shorts, optopt)))
		return arg;
	letter[0] = '-';
	letter[1] = (char)optopt;
	letter[2] = '\0';
	return letter;
}

/* Whoever starts us may have closed one of these. The next file that is opened would get its number, and what is meant for people would go into a
 * socket or an image. What is opened here instead cannot be used in that direction, no more than what is closed. */
static bool hold_standard_streams(void)
{
	static const int contrary[] = { O_WRONLY, O_RDONLY, O_RDONLY };

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", contrary[fd] | O_CLOEXEC) != fd)
			return false;
	return true;
}

/* What was printed must have gone where it was to go. */
static int check_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "sandbox: standard output cannot be written: %s\n", strerror(errno));
	return status ? status : CLI_FAILED;
}

static int run_command(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return check_output(commands[i].run(argc, argv));
	fprintf(stderr, "sandbox: unknown command '%s'; `sandbox --help` lists them\n", argv[0]);
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	static char help[] = "--help";

	if (!hold_standard_streams())
		return CLI_FAILED;
	if (argc < 2) {
		usage(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0)
		return check_output(cmd_version(argc - 1, argv + 1));
	if (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0 && strcmp(argv[1], "help") != 0)
		return run_command(argc - 1, argv + 1);
	if (argc > 2)
		return run_command(2, (char *[]){ argv[2], help, NULL });
	usage(stdout);
	return check_output(CLI_OK);
}
