/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/table.c - id = generation << 32 | index + 1. A slot's generation changes at each delete. Memory grows by chunks of TABLE_CHUNK
 * slots, so that growing never moves an entry nor copies a large table while a request waits; it is given back by table_done(). Slots are
 * reused last-freed-first. */
#include "fuse/table.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* In front of each entry. */
struct slot {
	uint32_t generation;
	uint32_t next_free; /* index + 1, 0 at the end; SLOT_LIVE in a live slot */
};

#define SLOT_LIVE UINT32_MAX

int table_init(struct table *t, size_t entry_bytes, uint32_t max)
{
	assert(max > 0 && max % TABLE_CHUNK == 0 && max < SLOT_LIVE);
	*t = (struct table){ .entry_bytes = (entry_bytes + 7) & ~(size_t)7, .max = max };
	t->chunk = calloc(max / TABLE_CHUNK, sizeof(*t->chunk));
	return t->chunk ? 0 : -ENOMEM;
}

void table_done(struct table *t)
{
	for (uint32_t i = 0; t->chunk && i < t->max / TABLE_CHUNK; i++)
		free(t->chunk[i]);
	free(t->chunk);
	*t = (struct table){ 0 };
}

static struct slot *slot_at(const struct table *t, uint32_t index)
{
	return (struct slot *)(void *)(t->chunk[index / TABLE_CHUNK] + index % TABLE_CHUNK * (sizeof(struct slot) + t->entry_bytes));
}

/* An index that was never used, in memory that is all zero. */
static int slot_fresh(struct table *t, uint32_t *ret_index)
{
	uint8_t **chunk = &t->chunk[t->fresh / TABLE_CHUNK];

	if (!*chunk)
		*chunk = calloc(TABLE_CHUNK, sizeof(struct slot) + t->entry_bytes);
	if (!*chunk)
		return -ENOMEM;
	*ret_index = t->fresh++;
	return 0;
}

int table_add(struct table *t, uint64_t *ret_id, void **ret_entry)
{
	struct slot *s;
	uint32_t i;

	if (t->count == t->max)
		return -ENFILE;
	if (t->free_head != 0) {
		i = t->free_head - 1;
		t->free_head = slot_at(t, i)->next_free;
		memset(slot_at(t, i) + 1, 0, t->entry_bytes);
	} else if (slot_fresh(t, &i) < 0) {
		return -ENOMEM;
	}
	s = slot_at(t, i);
	s->next_free = SLOT_LIVE;
	t->count++;
	*ret_id = (uint64_t)s->generation << 32 | (i + 1);
	*ret_entry = s + 1;
	return 0;
}

static struct slot *slot_find(const struct table *t, uint64_t id)
{
	uint32_t i = (uint32_t)id - 1; /* 0 wraps and fails the bound */
	struct slot *s;

	if (i >= t->fresh)
		return NULL;
	s = slot_at(t, i);
	return s->next_free == SLOT_LIVE && s->generation == id >> 32 ? s : NULL;
}

void *table_get(const struct table *t, uint64_t id)
{
	struct slot *s = slot_find(t, id);

	return s ? s + 1 : NULL;
}

void table_del(struct table *t, uint64_t id)
{
	struct slot *s = slot_find(t, id);

	assert(s);
	s->generation++;
	s->next_free = t->free_head;
	t->free_head = (uint32_t)id;
	t->count--;
}

void *table_next(const struct table *t, uint32_t *cursor, uint64_t *ret_id)
{
	while (*cursor < t->fresh) {
		uint32_t i = (*cursor)++;
		struct slot *s = slot_at(t, i);

		if (s->next_free == SLOT_LIVE) {
			*ret_id = (uint64_t)s->generation << 32 | (i + 1);
			return s + 1;
		}
	}
	return NULL;
}
