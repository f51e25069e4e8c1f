/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Guest memory: what addresses reach it, and what other VMMs may hand in as theirs. */
#include "virtio/gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "../test.h"

enum { PAGE = 4096 };

static struct gmem *make(uint64_t len, uint64_t hole, uint64_t resume)
{
	struct gmem *m = NULL;
	struct sbx_err err = { 0 };

	CHECK(gmem_create(len, hole, resume, &m, &err) == 0, "%s", err.message);
	return m;
}

TEST(memory_is_zero_and_keeps_what_is_written)
{
	struct gmem *m = make(4 * PAGE, 1 << 20, 1 << 21);
	char got[6] = "xxxxx";

	CHECK(gmem_read(m, 2 * PAGE - 3, got, 6) && memcmp(got, "\0\0\0\0\0\0", 6) == 0, "not zero");
	CHECK(gmem_write(m, 2 * PAGE - 3, "hello", 6), "refused");
	CHECK(gmem_read(m, 2 * PAGE - 3, got, 6) && strcmp(got, "hello") == 0, "got '%s'", got);
	gmem_free(m);
}

TEST(only_ranges_inside_one_region_are_memory)
{
	static const struct {
		uint64_t gpa, len;
		bool in;
	} cases[] = {
		{ 0, 0, true },
		{ 0, 1, true },
		{ 0, 2 * PAGE, true },
		{ 0, 2 * PAGE + 1, false },
		{ PAGE, PAGE, true },
		{ PAGE, PAGE + 1, false },
		{ 2 * PAGE - 1, 1, true },
		{ 2 * PAGE, 0, false },
		{ 2 * PAGE, 1, false },
		{ 8 * PAGE - 1, 1, false },
		{ 8 * PAGE - 1, 2, false },
		{ 8 * PAGE, PAGE, true },
		{ 8 * PAGE, PAGE + 1, false },
		{ 9 * PAGE, 1, false },
		{ 1, UINT64_MAX, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX, UINT64_MAX, false },
		{ UINT64_MAX - PAGE + 1, PAGE, false },
	};
	struct gmem *m = make(3 * PAGE, 2 * PAGE, 8 * PAGE);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK(gmem_check(m, cases[i].gpa, cases[i].len) == cases[i].in, "case %zu", i);
		CHECK((gmem_view(m, cases[i].gpa, cases[i].len) != NULL) == cases[i].in, "view, case %zu", i);
	}
	gmem_free(m);
}

TEST(the_parts_below_and_above_the_hole_are_different_memory)
{
	struct gmem *m = make(3 * PAGE, 2 * PAGE, 8 * PAGE);
	uint8_t *low = gmem_view(m, 0, 2 * PAGE), *high = gmem_view(m, 8 * PAGE, PAGE);

	memset(low, 1, 2 * PAGE);
	memset(high, 2, PAGE);
	CHECK(low[2 * PAGE - 1] == 1 && high[0] == 2, "mixed up");
	CHECK(m->count == 2 && m->region[1].fd_offset == 2 * PAGE, "%u regions", m->count);
	gmem_free(m);
}

TEST(copies_outside_change_nothing)
{
	struct gmem *m = make(PAGE, PAGE, PAGE);
	uint8_t got[2] = { 7, 7 };

	CHECK(!gmem_read(m, PAGE - 1, got, 2) && got[0] == 7 && got[1] == 7, "read over the end");
	CHECK(!gmem_write(m, PAGE - 1, got, 2), "wrote over the end");
	CHECK(gmem_read(m, PAGE - 1, got, 1) && got[0] == 0, "half a write happened");
	gmem_free(m);
}

TEST(ring_fields_are_little_endian_and_aligned)
{
	struct gmem *m = make(PAGE, PAGE, PAGE);
	uint8_t raw[2];
	uint16_t v = 9;

	CHECK(gmem_store16(m, 10, 0x1234) && gmem_read(m, 10, raw, 2) && raw[0] == 0x34 && raw[1] == 0x12, "%02x%02x", raw[0], raw[1]);
	CHECK(gmem_load16(m, 10, &v) && v == 0x1234, "%x", v);
	v = 9;
	CHECK(!gmem_load16(m, 11, &v) && !gmem_store16(m, 11, 1), "unaligned access served");
	CHECK(!gmem_load16(m, PAGE, &v) && !gmem_store16(m, PAGE, 1) && v == 9, "access outside served");
	gmem_free(m);
}

TEST(sizes_that_make_no_sense_are_refused)
{
	static const uint64_t sizes[] = { 0, 1, PAGE - 1, PAGE + 1, UINT64_MAX, UINT64_MAX - PAGE + 1 };
	struct gmem *m = NULL;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct sbx_err err = { 0 };

		CHECK(gmem_create(sizes[i], PAGE, PAGE, &m, &err) == -EINVAL && !m && err.message[0], "case %zu", i);
	}
}

TEST(our_memory_cannot_shrink)
{
	struct gmem *m = make(2 * PAGE, PAGE, 4 * PAGE);

	CHECK(ftruncate(m->region[0].fd, 0) < 0 && ftruncate(m->region[1].fd, PAGE) < 0, "shrunk");
	gmem_free(m);
}

static struct gmem *make_private(uint64_t len, uint64_t hole, uint64_t resume)
{
	struct sbx_err err = { 0 };
	struct gmem *m = NULL;

	CHECK(gmem_create_private(len, hole, resume, &m, &err) == 0, "%s", err.message);
	return m;
}

TEST(huge_pages_of_ours_can_lie_as_in_guest_memory)
{
	static const uint64_t hole[] = { 2 * PAGE, 0x200000, 0x201000 };

	for (size_t i = 0; i < ARRAY_LEN(hole); i++) {
		struct gmem *m = make_private(0x800000, hole[i], 0x40000000 + hole[i]);

		for (unsigned j = 0; j < m->count; j++)
			CHECK(((uintptr_t)m->region[j].base - m->region[j].gpa) % 0x200000 == 0, "case %zu, region %u at %p", i, j,
			      (void *)m->region[j].base);
		gmem_free(m);
	}
}

TEST(resident_memory_is_what_was_touched)
{
	struct gmem *m = make_private(0x3000000, 0x2000000, 0x40000000);
	uint64_t touched;

	CHECK(gmem_private_resident(NULL) == 0 && gmem_private_resident(m) == 0, "%#llx", (unsigned long long)gmem_private_resident(m));
	CHECK(gmem_write(m, 0x1fff000, "x", 1) && gmem_write(m, 0x40000000, "x", 1), "write");
	touched = gmem_private_resident(m); /* pages or huge pages */
	CHECK(touched >= 2 * PAGE && touched <= 2 * 0x200000, "%#llx", (unsigned long long)touched);
	gmem_free(m);
}

TEST(private_memory_has_the_same_layout)
{
	struct gmem *m = make_private(3 * PAGE, 2 * PAGE, 8 * PAGE);

	CHECK(gmem_check(m, 0, 2 * PAGE) && gmem_check(m, 8 * PAGE, PAGE) && !gmem_check(m, 2 * PAGE, 1) && !gmem_check(m, 9 * PAGE, 1), "layout");
	gmem_free(m);
	m = NULL;
	CHECK(gmem_create_private(PAGE + 1, PAGE, PAGE, &m, NULL) == -EINVAL && !m, "odd length");
}

TEST(private_creation_fails_cleanly)
{
	FAULT_LOOP
	{
		struct gmem *m = NULL;
		int r = gmem_create_private(2 * PAGE, PAGE, 4 * PAGE, &m, NULL);

		CHECK((r == 0) == !fault_happened() && (r == 0) == (m != NULL), "got %d", r);
		gmem_free(m);
	}
}

TEST(creation_fails_cleanly)
{
	FAULT_LOOP
	{
		struct gmem *m = NULL;
		int r = gmem_create(2 * PAGE, PAGE, 4 * PAGE, &m, NULL);

		CHECK((r == 0) == !fault_happened() && (r == 0) == (m != NULL), "got %d", r);
		gmem_free(m);
	}
}

TEST(huge_pages_of_shared_memory_hold_what_was_in_it)
{
	enum { LEN = 6 * 0x200000 };
	struct sbx_err err = { 0 };
	int fd = gmem_memfd(LEN, &err);
	uint8_t got[3] = { 0 };
	struct stat st;
	bool huge;

	CHECK(fd >= 0, "%s", err.message);
	CHECK(pwrite(fd, "abc", 3, 0x400000 + PAGE - 1) == 3 && pwrite(fd, "x", 1, 0) == 1 && pwrite(fd, "z", 1, LEN - 1) == 1, "write");
	huge = gmem_memfd_huge(fd, 0x400000, 0x400000); /* whether it is depends on the machine */
	CHECK(pread(fd, got, 3, 0x400000 + PAGE - 1) == 3 && memcmp(got, "abc", 3) == 0, "changed");
	CHECK(pread(fd, got, 1, 0) == 1 && got[0] == 'x' && pread(fd, got, 1, LEN - 1) == 1 && got[0] == 'z', "changed elsewhere");
	CHECK(fstat(fd, &st) == 0 && st.st_size == LEN, "size");
	CHECK(!huge || st.st_blocks * 512 == 0x400000 + 2 * PAGE, "%lld bytes", (long long)st.st_blocks * 512);
	close(fd);
}

TEST(shared_memory_lies_where_huge_pages_of_its_file_can)
{
	struct gmem_region region[] = { { .gpa = 0, .len = 0x400000 }, { .gpa = 0x1000000, .len = 0x400000, .fd_offset = 0x201000 } };
	struct gmem *m = NULL;

	for (unsigned i = 0; i < 2; i++)
		CHECK((region[i].fd = gmem_memfd(0x800000, NULL)) >= 0, "memory");
	CHECK(gmem_import(region, 2, &m, NULL) == 0, "refused");
	for (unsigned i = 0; i < 2; i++)
		CHECK(((uintptr_t)m->region[i].base - m->region[i].fd_offset) % 0x200000 == 0, "region %u at %p", i, (void *)m->region[i].base);
	gmem_free(m);
}

static int shared_fd(uint64_t len, bool sealed)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)len) == 0, "memfd");
	CHECK(!sealed || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "seal");
	return fd;
}

TEST(imported_memory_is_the_same_memory)
{
	int fd = shared_fd(4 * PAGE, true);
	uint8_t *theirs = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct gmem_region region[] = {
		{ .gpa = 0, .len = PAGE, .fd_offset = 0, .user_addr = 0x7000000000, .fd = dup(fd) },
		{ .gpa = 0x100000, .len = 2 * PAGE, .fd_offset = 2 * PAGE, .user_addr = 0x7000002000, .fd = dup(fd) },
	};
	unsigned before = test_count_fds() - 2;
	struct gmem *m = NULL;
	uint64_t gpa = 0;
	uint8_t v;

	CHECK(gmem_import(region, 2, &m, NULL) == 0, "refused");
	CHECK(test_count_fds() == before, "descriptors kept");
	theirs[3 * PAGE] = 42;
	CHECK(gmem_read(m, 0x100000 + PAGE, &v, 1) && v == 42, "got %d", v);
	CHECK(gmem_from_user_addr(m, 0x7000002000 + 5, &gpa) && gpa == 0x100005, "%llx", (unsigned long long)gpa);
	CHECK(gmem_from_user_addr(m, 0x7000000000 + PAGE - 1, &gpa) && gpa == PAGE - 1, "%llx", (unsigned long long)gpa);
	CHECK(!gmem_from_user_addr(m, 0x7000000000 + PAGE, &gpa) && !gmem_from_user_addr(m, 0, &gpa) &&
		      !gmem_from_user_addr(m, UINT64_MAX, &gpa),
	      "translated what is in no region");
	gmem_free(m);
	munmap(theirs, 4 * PAGE);
	close(fd);
}

TEST(regions_that_overlap_wrap_or_exceed_their_file_are_refused)
{
	static const struct {
		const char *why;
		struct gmem_region a, b;
		int want;
	} cases[] = {
		{ "fine", { .gpa = 0, .len = PAGE }, { .gpa = PAGE, .len = PAGE, .fd_offset = PAGE }, 0 },
		{ "same guest address", { .gpa = 0, .len = PAGE }, { .gpa = 0, .len = PAGE }, -EINVAL },
		{ "overlap by a page", { .gpa = 0, .len = 2 * PAGE }, { .gpa = PAGE, .len = PAGE }, -EINVAL },
		{ "overlap, other order", { .gpa = PAGE, .len = PAGE }, { .gpa = 0, .len = 2 * PAGE }, -EINVAL },
		{ "one inside the other", { .gpa = 0, .len = 4 * PAGE }, { .gpa = PAGE, .len = PAGE }, -EINVAL },
		{ "same front end address", { .gpa = 0, .len = PAGE, .user_addr = PAGE }, { .gpa = PAGE, .len = PAGE, .user_addr = PAGE }, -EINVAL },
		{ "empty", { .gpa = 0, .len = 0 }, { .gpa = PAGE, .len = PAGE }, -EINVAL },
		{ "unaligned address", { .gpa = 1, .len = PAGE }, { .gpa = 2 * PAGE, .len = PAGE }, -EINVAL },
		{ "unaligned length", { .gpa = 0, .len = PAGE - 1 }, { .gpa = 2 * PAGE, .len = PAGE }, -EINVAL },
		{ "unaligned offset", { .gpa = 0, .len = PAGE, .fd_offset = 8 }, { .gpa = 2 * PAGE, .len = PAGE }, -EINVAL },
		{ "wraps", { .gpa = UINT64_MAX - PAGE + 1, .len = 2 * PAGE }, { .gpa = 2 * PAGE, .len = PAGE }, -EINVAL },
		{ "front end wraps", { .gpa = 0, .len = 2 * PAGE, .user_addr = UINT64_MAX - PAGE }, { .gpa = 2 * PAGE, .len = PAGE }, -EINVAL },
		{ "longer than the file", { .gpa = 0, .len = 5 * PAGE }, { .gpa = 8 * PAGE, .len = PAGE }, -EINVAL },
		{ "offset at the end", { .gpa = 0, .len = PAGE, .fd_offset = 4 * PAGE }, { .gpa = 8 * PAGE, .len = PAGE }, -EINVAL },
		{ "offset + length wraps", { .gpa = 0, .len = 2 * PAGE, .fd_offset = UINT64_MAX - PAGE + 1 }, { .gpa = 8 * PAGE, .len = PAGE }, -EINVAL },
		{ "huge", { .gpa = 0, .len = UINT64_MAX - PAGE + 1 }, { .gpa = UINT64_MAX - PAGE + 1, .len = PAGE }, -EINVAL },
	};
	unsigned before = test_count_fds();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct gmem_region region[] = { cases[i].a, cases[i].b };
		struct gmem *m = NULL;
		int r;

		region[0].fd = shared_fd(4 * PAGE, true);
		region[1].fd = shared_fd(4 * PAGE, true);
		r = gmem_import(region, 2, &m, NULL);
		CHECK(r == cases[i].want, "%s: got %d", cases[i].why, r);
		CHECK((r == 0) == (m != NULL), "%s: output", cases[i].why);
		gmem_free(m);
		CHECK(test_count_fds() == before, "%s: descriptors left", cases[i].why);
	}
}

TEST(a_file_that_can_shrink_under_us_is_refused)
{
	struct gmem_region region = { .len = PAGE, .fd = shared_fd(PAGE, false) };
	struct gmem *m = NULL;

	CHECK(gmem_import(&region, 1, &m, NULL) == -EPERM && !m, "accepted");
}

TEST(what_is_not_a_memfd_is_refused)
{
	int p[2];
	struct gmem *m = NULL;

	CHECK(pipe2(p, O_CLOEXEC) == 0, "pipe");
	for (int i = 0; i < 2; i++) {
		struct gmem_region region = { .len = PAGE, .fd = p[i] };

		CHECK(gmem_import(&region, 1, &m, NULL) < 0 && !m, "accepted");
	}
}

TEST(no_region_and_too_many_are_refused)
{
	struct gmem_region region[GMEM_REGIONS_MAX + 1];
	unsigned before = test_count_fds();
	struct gmem *m = NULL;

	for (unsigned i = 0; i <= GMEM_REGIONS_MAX; i++)
		region[i] = (struct gmem_region){ .gpa = i * (uint64_t)PAGE, .len = PAGE, .fd = shared_fd(PAGE, true) };
	CHECK(gmem_import(region, 0, &m, NULL) == -EINVAL, "none");
	CHECK(gmem_import(region, GMEM_REGIONS_MAX + 1, &m, NULL) == -EINVAL && !m, "nine");
	CHECK(test_count_fds() == before, "descriptors left");
}

TEST(an_import_fails_cleanly)
{
	int fd = shared_fd(PAGE, true);

	FAULT_LOOP
	{
		struct gmem_region region = { .len = PAGE };
		struct gmem *m = NULL;
		int r;

		fault_pause();
		region.fd = dup(fd);
		fault_resume();
		r = gmem_import(&region, 1, &m, NULL);
		CHECK((r == 0) == !fault_happened() && (r == 0) == (m != NULL), "got %d", r);
		gmem_free(m);
	}
	close(fd);
}

RUN_TESTS(T(memory_is_zero_and_keeps_what_is_written), T(only_ranges_inside_one_region_are_memory),
	  T(the_parts_below_and_above_the_hole_are_different_memory), T(copies_outside_change_nothing),
	  T(ring_fields_are_little_endian_and_aligned), T(sizes_that_make_no_sense_are_refused), T(our_memory_cannot_shrink), T(huge_pages_of_ours_can_lie_as_in_guest_memory),
	  T(resident_memory_is_what_was_touched), T(private_memory_has_the_same_layout), T(private_creation_fails_cleanly),
	  T(creation_fails_cleanly), T(huge_pages_of_shared_memory_hold_what_was_in_it), T(shared_memory_lies_where_huge_pages_of_its_file_can),
	  T(imported_memory_is_the_same_memory),
	  T(regions_that_overlap_wrap_or_exceed_their_file_are_refused), T(a_file_that_can_shrink_under_us_is_refused),
	  T(what_is_not_a_memfd_is_refused), T(no_region_and_too_many_are_refused), T(an_import_fails_cleanly))
