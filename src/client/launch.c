/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/launch.c - from the user's configuration to a CONFIG message and its descriptors. Everything that can be known before
 * a process is started is checked here; each message names the field, its value and the remedy. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/rd.h"
#include "client/client.h"
#include "client/image.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>

enum { MAGIC_BYTES = 0x210,
       HOSTNAME_MAX = 63,
       CMDLINE_MAX = 1024,
       SCRATCH_MIN = 1 << 20 };

#define CUT_SHORT "is cut short; copy or build it again"

static bool is_elf64_x86(const uint8_t *p)
{
	return memcmp(p, "\177ELF\2\1", 6) == 0 && load_le16(p + offsetof(Elf64_Ehdr, e_machine)) == EM_X86_64;
}

/* What is to be loaded of it lies in the file. Program headers elsewhere than at the start, where linkers put them, are left to who loads it. */
static bool elf_is_whole(const uint8_t *p, uint64_t size)
{
	uint64_t at = load_le64(p + offsetof(Elf64_Ehdr, e_phoff));
	uint16_t count = load_le16(p + offsetof(Elf64_Ehdr, e_phnum));

	if (at > size || count * sizeof(Elf64_Phdr) > size - at)
		return false;
	for (; count > 0 && at <= MAGIC_BYTES - sizeof(Elf64_Phdr); count--, at += sizeof(Elf64_Phdr)) {
		uint64_t off = load_le64(p + at + offsetof(Elf64_Phdr, p_offset)), len = load_le64(p + at + offsetof(Elf64_Phdr, p_filesz));

		if (load_le32(p + at) == PT_LOAD && (off > size || len > size - off))
			return false;
	}
	return true;
}

/* Setup sectors and the rest, as the boot protocol counts them. */
static bool bzimage_is_whole(const uint8_t *p, uint64_t size)
{
	unsigned sectors = p[0x1f1] ? p[0x1f1] : 4;

	return (sectors + 1) * UINT64_C(512) + load_le32(p + 0x1f4) * UINT64_C(16) <= size;
}

static const char *kernel_problem(const uint8_t *p, uint64_t size)
{
	if (is_elf64_x86(p))
		return elf_is_whole(p, size) ? NULL : CUT_SHORT;
	if (memcmp(p + 0x202, "HdrS", 4) == 0)
		return bzimage_is_whole(p, size) ? NULL : CUT_SHORT;
	return "is neither an x86-64 ELF vmlinux nor a bzImage";
}

/* Does it ask for a dynamic linker? */
static bool elf_is_dynamic(const uint8_t *p)
{
	uint64_t at = load_le64(p + offsetof(Elf64_Ehdr, e_phoff));

	for (uint16_t count = load_le16(p + offsetof(Elf64_Ehdr, e_phnum)); count > 0 && at <= MAGIC_BYTES - sizeof(Elf64_Phdr); count--, at += sizeof(Elf64_Phdr))
		if (load_le32(p + at) == PT_INTERP)
			return true;
	return false;
}

static const char *init_problem(const uint8_t *p, uint64_t size)
{
	if (!is_elf64_x86(p))
		return "is not an x86-64 ELF program";
	if (!elf_is_whole(p, size))
		return CUT_SHORT;
	return elf_is_dynamic(p) ? "needs shared libraries, which are not there when the guest starts; link it statically" : NULL;
}

/* Opens a regular file and looks at its first bytes. */
static int open_checked(const char *what, const char *path, const char *(*problem)(const uint8_t *, uint64_t), int *ret, struct sbx_err *err)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t head[MAGIC_BYTES] = { 0 };
	const char *why;
	struct stat st;

	if (fd < 0)
		return err_set(err, -errno, "cannot open %s '%s': %m", what, path);
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at %s '%s': %m", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s '%s' is not a regular file", what, path);
	if (pread(fd, head, sizeof(head), 0) < 0)
		return err_set(err, -errno, "cannot read %s '%s': %m", what, path);
	why = problem ? problem(head, (uint64_t)st.st_size) : NULL;
	if (why)
		return err_set(err, -EINVAL, "%s '%s' %s", what, path, why);
	*ret = take_fd(&fd);
	return 0;
}

static int open_artifact(enum sbx_artifact which, const char *what, const char *path, const char *(*problem)(const uint8_t *, uint64_t),
			 int *ret, struct sbx_err *err)
{
	char fallback[PATH_MAX];
	int r;

	if (path)
		return open_checked(what, path, problem, ret, err);
	if (sbx_default_path(which, fallback, sizeof(fallback)) < 0)
		return err_set(err, -ENAMETOOLONG, "the installation's path is too long for the %s", what);
	r = open_checked(what, fallback, problem, ret, err);
	if (r == -ENOENT)
		return err_set(err, r, "there is no %s at '%s'; build or install it, name one, or set SANDBOX_LIBDIR to where it is", what, fallback);
	return r;
}

static int check_machine(const struct sbx_vm_config *c, struct sbx_err *err)
{
	struct sysinfo si;

	if (c->cpus < 1 || c->cpus > SBX_CPUS_MAX)
		return err_set(err, -EINVAL, "cpus is %u; it must be from 1 to %d", c->cpus, SBX_CPUS_MAX);
	if (c->memory_mib < SBX_MEMORY_MIB_MIN)
		return err_set(err, -EINVAL, "memory is %u MiB; the guest needs at least %d MiB", c->memory_mib, SBX_MEMORY_MIB_MIN);
	if (sysinfo(&si) < 0)
		return err_set(err, -errno, "cannot ask how much memory this machine has: %m");

	uint64_t have_mib = (uint64_t)si.totalram * si.mem_unit >> 20;

	if (c->memory_mib > have_mib)
		return err_set(err, -ENOMEM, "memory is %u MiB; this machine has %llu MiB in all: ask for less", c->memory_mib,
			       (unsigned long long)have_mib);
	return 0;
}

static int check_hostname(const char *name, struct sbx_err *err)
{
	size_t len = strlen(name);
	bool good = len >= 1 && len <= HOSTNAME_MAX && name[0] != '-' && name[0] != '.';

	for (const char *p = name; *p; p++)
		good = good && (isalnum((unsigned char)*p) || *p == '-' || *p == '.');
	if (!good)
		return err_set(err, -EINVAL, "hostname is '%s'; it must be 1 to %d letters, digits, '-' and '.', and begin with a letter or digit",
			       name, HOSTNAME_MAX);
	return 0;
}

static int check_options(const struct sbx_vm_config *c, struct sbx_err *err)
{
	bool writable = c->flags & SBX_VM_WRITABLE;

	if ((unsigned)c->engine > SBX_ENGINE_QEMU)
		return err_set(err, -EINVAL, "engine is %d; it must be one of enum sbx_engine", (int)c->engine);
	if (c->flags & ~(uint32_t)(SBX_VM_WRITABLE | SBX_VM_VERBOSE | SBX_VM_ICOUNT | SBX_VM_NETWORK))
		return err_set(err, -EINVAL, "flags is %#x; this library does not know all of its bits", c->flags);
	if (c->scratch_bytes && !writable)
		return err_set(err, -EINVAL, "a scratch size is given for a read-only root; make the root writable or leave the size out");
	if (c->scratch_bytes && c->scratch_bytes < SCRATCH_MIN)
		return err_set(err, -EINVAL, "the scratch size is %llu bytes; it must be at least 1 MiB", (unsigned long long)c->scratch_bytes);
	if (c->scratch_bytes >> 20 > c->memory_mib)
		return err_set(err, -EINVAL, "the scratch size of %llu MiB is more than the guest's memory of %u MiB, which it lives in; give more memory or a smaller size",
			       (unsigned long long)c->scratch_bytes >> 20, c->memory_mib);
	if ((c->flags & SBX_VM_ICOUNT) && c->engine == SBX_ENGINE_KVM)
		return err_set(err, -EINVAL, "counting instructions needs the qemu engine; leave the engine open or choose qemu");
	if (c->boot_timeout_ms == 0)
		return err_set(err, -EINVAL, "boot_timeout_ms is 0; a guest needs time to boot (60000 is the default)");
	if (c->cmdline && strlen(c->cmdline) > CMDLINE_MAX)
		return err_set(err, -EINVAL, "the addition to the kernel command line has %zu bytes; at most %d fit", strlen(c->cmdline), CMDLINE_MAX);
	return c->hostname ? check_hostname(c->hostname, err) : 0;
}

static int duplicate(const char *what, int fd, int *ret, struct sbx_err *err)
{
	if (fd < 0)
		return 0;
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret < 0 ? err_set(err, -errno, "%s %d cannot be duplicated: %m", what, fd) : 0;
}

static int open_all(const struct sbx_vm_config *c, struct launch *l, struct sbx_err *err)
{
	int r = open_artifact(SBX_ARTIFACT_KERNEL, "kernel", c->kernel_path, kernel_problem, &l->kernel_fd, err);

	if (r == 0)
		r = open_artifact(SBX_ARTIFACT_INIT, "guest init", c->init_path, init_problem, &l->init_fd, err);
	if (r == 0)
		r = open_artifact(SBX_ARTIFACT_IMAGE, "image", c->image_path, NULL, &l->image_fd, err);
	if (r == 0)
		r = image_inspect_fd(l->image_fd, c->image_path ? c->image_path : "default", NULL, err);
	if (r == 0)
		r = duplicate("console_fd", c->console_fd, &l->console_fd, err);
	if (r == 0)
		r = duplicate("net_log_fd", c->net_log_fd, &l->net_log_fd, err);
	if (r == 0)
		r = duplicate("http_log_fd", c->http_log_fd, &l->http_log_fd, err);
	return r;
}

static int find_host(const char *path, struct launch *l, struct sbx_err *err)
{
	if (!path) {
		if (sbx_default_path(SBX_ARTIFACT_HOST, l->host_path, sizeof(l->host_path)) < 0)
			return err_set(err, -ENAMETOOLONG, "the installation's path is too long for sandbox-host");
		return 0;
	}
	if (strlen(path) >= sizeof(l->host_path))
		return err_set(err, -ENAMETOOLONG, "host_path is longer than a path can be");
	memcpy(l->host_path, path, strlen(path) + 1);
	return 0;
}

/* pdeathsig follows the thread that forked, so the host may use it only when that is the one that ends with the process. */
static bool on_main_thread(void)
{
	return (pid_t)syscall(SYS_gettid) == getpid();
}

static void fill_message(const struct sbx_vm_config *c, struct launch *l)
{
	uint32_t flags = 0;

	flags |= c->flags & SBX_VM_WRITABLE ? PROTO_CONFIG_WRITABLE : 0U;
	flags |= c->flags & SBX_VM_VERBOSE ? PROTO_CONFIG_VERBOSE : 0U;
	flags |= c->flags & SBX_VM_ICOUNT ? PROTO_CONFIG_ICOUNT : 0U;
	flags |= c->flags & SBX_VM_NETWORK ? PROTO_CONFIG_NETWORK : 0U;
	flags |= l->console_fd >= 0 ? PROTO_CONFIG_CONSOLE : 0U;
	flags |= l->net_log_fd >= 0 ? PROTO_CONFIG_NET_LOG : 0U;
	flags |= l->http_log_fd >= 0 ? PROTO_CONFIG_HTTP_LOG : 0U;
	flags |= on_main_thread() ? PROTO_CONFIG_PARENT_MAIN_THREAD : 0U;
	l->msg = (struct msg_config){
		.version = PROTO_VERSION,
		.flags = flags,
		.engine = (uint32_t)c->engine, /* the numbers agree: see the asserts below */
		.cpus = c->cpus,
		.memory_mib = c->memory_mib,
		.boot_timeout_ms = c->boot_timeout_ms,
		.scratch_bytes = c->scratch_bytes,
		.hostname = slice_of(c->hostname ? c->hostname : "sandbox"),
		.qemu_path = slice_of(l->qemu_path),
		.cmdline = slice_of(c->cmdline),
	};
}

_Static_assert((int)SBX_ENGINE_AUTO == (int)PROTO_ENGINE_AUTO && (int)SBX_ENGINE_KVM == (int)PROTO_ENGINE_KVM &&
		       (int)SBX_ENGINE_QEMU == (int)PROTO_ENGINE_QEMU,
	       "engine numbers travel as they are");

int launch_prepare(const struct sbx_vm_config *c, struct launch *ret, struct sbx_err *err)
{
	int r;

	*ret = (struct launch){ .kernel_fd = -1, .init_fd = -1, .image_fd = -1, .console_fd = -1, .net_log_fd = -1, .http_log_fd = -1 };
	r = check_options(c, err);
	if (r == 0)
		r = check_machine(c, err);
	if (r == 0)
		r = find_host(c->host_path, ret, err);
	if (r == 0)
		r = open_all(c, ret, err);
	if (r == 0)
		r = launch_mounts_prepare(c, ret, err);
	if (r == 0)
		r = rules_check(c, err);
	if (r == 0)
		r = http_check(c, err);
	if (r < 0) {
		launch_done(ret);
		return r;
	}
	qemu_find(c->qemu_path, ret->qemu_path, sizeof(ret->qemu_path));
	fill_message(c, ret);
	return 0;
}

int link_send_all(struct link *link, const int *fds, unsigned fd_count)
{
	struct pollfd p = { .fd = link->fd, .events = POLLOUT };
	int r = fd_count > 0 ? link_flush_fds(link, fds, fd_count) : link_flush(link);

	while (r == 1 || r == -EAGAIN) {
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
		r = r == -EAGAIN ? link_flush_fds(link, fds, fd_count) : link_flush(link);
	}
	return r;
}

void launch_done(struct launch *l)
{
	close_fd(&l->kernel_fd);
	close_fd(&l->init_fd);
	close_fd(&l->image_fd);
	close_fd(&l->console_fd);
	close_fd(&l->net_log_fd);
	close_fd(&l->http_log_fd);
	launch_mounts_done(l);
}
