/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/auto.h - which engine runs a VM. */
#ifndef VMM_AUTO_H
#define VMM_AUTO_H

#include "vmm/engine.h"

/* The engine for @wanted (enum proto_engine). AUTO takes kvm where its probe says that it works, else qemu; a named engine is probed
 * too. @icount needs qemu. -ENODEV when there is none: @err says for each why, and what to do. */
int engine_choose(uint32_t wanted, bool icount, const char *qemu_path, const struct engine_ops **ret, struct sbx_err *err);

#endif
