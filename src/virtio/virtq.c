/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/virtq.c - the device side of split virtqueues (virtio 1.2, 2.7), and the only code that follows descriptors.
 *
 * The guest owns every byte that is read here and may change it at any moment. So each descriptor is copied once, checked, and
 * used from the copy; what virtq_pop() hands out is a list of segments that all lie in guest memory, and nothing the guest does later
 * changes the list. What the segments hold stays the guest's to change: readers copy, then parse.
 *
 * Refused with -EPROTO, which breaks the device until the guest resets it: an available index that runs ahead by more than the
 * ring, a head or next beyond its table, a chain with more descriptors than the ring has entries (any loop) or than
 * VCHAIN_SEGS_MAX, an indirect descriptor inside an indirect table or with NEXT set, an indirect table whose length is zero or
 * not a multiple of 16, a segment outside of guest memory, a readable segment behind a writable one, a total over 4 GiB.
 *
 * Ordering. avail->idx is loaded with acquire: it pairs with the driver's release, so entries and descriptors behind it are
 * seen. used->idx is stored with release behind the used entry: it pairs with the driver's acquire. Where both sides publish and
 * then look at what the other published (kick suppression and interrupt suppression), each has a full fence between its store
 * and its load; with either fence missing both could go to sleep. */
#include "virtio/virtq.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum {
	DESC_BYTES = 16,
	USED_ELEM_BYTES = 8,
	RING_HEADER_BYTES = 4, /* flags, idx: of both rings */
};

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* A descriptor table: the ring's own, or an indirect one. */
struct desc_table {
	uint64_t gpa;
	uint32_t count;
	bool indirect;
};

/* Guest addresses of the ring fields. Enabling checked that they are inside guest memory, so none of them wraps. */
static uint64_t avail_entry_gpa(const struct virtq *q, uint16_t i)
{
	return q->avail_gpa + RING_HEADER_BYTES + (uint64_t)2 * (i & (q->size - 1u));
}

static uint64_t used_entry_gpa(const struct virtq *q, uint16_t i)
{
	return q->used_gpa + RING_HEADER_BYTES + (uint64_t)USED_ELEM_BYTES * (i & (q->size - 1u));
}

/* Where the driver says at which used index it wants an interrupt: behind the available ring. */
static uint64_t used_event_gpa(const struct virtq *q)
{
	return q->avail_gpa + RING_HEADER_BYTES + (uint64_t)2 * q->size;
}

/* Where we say at which available index we want a kick: behind the used ring. */
static uint64_t avail_event_gpa(const struct virtq *q)
{
	return q->used_gpa + RING_HEADER_BYTES + (uint64_t)USED_ELEM_BYTES * q->size;
}

int virtq_enable(struct virtq *q, const struct gmem *mem, uint16_t size, uint64_t desc, uint64_t avail, uint64_t used,
		 bool event_idx)
{
	uint64_t event_bytes = event_idx ? 2 : 0;

	*q = (struct virtq){ 0 };
	if (size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	if (desc % 16 != 0 || avail % 2 != 0 || used % 4 != 0)
		return -EINVAL;
	if (!gmem_check(mem, desc, (uint64_t)DESC_BYTES * size) ||
	    !gmem_check(mem, avail, RING_HEADER_BYTES + 2ull * size + event_bytes) ||
	    !gmem_check(mem, used, RING_HEADER_BYTES + (uint64_t)USED_ELEM_BYTES * size + event_bytes))
		return -EINVAL;
	*q = (struct virtq){
		.mem = mem,
		.size = size,
		.enabled = true,
		.event_idx = event_idx,
		.desc_gpa = desc,
		.avail_gpa = avail,
		.used_gpa = used,
	};
	return 0;
}

int virtq_resume(struct virtq *q, uint16_t last_avail)
{
	uint16_t used_idx;

	assert(q->enabled);
	if (!gmem_load16(q->mem, q->used_gpa + 2, &used_idx))
		return -EPROTO;
	q->last_avail = last_avail;
	q->used_idx = q->signalled = used_idx;
	return 0;
}

void virtq_disable(struct virtq *q)
{
	if (q->enabled && q->kicks_off) /* whoever goes on with the ring may not poll it */
		(void)gmem_store16(q->mem, q->used_gpa, 0);
	q->enabled = q->polled = q->kicks_off = false;
	q->mem = NULL;
}

static bool desc_load(const struct virtq *q, const struct desc_table *t, uint32_t i, struct desc *ret)
{
	uint8_t raw[DESC_BYTES];

	if (i >= t->count || !gmem_read(q->mem, t->gpa + (uint64_t)DESC_BYTES * i, raw, sizeof(raw)))
		return false;
	ret->gpa = load_le64(raw);
	ret->len = load_le32(raw + 8);
	ret->flags = load_le16(raw + 12);
	ret->next = load_le16(raw + 14);
	return true;
}

/* Appends a segment. Empty ones are legal and mean nothing, wherever they point. */
static bool chain_add(struct vchain *c, const struct desc *d)
{
	bool write = (d->flags & VRING_DESC_F_WRITE) != 0;

	if (!write && c->nwrite > 0)
		return false;
	if (d->len == 0)
		return true;
	if (c->nread + c->nwrite == VCHAIN_SEGS_MAX || !gmem_check(c->mem, d->gpa, d->len) ||
	    c->read_left + c->write_left + d->len > UINT32_MAX)
		return false;
	c->seg[c->nread + c->nwrite] = (struct vseg){ .gpa = d->gpa, .len = d->len };
	if (write) {
		c->nwrite++;
		c->write_left += d->len;
	} else {
		c->nread++;
		c->read_left += d->len;
	}
	return true;
}

static bool enter_indirect(const struct virtq *q, const struct desc *d, struct desc_table *t)
{
	if (t->indirect || (d->flags & VRING_DESC_F_NEXT) || d->len == 0 || d->len % DESC_BYTES != 0 ||
	    !gmem_check(q->mem, d->gpa, d->len))
		return false;
	*t = (struct desc_table){ .gpa = d->gpa, .count = d->len / DESC_BYTES, .indirect = true };
	return true;
}

/* Follows the chain at @head. Every descriptor counts against the ring's size, and a table is entered once, so it ends. */
static bool chain_walk(const struct virtq *q, uint16_t head, struct vchain *c)
{
	struct desc_table table = { .gpa = q->desc_gpa, .count = q->size };
	uint32_t next = head, seen = 0;

	while (seen < q->size) {
		struct desc d;

		if (!desc_load(q, &table, next, &d))
			return false;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!enter_indirect(q, &d, &table))
				return false;
			next = 0;
			continue;
		}
		seen++;
		if (!chain_add(c, &d))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return true;
		next = d.next;
	}
	return false;
}

/* How many entries wait, or -EPROTO. */
static int avail_pending(const struct virtq *q)
{
	uint16_t idx, pending;

	if (!gmem_load16(q->mem, q->avail_gpa + 2, &idx)) /* acquire: pairs with the driver's release of avail->idx */
		return -EPROTO;
	pending = (uint16_t)(idx - q->last_avail);
	return pending <= q->size ? pending : -EPROTO;
}

/* There are fewer than @count: ask for a kick when there are, then look again for what came before the driver could see that we ask. */
static int avail_rearm(struct virtq *q, uint16_t count)
{
	uint16_t event = (uint16_t)(q->last_avail + count - 1);
	bool ok = q->event_idx ? gmem_store16(q->mem, avail_event_gpa(q), event) : !q->kicks_off || gmem_store16(q->mem, q->used_gpa, 0);

	if (!ok)
		return -EPROTO;
	q->kicks_off = false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the driver's between avail->idx and its look at the event index */
	return avail_pending(q);
}

int virtq_pop(struct virtq *q, struct vchain *ret)
{
	uint16_t head;
	int r;

	if (!q->enabled)
		return 0;
	r = avail_pending(q);
	if (r == 0 && !q->polled)
		r = avail_rearm(q, 1);
	if (r <= 0)
		return r;
	if (!gmem_load16(q->mem, avail_entry_gpa(q, q->last_avail), &head))
		return -EPROTO;
	memset(ret, 0, offsetof(struct vchain, seg));
	ret->mem = q->mem;
	ret->head = head;
	if (!chain_walk(q, head, ret))
		return -EPROTO;
	q->last_avail++;
	return 1;
}

int virtq_await(struct virtq *q, uint16_t count)
{
	int r = q->enabled ? avail_pending(q) : 0;

	assert(count > 0 && (!q->enabled || count <= q->size));
	if (q->enabled && r >= 0 && r < count)
		r = avail_rearm(q, count);
	return r < 0 || r >= count ? r : 0;
}

void virtq_unpop(struct virtq *q)
{
	q->last_avail--;
}

int virtq_fill(struct virtq *q, uint16_t nth, uint16_t head, size_t written)
{
	uint8_t raw[USED_ELEM_BYTES];

	if (!q->enabled)
		return -EPROTO;
	assert(written <= UINT32_MAX && nth < q->size);
	store_le32(raw, head);
	store_le32(raw + 4, (uint32_t)written);
	return gmem_write(q->mem, used_entry_gpa(q, (uint16_t)(q->used_idx + nth)), raw, sizeof(raw)) ? 0 : -EPROTO;
}

int virtq_publish(struct virtq *q, uint16_t count)
{
	if (!q->enabled)
		return -EPROTO;
	q->used_idx = (uint16_t)(q->used_idx + count);
	/* release: the driver that sees the index sees the entries, and the data before them */
	return gmem_store16(q->mem, q->used_gpa + 2, q->used_idx) ? 0 : -EPROTO;
}

int virtq_push_head(struct virtq *q, uint16_t head, size_t written)
{
	int r = virtq_fill(q, 0, head, written);

	return r < 0 ? r : virtq_publish(q, 1);
}

int virtq_push(struct virtq *q, const struct vchain *c, size_t written)
{
	return virtq_push_head(q, c->head, written);
}

bool virtq_wants_signal(struct virtq *q)
{
	uint16_t old = q->signalled, v;

	if (!q->enabled || q->used_idx == old)
		return false;
	q->signalled = q->used_idx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the driver's between its used_event or flags and used->idx */
	if (!gmem_load16(q->mem, q->event_idx ? used_event_gpa(q) : q->avail_gpa, &v))
		return false;
	if (!q->event_idx)
		return !(v & VRING_AVAIL_F_NO_INTERRUPT);
	return (uint16_t)(q->used_idx - v - 1) < (uint16_t)(q->used_idx - old); /* v lies in [old, used_idx), modulo 2^16 */
}

void virtq_poll(struct virtq *q, bool on)
{
	q->polled = on && q->enabled;
	/* With the event index there is nothing to do: it stays behind until the next empty pop moves it. */
	if (q->polled && !q->event_idx && !q->kicks_off)
		q->kicks_off = gmem_store16(q->mem, q->used_gpa, VRING_USED_F_NO_NOTIFY);
}

bool virtq_ready(const struct virtq *q)
{
	return q->enabled && avail_pending(q) != 0;
}

/* A cursor over one of a chain's two lists. */
struct vcursor {
	const struct vseg *seg;
	uint16_t count;
	uint16_t *at;
	uint32_t *off;
	size_t *left;
};

static struct vcursor read_cursor(struct vchain *c)
{
	return (struct vcursor){ c->seg, c->nread, &c->read_seg, &c->read_off, &c->read_left };
}

static struct vcursor write_cursor(struct vchain *c)
{
	return (struct vcursor){ c->seg + c->nread, c->nwrite, &c->write_seg, &c->write_off, &c->write_left };
}

/* The next contiguous piece of at most @max bytes; moves on. 0 at the end. */
static size_t vcursor_next(struct vcursor *k, size_t max, uint64_t *ret_gpa)
{
	const struct vseg *s = &k->seg[*k->at];
	size_t n;

	if (*k->at == k->count || max == 0)
		return 0;
	n = MIN(max, (size_t)(s->len - *k->off));
	*ret_gpa = s->gpa + *k->off;
	*k->off += (uint32_t)n;
	*k->left -= n;
	if (*k->off == s->len) {
		*k->off = 0;
		++*k->at;
	}
	return n;
}

size_t vchain_read(struct vchain *c, void *dst, size_t len)
{
	struct vcursor k = read_cursor(c);
	size_t done = 0, n;
	uint64_t gpa;

	for (; (n = vcursor_next(&k, len - done, &gpa)) > 0; done += n)
		if (dst && !gmem_read(c->mem, gpa, (uint8_t *)dst + done, n))
			break;
	return done;
}

size_t vchain_write(struct vchain *c, const void *src, size_t len)
{
	struct vcursor k = write_cursor(c);
	size_t done = 0, n;
	uint64_t gpa;

	for (; (n = vcursor_next(&k, len - done, &gpa)) > 0; done += n)
		if (!gmem_write(c->mem, gpa, (const uint8_t *)src + done, n))
			break;
	return done;
}

static unsigned vcursor_iov(const struct gmem *mem, struct vcursor *k, struct iovec *iov, unsigned max, size_t len,
			    size_t *ret_len)
{
	size_t done = 0, n;
	unsigned count = 0;
	uint64_t gpa;

	for (; count < max && (n = vcursor_next(k, len - done, &gpa)) > 0; done += n)
		iov[count++] = (struct iovec){ .iov_base = gmem_view(mem, gpa, n), .iov_len = n };
	*ret_len = done;
	return count;
}

unsigned vchain_read_iov(struct vchain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len)
{
	struct vcursor k = read_cursor(c);

	return vcursor_iov(c->mem, &k, iov, max, len, ret_len);
}

unsigned vchain_write_iov(struct vchain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len)
{
	struct vcursor k = write_cursor(c);

	return vcursor_iov(c->mem, &k, iov, max, len, ret_len);
}
