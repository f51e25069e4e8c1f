/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/table.h - the numbers by which a guest knows what the server holds for it: entries of one size behind 64-bit ids of index and
 * generation, so that an id which was freed, guessed or replayed finds nothing. Entries stay where they are: a pointer to one is good until
 * it is deleted. Ids are never 0; the first of a fresh table is 1. Lookup, add and delete are O(1). */
#ifndef FUSE_TABLE_H
#define FUSE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	uint8_t **chunk;
	size_t entry_bytes;
	uint32_t max; /* most entries at once */
	uint32_t count;
	uint32_t fresh;     /* the first index that was never used */
	uint32_t free_head; /* index + 1 of the last freed one, 0: none */
};

/* @max is a multiple of TABLE_CHUNK. 0 or -ENOMEM. */
enum { TABLE_CHUNK = 1024 };
int table_init(struct table *t, size_t entry_bytes, uint32_t max);
void table_done(struct table *t);
/* A new entry, all zero. -ENFILE when @max are there, -ENOMEM. */
int table_add(struct table *t, uint64_t *ret_id, void **ret_entry);
void *table_get(const struct table *t, uint64_t id); /* NULL when @id names no live entry */
void table_del(struct table *t, uint64_t id);        /* of a live entry */
/* The first live entry at *@cursor or behind, which moves past it; NULL at the end. Start with 0. Entries may be deleted
 * during the walk. */
void *table_next(const struct table *t, uint32_t *cursor, uint64_t *ret_id);

#endif
