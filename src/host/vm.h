/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/vm.h - one VM: the only place that names concrete devices and engines. */
#ifndef HOST_VM_H
#define HOST_VM_H

#include "host/config.h"
#include "host/ctl.h"

struct vm;

/* Builds and starts the VM of @config (moved out, unless -ENOMEM leaves *@ret alone) for the client at @ctl (borrowed). On failure VM_END has been queued. */
int vm_create(struct loop *loop, struct ctl *ctl, struct vm_config *config, uint64_t born_ns, struct vm **ret);
void vm_free(struct vm *vm); /* kills the guest; accepts NULL */
/* A frame of the client's. 0, or -EPROTO. */
int vm_frame(struct vm *vm, const struct frame *f);
void vm_client_drained(struct vm *vm);

#endif
