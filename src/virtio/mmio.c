/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/mmio.c - the register file of virtio-mmio, version 2 (virtio 1.2, 4.2.2), driven by whatever a guest stores and loads.
 *
 * Registers are 32 bits wide and answer aligned 32-bit accesses only; the configuration space answers any width. Everything else
 * reads as zero and ignores writes. Nothing that a guest writes here is believed before it is used: features when FEATURES_OK
 * is set, ring addresses when a queue is made ready, queue numbers at each use.
 *
 * A queue that cannot be made ready, a start that fails and a broken ring all end in the same state: DEVICE_NEEDS_RESET, a
 * configuration interrupt, and no answer to anything but a reset.
 *
 * InterruptStatus is the one field that vCPU threads touch. The bit is set before the line is raised, and a driver acknowledges
 * before it looks at the rings, so that an interrupt is at worst spurious. */
#include "virtio/mmio.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

enum {
	MMIO_MAGIC = 0x74726976, /* "virt" */
	MMIO_VERSION = 2,
	MMIO_VENDOR = 0x58425300,
};

/* What the driver said about a queue and what takes effect when it makes it ready. */
struct mmio_queue {
	uint32_t num;
	uint64_t desc, avail, used;
};

struct mmio {
	struct vdev *dev;
	const struct gmem *mem;
	void (*irq)(void *user);
	void *user;
	_Atomic uint32_t irq_status; /* loop thread and vCPU threads */
	uint32_t status;
	uint32_t device_features_sel, driver_features_sel;
	uint64_t driver_features;
	uint32_t queue_sel;
	struct mmio_queue queue[VDEV_QUEUES_MAX];
};

static void mmio_interrupt(struct mmio *m, uint32_t bit)
{
	atomic_fetch_or(&m->irq_status, bit);
	m->irq(m->user);
}

static void mmio_call(struct vdev *d, uint16_t queue)
{
	(void)queue; /* one line and one status bit for all queues */
	mmio_interrupt(d->transport_data, VIRTIO_MMIO_INT_VRING);
}

static void mmio_broken(struct vdev *d)
{
	struct mmio *m = d->transport_data;

	m->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (m->status & VIRTIO_CONFIG_S_DRIVER_OK) /* virtio 1.2, 2.1.2: the driver is told only once it drives */
		mmio_interrupt(m, VIRTIO_MMIO_INT_CONFIG);
}

static void mmio_config_changed(struct vdev *d)
{
	mmio_interrupt(d->transport_data, VIRTIO_MMIO_INT_CONFIG);
}

static const struct vdev_transport_ops mmio_transport = {
	.call = mmio_call,
	.broken = mmio_broken,
	.config_changed = mmio_config_changed,
};

static void mmio_reset(struct mmio *m)
{
	vdev_reset(m->dev);
	atomic_store(&m->irq_status, 0);
	m->status = 0;
	m->device_features_sel = m->driver_features_sel = 0;
	m->driver_features = 0;
	m->queue_sel = 0;
	memset(m->queue, 0, sizeof(m->queue));
}

int mmio_create(struct vdev *d, const struct gmem *mem, void (*irq)(void *user), void *user, struct mmio **ret)
{
	struct mmio *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->dev = d;
	m->mem = mem;
	m->irq = irq;
	m->user = user;
	d->mem = mem;
	d->transport = &mmio_transport;
	d->transport_data = m;
	d->one_interrupt = true;
	*ret = m;
	return 0;
}

void mmio_free(struct mmio *m)
{
	if (!m)
		return;
	vdev_reset(m->dev);
	m->dev->transport = NULL;
	m->dev->transport_data = NULL;
	m->dev->mem = NULL;
	free(m);
}

/* The selected queue, or NULL for one that does not exist. */
static struct mmio_queue *mmio_selected(struct mmio *m)
{
	return m->queue_sel < m->dev->ops->nqueues ? &m->queue[m->queue_sel] : NULL;
}

static uint32_t half(uint64_t v, uint32_t sel)
{
	if (sel > 1)
		return 0;
	return (uint32_t)(sel == 0 ? v : v >> 32);
}

static void set_half(uint64_t *v, uint32_t sel, uint32_t x)
{
	if (sel == 0)
		*v = (*v & ~(uint64_t)UINT32_MAX) | x;
	else if (sel == 1)
		*v = (*v & UINT32_MAX) | (uint64_t)x << 32;
}

static uint32_t mmio_load(struct mmio *m, uint32_t off)
{
	const struct vdev *d = m->dev;
	bool exists = mmio_selected(m) != NULL;

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE: return MMIO_MAGIC;
	case VIRTIO_MMIO_VERSION: return MMIO_VERSION;
	case VIRTIO_MMIO_DEVICE_ID: return d->ops->id;
	case VIRTIO_MMIO_VENDOR_ID: return MMIO_VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES: return half(vdev_offered(d), m->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX: return exists ? d->ops->queue_size : 0;
	case VIRTIO_MMIO_QUEUE_READY: return exists && d->queue[m->queue_sel].enabled;
	case VIRTIO_MMIO_INTERRUPT_STATUS: return atomic_load(&m->irq_status);
	case VIRTIO_MMIO_STATUS: return m->status;
	/* No shared memory regions: their length reads as all ones (virtio 1.2, 4.2.2.1). */
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH: return UINT32_MAX;
	default: return 0; /* unknown, write-only, or ConfigGeneration: ours does not change */
	}
}

static void mmio_driver_ok(struct mmio *m)
{
	struct vdev *d = m->dev;

	m->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	if (vdev_start(d, m->driver_features) < 0) {
		mmio_broken(d);
		return;
	}
	for (uint16_t i = 0; i < d->ops->nqueues; i++)
		vdev_kick(d, i); /* a driver may have filled its rings, and even kicked, before this */
}

/* The bits that the driver sets stay set until it resets. */
static void mmio_set_status(struct mmio *m, uint32_t v)
{
	struct vdev *d = m->dev;
	uint32_t fresh;

	if ((v & 0xff) == 0) {
		mmio_reset(m);
		return;
	}
	fresh = v & ~m->status & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
	if (fresh & VIRTIO_CONFIG_S_FEATURES_OK)
		if ((m->driver_features & ~vdev_offered(d)) || !(m->driver_features & UINT64_C(1) << VIRTIO_F_VERSION_1))
			fresh &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK; /* the driver reads it back and sees the refusal */
	m->status |= fresh & ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
	if ((fresh & VIRTIO_CONFIG_S_DRIVER_OK) && (m->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !(m->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		mmio_driver_ok(m);
}

static void mmio_set_ready(struct mmio *m, const struct mmio_queue *s, bool ready)
{
	struct vdev *d = m->dev;
	struct virtq *q = &d->queue[m->queue_sel];
	bool event_idx = m->driver_features >> VIRTIO_RING_F_EVENT_IDX & 1;

	if (ready == q->enabled || !(m->status & VIRTIO_CONFIG_S_FEATURES_OK) || (m->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		return;
	if (!ready) {
		vdev_quiesce(d);
		virtq_disable(q);
		return;
	}
	if (s->num <= d->ops->queue_size &&
	    virtq_enable(q, m->mem, (uint16_t)s->num, s->desc, s->avail, s->used, event_idx) == 0)
		return;
	if (d->started)
		vdev_break(d, "a queue with a wrong size or address");
	else
		mmio_broken(d);
}

/* Registers of the selected queue. They hold still while it is ready. */
static void mmio_store_queue(struct mmio *m, uint32_t off, uint32_t v)
{
	struct mmio_queue *s = mmio_selected(m);

	if (!s)
		return;
	if (off == VIRTIO_MMIO_QUEUE_READY) {
		mmio_set_ready(m, s, v & 1);
		return;
	}
	if (m->dev->queue[m->queue_sel].enabled)
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM: s->num = v; break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW: set_half(&s->desc, 0, v); break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH: set_half(&s->desc, 1, v); break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW: set_half(&s->avail, 0, v); break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH: set_half(&s->avail, 1, v); break;
	case VIRTIO_MMIO_QUEUE_USED_LOW: set_half(&s->used, 0, v); break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH: set_half(&s->used, 1, v); break;
	default: break;
	}
}

static void mmio_store(struct mmio *m, uint32_t off, uint32_t v)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL: m->device_features_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL: m->driver_features_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (!(m->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&m->driver_features, m->driver_features_sel, v);
		break;
	case VIRTIO_MMIO_QUEUE_SEL: m->queue_sel = v; break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (v < m->dev->ops->nqueues)
			vdev_kick(m->dev, (uint16_t)v);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK: atomic_fetch_and(&m->irq_status, ~v); break;
	case VIRTIO_MMIO_STATUS: mmio_set_status(m, v); break;
	default: mmio_store_queue(m, off, v); break;
	}
}

static bool is_register(uint32_t off, uint32_t len)
{
	return off < VIRTIO_MMIO_CONFIG && off % 4 == 0 && len == 4;
}

void mmio_read(struct mmio *m, uint32_t off, void *dst, uint32_t len)
{
	memset(dst, 0, len);
	if (is_register(off, len))
		store_le32(dst, mmio_load(m, off));
	else if (off >= VIRTIO_MMIO_CONFIG && off < MMIO_SIZE && len <= MMIO_SIZE - off)
		vdev_config_read(m->dev, off - VIRTIO_MMIO_CONFIG, dst, len);
}

void mmio_write(struct mmio *m, uint32_t off, const void *src, uint32_t len)
{
	if (is_register(off, len))
		mmio_store(m, off, load_le32(src));
}

bool mmio_try_irq_access(struct mmio *m, uint32_t off, bool write, void *data, uint32_t len)
{
	if (!is_register(off, len))
		return false;
	if (!write && off == VIRTIO_MMIO_INTERRUPT_STATUS)
		store_le32(data, atomic_load(&m->irq_status));
	else if (write && off == VIRTIO_MMIO_INTERRUPT_ACK)
		atomic_fetch_and(&m->irq_status, ~load_le32(data));
	else
		return false;
	return true;
}

void mmio_kick(struct mmio *m, uint16_t queue)
{
	vdev_kick(m->dev, queue);
}
