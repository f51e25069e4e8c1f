/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm_cpu.c - a vCPU and the state in which it starts: what CPUID says, and for the boot CPU 64-bit mode on the tables that boot.c laid out. The
 * others wait for the guest to start them (INIT and SIPI, inside KVM).
 *
 * CPUID is KVM's list of what it supports, with the topology rewritten: one package of @cpus cores, APIC ids counting up from 0, as the MP
 * table says; the topology of the host's own CPUs must not shine through. */
#include "vmm/kvm.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum {
	CPUID1_ECX_TSC_DEADLINE = 1 << 24,
	CPUID1_EDX_HTT = 1 << 28,
	CPUID6_EAX_ARAT = 1 << 2,
	CPUID_LEVEL_SMT = 1 << 8, /* leaf 0xb, ECX: type of the level */
	CPUID_LEVEL_CORE = 2 << 8,

	CR0_PE = 1 << 0,
	CR0_ET = 1 << 4,
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	RFLAGS_FIXED = 1 << 1,
	SEG_CODE64 = 0xb,
	SEG_DATA = 0x3,
	SEG_TSS_BUSY = 0xb,

	MSR_MISC_ENABLE = 0x1a0,
	MISC_ENABLE_FAST_STRING = 1 << 0,
};

#define CPUID1_ECX_HYPERVISOR (1U << 31)
#define CR0_PG (1U << 31)

/* Bits that number @cpus APIC ids. */
static uint32_t id_bits(unsigned cpus)
{
	uint32_t bits = 0;

	while (1U << bits < cpus)
		bits++;
	return bits;
}

/* Levels above the thread: @index 0 is one thread a core, 1 all cores of the package, 2 the end. */
static void topology_level(struct kvm_cpuid_entry2 *e, uint32_t index, unsigned id, unsigned cpus)
{
	static const uint32_t type[] = { CPUID_LEVEL_SMT, CPUID_LEVEL_CORE, 0 };

	*e = (struct kvm_cpuid_entry2){ .function = 0xb, .index = index, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };
	e->eax = index == 1 ? id_bits(cpus) : 0;
	e->ebx = index == 0 ? 1 : index == 1 ? cpus
					     : 0;
	e->ecx = type[index] | index;
	e->edx = id;
}

/* Bits 31-26: cores of the package; bits 25-14: CPUs that share this cache, which is one core unless it is the last level. */
static void intel_cache(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
	uint32_t mask = (1U << id_bits(cpus)) - 1;

	if ((e->eax & 0x1f) == 0)
		return;
	e->eax &= 0x3fff;
	e->eax |= mask << 26;
	if ((e->eax >> 5 & 7) >= 3)
		e->eax |= mask << 14;
}

static void amd_cache(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
	if ((e->eax & 0x1f) == 0)
		return;
	e->eax &= 0x3fff;
	if ((e->eax >> 5 & 7) >= 3)
		e->eax |= (cpus - 1) << 14;
}

/* Fits one leaf to guest CPU @id of @cpus; false: the leaf is left out. */
static bool fit_leaf(struct kvm_cpuid_entry2 *e, unsigned id, unsigned cpus, bool tsc_deadline)
{
	switch (e->function) {
	case 0x1:
		e->ebx = (e->ebx & 0xffff) | id << 24 | 1U << id_bits(cpus) << 16;
		e->ecx |= CPUID1_ECX_HYPERVISOR | (tsc_deadline ? CPUID1_ECX_TSC_DEADLINE : 0);
		e->edx = cpus > 1 ? e->edx | CPUID1_EDX_HTT : e->edx & ~(uint32_t)CPUID1_EDX_HTT;
		return true;
	case 0x4:
		intel_cache(e, cpus);
		return true;
	case 0x6: /* the local APIC timer never sleeps, since it is KVM's */
		e->eax |= CPUID6_EAX_ARAT;
		return true;
	case 0xa: /* no performance counters */
		e->eax = e->ebx = e->ecx = e->edx = 0;
		return true;
	case 0xb: /* replaced by ours */
	case 0x1f:
	case 0x80000026:
		return false;
	case 0x80000008:
		e->ecx = (e->ecx & ~UINT32_C(0xf0ff)) | (cpus - 1) | id_bits(cpus) << 12;
		return true;
	case 0x8000001d:
		amd_cache(e, cpus);
		return true;
	case 0x8000001e:
		e->eax = id;
		e->ebx = id; /* one thread a core */
		e->ecx = 0;  /* one node */
		return true;
	default:
		return true;
	}
}

int kvm_cpu_set_cpuid(int kvm_fd, int vcpu_fd, struct kvm_cpuid2 *supported, unsigned id, unsigned cpus, struct sbx_err *err)
{
	AUTOFREE struct kvm_cpuid2 *mine = calloc(1, sizeof(*mine) + KVM_CPUID_MAX * sizeof(mine->entries[0]));
	bool tsc_deadline = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	bool has_topology = false;

	if (!mine)
		return err_set(err, -ENOMEM, "cannot set up a vCPU: %m");
	for (uint32_t i = 0; i < supported->nent && mine->nent < KVM_CPUID_MAX - 3; i++) {
		struct kvm_cpuid_entry2 *e = &mine->entries[mine->nent];

		*e = supported->entries[i];
		has_topology |= e->function == 0 && e->eax >= 0xb;
		mine->nent += fit_leaf(e, id, cpus, tsc_deadline);
	}
	for (uint32_t level = 0; has_topology && level < 3; level++)
		topology_level(&mine->entries[mine->nent++], level, id, cpus);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, mine) < 0)
		return err_set(err, -errno, "KVM does not take the vCPU's CPUID: %m");
	return 0;
}

int kvm_cpu_enter_at(int vcpu_fd, uint64_t entry, struct sbx_err *err)
{
	static const struct kvm_segment data = {
		.selector = BOOT_DATA_SEL, .limit = UINT32_MAX, .type = SEG_DATA, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_regs regs = { .rip = entry, .rsi = BOOT_PARAMS_GPA, .rflags = RFLAGS_FIXED };
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return err_set(err, -errno, "cannot read a vCPU's registers: %m");
	s.cs = (struct kvm_segment){ .selector = BOOT_CODE_SEL, .limit = UINT32_MAX, .type = SEG_CODE64, .present = 1, .l = 1, .s = 1, .g = 1 };
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.tr = (struct kvm_segment){ .selector = BOOT_TSS_SEL, .limit = 0xffff, .type = SEG_TSS_BUSY, .present = 1 };
	s.gdt = (struct kvm_dtable){ .base = BOOT_GDT_GPA, .limit = BOOT_GDT_LEN - 1 };
	s.idt = (struct kvm_dtable){ 0 }; /* an exception before the guest has a table of its own is a triple fault: a reset */
	s.cr0 = CR0_PE | CR0_ET | CR0_PG;
	s.cr3 = BOOT_PML4_GPA;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return err_set(err, -errno, "KVM does not take a vCPU's registers: %m");
	return 0;
}

/* As firmware leaves it: without this bit an Intel guest believes that string instructions are slow. CPUs without the register refuse it. */
static void enable_fast_strings(int vcpu_fd)
{
	struct {
		struct kvm_msrs list;
		struct kvm_msr_entry entry;
	} m = { .list.nmsrs = 1, .entry.index = MSR_MISC_ENABLE };

	if (ioctl(vcpu_fd, KVM_GET_MSRS, &m) != 1)
		return;
	m.entry.data |= MISC_ENABLE_FAST_STRING;
	(void)ioctl(vcpu_fd, KVM_SET_MSRS, &m);
}

int kvm_cpu_create(struct kvm *k, struct kvm_vcpu *v, struct sbx_err *err)
{
	void *run;

	v->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, v->id);
	if (v->fd < 0)
		return err_set(err, -errno, "KVM cannot create vCPU %u: %m", v->id);
	run = mmap(NULL, k->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return err_set(err, -errno, "cannot map vCPU %u: %m", v->id);
	v->run = run;
	enable_fast_strings(v->fd);
	return 0;
}

void kvm_cpu_free(struct kvm *k, struct kvm_vcpu *v)
{
	if (v->run)
		(void)munmap(v->run, k->run_len);
	close_fd(&v->fd);
}
