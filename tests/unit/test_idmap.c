/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Handles: stale, guessed and replayed ids find nothing. */
#include "base/idmap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../test.h"

static int things[70000];

TEST(an_entry_is_found_by_its_id_until_it_is_deleted)
{
	struct idmap m;
	uint32_t a = 0, b = 0;

	idmap_init(&m, 10);
	CHECK(idmap_add(&m, &things[0], &a) == 0 && idmap_add(&m, &things[1], &b) == 0 && a != 0 && b != 0 && a != b, "add");
	CHECK(idmap_get(&m, a) == &things[0] && idmap_get(&m, b) == &things[1], "get");
	CHECK(idmap_del(&m, a) == &things[0] && !idmap_get(&m, a) && !idmap_del(&m, a), "deleted and still there");
	CHECK(idmap_get(&m, b) == &things[1] && m.count == 1, "the other is gone");
	idmap_done(&m);
}

TEST(ids_that_were_never_given_find_nothing)
{
	static const uint32_t ids[] = { 0, 2, 3, 0xffff, 0x10000, 0x10001, 0x20001, 0xffffffff, 0x80000001 };
	struct idmap m;
	uint32_t a = 0;

	idmap_init(&m, 10);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		CHECK(!idmap_get(&m, ids[i]) && !idmap_del(&m, ids[i]), "empty: %x", ids[i]);
	CHECK(idmap_add(&m, &things[0], &a) == 0 && a == 1, "id %x", a);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		CHECK(!idmap_get(&m, ids[i]) && !idmap_del(&m, ids[i]), "%x", ids[i]);
	idmap_done(&m);
}

TEST(a_reused_slot_has_another_id)
{
	struct idmap m;
	uint32_t old[1000], id = 0;

	idmap_init(&m, 4);
	for (int i = 0; i < 1000; i++) {
		CHECK(idmap_add(&m, &things[i], &id) == 0, "add");
		for (int k = 0; k < i; k++)
			CHECK(old[k] != id && !idmap_get(&m, old[k]), "round %d: %x again", i, id);
		old[i] = id;
		CHECK(idmap_del(&m, id) == &things[i], "del");
	}
	idmap_done(&m);
}

TEST(a_full_map_refuses_and_has_room_again)
{
	struct idmap m;
	uint32_t id[100], extra = 77;

	idmap_init(&m, 100);
	for (int i = 0; i < 100; i++)
		CHECK(idmap_add(&m, &things[i], &id[i]) == 0, "entry %d", i);
	CHECK(idmap_add(&m, &things[100], &extra) == -ENFILE && extra == 77, "one too many");
	CHECK(idmap_del(&m, id[50]) && idmap_add(&m, &things[100], &extra) == 0 && idmap_get(&m, extra) == &things[100], "no room");
	CHECK(!idmap_get(&m, id[50]) && idmap_get(&m, id[99]) == &things[99], "mixed up");
	idmap_done(&m);
}

TEST(the_largest_map_works)
{
	struct idmap m;
	uint32_t id = 0;

	idmap_init(&m, 65535);
	for (int i = 0; i < 65535; i++)
		CHECK(idmap_add(&m, &things[i], &id) == 0 && idmap_get(&m, id) == &things[i], "entry %d", i);
	CHECK(idmap_add(&m, &things[0], &id) == -ENFILE, "65536 entries");
	idmap_done(&m);
}

TEST(a_walk_sees_every_entry_once_and_bears_deletion)
{
	struct idmap m;
	uint32_t id[50], cursor = 0;
	unsigned seen = 0;
	const int *p;

	idmap_init(&m, 50);
	for (int i = 0; i < 50; i++)
		CHECK(idmap_add(&m, &things[i], &id[i]) == 0, "add");
	for (int i = 0; i < 50; i += 3)
		(void)idmap_del(&m, id[i]);
	while ((p = idmap_next(&m, &cursor)) != NULL) {
		CHECK((p - things) % 3 != 0, "a dead one");
		CHECK(idmap_del(&m, id[p - things]) == p, "del");
		seen++;
	}
	CHECK(seen == 33 && m.count == 0, "seen %u", seen);
	idmap_done(&m);
}

TEST(running_out_of_memory_is_an_error)
{
	FAULT_LOOP {
		struct idmap m;
		uint32_t id = 0;
		bool ok = true;

		idmap_init(&m, 100);
		for (int i = 0; i < 20 && ok; i++) {
			int r = idmap_add(&m, &things[i], &id);

			CHECK(r == 0 || r == -ENOMEM, "got %d", r);
			ok = r == 0;
		}
		CHECK(ok == !fault_happened(), "went through");
		idmap_done(&m);
	}
}

RUN_TESTS(T(an_entry_is_found_by_its_id_until_it_is_deleted), T(ids_that_were_never_given_find_nothing), T(a_reused_slot_has_another_id),
	  T(a_full_map_refuses_and_has_room_again), T(the_largest_map_works), T(a_walk_sees_every_entry_once_and_bears_deletion),
	  T(running_out_of_memory_is_an_error))
