/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_dir.c - the table of a directory: entries in hash chains by name, and in an array in the order of their cookies, which rise and are never
 * used twice. An entry that goes leaves a hole in the array; the array is closed up when it is half holes, and both shrink with the
 * directory, so that what a directory costs follows what is in it now. Finding, adding and removing a name take constant time, but for the search of
 * a cookie in the array (a bisection); reading goes on behind any cookie, there or gone.
 *
 * The hash is keyed: a guest cannot choose names that fall into one chain. */
#include "vfs/mem_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	BUCKETS_LEAST = 8,
	SLOTS_LEAST = 8,
	HOLES_LEAST = 16, /* so few are not worth closing up */
};

struct mem_slot {
	uint64_t cookie;
	struct mem_entry *entry; /* NULL: gone */
};

/* ------------------------------------------------------------------ names */

/* Multiplies into 128 bits and folds: each bit of the inputs reaches all of the result. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint32_t name_hash(const struct mem *m, const char *name, size_t len)
{
	uint64_t h = m->hash_key ^ len;

	for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, name + at, MIN(sizeof(word), len - at));
		h = mix(h ^ word, UINT64_C(0x9e3779b97f4a7c15)) + m->hash_key;
	}
	return (uint32_t)mix(h, UINT64_C(0xd6e8feb86659fd93));
}

struct mem_entry *mem_dir_find(const struct mem *m, const struct mem_dir *d, const char *name)
{
	size_t len = strlen(name);
	uint32_t hash;

	if (d->count == 0)
		return NULL;
	hash = name_hash(m, name, len);
	for (struct mem_entry *e = d->bucket[hash & (d->buckets - 1)]; e; e = e->next)
		if (e->hash == hash && e->len == len && memcmp(e->name, name, len) == 0)
			return e;
	return NULL;
}

static struct mem_entry *entry_new(const struct mem *m, const char *name, struct mem_node *n, uint64_t cookie)
{
	size_t len = strlen(name);
	struct mem_entry *e = malloc(sizeof(*e) + len);

	assert(len <= UINT8_MAX);
	if (!e)
		return NULL;
	*e = (struct mem_entry){ .node = n, .cookie = cookie, .hash = name_hash(m, name, len), .len = (uint8_t)len };
	memcpy(e->name, name, len);
	return e;
}

static void chain_add(struct mem_dir *d, struct mem_entry *e)
{
	struct mem_entry **first = &d->bucket[e->hash & (d->buckets - 1)];

	e->next = *first;
	*first = e;
}

static void chain_del(struct mem_dir *d, struct mem_entry *e)
{
	struct mem_entry **p = &d->bucket[e->hash & (d->buckets - 1)];

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
}

/* Moves the entries into another number of chains. Without memory for it they stay where they are: false. */
static bool chains_resize(struct mem_dir *d, uint32_t buckets)
{
	struct mem_entry **bucket = calloc(buckets, sizeof(struct mem_entry *)), **old = d->bucket;
	uint32_t old_buckets = d->buckets;

	if (!bucket)
		return false;
	d->bucket = bucket;
	d->buckets = buckets;
	for (uint32_t i = 0; i < old_buckets; i++)
		for (struct mem_entry *e = old[i], *next; e; e = next) {
			next = e->next;
			chain_add(d, e);
		}
	free(old);
	return true;
}

/* ------------------------------------------------------------------ the order of reading */

/* The first slot in use with a cookie of at least @cookie. */
static uint32_t slot_find(const struct mem_dir *d, uint64_t cookie)
{
	uint32_t low = d->head, high = d->tail;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (d->slot[middle].cookie < cookie)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void slots_close_up(struct mem_dir *d)
{
	uint32_t to = 0;

	for (uint32_t i = d->head; i < d->tail; i++)
		if (d->slot[i].entry)
			d->slot[to++] = d->slot[i];
	d->head = 0;
	d->tail = to;
}

/* Without memory for it the slots stay: false. Those in use are at the front. */
static bool slots_resize(struct mem_dir *d, uint32_t cap)
{
	struct mem_slot *slot = reallocarray(d->slot, cap, sizeof(*slot));

	if (!slot)
		return false;
	d->slot = slot;
	d->cap = cap;
	return true;
}

static bool slots_make_room(struct mem_dir *d)
{
	if (d->tail < d->cap)
		return true;
	if (d->tail - d->count > d->cap / 4) {
		slots_close_up(d);
		return true;
	}
	return slots_resize(d, d->cap ? 2 * d->cap : SLOTS_LEAST);
}

struct mem_entry *mem_dir_after(const struct mem_dir *d, uint64_t cookie)
{
	for (uint32_t i = slot_find(d, cookie); i < d->tail; i++)
		if (d->slot[i].entry && d->slot[i].cookie > cookie)
			return d->slot[i].entry;
	return NULL;
}

struct mem_entry *mem_dir_any(const struct mem_dir *d)
{
	return d->count ? d->slot[d->tail - 1].entry : NULL;
}

/* ------------------------------------------------------------------ both */

int mem_dir_add(const struct mem *m, struct mem_dir *d, const char *name, struct mem_node *n)
{
	struct mem_entry *e;

	if (!slots_make_room(d))
		return -ENOMEM;
	if (d->count >= d->buckets && !chains_resize(d, d->buckets ? 2 * d->buckets : BUCKETS_LEAST) && !d->bucket)
		return -ENOMEM; /* longer chains serve too */
	e = entry_new(m, name, n, d->next_cookie);
	if (!e)
		return -ENOMEM;
	chain_add(d, e);
	d->slot[d->tail++] = (struct mem_slot){ d->next_cookie++, e };
	d->count++;
	return 0;
}

void mem_dir_done(struct mem_dir *d)
{
	free(d->bucket);
	free(d->slot);
	d->bucket = NULL;
	d->slot = NULL;
	d->buckets = d->head = d->tail = d->cap = 0;
}

void mem_dir_del(struct mem_dir *d, struct mem_entry *e)
{
	d->slot[slot_find(d, e->cookie)].entry = NULL;
	chain_del(d, e);
	free(e);
	if (--d->count == 0) {
		mem_dir_done(d);
		return;
	}
	while (!d->slot[d->head].entry)
		d->head++;
	while (!d->slot[d->tail - 1].entry)
		d->tail--;
	if (d->tail - d->head > 2 * d->count + HOLES_LEAST)
		slots_close_up(d);
	if (d->cap > SLOTS_LEAST && d->cap / 8 >= d->count) {
		slots_close_up(d);
		(void)slots_resize(d, d->cap / 4);
	}
	if (d->buckets > BUCKETS_LEAST && d->buckets / 8 >= d->count)
		(void)chains_resize(d, d->buckets / 4);
}

int mem_dir_rename(const struct mem *m, struct mem_dir *d, struct mem_entry *e, const char *name)
{
	struct mem_entry *renamed = entry_new(m, name, e->node, e->cookie);

	if (!renamed)
		return -ENOMEM;
	chain_del(d, e);
	chain_add(d, renamed);
	d->slot[slot_find(d, e->cookie)].entry = renamed;
	free(e);
	return 0;
}
