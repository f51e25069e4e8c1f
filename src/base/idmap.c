/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/idmap.c - id = generation << 16 | index + 1. A slot's generation changes at each delete, so an old id of a
 * reused slot stays invalid for 65535 reuses. Slots are reused last-freed-first. Memory grows by doubling. */
#include "base/idmap.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

enum { IDMAP_INDEX_MAX = 65535,
       IDMAP_FIRST = 8 };
#define IDMAP_NONE UINT32_MAX

struct idmap_slot {
	void *p;            /* NULL: free */
	uint32_t next_free; /* while free */
	uint16_t generation;
};

void idmap_init(struct idmap *m, uint32_t max)
{
	assert(max > 0 && max <= IDMAP_INDEX_MAX);
	*m = (struct idmap){ .max = max, .free_head = IDMAP_NONE };
}

void idmap_done(struct idmap *m)
{
	free(m->slot);
	idmap_init(m, m->max);
}

static bool idmap_grow(struct idmap *m)
{
	uint32_t cap = MIN(MAX(m->cap * 2, (uint32_t)IDMAP_FIRST), m->max);
	struct idmap_slot *slot = reallocarray(m->slot, cap, sizeof(*slot));

	if (!slot)
		return false;
	for (uint32_t i = m->cap; i < cap; i++)
		slot[i] = (struct idmap_slot){ .next_free = i + 1 < cap ? i + 1 : IDMAP_NONE };
	m->free_head = m->cap;
	m->slot = slot;
	m->cap = cap;
	return true;
}

int idmap_add(struct idmap *m, void *p, uint32_t *ret_id)
{
	assert(p);
	if (m->count == m->max)
		return -ENFILE;
	if (m->free_head == IDMAP_NONE && !idmap_grow(m))
		return -ENOMEM;

	uint32_t i = m->free_head;
	struct idmap_slot *s = &m->slot[i];

	m->free_head = s->next_free;
	s->p = p;
	m->count++;
	*ret_id = (uint32_t)s->generation << 16 | (i + 1);
	return 0;
}

static struct idmap_slot *idmap_find(const struct idmap *m, uint32_t id)
{
	uint32_t index = (id & 0xffff) - 1; /* index 0 wraps and fails the bound */

	if (index >= m->cap || !m->slot[index].p || m->slot[index].generation != id >> 16)
		return NULL;
	return &m->slot[index];
}

void *idmap_get(const struct idmap *m, uint32_t id)
{
	const struct idmap_slot *s = idmap_find(m, id);

	return s ? s->p : NULL;
}

void *idmap_del(struct idmap *m, uint32_t id)
{
	struct idmap_slot *s = idmap_find(m, id);

	if (!s)
		return NULL;

	void *p = s->p;

	s->p = NULL;
	s->generation++;
	s->next_free = m->free_head;
	m->free_head = (uint32_t)(s - m->slot);
	m->count--;
	return p;
}

void *idmap_next(const struct idmap *m, uint32_t *cursor)
{
	while (*cursor < m->cap) {
		void *p = m->slot[(*cursor)++].p;

		if (p)
			return p;
	}
	return NULL;
}
