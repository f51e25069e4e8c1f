/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * tests/lab/check-kvm.c - is /dev/kvm true hardware virtualisation? The laboratory's test of itself.
 *
 * Runs a few guest instructions in 64-bit mode with one CPU and one page table, needs nothing of the product, and prints
 * TAP with the measured costs as comments. There are KVMs without VT-x or AMD-V below them: they emulate kernel mode
 * (slow) and cannot deliver a system call (wrong privilege level); on those this program fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOOPS 3000000  /* iterations of the kernel-mode and of the user-mode loop */
#define EXITS 5000     /* port writes, each an exit to us */
#define SYSCALLS 50000 /* system calls inside the guest */
#define TIME_LIMIT_S 60
#define EMULATED 50 /* an emulated kernel mode is some 1000 times slower than user mode; a busy machine makes 15 of 1 */

#define MEM_SIZE 0x200000u
#define CODE 0x10000u
#define STACK 0x9000u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_SFMASK 0xc0000084u

enum mark { MARK_KERNEL_LOOP, MARK_EXITS, MARK_USER_LOOP, MARK_SYSCALLS, MARK_END, MARK_COUNT_ };

#define PORT_MARK 0x10 /* al = enum mark: the phase that begins now */
#define PORT_EXIT 0x11 /* only an exit */
#define PORT_CPL 0x12  /* al = privilege level in the system call handler */

/* The guest: position-independent, loaded at CODE. In the handler rcx and r11 hold what sysret needs. */
#define STR_(x) #x
#define STR(x) STR_(x)
__asm__(".pushsection .rodata\n"
	".globl guest_start, guest_handler, guest_end\n"
	"guest_start:\n"
	"	xor %eax, %eax\n"
	"	out %al, $" STR(PORT_MARK) "\n" /* MARK_KERNEL_LOOP */
	"	mov $" STR(LOOPS) ", %ecx\n"
	"1:	dec %ecx\n"
	"	jnz 1b\n"
	"	inc %eax\n"
	"	out %al, $" STR(PORT_MARK) "\n" /* MARK_EXITS */
	"	mov $" STR(EXITS) ", %ecx\n"
	"2:	out %al, $" STR(PORT_EXIT) "\n"
	"	dec %ecx\n"
	"	jnz 2b\n"
	"	inc %eax\n"
	"	out %al, $" STR(PORT_MARK) "\n" /* MARK_USER_LOOP */
	"	lea guest_user(%rip), %rcx\n"
	"	mov $2, %r11d\n"
	"	sysretq\n"
	"guest_user:\n" /* privilege level 3 from here */
	"	mov $" STR(LOOPS) ", %edx\n"
	"3:	dec %edx\n"
	"	jnz 3b\n"
	"	xor %ebx, %ebx\n" /* system call 0: the phase ends */
	"	syscall\n"
	"	mov $1, %ebx\n" /* system call 1: nothing */
	"	mov $" STR(SYSCALLS) ", %edx\n"
	"4:	syscall\n"
	"	dec %edx\n"
	"	jnz 4b\n"
	"	xor %ebx, %ebx\n"
	"	syscall\n"
	"	jmp .\n"
	"guest_handler:\n"
	"	test %ebx, %ebx\n"
	"	jnz 5f\n"
	"	inc %eax\n"
	"	out %al, $" STR(PORT_MARK) "\n" /* MARK_SYSCALLS, then MARK_END */
	"	mov %eax, %edi\n"
	"	mov %cs, %eax\n"
	"	and $3, %al\n"
	"	out %al, $" STR(PORT_CPL) "\n"
	"	mov %edi, %eax\n"
	"5:	sysretq\n"
	"guest_end:\n"
	".popsection\n");
extern const unsigned char guest_start[], guest_handler[], guest_end[];

struct machine {
	int kvm, vm, cpu;
	struct kvm_run *run;
	uint8_t *mem;
};

struct result {
	int64_t at_ns[MARK_COUNT_]; /* when each phase began */
	unsigned marks, exits;
	int handler_cpl; /* -1: never entered */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static _Noreturn void bail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put_le64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v)); /* this machine is little endian */
}

static void load_guest(struct machine *m)
{
	put_le64(m->mem + 0x2000, 0x3000 | 7); /* PML4 -> PDPT -> PD -> one 2 MiB page, also for user mode */
	put_le64(m->mem + 0x3000, 0x4000 | 7);
	put_le64(m->mem + 0x4000, 0x87);
	memcpy(m->mem + CODE, guest_start, (size_t)(guest_end - guest_start));
}

static void create_machine(struct machine *m)
{
	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0)
		bail("cannot open /dev/kvm");
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		bail("KVM_CREATE_VM");
	m->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->mem == MAP_FAILED)
		bail("mmap");
	struct kvm_userspace_memory_region region = { .memory_size = MEM_SIZE, .userspace_addr = (uintptr_t)m->mem };
	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		bail("KVM_SET_USER_MEMORY_REGION");
	m->cpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	int run_size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (m->cpu < 0 || run_size < 0)
		bail("KVM_CREATE_VCPU");
	m->run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->cpu, 0);
	if (m->run == MAP_FAILED)
		bail("mmap of the CPU");
}

static void set_cpuid(struct machine *m) /* sysret and long mode must be in it */
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	if (!cpuid)
		bail("calloc");
	cpuid->nent = 256;
	if (ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 || ioctl(m->cpu, KVM_SET_CPUID2, cpuid) < 0)
		bail("CPUID");
	free(cpuid);
}

static void set_msr(struct machine *m, uint32_t index, uint64_t value)
{
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));

	if (!msrs)
		bail("calloc");
	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
	if (ioctl(m->cpu, KVM_SET_MSRS, msrs) != 1)
		bail("KVM_SET_MSRS");
	free(msrs);
}

static void enter_long_mode(struct machine *m)
{
	struct kvm_segment code = { .selector = 0x08, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1, .limit = ~0u };
	struct kvm_segment data = { .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1, .limit = ~0u };
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs;
	if (ioctl(m->cpu, KVM_GET_SREGS, &sregs) < 0)
		bail("KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr3 = 0x2000;
	sregs.cr4 |= 1u << 5;                        /* PAE */
	sregs.efer = 1u << 0 | 1u << 8 | 1u << 10;   /* SCE, LME, LMA */
	sregs.cr0 = 1u << 0 | 1u << 4 | 1u << 31;    /* PE, ET, PG */
	if (ioctl(m->cpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(m->cpu, KVM_SET_REGS, &regs) < 0)
		bail("cannot set the registers");
	set_msr(m, MSR_STAR, 0x0010000800000000); /* system calls enter at selector 8, sysret leaves to 0x10 + 16 */
	set_msr(m, MSR_LSTAR, CODE + (uint64_t)(guest_handler - guest_start));
	set_msr(m, MSR_SFMASK, 0);
}

static bool take_port_write(struct machine *m, struct result *r)
{
	uint8_t value = *((uint8_t *)m->run + m->run->io.data_offset);

	switch (m->run->io.port) {
	case PORT_MARK:
		if (value >= MARK_COUNT_ || value != r->marks)
			return false;
		r->at_ns[r->marks++] = now_ns();
		return true;
	case PORT_EXIT:
		r->exits++;
		return true;
	case PORT_CPL:
		r->handler_cpl = value;
		return true;
	default:
		return false;
	}
}

static void interrupted(int sig)
{
	(void)sig;
}

/* Runs the guest to its end, TIME_LIMIT_S, or to an exit that it should not make; says on a comment line which. */
static void run_guest(struct machine *m, struct result *r)
{
	struct sigaction alarm_action = { .sa_handler = interrupted };

	sigaction(SIGALRM, &alarm_action, NULL);
	alarm(TIME_LIMIT_S);
	while (r->marks < MARK_COUNT_ || r->handler_cpl < 0) {
		if (ioctl(m->cpu, KVM_RUN, 0) < 0) {
			printf("# KVM_RUN: %s (limit %d s)\n", strerror(errno), TIME_LIMIT_S);
			return;
		}
		if (m->run->exit_reason != KVM_EXIT_IO || !take_port_write(m, r)) {
			printf("# unexpected exit, reason %u\n", m->run->exit_reason);
			return;
		}
	}
}

static bool check(int number, bool ok, const char *name)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", number, name);
	return ok;
}

static double phase_ns(const struct result *r, enum mark from, unsigned count)
{
	return r->marks > (unsigned)from + 1 ? (double)(r->at_ns[from + 1] - r->at_ns[from]) / count : -1;
}

int main(void)
{
	struct machine m = { 0 };
	struct result r = { .handler_cpl = -1 };
	bool good = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..3\n");
	int64_t start = now_ns();
	create_machine(&m);
	set_cpuid(&m);
	load_guest(&m);
	enter_long_mode(&m);
	run_guest(&m, &r);
	double kernel = phase_ns(&r, MARK_KERNEL_LOOP, LOOPS), user = phase_ns(&r, MARK_USER_LOOP, LOOPS);

	if (r.marks)
		printf("# open to first guest exit %.2f ms\n", (double)(r.at_ns[0] - start) / 1e6);
	printf("# kernel-mode loop %.2f ns, user-mode loop %.2f ns an iteration\n", kernel, user);
	printf("# port exit %.0f ns, guest system call %.0f ns\n", phase_ns(&r, MARK_EXITS, EXITS),
	       phase_ns(&r, MARK_SYSCALLS, SYSCALLS));
	good &= check(1, r.marks > MARK_EXITS && r.exits == EXITS, "64-bit kernel mode runs and its port writes exit");
	good &= check(2, r.marks == MARK_COUNT_ && r.handler_cpl == 0,
		      "system calls of user mode reach a kernel-mode handler and return");
	good &= check(3, kernel > 0 && user > 0 && kernel < EMULATED * user,
		      "kernel mode is executed, not emulated");
	return good ? 0 : 1;
}
