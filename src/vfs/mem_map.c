/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_map.c - where a file's pages are: a tree of nodes of 64 slots, whose height follows from the largest page number. A file of
 * one page has none. Up to nine levels for a file of 8 EiB, so a lookup is a few loads and needs no recursion.
 *
 * A guest that touches one page here and one there makes more nodes than pages. They are counted for the whole file system, against a
 * limit of their own: whoever writes files in one piece takes a sixty-fourth of it. */
#include "vfs/mem_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>

enum {
	MAP_BITS = 6,
	MAP_FAN = 1 << MAP_BITS,
	MAP_HEIGHT_MAX = 9, /* 54 bits of page number; the largest file needs 51 */
};

struct map_node {
	uint32_t used; /* slots that are not NULL */
	void *slot[MAP_FAN];
};

/* Does the tree reach to this page number? */
static bool map_covers(const struct mem_map *map, uint64_t index)
{
	return index >> (MAP_BITS * map->height) == 0;
}

static unsigned map_slot_of(uint64_t index, unsigned level)
{
	return (unsigned)(index >> (MAP_BITS * level)) % MAP_FAN;
}

void *mem_map_get(const struct mem_map *map, uint64_t index)
{
	void *p = map->root;

	if (!map_covers(map, index))
		return NULL;
	for (unsigned level = map->height; p && level > 0; level--)
		p = ((struct map_node *)p)->slot[map_slot_of(index, level - 1)];
	return p;
}

static int map_node_new(struct mem *m, struct map_node **ret)
{
	struct map_node *n;

	if (sizeof(*n) > m->map_bytes_max - m->map_bytes)
		return -ENOSPC;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	m->map_bytes += sizeof(*n);
	*ret = n;
	return 0;
}

static void map_node_free(struct mem *m, struct map_node *n)
{
	m->map_bytes -= sizeof(*n);
	free(n);
}

/* Makes the tree high enough for @index. */
static int map_grow(struct mem *m, struct mem_map *map, uint64_t index)
{
	struct map_node *top;
	int r;

	while (!map_covers(map, index)) {
		assert(map->height < MAP_HEIGHT_MAX);
		if (map->root) {
			r = map_node_new(m, &top);
			if (r < 0)
				return r;
			top->slot[0] = map->root;
			top->used = 1;
			map->root = top;
		}
		map->height++;
	}
	return 0;
}

/* Frees the nodes on the way to @index that hold nothing. */
static void map_prune(struct mem *m, struct mem_map *map, uint64_t index)
{
	void **way[MAP_HEIGHT_MAX + 1] = { &map->root };
	struct map_node *above[MAP_HEIGHT_MAX + 1] = { NULL };
	unsigned depth = 0;

	while (depth < map->height && *way[depth]) {
		struct map_node *n = *way[depth];

		depth++;
		above[depth] = n;
		way[depth] = &n->slot[map_slot_of(index, map->height - depth)];
	}
	for (; depth > 0 && above[depth]->used == 0; depth--) {
		map_node_free(m, above[depth]);
		*way[depth - 1] = NULL;
		if (depth > 1)
			above[depth - 1]->used--;
	}
	if (!map->root)
		map->height = 0;
}

int mem_map_add(struct mem *m, struct mem_map *map, uint64_t index, void *value)
{
	struct map_node *parent = NULL;
	void **p = &map->root;
	int r = map_grow(m, map, index);

	for (unsigned level = map->height; r == 0 && level > 0; level--) {
		struct map_node *n = *p;

		if (!n) {
			r = map_node_new(m, &n);
			if (r < 0)
				break;
			*p = n;
			if (parent)
				parent->used++;
		}
		parent = n;
		p = &n->slot[map_slot_of(index, level - 1)];
	}
	if (r < 0) {
		map_prune(m, map, index);
		return r;
	}
	assert(!*p);
	*p = value;
	if (parent)
		parent->used++;
	map->pages++;
	return 0;
}

void mem_map_replace(struct mem_map *map, uint64_t index, void *value)
{
	void **p = &map->root;

	for (unsigned level = map->height; level > 0; level--)
		p = &((struct map_node *)*p)->slot[map_slot_of(index, level - 1)];
	assert(*p);
	*p = value;
}

void mem_map_del(struct mem *m, struct mem_map *map, uint64_t index)
{
	struct map_node *parent = NULL;
	void **p = &map->root;

	for (unsigned level = map->height; level > 0; level--) {
		parent = *p;
		p = &parent->slot[map_slot_of(index, level - 1)];
	}
	assert(*p);
	*p = NULL;
	map->pages--;
	if (parent)
		parent->used--;
	if (!parent || parent->used == 0)
		map_prune(m, map, index);
}

bool mem_map_next(const struct mem_map *map, uint64_t *index, void **ret)
{
	uint64_t at = *index;

	while (map->root && map_covers(map, at)) {
		unsigned level = map->height;
		void *p = map->root;

		/* Down, and to the right where nothing is below: then the digits below start at 0. */
		while (level > 0) {
			struct map_node *n = p;
			unsigned slot = map_slot_of(at, level - 1), first = slot;

			while (slot < MAP_FAN && !n->slot[slot])
				slot++;
			if (slot == MAP_FAN)
				break;
			if (slot != first)
				at = ((at >> (MAP_BITS * level) << MAP_BITS) + slot) << (MAP_BITS * (level - 1));
			p = n->slot[slot];
			level--;
		}
		if (level == 0) {
			*index = at;
			*ret = p;
			return true;
		}
		at = ((at >> (MAP_BITS * level)) + 1) << (MAP_BITS * level);
	}
	return false;
}
