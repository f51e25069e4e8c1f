/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_page.c - pages of 4 KiB out of slabs of 1 MiB. A slab is a mapping of its own, aligned to its size, so that a page leads to
 * its slab, and goes back to the machine when all of its pages are free (but one, kept against a file that grows and shrinks at the edge). Pages of
 * a slab are given out in rising order while it is new: a file that is written in order lies in order, and leaves whole slabs behind.
 *
 * The first page of a slab is its header. Pages from @fresh on were never used: the kernel zeroed them. */
#include "vfs/mem_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

enum {
	SLAB_BYTES = 1 << 20,
	SLAB_PAGES = SLAB_BYTES / MEM_PAGE - 1,
};

struct mem_slab {
	struct list node; /* in mem_pages.slabs if a page is free */
	uint16_t used, fresh;
	uint16_t freed_count;
	uint16_t freed[SLAB_PAGES]; /* a stack */
};

static_assert(sizeof(struct mem_slab) <= MEM_PAGE, "a slab's header is one page");

void mem_pages_init(struct mem_pages *p)
{
	list_init(&p->slabs);
	p->empty_slabs = 0;
}

void mem_pages_done(struct mem_pages *p)
{
	LIST_EACH (node, &p->slabs) {
		struct mem_slab *s = CONTAINER_OF(node, struct mem_slab, node);

		assert(s->used == 0);
		munmap(s, SLAB_BYTES);
	}
}

/* A mapping that is aligned to its size: twice as much, without what is too much. */
static struct mem_slab *slab_new(struct mem_pages *p)
{
	uint8_t *all = mmap(NULL, 2 * (size_t)SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct mem_slab *s;
	size_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = (SLAB_BYTES - (uintptr_t)all % SLAB_BYTES) % SLAB_BYTES;
	if (before > 0)
		munmap(all, before);
	munmap(all + before + SLAB_BYTES, SLAB_BYTES - before);
	s = (struct mem_slab *)(void *)(all + before);
	list_add_tail(&p->slabs, &s->node);
	p->empty_slabs++;
	return s;
}

void *mem_page_alloc(struct mem_pages *p, bool zeroed)
{
	struct mem_slab *s = list_empty(&p->slabs) ? slab_new(p) : CONTAINER_OF(p->slabs.prev, struct mem_slab, node);
	bool reused;
	uint8_t *page;

	if (!s)
		return NULL;
	reused = s->freed_count > 0;
	page = (uint8_t *)s + MEM_PAGE * (size_t)(1 + (reused ? s->freed[--s->freed_count] : s->fresh++));
	if (reused && zeroed)
		memset(page, 0, MEM_PAGE);
	if (s->used++ == 0)
		p->empty_slabs--;
	if (s->used == SLAB_PAGES)
		list_del(&s->node);
	return page;
}

void mem_page_free(struct mem_pages *p, void *page)
{
	size_t at = (uintptr_t)page % SLAB_BYTES;
	struct mem_slab *s = (struct mem_slab *)(void *)((uint8_t *)page - at);

	assert(at >= MEM_PAGE && at % MEM_PAGE == 0);
	if (s->used == SLAB_PAGES)
		list_add_tail(&p->slabs, &s->node);
	s->freed[s->freed_count++] = (uint16_t)(at / MEM_PAGE - 1);
	if (--s->used > 0)
		return;
	if (p->empty_slabs > 0) {
		list_del(&s->node);
		munmap(s, SLAB_BYTES);
		return;
	}
	p->empty_slabs++;
	s->freed_count = 0; /* none is used: start in order again, of pages that are not zero */
	for (uint16_t i = s->fresh; i > 0; i--)
		s->freed[s->freed_count++] = (uint16_t)(i - 1);
}
