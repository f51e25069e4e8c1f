/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is in the memory of a VM of this process's, looked at from the host. */
#ifndef TESTS_SUPPORT_VMMEM_H
#define TESTS_SUPPORT_VMMEM_H

#include <stdbool.h>
#include <stddef.h>

enum vmmem {
	VMMEM_GUEST, /* all of the guest's: its kernel, its processes, its files that are not in an image */
	VMMEM_HOST,  /* what sandbox-host has besides */
};

/* Of the one VM that there is. Skips the test where that memory may not be read. */
bool vmmem_has(enum vmmem which, const void *p, size_t len);

#endif
