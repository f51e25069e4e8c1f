/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm_probe.h - whether /dev/kvm is hardware virtualisation that a Linux guest can run on. */
#ifndef VMM_KVM_PROBE_H
#define VMM_KVM_PROBE_H

#include "vmm/engine.h"

/* Runs a few guest instructions in a VM of its own and times them: some milliseconds, never more than a second. The calling
 * thread's signal mask is changed for the time of the call and put back. After a good result the probe's VM is closed by a thread of its own, some
 * milliseconds later. @qemu_path is not used. */
void kvm_probe(const char *qemu_path, struct engine_probe *ret);

#endif
