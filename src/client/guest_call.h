/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_call.h - a builtin program of the guest's init (guest/builtin.h), run to its end. */
#ifndef CLIENT_GUEST_CALL_H
#define CLIENT_GUEST_CALL_H

#include "client/client.h"

#include <limits.h>

enum {
	GUEST_CALL_ARGS = 5,
	GUEST_CALL_PIECE = 1 << 16,
	GUEST_CALL_WORDS_MAX = 2048, /* bytes of its stderr that are kept */
};

struct guest_call {
	char octal[16];                        /* for an argument */
	char name[NAME_MAX + 1];               /* likewise */
	const char *argv[GUEST_CALL_ARGS + 1]; /* read when it starts; empty when it is made */
	struct sbx_guest_opts o; /* the caller's, or the defaults */
	/* Its input, as sbx_guest_tar_in(); NULL for none. Failures are to be put into @err. */
	ssize_t (*source)(struct guest_call *c, void *data, size_t size);
	/* Its output, as sbx_guest_tar_out(). */
	int (*sink)(struct guest_call *c, const void *data, size_t len);
	/* After a good end: makes the result. May be NULL. */
	int (*finish)(struct guest_call *c, struct sbx_guest_result *ret);
	/* Frees what the three share. May be NULL. */
	void (*release)(struct guest_call *c);
	void *user; /* of source, sink, finish and release */
	struct sbx_err *err;
	/* Of a call that nobody waits for: it is over, with 0 or -errno, and @err says why. */
	void (*ended)(struct guest_call *c, int r);

	/* guest_call.c's own. */
	struct sbx_vm *vm;
	struct sbx_proc *proc;
	int failure; /* of source or sink */
	bool exited;
	struct sbx_exit exit;
	char message[512];
	char words[GUEST_CALL_WORDS_MAX + 1];
	size_t words_len;
	bool source_done;
	size_t piece_at, piece_len;
	uint8_t piece[GUEST_CALL_PIECE];
};

/* On the heap, as it is large. @opts is checked. 0, -EINVAL, -ENOMEM. */
int guest_call_create(struct sbx_vm *vm, const struct sbx_guest_opts *opts, struct guest_call **ret, struct sbx_err *err);
void guest_call_free(struct guest_call *c); /* accepts NULL */
/* Begins a call that has @ended. 0, or -errno as sbx_vm_exec(). */
int guest_call_start(struct guest_call *c);
/* Begins it and waits for its end: 0 when that was good; else -errno with words. */
int guest_call_run(struct guest_call *c);
/* -EINVAL with words unless it is an absolute path. */
int guest_call_path(const char *path, struct sbx_err *err);
/* guest_files.c, guest_copy.c: what a request's program is, and what is done with its traffic. */
int guest_files_prepare(struct guest_call *c, const struct sbx_guest_request *q);
int guest_copy_prepare(struct guest_call *c, const struct sbx_guest_request *q);
/* guest_request.c: a request, waited for. */
int guest_request_run(struct sbx_vm *vm, const struct sbx_guest_request *q, struct sbx_guest_result *ret, struct sbx_err *err);
/* What a builtin wrote to stderr: "E<errno> text". Its errno, negative, with the text in @err; -EIO if it is nothing like that. */
int guest_words(const char *words, size_t len, struct sbx_err *err);
/* Control characters and non-ASCII bytes become '?': names of the guest are in the message. */
void err_printable(struct sbx_err *err);

#endif
