/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tables of what a guest knows by number. */
#include "fuse/table.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "../test.h"

struct thing {
	uint64_t value;
	char more[13];
};

TEST(the_first_number_is_one_and_none_is_nought)
{
	struct table t;
	uint64_t id;
	void *p;

	CHECK(table_init(&t, sizeof(struct thing), TABLE_CHUNK) == 0, "init");
	CHECK(table_get(&t, 0) == NULL && table_get(&t, 1) == NULL && table_get(&t, UINT64_MAX) == NULL, "empty");
	CHECK(table_add(&t, &id, &p) == 0 && id == 1 && table_get(&t, 1) == p && table_get(&t, 2) == NULL, "first");
	table_done(&t);
}

TEST(a_number_is_not_used_again)
{
	struct table t;
	uint64_t seen[100], id;
	void *p, *first;

	CHECK(table_init(&t, sizeof(struct thing), TABLE_CHUNK) == 0 && table_add(&t, &seen[0], &first) == 0, "init");
	for (unsigned i = 1; i < ARRAY_LEN(seen); i++) {
		memset(first, 0xee, sizeof(struct thing));
		table_del(&t, seen[i - 1]);
		CHECK(table_add(&t, &seen[i], &p) == 0 && p == first && (uint32_t)seen[i] == 1, "another slot");
		CHECK(((struct thing *)p)->value == 0 && ((struct thing *)p)->more[12] == 0, "not clean");
		for (unsigned k = 0; k < i; k++)
			CHECK(seen[k] != seen[i] && table_get(&t, seen[k]) == NULL, "an old number finds something");
	}
	CHECK(table_add(&t, &id, &p) == 0 && (uint32_t)id == 2, "second");
	table_done(&t);
}

TEST(entries_stay_where_they_are_up_to_the_limit)
{
	enum { MAX_ENTRIES = 3 * TABLE_CHUNK };
	static struct thing *at[MAX_ENTRIES];
	static uint64_t id[MAX_ENTRIES];
	uint32_t cursor = 0, n = 0;
	struct thing *e;
	uint64_t other;
	struct table t;
	void *p;

	CHECK(table_init(&t, sizeof(struct thing), MAX_ENTRIES) == 0, "init");
	for (unsigned i = 0; i < MAX_ENTRIES; i++) {
		CHECK(table_add(&t, &id[i], &p) == 0, "add %u", i);
		at[i] = p;
		at[i]->value = i;
	}
	CHECK(table_add(&t, &other, &p) == -ENFILE && t.count == MAX_ENTRIES, "one more than fit");
	for (unsigned i = 0; i < MAX_ENTRIES; i++)
		CHECK(table_get(&t, id[i]) == at[i] && at[i]->value == i, "entry %u", i);
	for (unsigned i = 0; i < MAX_ENTRIES; i += 2)
		table_del(&t, id[i]);
	while ((e = table_next(&t, &cursor, &other)) != NULL) {
		CHECK(e->value == 2 * n + 1 && other == id[e->value], "entry %u is %llu", n, (unsigned long long)e->value);
		table_del(&t, other); /* in the middle of the walk */
		n++;
	}
	CHECK(n == MAX_ENTRIES / 2 && t.count == 0, "%u entries, %u left", n, t.count);
	for (unsigned i = 0; i < MAX_ENTRIES; i++)
		CHECK(table_add(&t, &other, &p) == 0, "room again");
	table_done(&t);
}

TEST(memory_comes_as_entries_do)
{
	FAULT_LOOP {
		struct table t;
		int r = table_init(&t, sizeof(struct thing), 4 * TABLE_CHUNK);
		uint64_t id = 77;
		void *p = NULL;

		CHECK(r == 0 || r == -ENOMEM, "%d", r);
		if (r == 0) {
			r = table_add(&t, &id, &p);
			CHECK(r == 0 ? p != NULL : r == -ENOMEM && id == 77 && t.count == 0, "%d", r);
			CHECK(r == 0 || fault_happened(), "nothing failed");
		}
		table_done(&t);
	}
}

RUN_TESTS(T(the_first_number_is_one_and_none_is_nought), T(a_number_is_not_used_again), T(entries_stay_where_they_are_up_to_the_limit),
	  T(memory_comes_as_entries_do))
