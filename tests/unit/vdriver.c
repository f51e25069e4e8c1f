/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The driver's side of a split virtqueue, for tests of the device's side. */
#include "vdriver.h"

#include <string.h>

#include "base/rd.h"
#include "../test.h"

enum {
	NEXT = 1,
	WRITE = 2,
	INDIRECT = 4,
	TABLE_BYTES = 16 * VDRIVER_SEGS_MAX,
};

void vdriver_poke16(const struct gmem *mem, uint64_t gpa, uint16_t v)
{
	CHECK(gmem_store16(mem, gpa, v), "the test's own ring is outside of memory: %llx", (unsigned long long)gpa);
}

uint16_t vdriver_peek16(const struct gmem *mem, uint64_t gpa)
{
	uint16_t v = 0;

	CHECK(gmem_load16(mem, gpa, &v), "the test's own ring is outside of memory: %llx", (unsigned long long)gpa);
	return v;
}

void vdriver_put_desc(const struct gmem *mem, uint64_t table, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t raw[16];

	store_le64(raw, gpa);
	store_le32(raw + 8, len);
	store_le16(raw + 12, flags);
	store_le16(raw + 14, next);
	CHECK(gmem_write(mem, table + 16ull * i, raw, sizeof(raw)), "the test's own table is outside of memory");
}

void vdriver_init(struct vdriver *v, const struct gmem *mem, uint64_t base, uint16_t size, bool event_idx)
{
	memset(v, 0, sizeof(*v));
	v->mem = mem;
	v->size = size;
	v->event_idx = event_idx;
	v->desc = base;
	v->avail = v->desc + 16ull * size;
	v->used = (v->avail + 6 + 2ull * size + 3) & ~UINT64_C(3);
	v->tables = (v->used + 6 + 8ull * size + 15) & ~UINT64_C(15);
	memset(gmem_view(mem, base, v->tables - base), 0, v->tables - base);
	v->free_count = size;
	for (uint16_t i = 0; i < size; i++)
		v->next[i] = (uint16_t)(i + 1);
}

void vdriver_start_at(struct vdriver *v, uint16_t index)
{
	v->avail_idx = v->published = v->used_seen = index;
	vdriver_poke16(v->mem, v->avail + 2, index);
	vdriver_poke16(v->mem, v->used + 2, index);
}

int vdriver_enable(const struct vdriver *v, struct virtq *q)
{
	int r = virtq_enable(q, v->mem, v->size, v->desc, v->avail, v->used, v->event_idx);

	return r < 0 ? r : virtq_resume(q, v->published);
}

static uint16_t take_desc(struct vdriver *v)
{
	uint16_t i = v->free_head;

	v->free_head = v->next[i];
	v->free_count--;
	return i;
}

static void add_head(struct vdriver *v, uint16_t head)
{
	vdriver_poke16(v->mem, v->avail + 4 + 2ull * (v->avail_idx % v->size), head);
	v->avail_idx++;
}

void vdriver_put_head(struct vdriver *v, uint16_t head)
{
	add_head(v, head);
	(void)vdriver_publish(v);
}

static int add_indirect(struct vdriver *v, const struct vdriver_seg *seg, unsigned nread, unsigned nwrite)
{
	unsigned count = nread + nwrite;
	uint16_t head;
	uint64_t table;

	if (v->free_count == 0)
		return -1;
	head = take_desc(v);
	table = v->tables + (uint64_t)TABLE_BYTES * (head % 32); /* tests have at most 32 of them in flight */
	for (unsigned i = 0; i < count; i++)
		vdriver_put_desc(v->mem, table, i, seg[i].gpa, seg[i].len,
				 (uint16_t)((i + 1 < count ? NEXT : 0) | (i >= nread ? WRITE : 0)), (uint16_t)(i + 1));
	vdriver_put_desc(v->mem, v->desc, head, table, 16 * count, INDIRECT, 0);
	v->chain_len[head] = 1;
	return head;
}

static int add_direct(struct vdriver *v, const struct vdriver_seg *seg, unsigned nread, unsigned nwrite)
{
	unsigned count = nread + nwrite;
	uint16_t at = v->free_head, head = at;

	if (v->free_count < count)
		return -1;
	for (unsigned i = 0; i < count; i++) {
		at = take_desc(v);
		vdriver_put_desc(v->mem, v->desc, at, seg[i].gpa, seg[i].len,
				 (uint16_t)((i + 1 < count ? NEXT : 0) | (i >= nread ? WRITE : 0)), v->free_head);
	}
	v->chain_len[head] = (uint16_t)count;
	return head;
}

int vdriver_add(struct vdriver *v, const struct vdriver_seg *seg, unsigned nread, unsigned nwrite, bool indirect)
{
	int head;

	CHECK(nread + nwrite > 0 && nread + nwrite <= VDRIVER_SEGS_MAX, "%u segments", nread + nwrite);
	head = indirect ? add_indirect(v, seg, nread, nwrite) : add_direct(v, seg, nread, nwrite);
	if (head >= 0)
		add_head(v, (uint16_t)head);
	return head;
}

bool vdriver_publish(struct vdriver *v)
{
	uint16_t old = v->published, event;

	v->published = v->avail_idx;
	vdriver_poke16(v->mem, v->avail + 2, v->avail_idx);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!v->event_idx)
		return !(vdriver_peek16(v->mem, v->used) & 1);
	event = vdriver_peek16(v->mem, v->used + 4 + 8ull * v->size);
	return (uint16_t)(v->avail_idx - event - 1) < (uint16_t)(v->avail_idx - old);
}

bool vdriver_take(struct vdriver *v, uint16_t *ret_head, uint32_t *ret_len)
{
	uint16_t idx = vdriver_peek16(v->mem, v->used + 2), at;
	uint8_t raw[8];

	if (idx == v->used_seen)
		return false;
	CHECK((uint16_t)(idx - v->used_seen) <= v->size, "used index ran ahead by %u", (uint16_t)(idx - v->used_seen));
	CHECK(gmem_read(v->mem, v->used + 4 + 8ull * (v->used_seen % v->size), raw, sizeof(raw)), "used ring");
	v->used_seen++;
	CHECK(load_le32(raw) < v->size, "used id %u", load_le32(raw));
	*ret_head = (uint16_t)load_le32(raw);
	*ret_len = load_le32(raw + 4);
	CHECK(v->chain_len[*ret_head] > 0, "head %u came back without having been given", *ret_head);
	for (at = *ret_head; v->chain_len[*ret_head] > 1; v->chain_len[*ret_head]--)
		at = v->next[at];
	v->free_count = (uint16_t)(v->free_count + 1);
	for (uint16_t i = *ret_head; i != at; i = v->next[i])
		v->free_count++;
	v->next[at] = v->free_head;
	v->free_head = *ret_head;
	v->chain_len[*ret_head] = 0;
	return true;
}

void vdriver_interrupts(struct vdriver *v, bool on)
{
	if (v->event_idx)
		vdriver_poke16(v->mem, v->avail + 4 + 2ull * v->size, on ? v->used_seen : (uint16_t)(v->used_seen + 0x8000));
	else
		vdriver_poke16(v->mem, v->avail, on ? 0 : 1);
}
