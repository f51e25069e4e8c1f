/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/minidriver.c - see minidriver.h. */
#include "minidriver.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { MD_FIRST_GPA = 4096,
       MD_SETTLE_ROUNDS = 64 };

static void md_call(struct vdev *d, uint16_t queue)
{
	struct minidriver *m = d->transport_data;

	m->calls[queue]++;
}

static void md_broken(struct vdev *d)
{
	struct minidriver *m = d->transport_data;

	m->broken++;
}

static const struct vdev_transport_ops md_transport = { .call = md_call, .broken = md_broken };

void *md_at(struct minidriver *m, uint64_t gpa)
{
	void *p = gmem_view(m->mem, gpa, 1);

	assert(p);
	return p;
}

uint64_t md_alloc(struct minidriver *m, size_t len)
{
	uint64_t gpa = m->next_gpa;

	m->next_gpa += (len + 15) & ~(size_t)15;
	assert(m->next_gpa <= MD_MEM_BYTES);
	memset(md_at(m, gpa), 0, len);
	return gpa;
}

static void md_queue_start(struct minidriver *m, uint16_t q)
{
	struct md_queue *g = &m->queue[q];
	int r;

	*g = (struct md_queue){ 0 };
	g->desc = md_alloc(m, 16 * MD_QUEUE_SIZE);
	g->avail = md_alloc(m, 6 + 2 * MD_QUEUE_SIZE);
	g->used = md_alloc(m, 6 + 8 * MD_QUEUE_SIZE);
	while (g->free_count < MD_QUEUE_SIZE) {
		g->free[g->free_count] = (uint16_t)(MD_QUEUE_SIZE - 1 - g->free_count);
		g->free_count++;
	}
	r = virtq_enable(&m->dev->queue[q], m->mem, MD_QUEUE_SIZE, g->desc, g->avail, g->used, false);
	assert(r == 0);
}

static void md_start(struct minidriver *m, uint64_t features)
{
	int r;

	m->next_gpa = MD_FIRST_GPA;
	for (uint16_t q = 0; q < m->dev->ops->nqueues; q++)
		md_queue_start(m, q);
	r = vdev_start(m->dev, UINT64_C(1) << VIRTIO_F_VERSION_1 | features);
	assert(r == 0);
}

void md_init(struct minidriver *m, struct loop *loop, struct vdev *d)
{
	int r;

	*m = (struct minidriver){ .loop = loop, .dev = d };
	r = gmem_create(MD_MEM_BYTES, MD_MEM_BYTES, MD_MEM_BYTES, &m->mem, NULL);
	assert(r == 0);
	d->mem = m->mem;
	d->transport = &md_transport;
	d->transport_data = m;
	md_start(m, 0);
}

void md_reset_with(struct minidriver *m, uint64_t features)
{
	vdev_reset(m->dev);
	md_start(m, features);
}

void md_reset(struct minidriver *m)
{
	md_reset_with(m, 0);
}

void md_done(struct minidriver *m)
{
	vdev_reset(m->dev);
	gmem_free(m->mem);
}

int md_add(struct minidriver *m, uint16_t q, const struct md_seg *seg, unsigned count)
{
	struct md_queue *g = &m->queue[q];
	uint16_t head;

	assert(count > 0 && count <= ARRAY_LEN(g->chain[0]));
	if (g->free_count < count)
		return -1;
	head = g->free[g->free_count - 1];
	for (unsigned i = 0; i < count; i++) {
		uint16_t d = g->free[--g->free_count];
		uint8_t *raw = md_at(m, g->desc + 16u * d);
		bool more = i + 1 < count;

		g->chain[head][i] = d;
		store_le64(raw, seg[i].gpa);
		store_le32(raw + 8, seg[i].len);
		store_le16(raw + 12, (uint16_t)((seg[i].write ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0)));
		store_le16(raw + 14, more ? g->free[g->free_count - 1] : 0);
	}
	g->segs[head] = (uint8_t)count;
	store_le16(md_at(m, g->avail + 4 + 2u * (g->avail_idx % MD_QUEUE_SIZE)), head);
	store_le16(md_at(m, g->avail + 2), ++g->avail_idx);
	return head;
}

void md_kick(struct minidriver *m, uint16_t q)
{
	vdev_kick(m->dev, q);
}

int md_used(struct minidriver *m, uint16_t q, uint32_t *ret_written)
{
	struct md_queue *g = &m->queue[q];
	const uint8_t *elem = md_at(m, g->used + 4 + 8u * (g->last_used % MD_QUEUE_SIZE));
	uint32_t head;

	if (load_le16(md_at(m, g->used + 2)) == g->last_used)
		return -1;
	g->last_used++;
	head = load_le32(elem);
	assert(head < MD_QUEUE_SIZE && g->segs[head] > 0);
	for (unsigned i = g->segs[head]; i-- > 0;)
		g->free[g->free_count++] = g->chain[head][i];
	g->segs[head] = 0;
	if (ret_written)
		*ret_written = load_le32(elem + 4);
	return (int)head;
}

void md_settle(struct minidriver *m)
{
	for (int i = 0; i < MD_SETTLE_ROUNDS; i++) {
		int r = loop_once(m->loop, 0);

		assert(r == 0);
	}
}
