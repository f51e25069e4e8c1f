/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The read-only disk: requests, their bounds, and what is in flight when the guest changes its mind. */
#include "dev/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/rd.h"
#include "minidriver.h"
#include "../test.h"

enum {
	IN = 0,
	OUT = 1,
	FLUSH = 4,
	GET_ID = 8,
	DISCARD = 11,

	OK = 0,
	IOERR = 1,
	UNSUPP = 2,
	NOT_ANSWERED = 0xee,

	SECTOR = 512,
	SECTORS = 256,
};

struct rig {
	struct loop *loop;
	struct work_pool *pool;
	struct vdev *dev;
	struct minidriver md;
	int image; /* the test's own descriptor of the file */
};

/* Byte @off of the image. */
static uint8_t image_byte(uint64_t off)
{
	return (uint8_t)(off / SECTOR * 7 + off * 3);
}

static int make_image(uint64_t len)
{
	char path[] = "/tmp/test-blk-XXXXXX";
	uint8_t *bytes = malloc(len);
	int fd = mkostemp(path, O_CLOEXEC);

	CHECK(fd >= 0 && bytes && unlink(path) == 0, "image");
	for (uint64_t i = 0; i < len; i++)
		bytes[i] = image_byte(i);
	CHECK(write(fd, bytes, len) == (ssize_t)len, "image");
	free(bytes);
	return fd;
}

static void rig_up(struct rig *r, uint64_t len)
{
	struct sbx_err err = { 0 };

	memset(r, 0, sizeof(*r));
	r->image = make_image(len);
	CHECK(loop_create(&r->loop) == 0 && work_pool_create(r->loop, 1, &r->pool) == 0, "rig");
	CHECK(blk_create(r->loop, NULL, r->pool, fcntl(r->image, F_DUPFD_CLOEXEC, 3), &r->dev, &err) == 0, "%s", err.message);
	md_init(&r->md, r->loop, r->dev);
}

static void rig_down(struct rig *r)
{
	md_done(&r->md);
	r->dev->ops->free(r->dev);
	work_pool_free(r->pool);
	loop_free(r->loop);
	close(r->image);
}

/* Makes the page cache forget the file, where the file system has one behind it. */
static void forget(struct rig *r)
{
	CHECK(fsync(r->image) == 0 && posix_fadvise(r->image, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
}

struct request {
	uint64_t data, status;
	uint32_t len;
};

/* Queues a request whose data comes in @pieces segments. */
static struct request submit(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, unsigned pieces)
{
	uint64_t header = md_alloc(&r->md, 16);
	struct request q = { .data = md_alloc(&r->md, len), .status = md_alloc(&r->md, 1), .len = len };
	struct md_seg seg[8] = { { header, 16, false } };
	unsigned n = 1;

	store_le32(md_at(&r->md, header), type);
	store_le64((uint8_t *)md_at(&r->md, header) + 8, sector);
	*(uint8_t *)md_at(&r->md, q.status) = NOT_ANSWERED;
	for (unsigned i = 0; i < pieces; i++) {
		uint32_t from = len / pieces * i, to = i + 1 == pieces ? len : len / pieces * (i + 1);

		seg[n++] = (struct md_seg){ q.data + from, to - from, type != OUT };
	}
	seg[n++] = (struct md_seg){ q.status, 1, true };
	CHECK(md_add(&r->md, 0, seg, n) >= 0, "ring full");
	return q;
}

static uint8_t status_of(struct rig *r, const struct request *q)
{
	return *(uint8_t *)md_at(&r->md, q->status);
}

/* Kicks, waits for one completion, returns the used length. */
static uint32_t complete(struct rig *r)
{
	uint32_t written = 0;

	md_kick(&r->md, 0);
	for (int i = 0; md_used(&r->md, 0, &written) < 0; i++)
		CHECK(i < 1000 && loop_once(r->loop, 100) == 0, "no completion");
	return written;
}

static void check_data(struct rig *r, const struct request *q, uint64_t off)
{
	const uint8_t *got = md_at(&r->md, q->data);

	for (uint32_t i = 0; i < q->len; i++)
		CHECK(got[i] == image_byte(off + i), "byte %u is %x", i, got[i]);
}

TEST(reads_return_the_bytes_of_the_image)
{
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	for (unsigned pieces = 1; pieces <= 5; pieces++) {
		for (unsigned cold = 0; cold < 2; cold++) {
			struct request q = submit(&r, IN, 3 * pieces, 9 * SECTOR, pieces);

			if (cold)
				forget(&r);
			CHECK(complete(&r) == 9 * SECTOR + 1 && status_of(&r, &q) == OK, "status %u", status_of(&r, &q));
			check_data(&r, &q, 3ull * pieces * SECTOR);
		}
	}
	CHECK(r.md.calls[0] == 10 && r.md.broken == 0, "calls %u", r.md.calls[0]);
	rig_down(&r);
}

TEST(reads_must_be_whole_sectors_inside_the_disk)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t want;
	} cases[] = {
		{ 0, SECTOR, OK },
		{ SECTORS - 1, SECTOR, OK },
		{ SECTORS, 0, OK },
		{ 0, SECTORS * SECTOR, OK },
		{ 0, SECTOR - 1, IOERR },
		{ 0, SECTOR + 1, IOERR },
		{ SECTORS, SECTOR, IOERR },
		{ SECTORS - 1, 2 * SECTOR, IOERR },
		{ SECTORS + 1, 0, IOERR },
		{ UINT64_MAX, SECTOR, IOERR },
		{ UINT64_MAX / SECTOR, SECTOR, IOERR },
		{ UINT64_MAX / SECTOR + 1, SECTOR, IOERR },
		{ UINT64_C(1) << 63, 2 * SECTOR, IOERR },
	};
	struct rig r;

	rig_up(&r, SECTORS * SECTOR + 100); /* the last, partial sector does not exist */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct request q = submit(&r, IN, cases[i].sector, cases[i].len, 1);

		(void)complete(&r);
		CHECK(status_of(&r, &q) == cases[i].want, "case %zu: status %u", i, status_of(&r, &q));
	}
	rig_down(&r);
}

TEST(what_is_not_a_read_gets_its_answer)
{
	struct request q;
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	q = submit(&r, OUT, 0, SECTOR, 1);
	CHECK(complete(&r) == 1 && status_of(&r, &q) == IOERR, "written: %u", status_of(&r, &q));
	q = submit(&r, FLUSH, 0, 0, 0);
	CHECK(complete(&r) == 1 && status_of(&r, &q) == OK, "flush: %u", status_of(&r, &q));
	q = submit(&r, GET_ID, 0, 20, 2);
	CHECK(complete(&r) == 21 && status_of(&r, &q) == OK && strcmp(md_at(&r.md, q.data), "sandbox") == 0, "id");
	q = submit(&r, GET_ID, 0, 5, 1);
	CHECK(complete(&r) == 6 && status_of(&r, &q) == OK && memcmp(md_at(&r.md, q.data), "sandb", 5) == 0, "short id");
	q = submit(&r, GET_ID, 0, 100, 3);
	CHECK(complete(&r) == 21 && status_of(&r, &q) == OK, "long id");
	q = submit(&r, DISCARD, 0, 16, 1);
	CHECK(complete(&r) == 1 && status_of(&r, &q) == UNSUPP, "discard: %u", status_of(&r, &q));
	q = submit(&r, UINT32_MAX, 0, 512, 1);
	CHECK(complete(&r) == 1 && status_of(&r, &q) == UNSUPP, "unknown: %u", status_of(&r, &q));
	rig_down(&r);
}

TEST(a_request_with_half_a_header_fails_and_one_without_status_breaks)
{
	struct md_seg seg[2];
	uint8_t *status;
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	seg[0] = (struct md_seg){ md_alloc(&r.md, 16), 15, false };
	seg[1] = (struct md_seg){ md_alloc(&r.md, 16), 9, true };
	status = md_at(&r.md, seg[1].gpa + 8);
	*status = NOT_ANSWERED;
	CHECK(md_add(&r.md, 0, seg, 2) >= 0 && complete(&r) == 1 && *status == IOERR, "status %u", *status);
	seg[0].len = 16;
	CHECK(md_add(&r.md, 0, seg, 1) >= 0, "add");
	md_kick(&r.md, 0);
	CHECK(r.md.broken == 1 && r.dev->broken, "goes on");
	rig_down(&r);
}

TEST(a_file_that_became_shorter_gives_errors)
{
	struct request q;
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	CHECK(ftruncate(r.image, 10 * SECTOR + 5) == 0, "truncate");
	q = submit(&r, IN, 9, SECTOR, 1);
	CHECK(complete(&r) == SECTOR + 1 && status_of(&r, &q) == OK, "before the end");
	q = submit(&r, IN, 9, 4 * SECTOR, 3);
	CHECK(complete(&r) > 0 && status_of(&r, &q) == IOERR, "across the end: %u", status_of(&r, &q));
	q = submit(&r, IN, 100, SECTOR, 1);
	CHECK(complete(&r) > 0 && status_of(&r, &q) == IOERR, "behind the end");
	rig_down(&r);
}

TEST(the_configuration_tells_the_size)
{
	uint8_t raw[64];
	struct rig r;

	rig_up(&r, SECTORS * SECTOR + 511);
	vdev_config_read(r.dev, 0, raw, sizeof(raw));
	CHECK(load_le64(raw) == SECTORS && load_le32(raw + 12) == 126, "%llu sectors, %u segments", (unsigned long long)load_le64(raw),
	      load_le32(raw + 12));
	CHECK(vdev_offered(r.dev) & 1 << 5, "not read-only");
	for (uint32_t off = 0; off < 70; off++) {
		uint8_t *byte = guard_alloc(1);

		vdev_config_read(r.dev, off, byte, 1);
		CHECK(*byte == (off < sizeof(raw) ? raw[off] : 0), "byte %u", off);
	}
	vdev_config_read(r.dev, UINT32_MAX, raw, 8);
	CHECK(load_le64(raw) == 0, "far outside");
	rig_down(&r);
}

/* A work that keeps the pool's only thread until it is let go. */
struct plug {
	struct work work;
	int go[2];
	bool done;
};

static void plug_run(struct work *w)
{
	struct plug *p = CONTAINER_OF(w, struct plug, work);
	char c;

	(void)!read(p->go[0], &c, 1);
}

static void plug_done(struct work *w)
{
	CONTAINER_OF(w, struct plug, work)->done = true;
}

static void plug_in(struct rig *r, struct plug *p)
{
	*p = (struct plug){ .work = { .run = plug_run, .done = plug_done } };
	CHECK(pipe2(p->go, O_CLOEXEC) == 0 && work_submit(r->pool, &p->work) == 0, "plug");
}

static void plug_out(struct rig *r, struct plug *p)
{
	CHECK(write(p->go[1], "x", 1) == 1, "unplug");
	while (!p->done)
		CHECK(loop_once(r->loop, 1000) == 0, "loop");
	close(p->go[0]);
	close(p->go[1]);
}

/* Submits reads that cannot be served at once: behind the end of the file, whose answer the pool finds. */
static struct request submit_slow(struct rig *r)
{
	CHECK(ftruncate(r->image, SECTOR) == 0, "truncate");
	return submit(r, IN, 10, SECTOR, 1);
}

TEST(a_reset_ends_what_is_in_flight_and_nothing_is_answered)
{
	struct request q;
	struct plug plug;
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	plug_in(&r, &plug);
	q = submit_slow(&r);
	md_kick(&r.md, 0);
	CHECK(md_used(&r.md, 0, NULL) < 0, "answered at once");
	vdev_reset(r.dev);
	CHECK(status_of(&r, &q) == NOT_ANSWERED && md_used(&r.md, 0, NULL) < 0, "answered a former life");
	plug_out(&r, &plug);
	md_settle(&r.md);
	CHECK(status_of(&r, &q) == NOT_ANSWERED, "answered later");
	rig_down(&r);
}

TEST(quiescing_completes_what_is_in_flight)
{
	struct request q[3];
	struct plug plug;
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	plug_in(&r, &plug);
	for (int i = 0; i < 3; i++)
		q[i] = submit_slow(&r);
	md_kick(&r.md, 0);
	vdev_quiesce(r.dev);
	for (int i = 0; i < 3; i++)
		CHECK(status_of(&r, &q[i]) == IOERR && md_used(&r.md, 0, NULL) >= 0, "request %d", i);
	CHECK(r.md.calls[0] > 0, "no interrupt");
	plug_out(&r, &plug);
	rig_down(&r);
}

TEST(a_device_may_be_freed_with_requests_in_flight)
{
	struct plug plug;
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	plug_in(&r, &plug);
	(void)submit_slow(&r);
	md_kick(&r.md, 0);
	r.dev->ops->free(r.dev);
	plug_out(&r, &plug);
	gmem_free(r.md.mem);
	work_pool_free(r.pool);
	loop_free(r.loop);
	close(r.image);
}

TEST(one_descriptor_queued_many_times_is_bounded_in_flight_and_all_are_answered)
{
	enum { TIMES = 60 };
	struct blk_stats stats;
	struct plug plug;
	struct rig r;
	unsigned used = 0;
	uint8_t *avail;

	rig_up(&r, SECTORS * SECTOR);
	plug_in(&r, &plug);
	(void)submit_slow(&r);
	avail = md_at(&r.md, r.md.queue[0].avail);
	for (uint16_t i = 1; i < TIMES; i++)
		memcpy(avail + 4 + 2 * i, avail + 4, 2);
	store_le16(avail + 2, TIMES);
	md_kick(&r.md, 0);
	md_settle(&r.md);
	blk_get_stats(r.dev, &stats);
	CHECK(stats.reads == 32, "%llu in flight", (unsigned long long)stats.reads);
	plug_out(&r, &plug);
	for (int i = 0; used < TIMES; i++) {
		CHECK(i < 1000 && loop_once(r.loop, 100) == 0, "%u answered", used);
		used = load_le16((uint8_t *)md_at(&r.md, r.md.queue[0].used) + 2);
	}
	CHECK(used == TIMES && r.md.broken == 0, "%u answered", used);
	rig_down(&r);
}

TEST(a_kick_serves_a_bounded_number_of_bytes)
{
	enum { LEN = 512 * 1024 };
	unsigned first = 0, later = 0;
	struct rig r;

	rig_up(&r, LEN);
	for (int i = 0; i < 6; i++)
		(void)submit(&r, IN, 0, LEN, 1);
	md_kick(&r.md, 0);
	while (md_used(&r.md, 0, NULL) >= 0)
		first++;
	for (int i = 0; first + later < 6; i++) {
		CHECK(i < 1000 && loop_once(r.loop, 100) == 0, "loop");
		while (md_used(&r.md, 0, NULL) >= 0)
			later++;
	}
	CHECK(first <= 3, "%u at once", first);
	rig_down(&r);
}

TEST(what_is_no_image_is_refused)
{
	unsigned before = test_count_fds();
	struct loop *loop;
	struct vdev *dev = NULL;
	struct sbx_err err = { 0 };
	int p[2];

	CHECK(loop_create(&loop) == 0 && pipe2(p, O_CLOEXEC) == 0, "rig");
	CHECK(blk_create(loop, NULL, NULL, p[0], &dev, &err) == -EINVAL && !dev && strstr(err.message, "regular file"), "%s", err.message);
	CHECK(blk_create(loop, NULL, NULL, -1, &dev, &err) == -EBADF && !dev, "%s", err.message);
	close(p[1]);
	loop_free(loop);
	CHECK(test_count_fds() == before, "descriptors left");
}

TEST(creation_fails_cleanly_and_takes_the_descriptor)
{
	struct loop *loop;
	struct work_pool *pool;
	int image = make_image(SECTOR);

	CHECK(loop_create(&loop) == 0 && work_pool_create(loop, 1, &pool) == 0, "rig");
	FAULT_LOOP {
		struct vdev *dev = NULL;
		int fd, got;

		fault_pause();
		fd = dup(image);
		fault_resume();
		got = blk_create(loop, NULL, pool, fd, &dev, NULL);
		CHECK((got == 0) == !fault_happened() && (got == 0) == (dev != NULL), "got %d", got);
		if (dev)
			dev->ops->free(dev);
		CHECK(fcntl(fd, F_GETFD) < 0, "the descriptor is still there");
	}
	work_pool_free(pool);
	loop_free(loop);
	close(image);
}

TEST(running_out_of_memory_is_an_error_of_the_request)
{
	struct rig r;

	rig_up(&r, SECTORS * SECTOR);
	FAULT_LOOP {
		struct request q;

		fault_pause();
		md_reset(&r.md);
		q = submit_slow(&r);
		fault_resume();
		(void)complete(&r);
		fault_pause();
		CHECK(status_of(&r, &q) == IOERR && !r.dev->broken, "status %u", status_of(&r, &q));
		fault_resume();
	}
	rig_down(&r);
}

RUN_TESTS(T(reads_return_the_bytes_of_the_image), T(reads_must_be_whole_sectors_inside_the_disk), T(what_is_not_a_read_gets_its_answer),
	  T(a_request_with_half_a_header_fails_and_one_without_status_breaks), T(a_file_that_became_shorter_gives_errors),
	  T(the_configuration_tells_the_size), T(a_reset_ends_what_is_in_flight_and_nothing_is_answered),
	  T(quiescing_completes_what_is_in_flight), T(a_device_may_be_freed_with_requests_in_flight),
	  T(one_descriptor_queued_many_times_is_bounded_in_flight_and_all_are_answered), T(a_kick_serves_a_bounded_number_of_bytes),
	  T(what_is_no_image_is_refused), T(creation_fails_cleanly_and_takes_the_descriptor),
	  T(running_out_of_memory_is_an_error_of_the_request))
