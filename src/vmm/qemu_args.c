/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu_args.c - QEMU's command line: a microvm with our devices. Everything is a descriptor that the child inherits; there is no path
 * but its own files, no listening socket, no monitor. Tried with QEMU 7.2.
 *
 *  - memory-backend-file, shared: what vhost-user back ends map; at an address where huge pages of the file can be huge pages;
 *  - acpi=off: no tables, no firmware but qboot (a few KiB); CPUs come from its MP table;
 *  - rtc=on: without it the kernel waits for a clock that is not there; PIC and PIT are the timer interrupt's way;
 *  - quiet comes first: earlyprintk prints at once what the log holds, and a byte there is a system call of QEMU's and a wakeup of ours;
 *  - -cpu max: programs compiled for x86-64-v2 and later need more than the default model; but ERMS copies byte by byte under TCG;
 *  - -no-reboot: a reset ends QEMU, and that is how a guest powers off (reboot=t: a triple fault);
 *  - -sandbox: QEMU's own system call filter; it needs neither to start programs nor to change its user. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdarg.h>
#include <stdio.h>

#define QEMU_SANDBOX "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
#define QEMU_CMDLINE "console=hvc0 earlyprintk=serial,0x3f8,115200 reboot=t panic=-1 tsc=reliable swiotlb=noforce " \
		     "initcall_blacklist=slab_late_init,param_sysfs_builtin_init"

enum { QEMU_DEVS_MAX = 8,         /* virtio-mmio slots of a microvm */
       KERNEL_CMDLINE_MAX = 1536, /* of the kernel's 2047; QEMU adds a word of some 40 bytes a device */
       ICOUNT_KHZ = 1000000 /* an instruction is a nanosecond */ };

/* Appends formatted text to the argument that is being made. */
static void text_add(struct qemu_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct qemu_args *a, const char *fmt, ...)
{
	size_t room = sizeof(a->text) - a->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->text + a->used, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		a->full = true;
	else
		a->used += (size_t)n;
}

/* Begins the next argument, at the terminator of the one before plus one. */
static void arg_begin(struct qemu_args *a)
{
	if (a->argc == QEMU_ARGS_MAX || a->used + 1 >= sizeof(a->text)) {
		a->full = true;
		return;
	}
	if (a->argc > 0)
		a->used++;
	a->argv[a->argc++] = a->text + a->used;
	a->argv[a->argc] = NULL;
}

static void arg(struct qemu_args *a, const char *s)
{
	arg_begin(a);
	text_add(a, "%s", s);
}

/* "-name value", the value formatted. */
#define OPTION(a, name, ...)              \
	do {                              \
		arg(a, name);             \
		arg_begin(a);             \
		text_add(a, __VA_ARGS__); \
	} while (0)

/* The number that @fd has in the child. */
static unsigned child_fd(struct qemu_args *a, int fd)
{
	if (a->fd_count == QEMU_FDS_MAX) {
		a->full = true;
		return 0;
	}
	a->fd[a->fd_count] = fd;
	return QEMU_CHILD_FD + a->fd_count++;
}

static bool emulated(const struct engine_config *c)
{
	return !c->hw_virt || c->icount;
}

static void add_machine(const struct engine_config *c, const struct qemu_args_in *in, struct qemu_args *a)
{
	unsigned long long mib = (unsigned long long)c->memory_bytes >> 20;

	OPTION(a, "-M", "microvm,acpi=off,rtc=on,memory-backend=mem");
	OPTION(a, "-object", "memory-backend-file,id=mem,mem-path=/proc/self/fd/%u,size=%lluM,share=on,align=2M", child_fd(a, in->memory), mib);
	OPTION(a, "-m", "%llu", mib);
	OPTION(a, "-smp", "%u", c->cpus);
	if (!emulated(c)) {
		OPTION(a, "-accel", "kvm");
		OPTION(a, "-cpu", "host");
	} else {
		OPTION(a, "-accel", "tcg,thread=%s", c->cpus > 1 && !c->icount ? "multi" : "single");
		OPTION(a, "-cpu", "max,-erms");
	}
	if (c->icount)
		OPTION(a, "-icount", "shift=0,sleep=off");
	OPTION(a, "-sandbox", QEMU_SANDBOX);
	OPTION(a, "-global", "virtio-mmio.force-legacy=false");
	OPTION(a, "-display", "none");
	arg(a, "-nodefaults");
	arg(a, "-no-user-config");
	arg(a, "-no-reboot");
}

/* The kernel's command line; docs/kernel-build.md has the reason for each part. */
static void add_cmdline(const struct engine_config *c, uint32_t tsc_khz, struct qemu_args *a)
{
	text_add(a, "%s" QEMU_CMDLINE, c->verbose ? "" : "quiet ");
	if (emulated(c)) {
		uint32_t khz = c->icount ? ICOUNT_KHZ : tsc_khz;

		text_add(a, " no_timer_check tsc_early_khz=%u lpj=%llu%s", khz, khz * 10ull, c->cpus == 1 ? " noapictimer" : "");
	}
	if (c->icount)
		text_add(a, " idle=poll"); /* time would jump to the next timer whenever the guest waits for a device */
	text_add(a, "%s", c->cpus == 1 ? " noreplace-smp" : " rcupdate.rcu_expedited=1");
	if (c->cmdline[0])
		text_add(a, " %s", c->cmdline);
}

static int add_kernel(const struct engine_config *c, const struct qemu_args_in *in, struct qemu_args *a, struct sbx_err *err)
{
	size_t start;

	OPTION(a, "-kernel", "/proc/self/fd/%u", child_fd(a, c->kernel_fd));
	OPTION(a, "-initrd", "/proc/self/fd/%u", child_fd(a, in->initrd));
	arg(a, "-append");
	arg_begin(a);
	start = a->used;
	add_cmdline(c, in->tsc_khz, a);
	if (a->used - start > KERNEL_CMDLINE_MAX)
		return err_set(err, -E2BIG, "the kernel command line has %zu bytes, more than %d", a->used - start, KERNEL_CMDLINE_MAX);
	return 0;
}

static const char *front_end(const struct vdev *d)
{
	switch (d->ops->id) {
	case VIRTIO_ID_BLOCK:
		return "vhost-user-blk,num-queues=1";
	case VIRTIO_ID_VSOCK:
		return "vhost-user-vsock-device";
	case VIRTIO_ID_RNG:
		return "vhost-user-rng";
	default:
		return NULL;
	}
}

/* The front end has a configuration space of its own, and limits a request to the size of its queue. */
static void add_fs(struct vdev *d, unsigned i, struct qemu_args *a)
{
	char tag[sizeof(((struct virtio_fs_config *)NULL)->tag) + 1] = { 0 };

	d->ops->config_read(d, 0, tag, sizeof(tag) - 1);
	OPTION(a, "-device", "vhost-user-fs-device,chardev=d%u,tag=%s,num-request-queues=%u,queue-size=%u", i, tag, d->ops->nqueues - 1u, d->ops->queue_size);
}

/* QEMU keeps the configuration space of this device, and its own idea of what both can do. Receive buffers of a page make frames of 64 KiB out of 16. */
static void add_net(struct vdev *d, unsigned i, struct qemu_args *a)
{
	uint8_t mac[6], mtu[2];

	vdev_config_read(d, offsetof(struct virtio_net_config, mac), mac, sizeof(mac));
	vdev_config_read(d, offsetof(struct virtio_net_config, mtu), mtu, sizeof(mtu));
	OPTION(a, "-netdev", "vhost-user,id=n%u,chardev=d%u", i, i);
	OPTION(a, "-device",
	       "virtio-net-device,netdev=n%u,mac=%02x:%02x:%02x:%02x:%02x:%02x,host_mtu=%u,rx_queue_size=%u,tx_queue_size=%u,ctrl_vq=off,ctrl_rx=off,ctrl_vlan=off,ctrl_rx_extra=off,ctrl_mac_addr=off,"
	       "ctrl_guest_offloads=off,guest_announce=off,guest_ufo=off,host_ufo=off,guest_ecn=off,host_ecn=off,gso=off,status=off,speed=-1",
	       i, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], mtu[0] | mtu[1] << 8, d->ops->queue_size, d->ops->queue_size);
}

static int add_device(const struct engine_config *c, unsigned i, const struct qemu_args_in *in, struct qemu_args *a, struct sbx_err *err)
{
	struct vdev *d = c->devs[i];
	const char *name = front_end(d);

	if (d->ops->id == VIRTIO_ID_CONSOLE) { /* QEMU has no vhost-user console */
		OPTION(a, "-chardev", "socket,id=console,fd=%u", child_fd(a, in->console));
		OPTION(a, "-device", "virtio-serial-device,max_ports=1");
		OPTION(a, "-device", "virtconsole,chardev=console");
		return 0;
	}
	if (!name && d->ops->id != VIRTIO_ID_FS && d->ops->id != VIRTIO_ID_NET)
		return err_set(err, -EINVAL, "the qemu engine cannot attach a %s device", d->ops->name);
	if (d->ops->id == VIRTIO_ID_NET) /* whose back end takes no descriptor */
		OPTION(a, "-chardev", "socket,id=d%u,path=/proc/self/fd/%u", i, child_fd(a, in->vhost[i]));
	else
		OPTION(a, "-chardev", "socket,id=d%u,fd=%u", i, child_fd(a, in->vhost[i]));
	if (name)
		OPTION(a, "-device", "%s,chardev=d%u", name, i);
	else if (d->ops->id == VIRTIO_ID_NET)
		add_net(d, i, a);
	else
		add_fs(d, i, a);
	return 0;
}

int qemu_args_build(const struct engine_config *c, const struct qemu_args_in *in, struct qemu_args *ret, struct sbx_err *err)
{
	int r;

	*ret = (struct qemu_args){ 0 };
	if (c->dev_count > QEMU_DEVS_MAX)
		return err_set(err, -EINVAL, "the qemu engine has %d device slots, and the VM %u devices", QEMU_DEVS_MAX, c->dev_count);
	arg(ret, c->qemu_path);
	add_machine(c, in, ret);
	r = add_kernel(c, in, ret, err);
	OPTION(ret, "-chardev", "socket,id=early,fd=%u", child_fd(ret, in->early));
	OPTION(ret, "-serial", "chardev:early");
	for (unsigned i = 0; r == 0 && i < c->dev_count; i++)
		r = add_device(c, i, in, ret, err);
	if (r == 0 && ret->full)
		r = err_set(err, -E2BIG, "the VM's configuration does not fit into QEMU's command line");
	return r;
}
