/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/auto.c - the choice of an engine: probe, then take the first that works. What a probe costs is paid once a VM. For qemu it is a look at
 * the file, as running it would cost more than starting it. For kvm it is some milliseconds of guest instructions, and most where
 * they are emulated; so the processor is asked first: where it offers no virtualisation there is no true KVM either. */
#include "vmm/auto.h"

#include "base/err.h"
#include "proto/schema.h"
#include "vmm/qemu.h"

#include <cpuid.h>
#include <errno.h>

enum { CPUID1_ECX_VMX = 1 << 5,
       CPUID80000001_ECX_SVM = 1 << 2 };

static bool processor_virtualises(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & CPUID1_ECX_VMX))
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & CPUID80000001_ECX_SVM);
}

static int refuse(const char *name, const struct engine_probe *p, struct sbx_err *err)
{
	return err_set(err, -ENODEV, "the %s engine cannot run here: %s%s%s", name, p->detail, p->remedy[0] ? "; " : "", p->remedy);
}

int engine_choose(uint32_t wanted, bool icount, const char *qemu_path, const struct engine_ops **ret, bool *ret_hw_virt, struct sbx_err *err)
{
	struct engine_probe qemu, kvm = {
		.detail = "the processor offers no hardware virtualisation",
		.remedy = "use a machine (or instance type) with VT-x or AMD-V, nested if it is virtual",
	};

	if (!icount && (wanted == PROTO_ENGINE_KVM || processor_virtualises()))
		engine_kvm.probe(NULL, &kvm);
	if (wanted != PROTO_ENGINE_QEMU && kvm.usable) {
		*ret = &engine_kvm;
		*ret_hw_virt = true;
		return 0;
	}
	if (wanted == PROTO_ENGINE_KVM && !icount)
		return refuse("kvm", &kvm, err);
	qemu_look(qemu_path, &qemu);
	if (qemu.usable) {
		*ret = &engine_qemu;
		*ret_hw_virt = kvm.usable;
		return 0;
	}
	if (wanted == PROTO_ENGINE_QEMU || icount)
		return refuse("qemu", &qemu, err);
	return err_set(err, -ENODEV, "no engine can run here. kvm: %s; %s. qemu: %s; %s", kvm.detail, kvm.remedy, qemu.detail, qemu.remedy);
}
