/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/flow.c - a hash table with chains, which doubles up to a bucket a flow. It begins empty: a VM without flows has none of it. */
#include "net/flow.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { BUCKETS_MIN = 64 };

static_assert(sizeof(struct flow_key) == 2 * sizeof(struct ip) + 6, "no padding, which would be compared");

void flow_table_init(struct flow_table *t, uint32_t max, uint64_t secret)
{
	*t = (struct flow_table){ .max = max, .secret = secret | 1 };
}

void flow_table_done(struct flow_table *t)
{
	free(t->bucket);
	t->bucket = NULL;
	t->buckets = t->count = 0;
}

struct flow_key flow_key_of(uint8_t proto, const struct ip *guest, uint16_t guest_port, const struct ip *remote, uint16_t remote_port)
{
	return (struct flow_key){ .proto = proto, .guest = *guest, .guest_port = guest_port, .remote = *remote, .remote_port = remote_port };
}

static uint64_t mix(uint64_t h, uint64_t v, uint64_t secret)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return (h ^ h >> 29) * secret;
}

static uint32_t hash(const struct flow_table *t, const struct flow_key *k)
{
	uint64_t h = t->secret, w[2];

	h = mix(h, (uint64_t)k->guest_port << 32 | (uint64_t)k->remote_port << 16 | k->proto, t->secret);
	memcpy(w, k->remote.bytes, sizeof(w));
	h = mix(mix(h, w[0], t->secret), w[1], t->secret);
	memcpy(w, k->guest.bytes, sizeof(w));
	h = mix(mix(h, w[0], t->secret), w[1] ^ k->guest.family, t->secret);
	return (uint32_t)(h >> 32);
}

static struct flow **find_slot(const struct flow_table *t, const struct flow_key *key)
{
	struct flow **p = &t->bucket[hash(t, key) & (t->buckets - 1)];

	while (*p && memcmp(&(*p)->key, key, sizeof(*key)) != 0)
		p = &(*p)->next;
	return p;
}

struct flow *flow_find(const struct flow_table *t, const struct flow_key *key)
{
	return t->buckets > 0 ? *find_slot(t, key) : NULL;
}

static int grow(struct flow_table *t)
{
	uint32_t buckets = t->buckets ? t->buckets * 2 : BUCKETS_MIN;
	struct flow **old = t->bucket, **bucket = calloc(buckets, sizeof(*bucket));
	uint32_t old_count = t->buckets;

	if (!bucket)
		return -ENOMEM;
	t->bucket = bucket;
	t->buckets = buckets;
	for (uint32_t i = 0; i < old_count; i++) {
		for (struct flow *f = old[i], *next; f; f = next) {
			struct flow **head = &t->bucket[hash(t, &f->key) & (buckets - 1)];

			next = f->next;
			f->next = *head;
			*head = f;
		}
	}
	free(old);
	return 0;
}

int flow_add(struct flow_table *t, struct flow *f)
{
	struct flow **head;
	int r = 0;

	if (t->count == t->max)
		return -ENFILE;
	if (t->count == t->buckets)
		r = grow(t);
	if (r < 0 && t->buckets == 0)
		return r; /* otherwise the chains only become longer */
	head = &t->bucket[hash(t, &f->key) & (t->buckets - 1)];
	f->next = *head;
	*head = f;
	t->count++;
	return 0;
}

void flow_del(struct flow_table *t, struct flow *f)
{
	struct flow **p = &t->bucket[hash(t, &f->key) & (t->buckets - 1)];

	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	t->count--;
}

void flow_each(struct flow_table *t, void (*fn)(void *user, struct flow *f), void *user)
{
	for (uint32_t i = 0; i < t->buckets; i++) {
		for (struct flow *f = t->bucket[i], *next; f; f = next) {
			next = f->next;
			fn(user, f);
		}
	}
}
