/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/limits.h - what this process gives up before it reads a byte from anybody. */
#ifndef HOST_LIMITS_H
#define HOST_LIMITS_H

#include "sbx.h"

/* Resource limits, no core dumps (they would hold guest memory), no new privileges. 0 or -errno. */
int limits_apply(struct sbx_err *err);
/* Die with the thread that started us; only when that is its process's main thread. */
int limits_die_with_parent(struct sbx_err *err);

#endif
