/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm_vm.c - /dev/kvm and what belongs to the VM as a whole: interrupt controllers, memory slots, doorbells and interrupt lines.
 *
 * There is no PIT and no real-time clock: the guest has the local APIC's TSC deadline timer and the kvm clock. Each
 * registration of an eventfd makes the kernel wait for a grace period, so there is one a queue and one a device, not more. */
#include "vmm/kvm.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Four pages below the BIOS area, which real-mode emulation on some Intel CPUs needs; never memory, never a device. */
#define KVM_IDENTITY_GPA UINT64_C(0xfffbc000)
#define KVM_TSS_GPA (KVM_IDENTITY_GPA + 0x1000)

static int kvm_open_failed(int code, struct sbx_err *err)
{
	struct stat st;

	switch (code) {
	case -ENOENT:
		return err_set(err, code, "there is no /dev/kvm");
	case -EACCES:
	case -EPERM:
		if (stat("/dev/kvm", &st) == 0)
			return err_set(err, code, "this user may not open /dev/kvm (mode %03o, group id %u)", st.st_mode & 0777, st.st_gid);
		break;
	case -ENODEV:
	case -ENXIO:
		return err_set(err, code, "/dev/kvm is there, but nothing is behind it");
	default:
		break;
	}
	return err_set(err, code, "cannot open /dev/kvm: %m");
}

int kvm_open(struct sbx_err *err)
{
	AUTOCLOSE int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		return kvm_open_failed(-errno, err);
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return err_set(err, -ENOTTY, "/dev/kvm is not KVM: %m");
	if (version != KVM_API_VERSION)
		return err_set(err, -ENOTSUP, "/dev/kvm speaks API version %d, not %d", version, KVM_API_VERSION);
	return take_fd(&fd);
}

/* The device as udev leaves it: for a group that people may be in. */
static bool has_group(void)
{
	struct stat st;

	return stat("/dev/kvm", &st) < 0 || (st.st_gid != 0 && (st.st_mode & (S_IRGRP | S_IWGRP)) == (S_IRGRP | S_IWGRP));
}

const char *kvm_remedy(int code)
{
	switch (code) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return "enable virtualisation (VT-x or AMD-V) in the firmware, or nested virtualisation for this machine if it is a virtual one, and "
		       "load kvm_intel or kvm_amd; in a container, pass the device in (--device /dev/kvm)";
	case -EACCES:
	case -EPERM:
		return has_group() ? "add the user to the device's group (usually: sudo usermod -aG kvm $USER) and log in again"
				   : "give the device to a group (sudo chgrp kvm /dev/kvm; sudo chmod 660 /dev/kvm), add the user to it (sudo usermod -aG kvm $USER) "
				     "and log in again";
	case -EBUSY:
		return "another hypervisor holds the processor's virtualisation: stop it";
	case -EMFILE:
	case -ENFILE:
		return "too many files are open: raise the limit";
	case -ENOMEM:
		return "free some memory";
	default:
		return "use the qemu engine";
	}
}

int kvm_create_vm(int kvm_fd, struct sbx_err *err)
{
	int fd;

	do
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? err_set(err, -errno, "KVM cannot create a VM: %m") : fd;
}

static int kvm_check_caps(const struct kvm *k, struct sbx_err *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_IRQCHIP, "an interrupt controller" },
		{ KVM_CAP_IRQFD, "irqfd" },
		{ KVM_CAP_IOEVENTFD, "ioeventfd" },
		{ KVM_CAP_EXT_CPUID, "CPUID" },
		{ KVM_CAP_SET_TSS_ADDR, "a TSS address" },
	};
	int max = ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ioctl(k->vm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(err, -ENOTSUP, "this KVM lacks %s; use the qemu engine", needed[i].name);
	if (max > 0 && (unsigned)max < k->cpus)
		return err_set(err, -EINVAL, "this KVM runs at most %d CPUs a VM: ask for fewer than %u", max, k->cpus);
	return 0;
}

int kvm_add_memory(const struct kvm *k, struct sbx_err *err)
{
	for (unsigned i = 0; i < k->mem->count; i++) {
		const struct gmem_region *r = &k->mem->region[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i, .guest_phys_addr = r->gpa, .memory_size = r->len, .userspace_addr = (uint64_t)(uintptr_t)r->base
		};

		if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return err_set(err, -errno, "KVM does not take %llu MiB of guest memory: %m", (unsigned long long)r->len >> 20);
	}
	return 0;
}

int kvm_vm_setup(struct kvm *k, struct sbx_err *err)
{
	uint64_t identity = KVM_IDENTITY_GPA;
	int r = kvm_check_caps(k, err);

	if (r < 0)
		return r;
	if (ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(k->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_GPA) < 0)
		return err_set(err, -errno, "KVM does not take its helper pages: %m");
	if (ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_set(err, -errno, "KVM cannot create interrupt controllers: %m");
	return 0;
}

static void kvm_dev_irq(void *user)
{
	const struct kvm_dev *d = user;
	uint64_t one = 1;

	(void)!write(d->irq_fd, &one, sizeof(one)); /* KVM consumes it at once: it cannot fill up */
}

/* What the descriptor counts is not read: each signal is an event of its own (EPOLLET). */
static void kvm_dev_kicked(struct loop_fd *w, uint32_t events)
{
	const struct kvm_kick *kick = CONTAINER_OF(w, struct kvm_kick, watch);

	(void)events;
	mmio_kick(kick->dev->mmio, kick->queue);
}

static int kvm_kick_create(struct kvm_kick *kick, uint64_t gpa)
{
	struct kvm *k = kick->dev->kvm;
	struct kvm_ioeventfd reg = {
		.addr = gpa + VIRTIO_MMIO_QUEUE_NOTIFY, .len = 4, .datamatch = kick->queue, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH
	};

	kick->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (kick->fd < 0)
		return -errno;
	reg.fd = kick->fd;
	if (ioctl(k->vm_fd, KVM_IOEVENTFD, &reg) < 0)
		return -errno;
	return loop_fd_add(k->loop, &kick->watch, kick->fd, EPOLLIN | EPOLLET, kvm_dev_kicked);
}

static int kvm_dev_create(struct kvm_dev *d, unsigned index)
{
	struct kvm_irqfd irq = { .gsi = KVM_IRQ_FIRST + index };
	int r = mmio_create(d->vdev, d->kvm->mem, kvm_dev_irq, d, &d->mmio);

	if (r < 0)
		return r;
	d->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->irq_fd < 0)
		return -errno;
	irq.fd = (uint32_t)d->irq_fd;
	if (ioctl(d->kvm->vm_fd, KVM_IRQFD, &irq) < 0)
		return -errno;
	for (uint16_t q = 0; r == 0 && q < d->vdev->ops->nqueues; q++)
		r = kvm_kick_create(&d->kick[q], BOOT_MMIO_GPA + (uint64_t)index * MMIO_SIZE);
	return r;
}

int kvm_devs_create(struct kvm *k, const struct engine_config *c, struct sbx_err *err)
{
	if (c->dev_count > KVM_DEVS_MAX)
		return err_set(err, -EINVAL, "%u devices are more than the kvm engine's %d", c->dev_count, KVM_DEVS_MAX);
	k->dev = calloc(MAX(c->dev_count, 1U), sizeof(*k->dev));
	if (!k->dev)
		return err_set(err, -ENOMEM, "cannot create the devices: %m");
	k->dev_count = c->dev_count;
	for (unsigned i = 0; i < c->dev_count; i++) {
		struct kvm_dev *d = &k->dev[i];

		d->kvm = k;
		d->vdev = c->devs[i];
		d->irq_fd = -1;
		for (unsigned q = 0; q < VDEV_QUEUES_MAX; q++)
			d->kick[q] = (struct kvm_kick){ .dev = d, .fd = -1, .queue = (uint16_t)q };
	}
	for (unsigned i = 0; i < c->dev_count; i++) {
		int r = kvm_dev_create(&k->dev[i], i);

		if (r < 0)
			return err_set(err, r, "cannot attach device %s: %m", k->dev[i].vdev->ops->name);
	}
	return 0;
}

void kvm_devs_free(struct kvm *k)
{
	for (unsigned i = 0; i < k->dev_count; i++) {
		struct kvm_dev *d = &k->dev[i];

		for (unsigned q = 0; q < VDEV_QUEUES_MAX; q++) {
			loop_fd_del(k->loop, &d->kick[q].watch);
			close_fd(&d->kick[q].fd);
		}
		mmio_free(d->mmio);
		close_fd(&d->irq_fd);
	}
	free(k->dev);
}
