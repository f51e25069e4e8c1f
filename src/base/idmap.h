/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/idmap.h - handles that leave the process: a table of pointers behind 32-bit ids of index and generation, so that
 * an id which was freed, guessed or replayed finds nothing. Ids are never 0. Lookup, add and delete are O(1). */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_slot;

struct idmap {
	struct idmap_slot *slot;
	uint32_t cap;
	uint32_t max; /* most entries at once, at most 65535 */
	uint32_t count;
	uint32_t free_head;
};

void idmap_init(struct idmap *m, uint32_t max);
void idmap_done(struct idmap *m); /* forgets the entries; does not free what they point to */
/* Enters @p (not NULL). -ENFILE when @m->max entries are in it, -ENOMEM. */
int idmap_add(struct idmap *m, void *p, uint32_t *ret_id);
void *idmap_get(const struct idmap *m, uint32_t id); /* NULL when @id names no live entry */
void *idmap_del(struct idmap *m, uint32_t id);       /* what was entered, or NULL */
/* The first live entry with an id index >= *@cursor, which moves behind it; NULL at the end. Start with 0. Entries may be
 * deleted during the walk. */
void *idmap_next(const struct idmap *m, uint32_t *cursor);

#endif
