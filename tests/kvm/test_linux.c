/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kvm engine boots our guest kernel up to an init of a few instructions. Needs hardware virtualisation. lab: representative */
#include "../support/kvmvm.h"
#include "../test.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "dev/console.h"
#include "dev/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* init: write(1, …), then reboot(2) as a restart. */
__asm__(".pushsection .rodata\n"
	"linux_init:\n"
	"	mov $1, %eax\n"
	"	mov $1, %edi\n"
	"	lea 1f(%rip), %rsi\n"
	"	mov $(2f - 1f), %edx\n"
	"	syscall\n"
	"	mov $169, %eax\n"
	"	mov $0xfee1dead, %edi\n"
	"	mov $672274793, %esi\n"
	"	mov $0x01234567, %edx\n"
	"	syscall\n"
	"3:	jmp 3b\n"
	"1:	.ascii \"init runs\\n\"\n"
	"2:\n"
	"linux_init_end:\n"
	".popsection\n");
extern const char linux_init[], linux_init_end[];

static int open_kernel(const char *name)
{
	char path[4096];
	const char *build = getenv("SBX_BUILD");
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", build ? build : "build", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		SKIP("%s is not built", path);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

static void boot(const char *kernel, unsigned memory_mib, unsigned cpus, const char *cmdline, const char *expect)
{
	static struct kvmvm vm;
	AUTOCLOSE int kernel_fd = -1;
	AUTOCLOSE int init_fd = kvmvm_elf(linux_init, (size_t)(linux_init_end - linux_init), 0x400000);
	uint64_t start = clock_mono_ns();
	bool ended;

	kvmvm_need_true_kvm();
	test_timeout(300);
	kernel_fd = open_kernel(kernel);
	kvmvm_init(&vm);
	CHECK(rng_create(vm.loop, &vm.log, &vm.dev[vm.dev_count++]) == 0, "rng");
	CHECK(console_create(vm.loop, &vm.log, vm.events.console, &vm, &vm.dev[vm.dev_count++]) == 0, "console");
	kvmvm_create(&vm, kernel_fd, init_fd, memory_mib, cpus, cmdline);
	kvmvm_start(&vm);
	ended = kvmvm_wait_end(&vm, 200000);
	printf("# %s, %u MiB, %u CPUs: %llu ms\n", kernel, memory_mib, cpus, (unsigned long long)((clock_mono_ns() - start) / NS_PER_MS));
	CHECK(strstr(vm.text, "init runs") && ended && vm.end == ENGINE_END_SHUTDOWN && strstr(vm.text, expect), "ended %d (%s), console:\n%s",
	      ended, vm.detail, vm.text);
	kvmvm_done(&vm);
}

TEST(vmlinux_boots_to_its_init)
{
	boot("vmlinux", 256, 1, "", "init runs");
}

TEST(bzimage_boots_to_its_init)
{
	boot("bzImage", 256, 1, "", "init runs");
}

TEST(four_cpus_come_up)
{
	boot("vmlinux", 256, 4, "ignore_loglevel", "Total of 4 processors activated");
}

TEST(thirty_two_cpus_come_up)
{
	boot("vmlinux", 256, 32, "ignore_loglevel", "Total of 32 processors activated");
}

TEST(memory_beyond_the_hole_is_used)
{
	boot("vmlinux", 3500, 1, "ignore_loglevel", "node   0: [mem 0x0000000100000000-0x000000011abfffff]");
}

TEST(a_small_machine_boots)
{
	boot("vmlinux", 64, 1, "", "init runs");
}

RUN_TESTS(T(vmlinux_boots_to_its_init), T(bzimage_boots_to_its_init), T(four_cpus_come_up), T(thirty_two_cpus_come_up),
	  T(memory_beyond_the_hole_is_used), T(a_small_machine_boots))
