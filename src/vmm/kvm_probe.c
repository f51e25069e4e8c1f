/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm_probe.c - a KVM that opens is not a KVM that works: where the machine is a virtual one without nested virtualisation, there are KVMs that
 * interpret the guest's kernel mode instruction by instruction, or cannot bring a system call from guest user mode to the guest's
 * kernel. So a few guest instructions are run and judged:
 *
 *   1. in kernel mode, a loop between two port writes, timed by the host: 10000 instructions take a few microseconds on hardware and
 *      several milliseconds in an emulator. The time of the exits themselves is in it, which can be 0.2 ms on a slow nested machine;
 *   2. in user mode, `syscall`: the handler in kernel mode writes a port with its code segment's selector.
 *
 * Nothing can hang: a timer sends the vCPU's kick signal (see kvm_run.c) to this thread, which only KVM_RUN lets through. No vCPU thread, no
 * interrupt controller, 64 KiB of memory. */
#include "vmm/kvm_probe.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rd.h"
#include "vmm/kvm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum {
	PROBE_BYTES = 64 << 10,
	PROBE_PML4 = 0x1000, /* three tables, a page each; the last maps 2 MiB to itself, open to user mode */
	PROBE_CODE = 0x8000,
	PROBE_SYSCALL = 0x9000, /* LSTAR */
	PROBE_USER = 0xa000,
	PROBE_GDT = 0xb000,
	PROBE_STACK = 0xd000,
	PROBE_PORT = 0x80,
	PROBE_LOOPS = 5000, /* two instructions each */
	PROBE_TRIES = 3,    /* the best counts: the machine may be busy */
	PROBE_LIMIT_MS = 1000, /* far beyond what a busy machine needs */

	PTE_TABLE = 0x7, /* present, writable, user */
	PTE_2M = 0x87,
	USER_CODE_SEL = 0x2b,
	USER_DATA_SEL = 0x23,

	MARK_START = 1,
	MARK_LOOP_DONE = 2,
	MARK_SYSCALL = BOOT_CODE_SEL, /* CS in the handler: kernel mode */

};

#define LOOP_NS_MAX (PROBE_LOOPS * (UINT64_C(2) * 150)) /* a fast emulator is still an emulator: 150 ns an instruction */

/* mark 1; ecx = LOOPS; 1: dec ecx; jnz 1b; mark 2; then iretq to user mode. */
static const uint8_t code_kernel[] = {
	0xb0, MARK_START, 0xe6, PROBE_PORT,                                    /* mov $1,%al; out %al,$0x80 */
	0xb9, PROBE_LOOPS & 0xff, PROBE_LOOPS >> 8, 0, 0,                      /* mov $LOOPS,%ecx */
	0xff, 0xc9, 0x75, 0xfc,                                                /* dec %ecx; jnz .-2 */
	0xb0, MARK_LOOP_DONE, 0xe6, PROBE_PORT,                                /* mov $2,%al; out %al,$0x80 */
	0x6a, USER_DATA_SEL, 0x68, PROBE_STACK & 0xff, PROBE_STACK >> 8, 0, 0, /* push $ss; push $rsp */
	0x6a, 0x02, 0x6a, USER_CODE_SEL,                                       /* push $rflags; push $cs */
	0x68, PROBE_USER & 0xff, PROBE_USER >> 8, 0, 0, 0x48, 0xcf,            /* push $rip; iretq */
};
static const uint8_t code_user[] = { 0x0f, 0x05, 0xeb, 0xfe };                      /* syscall; jmp . */
static const uint8_t code_syscall[] = { 0x8c, 0xc8, 0xe6, PROBE_PORT, 0xeb, 0xfe }; /* mov %cs,%eax; out %al,$0x80; jmp . */

struct probe {
	int kvm_fd, vm_fd, vcpu_fd;
	uint8_t *mem;
	struct kvm_run *run;
	size_t run_len;
};

static int probe_open(struct probe *p, struct sbx_err *err)
{
	struct kvm_userspace_memory_region slot = { .memory_size = PROBE_BYTES };
	int len;
	void *m;

	p->kvm_fd = kvm_open(err);
	if (p->kvm_fd < 0)
		return p->kvm_fd;
	p->vm_fd = kvm_create_vm(p->kvm_fd, err);
	if (p->vm_fd < 0)
		return p->vm_fd;
	m = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return err_set(err, -errno, "no memory for a guest: %m");
	p->mem = m;
	slot.userspace_addr = (uint64_t)(uintptr_t)m;
	if (ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return err_set(err, -errno, "KVM does not take guest memory: %m");
	p->vcpu_fd = ioctl(p->vm_fd, KVM_CREATE_VCPU, 0);
	len = ioctl(p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (p->vcpu_fd < 0 || len < (int)sizeof(*p->run))
		return err_set(err, p->vcpu_fd < 0 ? -errno : -EIO, "KVM cannot create a vCPU: %m");
	p->run_len = (size_t)len;
	m = mmap(NULL, p->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu_fd, 0);
	if (m == MAP_FAILED)
		return err_set(err, -errno, "cannot map a vCPU: %m");
	p->run = m;
	return 0;
}

static void probe_close(struct probe *p)
{
	if (p->run)
		(void)munmap(p->run, p->run_len);
	close_fd(&p->vcpu_fd);
	close_fd(&p->vm_fd);
	close_fd(&p->kvm_fd);
	if (p->mem)
		(void)munmap(p->mem, PROBE_BYTES);
}

static void *probe_close_thread(void *arg)
{
	probe_close(arg);
	free(arg);
	return NULL;
}

/* The kernel waits for grace periods when a VM goes, and again when the next one comes after all have gone: 10 ms each, which a boot would
 * feel. So a thread of its own closes while the real VM is made. */
static void probe_close_aside(struct probe *p)
{
	struct probe *copy = malloc(sizeof(*copy));
	sigset_t all, before;
	pthread_t thread;
	bool started = false;

	if (copy) {
		*copy = *p;
		sigfillset(&all);
		(void)pthread_sigmask(SIG_SETMASK, &all, &before);
		started = pthread_create(&thread, NULL, probe_close_thread, copy) == 0;
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (started) {
		(void)pthread_detach(thread);
		return;
	}
	free(copy);
	probe_close(p);
}

static void probe_fill(struct probe *p)
{
	static const uint64_t gdt[] = {
		[BOOT_CODE_SEL / 8] = 0x00af9b000000ffff,
		[BOOT_DATA_SEL / 8] = 0x00cf93000000ffff,
		[USER_DATA_SEL / 8] = 0x00cff3000000ffff,
		[USER_CODE_SEL / 8] = 0x00affb000000ffff,
	};

	store_le64(p->mem + PROBE_PML4, (PROBE_PML4 + 0x1000) | PTE_TABLE);
	store_le64(p->mem + PROBE_PML4 + 0x1000, (PROBE_PML4 + 0x2000) | PTE_TABLE);
	store_le64(p->mem + PROBE_PML4 + 0x2000, PTE_2M);
	memcpy(p->mem + PROBE_CODE, code_kernel, sizeof(code_kernel));
	memcpy(p->mem + PROBE_SYSCALL, code_syscall, sizeof(code_syscall));
	memcpy(p->mem + PROBE_USER, code_user, sizeof(code_user));
	memcpy(p->mem + PROBE_GDT, gdt, sizeof(gdt));
}

static int probe_set_registers(const struct probe *p, struct sbx_err *err)
{
	AUTOFREE struct kvm_msrs *m = calloc(1, sizeof(*m) + 2 * sizeof(m->entries[0]));
	struct kvm_regs regs;
	struct kvm_sregs s;
	int r = kvm_cpu_enter_at(p->vcpu_fd, PROBE_CODE, err);

	if (r < 0 || !m)
		return r < 0 ? r : err_set(err, -ENOMEM, "no memory for a guest: %m");
	m->nmsrs = 2;
	m->entries[0] = (struct kvm_msr_entry){ .index = 0xc0000081, .data = UINT64_C(0x001b0010) << 32 }; /* STAR: selectors */
	m->entries[1] = (struct kvm_msr_entry){ .index = 0xc0000082, .data = PROBE_SYSCALL };              /* LSTAR */
	if (ioctl(p->vcpu_fd, KVM_GET_SREGS, &s) < 0 || ioctl(p->vcpu_fd, KVM_GET_REGS, &regs) < 0)
		return err_set(err, -errno, "cannot read a vCPU's registers: %m");
	s.cr3 = PROBE_PML4;
	s.efer |= 1; /* system calls on */
	s.gdt = (struct kvm_dtable){ .base = PROBE_GDT, .limit = 0x2f };
	regs.rsp = PROBE_STACK;
	if (ioctl(p->vcpu_fd, KVM_SET_SREGS, &s) < 0 || ioctl(p->vcpu_fd, KVM_SET_REGS, &regs) < 0 ||
	    ioctl(p->vcpu_fd, KVM_SET_MSRS, m) != 2)
		return err_set(err, -EIO, "KVM does not take a vCPU's registers");
	return 0;
}

/* Runs to the next port write. Its value, or -errno: -ETIME when it takes too long, -EPROTO with words for any other exit. */
static int probe_run(const struct probe *p, struct sbx_err *err)
{
	if (ioctl(p->vcpu_fd, KVM_RUN, 0) < 0)
		return errno == EINTR ? err_set(err, -ETIME, "a few guest instructions took more than %d ms", PROBE_LIMIT_MS)
				      : err_set(err, -errno, "KVM cannot run a guest: %m");
	if (p->run->exit_reason == KVM_EXIT_IO && p->run->io.direction == KVM_EXIT_IO_OUT && p->run->io.port == PROBE_PORT)
		return *((const uint8_t *)p->run + p->run->io.data_offset);
	return err_set(err, -EPROTO, "the guest fails (KVM exit %u)", p->run->exit_reason);
}

static int probe_loop(const struct probe *p, uint64_t *ret_ns, struct sbx_err *err)
{
	uint64_t start;
	int r = probe_run(p, err);

	if (r < 0)
		return r;
	start = clock_mono_ns();
	r = probe_run(p, err);
	if (r < 0)
		return r;
	*ret_ns = clock_mono_ns() - start;
	return r == MARK_LOOP_DONE ? 0 : err_set(err, -EPROTO, "the guest computes wrongly");
}

static int probe_judge(struct probe *p, struct sbx_err *err)
{
	uint64_t best = UINT64_MAX, ns = 0;
	int r;

	probe_fill(p);
	for (int i = 0; i < PROBE_TRIES && best > LOOP_NS_MAX; i++) {
		r = probe_set_registers(p, err);
		if (r == 0)
			r = probe_loop(p, &ns, err);
		if (r < 0)
			return r;
		best = MIN(best, ns);
	}
	if (best > LOOP_NS_MAX)
		return err_set(err, -ENODEV,
			       "/dev/kvm is no hardware virtualisation: it emulates the guest's kernel mode, %llu ns an instruction",
			       (unsigned long long)best / 2 / PROBE_LOOPS);
	r = probe_run(p, err);
	if (r < 0)
		return err_set(err, -ENODEV, "/dev/kvm cannot bring a system call from guest user mode to the guest kernel (KVM exit %u)", p->run->exit_reason);
	return r == MARK_SYSCALL ? 0 : err_set(err, -ENODEV, "/dev/kvm does not change to kernel mode for a system call of the guest");
}

/* A timer whose signal makes KVM_RUN on this thread return. */
static int probe_guard(const struct probe *p, timer_t *ret, struct sbx_err *err)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kvm_kick_signal() };
	struct itimerspec at = { .it_value.tv_sec = PROBE_LIMIT_MS / 1000 };
	int r = kvm_run_mask(p->vcpu_fd);

	if (r < 0)
		return err_set(err, r, "KVM does not take a signal mask: %m");
	ev._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &ev, ret) < 0)
		return err_set(err, -errno, "cannot make a timer: %m");
	(void)timer_settime(*ret, 0, &at, NULL); /* cannot fail with these arguments */
	return 0;
}

static int probe_guarded(struct probe *p, struct sbx_err *err)
{
	sigset_t kick, before;
	timer_t timer;
	int r;

	sigemptyset(&kick);
	sigaddset(&kick, kvm_kick_signal());
	(void)pthread_sigmask(SIG_BLOCK, &kick, &before);
	r = probe_guard(p, &timer, err);
	if (r == 0) {
		r = probe_judge(p, err);
		(void)timer_delete(timer);
		kvm_drain_kicks();
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

void kvm_probe(const char *qemu_path, struct engine_probe *ret)
{
	struct probe p = { .kvm_fd = -1, .vm_fd = -1, .vcpu_fd = -1 };
	struct sbx_err err = { 0 };
	int r = probe_open(&p, &err);

	(void)qemu_path;
	if (r == 0)
		r = probe_guarded(&p, &err);
	*ret = (struct engine_probe){ .usable = r == 0 };
	(void)snprintf(ret->detail, sizeof(ret->detail), "%.*s", (int)sizeof(ret->detail) - 1,
		       r == 0 ? "/dev/kvm is hardware virtualisation: guest kernel code and system calls run on the processor" : err.message);
	if (r < 0)
		(void)snprintf(ret->remedy, sizeof(ret->remedy), "%.*s", (int)sizeof(ret->remedy) - 1,
			       p.vcpu_fd < 0 ? kvm_remedy(r) : "use the qemu engine here, or a machine (or instance type) with VT-x or AMD-V, nested if it is virtual");
	if (r == 0)
		probe_close_aside(&p);
	else
		probe_close(&p);
}
