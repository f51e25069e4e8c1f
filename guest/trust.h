/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/trust.h - the host's certificate authority, where programs look for those they trust. */
#ifndef GUEST_TRUST_H
#define GUEST_TRUST_H

#include "frames.h"

enum {
	TRUST_FILE_BYTES_MAX = 16 << 20, /* of a bundle or a key store of the image; a larger one stays as it is */
	TRUST_ENV_COUNT = 5,
	TRUST_PATH_MAX = 128,
};

/* All zero: there is none. */
struct trust {
	char *pem; /* ends in a newline */
	char hash[FRAMES_CA_HASH_LEN + 1];
	char *env[TRUST_ENV_COUNT + 1]; /* "SSL_CERT_FILE=…", after trust_provide(); NULL-terminated */
};

int trust_set(struct trust *trust, const struct msg_guest_ca *m); /* 0 or -ENOMEM */
void trust_done(struct trust *trust);

/*
 * Adds it to the bundles, directories and key stores of the root, which is the current directory and has /proc and /run mounted. Without @writable the root's own
 * files stay as they are, and others are mounted over them, whose content is in @store, an absent directory of init's own root. What cannot be done is said on
 * the console.
 */
void trust_provide(struct trust *trust, const char *store, bool writable);

#endif
