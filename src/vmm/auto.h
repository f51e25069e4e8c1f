/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/auto.h - which engine runs a VM. */
#ifndef VMM_AUTO_H
#define VMM_AUTO_H

#include "vmm/engine.h"

/* The engine for @wanted (enum proto_engine). AUTO takes kvm where its probe says that it works, else qemu; a named engine is looked at
 * too. @icount needs qemu. *@ret_hw_virt: /dev/kvm is true hardware virtualisation, for engine_config. -ENODEV when there is
 * none: @err says for each why, and what to do. */
int engine_choose(uint32_t wanted, bool icount, const char *qemu_path, const struct engine_ops **ret, bool *ret_hw_virt, struct sbx_err *err);

#endif
