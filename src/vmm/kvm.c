/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm.c - the kvm engine: our own VMM on /dev/kvm. A PC without firmware, PCI and ACPI: memory, CPUs, the in-kernel interrupt
 * controllers, and virtio-mmio devices that are named on the kernel command line.
 *
 *	kvm_vm.c    /dev/kvm, memory slots, doorbells, interrupt lines
 *	kvm_cpu.c   the state in which a vCPU starts
 *	kvm_run.c   the vCPU threads; pause, stop
 *	kvm_exit.c  why a vCPU came out of the guest
 *	kvm_probe.c whether this machine's KVM is good enough
 *	boot.c      what lies in guest memory at the start (load.c, mptable.c, initramfs.c)
 *
 * Everything that can fail is done by create(); start() only starts the threads. */
#include "vmm/kvm.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/work.h"
#include "vmm/initramfs.h"
#include "vmm/kvm_probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

/* Our part of the kernel command line; docs/kernel-build.md has the reasons. An early death is seen on the serial port; a panic or a reboot is a
 * triple fault, which ends KVM_RUN; the TSC is good, since KVM says so. */
#define KVM_CMDLINE                                                                                   \
	"reboot=t panic=-1 console=hvc0 earlyprintk=serial,0x3f8,115200 tsc=reliable swiotlb=noforce" \
	" initcall_blacklist=slab_late_init,param_sysfs_builtin_init"

struct text {
	char s[BOOT_CMDLINE_MAX + 2]; /* one more than is allowed, so that boot_fill() refuses what was cut */
	size_t len;
};

static void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, ap);
	va_end(ap);
	t->len = MIN(t->len + (n > 0 ? (size_t)n : 0), sizeof(t->s) - 1);
}

static void make_cmdline(const struct engine_config *c, struct text *t)
{
	text_add(t, "%s" KVM_CMDLINE "%s", c->verbose ? "" : "quiet ", /* first: what follows starts to print at once */
		 c->cpus == 1 ? " noreplace-smp" : " rcupdate.rcu_expedited=1");
	for (unsigned i = 0; i < c->dev_count; i++)
		text_add(t, " virtio_mmio.device=4K@%#llx:%u", (unsigned long long)(BOOT_MMIO_GPA + (uint64_t)i * MMIO_SIZE), KVM_IRQ_FIRST + i);
	if (c->cmdline[0])
		text_add(t, " %s", c->cmdline);
}

/* Loads the kernel; the initramfs is only made when there is an init to put into it (the engine's own tests have none). */
static int load_guest(struct kvm *k, const struct engine_config *c, uint64_t *ret_entry, struct sbx_err *err)
{
	struct boot_input in = { .kernel_fd = c->kernel_fd, .initrd_fd = -1, .cpus = c->cpus };
	struct text cmdline = { .len = 0 };
	AUTOCLOSE int initrd_fd = -1;
	int r = 0;

	make_cmdline(c, &cmdline);
	in.cmdline = cmdline.s;
	if (c->init_fd >= 0)
		r = initramfs_create(c->init_fd, &initrd_fd, &in.initrd_len, err);
	in.initrd_fd = initrd_fd;
	return r < 0 ? r : boot_fill(k->mem, &in, ret_entry, err);
}

static int create_vcpus(struct kvm *k, uint64_t entry, struct sbx_err *err)
{
	AUTOFREE struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + KVM_CPUID_MAX * sizeof(cpuid->entries[0]));
	int len = ioctl(k->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (!cpuid)
		return err_set(err, -ENOMEM, "cannot create the vCPUs: %m");
	if (len < (int)sizeof(struct kvm_run))
		return err_set(err, -EIO, "KVM does not say how large a vCPU is");
	k->run_len = (size_t)len;
	cpuid->nent = KVM_CPUID_MAX;
	if (ioctl(k->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return err_set(err, -errno, "KVM does not say which CPUID it supports: %m");
	for (unsigned i = 0; i < k->cpus; i++) {
		int r = kvm_cpu_create(k, &k->vcpu[i], err);

		if (r == 0)
			r = kvm_cpu_set_cpuid(k->kvm_fd, k->vcpu[i].fd, cpuid, i, k->cpus, err);
		if (r < 0)
			return r;
	}
	return kvm_cpu_enter_at(k->vcpu[0].fd, entry, err);
}

/* Everything that needs neither the memory slots nor the loop's thread to wait for them. */
static int build_machine(struct kvm *k, const struct engine_config *c, struct sbx_err *err)
{
	uint64_t entry = 0;
	int r = kvm_vm_setup(k, err);

	if (r == 0)
		r = load_guest(k, c, &entry, err);
	if (r == 0)
		r = create_vcpus(k, entry, err);
	if (r == 0)
		r = kvm_devs_create(k, c, err);
	if (r < 0)
		return r;
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = k->wake_fd < 0 ? -errno : loop_fd_add(k->loop, &k->wake, k->wake_fd, EPOLLIN, kvm_exit_wake);
	return r < 0 ? err_set(err, r, "cannot watch the vCPUs: %m") : 0;
}

/* Handing memory to KVM ends in a grace period of the kernel's, milliseconds in which nothing is computed; so does much of the
 * rest. One thread waits for the one while this one sees to the other. */
struct memory_job {
	struct work work;
	const struct kvm *k;
	int r;
	struct sbx_err err;
};

static void memory_run(struct work *w)
{
	struct memory_job *job = CONTAINER_OF(w, struct memory_job, work);

	job->r = kvm_add_memory(job->k, &job->err);
}

static void memory_done(struct work *w)
{
	(void)w;
}

static int build_with_memory(struct kvm *k, const struct engine_config *c, struct sbx_err *err)
{
	struct memory_job job = { .work = { .run = memory_run, .done = memory_done }, .k = k };
	struct work_pool *pool;
	int r = work_pool_create(k->loop, 1, &pool);

	if (r < 0)
		return err_set(err, r, "cannot start a thread: %m");
	r = work_submit(pool, &job.work);
	if (r < 0) {
		work_pool_free(pool);
		return err_set(err, r, "cannot start a thread: %m");
	}
	r = build_machine(k, c, err);
	work_finish(pool, &job.work);
	work_pool_free(pool);
	return r < 0 ? r : job.r < 0 ? err_set(err, job.r, "%s", job.err.message)
				     : 0;
}

static int build(struct kvm *k, const struct engine_config *c, struct sbx_err *err)
{
	struct sbx_err why = { 0 };
	int r;

	k->kvm_fd = kvm_open(&why);
	if (k->kvm_fd < 0)
		return err_set(err, k->kvm_fd, "%s; %s", why.message, kvm_remedy(k->kvm_fd));
	r = boot_memory_create(c->memory_bytes, &k->mem, err);
	if (r < 0)
		return r;
	k->vm_fd = kvm_create_vm(k->kvm_fd, err);
	return k->vm_fd < 0 ? k->vm_fd : build_with_memory(k, c, err);
}

static void kvm_free(struct engine *e)
{
	struct kvm *k = e ? CONTAINER_OF(e, struct kvm, engine) : NULL;

	if (!k)
		return;
	kvm_run_set(k, KVM_WANT_STOP);
	kvm_devs_free(k);
	for (unsigned i = 0; i < k->cpus; i++) {
		kvm_cpu_free(k, &k->vcpu[i]);
		(void)pthread_cond_destroy(&k->vcpu[i].answered);
	}
	loop_fd_del(k->loop, &k->wake);
	close_fd(&k->wake_fd);
	close_fd(&k->vm_fd);
	close_fd(&k->kvm_fd);
	gmem_free(k->mem);
	(void)pthread_cond_destroy(&k->quiet);
	(void)pthread_cond_destroy(&k->go);
	(void)pthread_mutex_destroy(&k->lock);
	free(k->vcpu);
	free(k);
}

static struct kvm *kvm_new(const struct engine_config *c)
{
	AUTOFREE struct kvm *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->vcpu = calloc(c->cpus, sizeof(*k->vcpu));
	if (!k->vcpu)
		return NULL;
	k->engine.ops = &engine_kvm;
	k->loop = c->loop;
	k->log = c->log;
	k->events = c->events;
	k->cpus = c->cpus;
	k->kvm_fd = k->vm_fd = k->wake_fd = -1;
	k->want = KVM_WANT_PAUSE;
	(void)pthread_mutex_init(&k->lock, NULL); /* cannot fail with default attributes */
	(void)pthread_cond_init(&k->go, NULL);
	(void)pthread_cond_init(&k->quiet, NULL);
	for (unsigned i = 0; i < c->cpus; i++) {
		k->vcpu[i].kvm = k;
		k->vcpu[i].id = i;
		k->vcpu[i].fd = -1;
		(void)pthread_cond_init(&k->vcpu[i].answered, NULL);
	}
	return TAKE_PTR(k);
}

static int kvm_create(const struct engine_config *c, struct engine **ret, struct sbx_err *err)
{
	struct kvm *k;
	int r;

	if (c->cpus < 1 || c->cpus > SBX_CPUS_MAX)
		return err_set(err, -EINVAL, "a VM has 1 to %d CPUs, not %u", SBX_CPUS_MAX, c->cpus);
	k = kvm_new(c);
	if (!k)
		return err_set(err, -ENOMEM, "cannot create the VM: %m");
	r = build(k, c, err);
	if (r < 0) {
		kvm_free(&k->engine);
		return r;
	}
	*ret = &k->engine;
	return 0;
}

static int kvm_start(struct engine *e, struct sbx_err *err)
{
	struct kvm *k = CONTAINER_OF(e, struct kvm, engine);
	int r;

	if (k->started)
		return err_set(err, -EALREADY, "the VM runs already");
	r = kvm_run_start(k, err);
	k->started = true; /* also after a failure: there is no second try */
	return r;
}

static int kvm_pause(struct engine *e, struct sbx_err *err)
{
	struct kvm *k = CONTAINER_OF(e, struct kvm, engine);

	if (!k->started || k->end_told)
		return err_set(err, -ESRCH, "the VM does not run");
	if (!k->paused)
		kvm_run_set(k, KVM_WANT_PAUSE);
	k->paused = true;
	return 0;
}

static int kvm_resume(struct engine *e, struct sbx_err *err)
{
	struct kvm *k = CONTAINER_OF(e, struct kvm, engine);

	if (!k->started || k->end_told)
		return err_set(err, -ESRCH, "the VM does not run");
	if (!k->paused)
		return 0;
	for (unsigned i = 0; i < k->cpus; i++) /* tells the guest's watchdogs; a guest without a kvm clock has none to tell */
		(void)ioctl(k->vcpu[i].fd, KVM_KVMCLOCK_CTRL, 0);
	kvm_run_set(k, KVM_WANT_RUN);
	k->paused = false;
	return 0;
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.create = kvm_create,
	.start = kvm_start,
	.pause = kvm_pause,
	.resume = kvm_resume,
	.free = kvm_free,
};
