/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "kvmvm.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "vmm/kvm_probe.h"

#include <elf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>

void kvmvm_need_kvm(void)
{
	AUTOCLOSE int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	AUTOCLOSE int vm = fd < 0 ? -1 : ioctl(fd, KVM_CREATE_VM, 0);

	if (vm < 0)
		SKIP("cannot create a VM on /dev/kvm: %s", strerror(errno));
}

void kvmvm_need_true_kvm(void)
{
	unsigned int fds = test_count_fds();
	struct engine_probe p;

	kvm_probe(NULL, &p);
	while (test_count_fds() != fds) /* a good probe's VM is closed a little later */
		sched_yield();
	if (!p.usable)
		SKIP("%s (the laboratory can: make test-lab)", p.detail);
}

int kvmvm_elf(const void *code, size_t len, uint64_t addr)
{
	Elf64_Ehdr h = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = addr,
		.e_phoff = sizeof(h),
		.e_ehsize = sizeof(h),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	Elf64_Phdr ph = {
		.p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X, .p_offset = 4096, .p_vaddr = addr, .p_paddr = addr, .p_filesz = len, .p_memsz = len, .p_align = 4096
	};
	int fd = memfd_create("guest", MFD_CLOEXEC);

	CHECK(fd >= 0, "%s", strerror(errno));
	CHECK(pwrite(fd, &h, sizeof(h), 0) == sizeof(h), "%s", strerror(errno));
	CHECK(pwrite(fd, &ph, sizeof(ph), sizeof(h)) == sizeof(ph), "%s", strerror(errno));
	CHECK(pwrite(fd, code, len, 4096) == (ssize_t)len, "%s", strerror(errno));
	return fd;
}

int kvmvm_guest(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *slash;
	int fd;

	CHECK(n > 0, "%s", strerror(errno));
	path[n] = 0;
	slash = strrchr(path, '/');
	CHECK(slash, "%s", path);
	(void)snprintf(slash + 1, 63, "guest_%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

static void on_console(void *user, const uint8_t *p, size_t len)
{
	struct kvmvm *vm = user;
	size_t n = MIN(len, (size_t)KVMVM_TEXT_MAX - vm->text_len);

	memcpy(vm->text + vm->text_len, p, n);
	vm->text_len += n;
	vm->text[vm->text_len] = 0;
}

static void on_ended(void *user, enum engine_end end, const char *detail)
{
	struct kvmvm *vm = user;

	vm->ends++;
	vm->end = end;
	(void)snprintf(vm->detail, sizeof(vm->detail), "%s", detail);
}

static void on_log(void *user, enum log_level level, const char *line)
{
	(void)user;
	(void)level;
	printf("# log: %s\n", line);
}

void kvmvm_init(struct kvmvm *vm)
{
	*vm = (struct kvmvm){ 0 };
	CHECK(loop_create(&vm->loop) == 0, "no loop");
	vm->log = (struct log){ .level = LOG_DEBUG, .sink = on_log };
	vm->events = (struct engine_events){ .console = on_console, .ended = on_ended, .user = vm };
}

void kvmvm_create(struct kvmvm *vm, int kernel_fd, int init_fd, unsigned memory_mib, unsigned cpus, const char *cmdline)
{
	struct engine_config c = {
		.loop = vm->loop,
		.log = &vm->log,
		.events = &vm->events,
		.kernel_fd = kernel_fd,
		.init_fd = init_fd,
		.memory_bytes = (uint64_t)memory_mib << 20,
		.cpus = cpus,
		.cmdline = cmdline,
		.devs = vm->dev,
		.dev_count = vm->dev_count,
	};
	struct sbx_err err = { 0 };
	int r = engine_kvm.create(&c, &vm->engine, &err);

	CHECK(r == 0, "%s", err.message);
}

void kvmvm_start(struct kvmvm *vm)
{
	struct sbx_err err = { 0 };

	CHECK(engine_kvm.start(vm->engine, &err) == 0, "%s", err.message);
}

/* The limit is of time in which the machine ran: a pause of the whole machine, after which the guest had no turn yet, counts as one slice. */
static void run_until(struct kvmvm *vm, const char *text, size_t more_than, unsigned limit_ms)
{
	const uint64_t slice_ns = 100 * NS_PER_MS;
	uint64_t left_ns = limit_ms * NS_PER_MS, before = clock_mono_ns();

	while (vm->ends == 0 && left_ns > 0 && !(text && strstr(vm->text, text)) && vm->text_len <= more_than) {
		uint64_t wait_ns = MIN(left_ns, slice_ns), now;

		CHECK(loop_once(vm->loop, (int)(wait_ns / NS_PER_MS) + 1) == 0, "loop");
		now = clock_mono_ns();
		left_ns -= MIN(now - before, wait_ns);
		before = now;
	}
}

bool kvmvm_wait_text(struct kvmvm *vm, const char *text, unsigned limit_ms)
{
	run_until(vm, text, KVMVM_TEXT_MAX, limit_ms);
	return strstr(vm->text, text) != NULL;
}

bool kvmvm_wait_end(struct kvmvm *vm, unsigned limit_ms)
{
	run_until(vm, NULL, KVMVM_TEXT_MAX, limit_ms);
	return vm->ends > 0;
}

bool kvmvm_silent(struct kvmvm *vm, unsigned ms)
{
	size_t before = vm->text_len;

	run_until(vm, NULL, before, ms);
	return vm->text_len == before && vm->ends == 0;
}

void kvmvm_done(struct kvmvm *vm)
{
	engine_kvm.free(vm->engine);
	for (unsigned i = vm->dev_count; i-- > 0;)
		vm->dev[i]->ops->free(vm->dev[i]);
	loop_free(vm->loop);
}

unsigned kvmvm_count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}
