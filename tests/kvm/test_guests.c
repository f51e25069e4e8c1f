/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kvm engine against freestanding guests (tests/kvm/guest), which run on any KVM, also one that emulates kernel mode. */
#include "../support/kvmvm.h"
#include "../test.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "dev/console.h"
#include "dev/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { LIMIT_MS = 40000 };

static struct kvmvm vm;

/* A VM with an rng and a console, whose guest is about to run @test. */
static void create(const char *test, unsigned cpus)
{
	AUTOCLOSE int kernel_fd = -1;
	char cmdline[64];

	kvmvm_need_kvm();
	kernel_fd = kvmvm_guest("all");
	(void)snprintf(cmdline, sizeof(cmdline), "test=%s cpus=%u", test, cpus);
	kvmvm_init(&vm);
	CHECK(rng_create(vm.loop, &vm.log, &vm.dev[vm.dev_count++]) == 0, "rng");
	CHECK(console_create(vm.loop, &vm.log, vm.events.console, &vm, &vm.dev[vm.dev_count++]) == 0, "console");
	kvmvm_create(&vm, kernel_fd, -1, 16, cpus, cmdline);
}

/* Runs @test to its end, which is "guest done" and a reset; every check of the guest's must hold. */
static void run_to_end(const char *test, unsigned cpus, const char *expect)
{
	create(test, cpus);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_end(&vm, LIMIT_MS), "still running; it printed:\n%s", vm.text);
	CHECK(vm.end == ENGINE_END_SHUTDOWN && vm.ends == 1, "%s; it printed:\n%s", vm.detail, vm.text);
	CHECK(!strstr(vm.text, "not ok"), "%s", vm.text);
	CHECK(strstr(vm.text, expect) && strstr(vm.text, "guest done"), "%s", vm.text);
	kvmvm_done(&vm);
}

TEST(devices_and_the_empty_bus_answer_accesses_of_any_kind)
{
	run_to_end("bus", 1, "ok the device is still there");
	CHECK(!strchr(vm.text, 0x21), "the speed of the serial port was printed:\n%s", vm.text);
}

TEST(the_rng_serves_a_guest_through_a_queue)
{
	run_to_end("rng", 1, "ok again after a reset");
}

TEST(interrupts_reach_the_guest)
{
	run_to_end("irq", 1, "ok an interrupt for each buffer");
}

TEST(the_console_carries_output)
{
	run_to_end("console", 1, "through a real queue");
}

TEST(a_guest_that_misuses_rings_breaks_the_device_and_nothing_else)
{
	run_to_end("evil", 1, "ok and still works");
}

TEST(early_output_is_whole_however_much_there_is)
{
	size_t i = 0;

	create("flood", 1);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_end(&vm, LIMIT_MS), "still running");
	for (; i < 16000; i++)
		CHECK(vm.text[i] == "0123456789abcdef"[i % 16], "at %zu: %.20s", i, vm.text + i);
	CHECK(strcmp(vm.text + i, "\nguest done\n") == 0, "%s", vm.text + i);
	kvmvm_done(&vm);
}

TEST(two_cpus_run)
{
	run_to_end("smp", 2, "ok every other CPU");
}

TEST(thirty_two_cpus_run)
{
	run_to_end("smp", 32, "ok every other CPU");
}

TEST(the_keyboard_controller_resets)
{
	create("kbd_reset", 1);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_end(&vm, LIMIT_MS) && vm.end == ENGINE_END_SHUTDOWN, "%d %s", vm.end, vm.detail);
	CHECK(strcmp(vm.text, "resetting\n") == 0, "%s", vm.text);
	kvmvm_done(&vm);
}

TEST(a_triple_fault_ends_the_vm)
{
	create("triple_fault", 1);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_end(&vm, LIMIT_MS) && vm.end == ENGINE_END_SHUTDOWN, "%d %s", vm.end, vm.detail);
	kvmvm_done(&vm);
}

TEST(a_guest_that_kvm_cannot_run_fails_with_its_reason)
{
	create("wild_jump", 1);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_end(&vm, LIMIT_MS), "still running");
	CHECK(vm.end == ENGINE_END_FAILED && strstr(vm.detail, "RIP 0xe0000000"), "%d '%s'", vm.end, vm.detail);
	CHECK(vm.ends == 1, "told %u times", vm.ends);
	kvmvm_done(&vm);
}

TEST(a_paused_vm_is_silent_and_goes_on)
{
	struct sbx_err err = { 0 };

	create("ticker", 1);
	kvmvm_start(&vm);
	for (int round = 0; round < 5; round++) {
		size_t before;

		CHECK(kvmvm_wait_text(&vm, ".", LIMIT_MS), "no tick");
		CHECK(engine_kvm.pause(vm.engine, &err) == 0 && engine_kvm.pause(vm.engine, &err) == 0, "%s", err.message);
		(void)kvmvm_silent(&vm, 1); /* what was on its way */
		CHECK(kvmvm_silent(&vm, 50), "it runs while it is paused");
		before = vm.text_len;
		CHECK(engine_kvm.resume(vm.engine, &err) == 0 && engine_kvm.resume(vm.engine, &err) == 0, "%s", err.message);
		CHECK(!kvmvm_silent(&vm, LIMIT_MS) && vm.text_len > before, "it does not go on");
		vm.text_len = 0;
		vm.text[0] = 0;
	}
	kvmvm_done(&vm);
}

TEST(a_vm_with_cpus_that_never_started_pauses_and_ends)
{
	struct sbx_err err = { 0 };

	create("ticker", 8);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_text(&vm, ".", LIMIT_MS), "no tick");
	CHECK(engine_kvm.pause(vm.engine, &err) == 0, "%s", err.message);
	CHECK(engine_kvm.resume(vm.engine, &err) == 0, "%s", err.message);
	CHECK(engine_kvm.pause(vm.engine, &err) == 0, "%s", err.message);
	kvmvm_done(&vm); /* while it is paused */
}

TEST(a_guest_that_never_leaves_is_stopped_at_once)
{
	uint64_t start;

	create("spin", 1);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_text(&vm, "spinning", LIMIT_MS), "%s", vm.text);
	start = clock_mono_ns();
	kvmvm_done(&vm);
	CHECK(clock_mono_ns() - start < 5 * NS_PER_S, "it took %llu ns", (unsigned long long)(clock_mono_ns() - start));
}

TEST(a_vcpu_that_waits_for_the_loop_is_stopped)
{
	create("bus", 1); /* its first access waits: the loop never runs */
	kvmvm_start(&vm);
	kvmvm_done(&vm);
	create("flood", 1); /* its output does not fit */
	kvmvm_start(&vm);
	kvmvm_done(&vm);
}

TEST(a_vm_that_never_started_is_freed)
{
	struct sbx_err err = { 0 };

	create("bus", 4);
	CHECK(engine_kvm.pause(vm.engine, &err) == -ESRCH, "%s", err.message);
	kvmvm_done(&vm);
	engine_kvm.free(NULL);
}

TEST(after_the_end_there_is_no_pause_and_no_second_start)
{
	struct sbx_err err = { 0 };

	create("triple_fault", 2);
	kvmvm_start(&vm);
	CHECK(engine_kvm.start(vm.engine, &err) == -EALREADY, "%s", err.message);
	CHECK(kvmvm_wait_end(&vm, LIMIT_MS), "still running");
	CHECK(engine_kvm.pause(vm.engine, &err) == -ESRCH && engine_kvm.resume(vm.engine, &err) == -ESRCH, "%s", err.message);
	kvmvm_done(&vm);
}

TEST(two_vms_run_side_by_side_in_one_process)
{
	static struct kvmvm other;
	AUTOCLOSE int kernel_fd = -1;

	kvmvm_need_kvm();
	kernel_fd = kvmvm_guest("all");
	kvmvm_init(&other);
	kvmvm_create(&other, kernel_fd, -1, 16, 1, "test=ticker");
	kvmvm_start(&other);
	create("ticker", 1);
	kvmvm_start(&vm);
	CHECK(kvmvm_wait_text(&vm, ".", LIMIT_MS), "no tick");
	kvmvm_done(&vm);
	CHECK(kvmvm_wait_text(&other, ".", LIMIT_MS), "no tick");
	kvmvm_done(&other);
}

/* ---- What is refused before anything runs ---- */

static void check_refused(const struct engine_config *c, int want, const char *words)
{
	struct engine *e = NULL;
	struct sbx_err err = { 0 };
	int r = engine_kvm.create(c, &e, &err);

	CHECK(r == want && strstr(err.message, words), "%d '%s'", r, err.message);
	CHECK(!e, "output clobbered");
}

TEST(what_cannot_work_is_refused_with_its_reason)
{
	AUTOCLOSE int kernel = -1;
	AUTOCLOSE int script = memfd_create("script", MFD_CLOEXEC);
	char long_cmdline[3000];
	struct engine_config c, bad;

	kvmvm_need_kvm();
	kernel = kvmvm_guest("all");
	kvmvm_init(&vm);
	memset(long_cmdline, 'x', sizeof(long_cmdline) - 1);
	long_cmdline[sizeof(long_cmdline) - 1] = 0;
	CHECK(write(script, "#!/bin/sh\n", 10) == 10, "%s", strerror(errno));
	c = (struct engine_config){ .loop = vm.loop, .events = &vm.events, .kernel_fd = kernel, .init_fd = -1, .memory_bytes = 16 << 20, .cpus = 1, .cmdline = "" };
	bad = c;
	bad.memory_bytes = UINT64_C(1) << 50;
	check_refused(&bad, -ENOMEM, "more than the machine has");
	bad = c;
	bad.memory_bytes = 1 << 20;
	check_refused(&bad, -ENOMEM, "give the VM more memory");
	bad = c;
	bad.kernel_fd = script;
	check_refused(&bad, -EINVAL, "neither an ELF vmlinux nor a bzImage");
	bad = c;
	bad.init_fd = script;
	check_refused(&bad, -EINVAL, "init program");
	bad = c;
	bad.cmdline = long_cmdline;
	check_refused(&bad, -E2BIG, "command line");
	bad = c;
	bad.cpus = SBX_CPUS_MAX + 1;
	check_refused(&bad, -EINVAL, "CPUs");
	bad.cpus = 0;
	check_refused(&bad, -EINVAL, "CPUs");
	bad = c;
	bad.dev_count = 20;
	check_refused(&bad, -EINVAL, "devices");
	kvmvm_done(&vm);
}

TEST(nothing_is_left_behind)
{
	unsigned fds, threads;

	create("smp", 4); /* once before, so that whatever is made once is there */
	kvmvm_done(&vm);
	fds = test_count_fds();
	threads = kvmvm_count_threads();
	run_to_end("smp", 4, "ok");
	CHECK(test_count_fds() == fds, "%u descriptors, %u before", test_count_fds(), fds);
	CHECK(kvmvm_count_threads() == threads, "%u threads, %u before", kvmvm_count_threads(), threads);
}

RUN_TESTS(T(devices_and_the_empty_bus_answer_accesses_of_any_kind), T(the_rng_serves_a_guest_through_a_queue),
	  T(interrupts_reach_the_guest), T(the_console_carries_output), T(a_guest_that_misuses_rings_breaks_the_device_and_nothing_else),
	  T(early_output_is_whole_however_much_there_is), T(two_cpus_run), T(thirty_two_cpus_run), T(the_keyboard_controller_resets),
	  T(a_triple_fault_ends_the_vm), T(a_guest_that_kvm_cannot_run_fails_with_its_reason), T(a_paused_vm_is_silent_and_goes_on),
	  T(a_vm_with_cpus_that_never_started_pauses_and_ends), T(a_guest_that_never_leaves_is_stopped_at_once),
	  T(a_vcpu_that_waits_for_the_loop_is_stopped), T(a_vm_that_never_started_is_freed),
	  T(after_the_end_there_is_no_pause_and_no_second_start), T(two_vms_run_side_by_side_in_one_process),
	  T(what_cannot_work_is_refused_with_its_reason), T(nothing_is_left_behind))
