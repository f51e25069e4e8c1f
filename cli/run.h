/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run.h - what the files of `sandbox run` share. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "sbx.h"

/* `sandbox run` uses the program's exit status; its own failures have one that programs rarely use, as env(1) and timeout(1) do. */
enum { RUN_FAILED = 125,
       RUN_TIMEOUT = 124 };

enum { RUN_ENV_MAX = 1024,
       RUN_COPIES_MAX = 64 };

/* A --publish. */
struct run_publish {
	const char *value;
	char address[64]; /* "": the default */
	uint16_t port, guest_port;
	bool udp;
};

/* A --copy-in or --copy-out. */
struct run_copy {
	bool out;
	const char *value, *src, *dst;
};

struct run_options {
	struct sbx_vm_config vm;
	struct sbx_exec_spec exec;
	const char *env[RUN_ENV_MAX + 1];
	unsigned env_count;
	struct sbx_mount mount[SBX_MOUNTS_MAX];
	const char *mount_value[SBX_MOUNTS_MAX]; /* as each was written */
	const char *rule[SBX_RULES_MAX];
	struct sbx_http_injection header[SBX_HTTP_HOOKS_MAX + 1];
	struct sbx_http_secret secret[SBX_HTTP_HOOKS_MAX + 1];
	struct run_copy copy[RUN_COPIES_MAX + 1];
	unsigned copy_count;
	uint64_t copy_limit; /* bytes, of each --copy-out */
	struct run_publish publish[SBX_PUBLISHED_MAX];
	unsigned publish_count;
	const char *console_path, *net_log_path, *http_log_path;
	bool interactive, tty, quiet, verbose;
};

/* Fills in @ret from the command line. 0: go on; otherwise the exit status + 1 (help was printed, or an error). */
int run_options_parse(int argc, char **argv, struct run_options *ret);

/* run_mounts.c: the values of --mount and --tmpfs. False after a complaint. */
bool run_take_mount(struct run_options *o, const char *value);
bool run_take_tmpfs(struct run_options *o, const char *value);
/* The value of the one whose mount point a message of the library names, and its option; or NULL. */
const char *run_mount_in(const struct run_options *o, const char *message, const char **ret_option);
/* run_options.c: the option that a message of the library is about, if it can be told; or NULL. */
const char *run_option_in(const struct run_options *o, const char *message);
/* run_copies.c: the values of --copy-in and --copy-out. False after a complaint. */
bool run_take_copy(struct run_options *o, bool out, const char *value);
/* Does those of one direction, in their order; after a failure the rest of those out, and none of those in. False after complaints. */
bool run_copies(const struct run_options *o, struct sbx_vm *vm, bool out);
/* run_publish.c: the value of --publish. False after a complaint. */
bool run_take_publish(struct run_options *o, const char *value);
/* Publishes them; false after a complaint. */
bool run_publish(const struct run_options *o, struct sbx_vm *vm);
/* run_http.c: the values of --header, --secret and --ca-file. False after a complaint. */
bool run_take_header(struct run_options *o, const char *value);
bool run_take_secret(struct run_options *o, const char *value);
bool run_take_ca_file(struct run_options *o, const char *path);
/* run_options.c: "64M", "2G", "512K", or bytes. */
bool run_take_size(const char *option, const char *text, uint64_t *ret);

/* Prints "sandbox run: …" on stderr. */
void run_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* An error of the library: its words, and below them the guest's console if it came with one. */
void run_sbx_error(const struct sbx_err *err);

#endif
