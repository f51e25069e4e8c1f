/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How the kvm engine builds a VM, against a KVM that is one function here: each of its calls can fail, or wait for another. What a true KVM does with
 * the result is tests/kvm's matter. */
#include "../support/kvmvm.h"
#include "../test.h"
#include "base/cleanup.h"
#include "dev/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MEMORY_MIB = 16,
       RUN_BYTES = 3 * 4096,
       WAIT_S = 20 };

/* What this test's KVM does besides its duty. 0 is no request of KVM's. */
static struct {
	unsigned long refuse[2]; /* these requests fail */
	unsigned refuse_nth;     /* the n-th call fails */
	unsigned long first;     /* until this request was made … */
	unsigned long then;      /* … this one waits; both are made once a VM */
	sem_t made;
	atomic_uint calls, late;
	atomic_bool memory_returned;
	unsigned long refused; /* by refuse_nth */
	unsigned long refused_arg;
} fake;

static int fake_fd(off_t len)
{
	int fd;

	fault_pause();
	fd = memfd_create("kvm", MFD_CLOEXEC);
	CHECK(fd >= 0 && ftruncate(fd, len) == 0, "%s", strerror(errno));
	fault_resume();
	return fd;
}

static bool fake_refuses(unsigned long request, unsigned long arg)
{
	if (atomic_fetch_add(&fake.calls, 1) + 1 == fake.refuse_nth) {
		fake.refused = request;
		fake.refused_arg = arg;
		return true;
	}
	return request == fake.refuse[0] || request == fake.refuse[1];
}

static int fake_duty(unsigned long request, unsigned long arg)
{
	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CREATE_VM:
		return fake_fd(0);
	case KVM_CREATE_VCPU:
		return fake_fd(RUN_BYTES);
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_CHECK_EXTENSION:
		return SBX_CPUS_MAX;
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 0;
		return 0;
	default:
		return 0;
	}
}

static int fake_kvm(unsigned long request, unsigned long arg)
{
	bool refused = fake_refuses(request, arg);
	struct timespec limit;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += WAIT_S;
	if (request == fake.then && sem_timedwait(&fake.made, &limit) < 0)
		fake.late++;
	if (request == fake.first)
		(void)sem_post(&fake.made);
	if (request == KVM_SET_USER_MEMORY_REGION)
		fake.memory_returned = true;
	errno = EIO;
	return refused ? -1 : fake_duty(request, arg);
}

/* The engine's calls come here and not to libc. */
int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return _IOC_TYPE(request) == KVMIO ? fake_kvm(request, arg) : (int)syscall(SYS_ioctl, fd, request, arg);
}

int open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/kvm") == 0)
		return fake_fd(0);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

static struct kvmvm vm;
static struct engine_config config;
static struct sbx_err why;

static void begin(void)
{
	static const uint8_t halt[] = { 0xf4 };

	CHECK(sem_init(&fake.made, 0, 0) == 0, "%s", strerror(errno));
	kvmvm_init(&vm);
	CHECK(rng_create(vm.loop, &vm.log, &vm.dev[vm.dev_count++]) == 0, "rng");
	config = (struct engine_config){
		.loop = vm.loop,
		.log = &vm.log,
		.events = &vm.events,
		.kernel_fd = kvmvm_elf(halt, sizeof(halt), 1 << 20),
		.init_fd = -1,
		.memory_bytes = MEMORY_MIB << 20,
		.cpus = 1,
		.cmdline = "",
		.devs = vm.dev,
		.dev_count = vm.dev_count,
	};
}

static int create(void)
{
	atomic_store(&fake.calls, 0);
	atomic_store(&fake.memory_returned, false);
	why = (struct sbx_err){ 0 };
	vm.engine = NULL;
	return engine_kvm.create(&config, &vm.engine, &why);
}

static void end(void)
{
	kvmvm_done(&vm);
	close_fd(&config.kernel_fd);
	(void)sem_destroy(&fake.made);
}

static void refused(int code, const char *words)
{
	unsigned fds = test_count_fds(), threads = kvmvm_count_threads();
	int r = create();

	CHECK(r == code && strstr(why.message, words), "%d '%s'", r, why.message);
	CHECK(!vm.engine, "output clobbered");
	CHECK(fake.late == 0, "it was waited for in vain");
	CHECK(fake.memory_returned, "memory is still being registered, or never was");
	CHECK(test_count_fds() == fds && kvmvm_count_threads() == threads, "something is left behind");
}

TEST(the_rest_is_built_while_memory_is_registered)
{
	begin();
	fake.first = KVM_CREATE_VCPU;
	fake.then = KVM_SET_USER_MEMORY_REGION;
	CHECK(create() == 0, "%s", why.message);
	CHECK(fake.late == 0, "memory was registered before the rest was begun");
	CHECK(fake.memory_returned, "no memory was registered");
	end();
}

TEST(memory_that_kvm_refuses_at_once_fails_the_vm)
{
	begin();
	fake.refuse[0] = KVM_SET_USER_MEMORY_REGION;
	fake.first = KVM_SET_USER_MEMORY_REGION;
	fake.then = KVM_CREATE_IRQCHIP;
	refused(-EIO, "KVM does not take 16 MiB of guest memory");
	end();
}

TEST(memory_that_kvm_refuses_in_the_end_fails_the_vm)
{
	begin();
	fake.refuse[0] = KVM_SET_USER_MEMORY_REGION;
	fake.first = KVM_IOEVENTFD;
	fake.then = KVM_SET_USER_MEMORY_REGION;
	refused(-EIO, "KVM does not take 16 MiB of guest memory");
	end();
}

TEST(a_machine_that_cannot_be_built_waits_for_its_memory)
{
	begin();
	fake.refuse[0] = KVM_CREATE_IRQCHIP;
	fake.first = KVM_CREATE_IRQCHIP;
	fake.then = KVM_SET_USER_MEMORY_REGION;
	refused(-EIO, "KVM cannot create interrupt controllers");
	end();
}

TEST(where_both_fail_the_machine_is_the_reason)
{
	begin();
	fake.refuse[0] = KVM_CREATE_IRQCHIP;
	fake.refuse[1] = KVM_SET_USER_MEMORY_REGION;
	refused(-EIO, "KVM cannot create interrupt controllers");
	end();
}

/* What a VM can do without, or what only informs. */
static bool may_fail(unsigned long request, unsigned long arg)
{
	return request == KVM_GET_MSRS || (request == KVM_CHECK_EXTENSION && (arg == KVM_CAP_MAX_VCPUS || arg == KVM_CAP_TSC_DEADLINE_TIMER));
}

TEST(whichever_call_fails_the_reason_is_told_and_nothing_is_left)
{
	unsigned fds, threads, calls;

	begin();
	fds = test_count_fds();
	threads = kvmvm_count_threads();
	for (fake.refuse_nth = 1;; fake.refuse_nth++) {
		int r = create();

		calls = fake.calls;
		if (calls < fake.refuse_nth)
			break;
		CHECK((r == 0) == may_fail(fake.refused, fake.refused_arg), "call %u, request %#lx: %d '%s'", fake.refuse_nth, fake.refused, r,
		      why.message);
		CHECK((r == 0) == (vm.engine != NULL) && (r == 0) == (why.message[0] == 0), "%d '%s'", r, why.message);
		engine_kvm.free(vm.engine);
		CHECK(test_count_fds() == fds && kvmvm_count_threads() == threads, "call %u left something behind", fake.refuse_nth);
	}
	CHECK(calls > 20, "only %u calls", calls);
	end();
}

TEST(without_memory_or_descriptors_creation_fails_cleanly)
{
	begin();
	FAULT_LOOP {
		int r = create();

		CHECK((r == 0) == !fault_happened() && (r == 0) == (vm.engine != NULL), "%d '%s'", r, why.message);
		engine_kvm.free(vm.engine);
		vm.engine = NULL;
	}
	end();
}

RUN_TESTS(T(the_rest_is_built_while_memory_is_registered), T(memory_that_kvm_refuses_at_once_fails_the_vm),
	  T(memory_that_kvm_refuses_in_the_end_fails_the_vm), T(a_machine_that_cannot_be_built_waits_for_its_memory),
	  T(where_both_fail_the_machine_is_the_reason), T(whichever_call_fails_the_reason_is_told_and_nothing_is_left),
	  T(without_memory_or_descriptors_creation_fails_cleanly))
