/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/cli.h - what the sub-commands of `sandbox` share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

struct sbx_err;

/* Exit statuses of the command itself. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

/* Each gets the arguments from its own name on, and returns the exit status. */
int cmd_run(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* main.c: what getopt_long() has just refused, as people write it: "--name…" or "-x". @shorts: the letters that there are; @letter: room for one. */
const char *cli_refused(char **argv, const char *shorts, char letter[3]);

/* policy.c: does this egress rule make sense? Else @err says what is wrong with it. */
bool cli_check_rule(const char *rule, struct sbx_err *err);

#endif
