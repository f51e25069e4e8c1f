/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SBX_H
#define SBX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A failure in words. Caller-owned, fixed size; every function that takes one accepts NULL. */
struct sbx_err {
	int code;           /* negative errno */
	char message[1024]; /* what, why, and what to do; one line, no newline at the end */
	char console[4096]; /* the guest console's last lines when a launch or a guest failed, else "" */
};

enum { SBX_CPUS_MAX = 32 };

#ifdef __cplusplus
}
#endif

#endif
