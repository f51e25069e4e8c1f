/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/guest_call.h - a builtin program of the guest's init (guest/builtin.h), run to its end. */
#ifndef CLIENT_GUEST_CALL_H
#define CLIENT_GUEST_CALL_H

#include "client/client.h"

enum {
	GUEST_CALL_ARGS = 5,
	GUEST_CALL_PIECE = 1 << 16,
	GUEST_CALL_WORDS_MAX = 2048, /* bytes of its stderr that are kept */
};

struct guest_call {
	const char *argv[GUEST_CALL_ARGS + 1];
	struct sbx_guest_opts o; /* the caller's, or the defaults */
	/* Its input, as sbx_guest_tar_in(); NULL for none. Failures are to be put into @err. */
	ssize_t (*source)(struct guest_call *c, void *data, size_t size);
	/* Its output, as sbx_guest_tar_out(). */
	int (*sink)(struct guest_call *c, const void *data, size_t len);
	void *user; /* source's and sink's */
	struct sbx_err *err;

	/* guest_call.c's own. */
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

/* On the heap, as it is large; release with free(). @opts is checked. 0, -EDEADLK, -EINVAL, -ENOMEM. */
int guest_call_create(struct sbx_vm *vm, const struct sbx_guest_opts *opts, struct guest_call **ret, struct sbx_err *err);
/* 0 when it ended well; else -errno with words. */
int guest_call_run(struct sbx_vm *vm, struct guest_call *c);
/* -EINVAL with words unless it is an absolute path. */
int guest_call_path(const char *path, struct sbx_err *err);
/* What a builtin wrote to stderr: "E<errno> text". Its errno, negative, with the text in @err; -EIO if it is nothing like that. */
int guest_words(const char *words, size_t len, struct sbx_err *err);
/* Control characters and non-ASCII bytes become '?': names of the guest are in the message. */
void err_printable(struct sbx_err *err);

#endif
