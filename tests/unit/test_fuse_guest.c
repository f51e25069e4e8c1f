/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The FUSE server and a guest that does what it likes: malformed requests, ids that were never given out, and requests in an order that no
 * kernel sends. Arguments and replies end at unmapped pages. */
#include "fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fuserig.h"
#include "slowfs.h"
#include "../test.h"

/* A tree with something for each request to work on. */
struct world {
	struct fuserig g;
	uint64_t root, dir, file, link, fh, dh;
};

static void world_up(struct world *w)
{
	struct fuse_entry_out e;

	fuserig_up(&w->g, 1);
	fuserig_init(&w->g);
	w->root = rig_root(&w->g, 0);
	CHECK(rig_create(&w->g, w->root, "file", O_RDWR, &e, &w->fh) == 0, "file");
	w->file = e.nodeid;
	CHECK(rig_mkdir(&w->g, w->root, "dir", &e) == 0, "dir");
	w->dir = e.nodeid;
	CHECK(fuse_call(&w->g, FUSE_SYMLINK, w->root, "link\0target", 12, &e, sizeof(e)) > 0, "link");
	w->link = e.nodeid;
	CHECK(rig_opendir(&w->g, w->root, &w->dh) == 0, "opendir");
}

static void counts(struct world *w, struct fuse_stats *ret)
{
	fuse_get_stats(w->g.s, ret);
}

/* What a request works on. */
enum on {
	DIR,     /* a directory: ENOTDIR for a file */
	FILE_FH, /* an open file, whose handle is the first argument */
	DIR_FH,  /* an open directory, likewise */
	ANY,
	LINK,
};

/* A well-formed request: @fixed bytes of structure, of which @word is the value of the first 32 bits unless a handle is there, then @tail. */
struct sample {
	uint32_t op;
	enum on on;
	uint32_t fixed;
	uint32_t word;
	const char *tail;
	uint32_t tail_len;
	uint32_t room;  /* that the reply needs */
	bool data_room; /* more room is more data: any is enough */
};

#define NAME(s) s, sizeof(s)

static const struct sample samples[] = {
	{ FUSE_LOOKUP, DIR, 0, 0, NAME("file"), 128, false },
	{ FUSE_GETATTR, ANY, 16, 0, NULL, 0, 104, false },
	{ FUSE_SETATTR, ANY, 88, 0, NULL, 0, 104, false },
	{ FUSE_READLINK, LINK, 0, 0, NULL, 0, 4095, true },
	{ FUSE_SYMLINK, DIR, 0, 0, NAME("s\0target"), 128, false },
	{ FUSE_MKNOD, DIR, 16, S_IFREG | 0600, NAME("n"), 128, false },
	{ FUSE_MKDIR, DIR, 8, 0755, NAME("m"), 128, false },
	{ FUSE_UNLINK, DIR, 0, 0, NAME("link"), 0, false },
	{ FUSE_RMDIR, DIR, 0, 0, NAME("dir"), 0, false },
	{ FUSE_RENAME, DIR, 8, 0, NAME("file\0other"), 0, false },
	{ FUSE_RENAME2, DIR, 16, 0, NAME("file\0other"), 0, false },
	{ FUSE_LINK, DIR, 8, 0, NAME("hard"), 128, false },
	{ FUSE_OPEN, ANY, 8, 0, NULL, 0, 16, false },
	{ FUSE_READ, FILE_FH, 40, 0, NULL, 0, 0, true },
	{ FUSE_WRITE, FILE_FH, 40, 0, "data", 4, 8, false },
	{ FUSE_STATFS, ANY, 0, 0, NULL, 0, 80, false },
	{ FUSE_RELEASE, FILE_FH, 24, 0, NULL, 0, 0, false },
	{ FUSE_FSYNC, FILE_FH, 16, 0, NULL, 0, 0, false },
	{ FUSE_SETXATTR, ANY, 16, 5, NAME("user.a\0valu"), 0, false },
	{ FUSE_GETXATTR, ANY, 8, 0, NAME("user.x"), 8, false },
	{ FUSE_LISTXATTR, ANY, 8, 0, NULL, 0, 8, false },
	{ FUSE_REMOVEXATTR, ANY, 0, 0, NAME("user.x"), 0, false },
	{ FUSE_FLUSH, FILE_FH, 24, 0, NULL, 0, 0, false },
	{ FUSE_OPENDIR, DIR, 8, 0, NULL, 0, 16, false },
	{ FUSE_READDIR, DIR_FH, 40, 0, NULL, 0, 1000, true },
	{ FUSE_READDIRPLUS, DIR_FH, 40, 0, NULL, 0, 1000, true },
	{ FUSE_RELEASEDIR, DIR_FH, 24, 0, NULL, 0, 0, false },
	{ FUSE_FSYNCDIR, DIR_FH, 16, 0, NULL, 0, 0, false },
	{ FUSE_ACCESS, ANY, 8, 0, NULL, 0, 0, false },
	{ FUSE_CREATE, DIR, 16, O_RDWR, NAME("c"), 144, false },
	{ FUSE_TMPFILE, DIR, 16, O_RDWR, NAME("/"), 144, false },
	{ FUSE_FALLOCATE, FILE_FH, 32, 0, NULL, 0, 0, false },
	{ FUSE_LSEEK, FILE_FH, 24, 0, NULL, 0, 8, false },
	{ FUSE_COPY_FILE_RANGE, FILE_FH, 56, 0, NULL, 0, 8, false },
	{ FUSE_SYNCFS, ANY, 8, 0, NULL, 0, 0, false },
};

/* The arguments of a sample in @raw; returns their length. */
static size_t arguments(const struct world *w, const struct sample *s, uint8_t *raw)
{
	uint64_t fh = s->on == DIR_FH ? w->dh : w->fh, len = 4, at = 4;

	memset(raw, 0, s->fixed);
	if (s->fixed >= 4)
		memcpy(raw, &s->word, 4);
	if (s->on == FILE_FH || s->on == DIR_FH)
		memcpy(raw, &fh, 8);
	if (s->op == FUSE_RENAME || s->op == FUSE_RENAME2)
		memcpy(raw, &w->root, 8);
	if (s->op == FUSE_LINK)
		memcpy(raw, &w->file, 8);
	if (s->op == FUSE_WRITE || s->op == FUSE_FALLOCATE)
		memcpy(raw + 16, &len, 8);
	if (s->op == FUSE_READDIR || s->op == FUSE_READDIRPLUS)
		memcpy(raw + 16, (uint32_t[]){ 1000 }, 4);
	if (s->op == FUSE_LSEEK)
		memcpy(raw + 16, (uint32_t[]){ SEEK_HOLE }, 4);
	if (s->op == FUSE_COPY_FILE_RANGE) {
		memcpy(raw + 16, &w->file, 8);
		memcpy(raw + 24, &fh, 8);
		memcpy(raw + 32, &at, 8);
		memcpy(raw + 40, &len, 8);
	}
	if (s->tail_len > 0)
		memcpy(raw + s->fixed, s->tail, s->tail_len);
	return s->fixed + s->tail_len;
}

static uint64_t target(const struct world *w, const struct sample *s)
{
	if (s->on == LINK)
		return w->link;
	return s->on == DIR || s->on == DIR_FH ? w->root : w->file;
}

TEST(the_samples_are_well_formed)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];
		uint8_t raw[128], out[4096];
		struct world w;
		int r;

		world_up(&w);
		r = fuse_call(&w.g, s->op, target(&w, s), raw, arguments(&w, s, raw), out, s->room);
		CHECK(r >= 0 || r == -ENODATA || (s->op == FUSE_LSEEK && r == -ENXIO), "opcode %u: %d", s->op, r);
		fuserig_down(&w.g);
	}
}

TEST(a_request_that_is_cut_short_anywhere_changes_nothing)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];
		struct fuse_stats before, after;
		uint8_t raw[128], out[4096];
		struct world w;
		size_t len;

		world_up(&w);
		len = arguments(&w, s, raw);
		counts(&w, &before);
		for (size_t cut = 0; cut < len; cut++) {
			int r = fuse_call(&w.g, s->op, target(&w, s), raw, cut, out, s->room);

			CHECK(r == -EINVAL, "opcode %u with %zu of %zu bytes: %d", s->op, cut, len, r);
		}
		raw[len] = 0;
		CHECK(fuse_call(&w.g, s->op, target(&w, s), raw, len + 1, out, s->room) == -EINVAL, "opcode %u with a byte more", s->op);
		counts(&w, &after);
		CHECK(after.nodes == before.nodes && after.handles == before.handles && after.inflight == 0, "opcode %u left something", s->op);
		fuserig_down(&w.g);
	}
}

TEST(a_reply_without_room_changes_nothing)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];
		struct fuse_stats before, after;
		uint8_t raw[128], out[4096];
		struct fusecall c;
		struct world w;
		size_t len;

		if (s->room == 0 || s->data_room)
			continue;
		world_up(&w);
		len = arguments(&w, s, raw);
		counts(&w, &before);
		for (size_t room = 0; room < s->room; room += room + 8 < s->room ? 7 : 1)
			CHECK(fuse_call(&w.g, s->op, target(&w, s), raw, len, out, room) == -EINVAL, "opcode %u with room for %zu of %u bytes", s->op, room, s->room);
		fusecall_send(&w.g, &c, s->op, target(&w, s), raw, len, (size_t)-1);
		CHECK(c.replied && c.written == 0, "there was no room for a header");
		counts(&w, &after);
		CHECK(after.nodes == before.nodes && after.handles == before.handles && after.inflight == 0, "opcode %u left something", s->op);
		fuserig_down(&w.g);
	}
}

TEST(headers_that_lie_are_refused)
{
	static const uint32_t lens[] = { 0, 39, 40, 44, 46, 4096, UINT32_MAX };
	struct fuse_out_header h;
	struct fuse_stats st;
	struct fusecall c;
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) { /* "dir" makes 44 bytes: the header says otherwise */
		struct fuse_in_header in = { .len = lens[i], .opcode = FUSE_LOOKUP, .unique = 9, .nodeid = w.root };
		struct fuse_req *r = &c.req;

		memset(&c, 0, sizeof(c));
		fusecall_send(&w.g, &c, FUSE_LOOKUP, w.root, "dir", 4, 128);
		c.replied = false;
		memcpy(c.in, &in, sizeof(in));
		r->in = c.iov;
		r->out = c.iov + 2;
		fuse_submit(w.g.s, r);
		memcpy(&h, c.out, sizeof(h));
		CHECK(c.replied && h.error == (lens[i] == 44 ? 0 : -EINVAL), "length %u: %d", lens[i], h.error);
	}
	for (size_t len = 0; len < 40; len++) { /* less than a header */
		struct iovec in = { guard_alloc(len), len }, out = { guard_alloc(16), 16 };

		c.replied = false;
		c.req.in = &in;
		c.req.in_len = len;
		c.req.in_count = 1;
		c.req.out = &out;
		c.req.out_len = 16;
		c.req.out_count = 1;
		fuse_submit(w.g.s, &c.req);
		memcpy(&h, out.iov_base, sizeof(h));
		CHECK(c.replied && h.error == -EINVAL, "%zu bytes", len);
	}
	fuse_get_stats(w.g.s, &st);
	CHECK(st.faults >= 46, "%llu faults", (unsigned long long)st.faults);
	fuserig_down(&w.g);
}

TEST(opcodes_that_no_mount_has_are_turned_off_for_all)
{
	static const uint32_t unknown[] = { 0, 7, 19, FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW, FUSE_BMAP, FUSE_IOCTL, FUSE_POLL, FUSE_NOTIFY_REPLY, FUSE_SETUPMAPPING, FUSE_REMOVEMAPPING, 52, 53, 4096, UINT32_MAX };
	uint8_t raw[64] = { 0 };
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		CHECK(fuse_call(&w.g, unknown[i], w.root, raw, sizeof(raw), raw, sizeof(raw)) == -ENOSYS, "opcode %u", unknown[i]);
	fuserig_down(&w.g);
}

TEST(nodes_that_were_never_given_out_are_not_found)
{
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const uint64_t bad[] = { 0, w.link + 1, w.file | UINT64_C(1) << 32, UINT64_C(1) << 32, UINT64_MAX };
		uint8_t raw[128], out[4096];

		for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
			int r = fuse_call(&w.g, samples[i].op, bad[k], raw, arguments(&w, &samples[i], raw), out, samples[i].room);

			CHECK(r == -ESTALE, "opcode %u on %llx: %d", samples[i].op, (unsigned long long)bad[k], r);
		}
	}
	fuserig_down(&w.g);
}

TEST(second_nodes_are_checked_as_well)
{
	const uint64_t bad = UINT64_C(7) << 32 | 2;
	uint8_t raw[64] = { 0 };
	struct world w;

	world_up(&w);
	memcpy(raw, &bad, 8);
	memcpy(raw + 8, "file\0x", 7);
	CHECK(fuse_call(&w.g, FUSE_RENAME, w.root, raw, 15, NULL, 0) == -ESTALE, "rename");
	memcpy(raw, &w.file, 8);
	CHECK(fuse_call(&w.g, FUSE_RENAME, w.root, raw, 15, NULL, 0) == -ENOTDIR, "rename into a file");
	memcpy(raw, (uint64_t[]){ FUSE_ROOT_ID }, 8);
	CHECK(fuse_call(&w.g, FUSE_RENAME, w.root, raw, 15, NULL, 0) == -EXDEV, "rename into the root");
	memcpy(raw, &bad, 8);
	CHECK(fuse_call(&w.g, FUSE_LINK, w.root, raw, 13, raw, 64) == -EINVAL && fuse_call(&w.g, FUSE_LINK, w.root, raw, 13, (uint8_t[128]){ 0 }, 128) == -ESTALE, "link");
	fuserig_down(&w.g);
}

TEST(requests_on_the_wrong_kind_of_object_are_refused)
{
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		uint8_t raw[128], out[4096];
		size_t len = arguments(&w, &samples[i], raw);
		uint64_t wrong = samples[i].on == DIR || samples[i].on == DIR_FH ? w.file : w.root;
		int r;

		if (samples[i].on == ANY && samples[i].op != FUSE_OPEN)
			continue;
		r = fuse_call(&w.g, samples[i].op, wrong, raw, len, out, samples[i].room);
		switch (samples[i].on) {
		case DIR:
		case DIR_FH: CHECK(r == -ENOTDIR, "opcode %u on a file: %d", samples[i].op, r); break;
		case FILE_FH: CHECK(r == -EBADF, "opcode %u with another node's handle: %d", samples[i].op, r); break;
		case LINK: CHECK(r == -EINVAL, "readlink of a directory: %d", r); break;
		default: CHECK(r == -EISDIR, "open of a directory: %d", r); break;
		}
	}
	CHECK(rig_open(&w.g, w.link, 0, (struct fuse_open_out[1]){ 0 }) == -ELOOP, "open of a symbolic link");
	fuserig_down(&w.g);
}

TEST(handles_that_were_never_given_out_are_not_found)
{
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];
		/* A file's for a directory and the other way round, none, the right one of another life. */
		const uint64_t bad[] = { s->on == DIR_FH ? w.fh : w.dh, 0, 77, (s->on == DIR_FH ? w.dh : w.fh) | UINT64_C(1) << 32, UINT64_MAX };
		uint8_t raw[128], out[4096];
		size_t len = arguments(&w, s, raw);

		for (size_t k = 0; (s->on == FILE_FH || s->on == DIR_FH) && k < ARRAY_LEN(bad); k++) {
			int r;

			memcpy(raw, &bad[k], 8);
			r = fuse_call(&w.g, s->op, target(&w, s), raw, len, out, s->room);
			CHECK(r == -EBADF, "opcode %u with handle %llx: %d", s->op, (unsigned long long)bad[k], r);
		}
	}
	fuserig_down(&w.g);
}

TEST(names_that_no_directory_has_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = { { "", 1 }, { ".", 2 }, { "..", 3 }, { "a/b", 4 }, { "/", 2 }, { "a\0b", 4 }, { "abc", 3 }, { "\0x", 3 } };
	char longer[1100];
	struct fuse_entry_out e;
	struct world w;

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint8_t raw[32] = { 0 };

		CHECK(fuse_call(&w.g, FUSE_LOOKUP, w.root, bad[i].bytes, bad[i].len, &e, sizeof(e)) == -EINVAL, "lookup of bad name %zu", i);
		memcpy(raw + 8, bad[i].bytes, bad[i].len);
		CHECK(fuse_call(&w.g, FUSE_MKDIR, w.root, raw, 8 + bad[i].len, &e, sizeof(e)) == -EINVAL, "mkdir of bad name %zu", i);
		memcpy(raw + 16, bad[i].bytes, bad[i].len);
		CHECK(fuse_call(&w.g, FUSE_CREATE, w.root, raw, 16 + bad[i].len, (uint8_t[144]){ 0 }, 144) == -EINVAL, "create of bad name %zu", i);
	}
	memset(longer, 'x', sizeof(longer));
	for (size_t len = 254; len < 1030; len++) {
		longer[len] = '\0';
		CHECK(rig_mkdir(&w.g, w.root, "x", &e) < 0 || fuse_call(&w.g, FUSE_RMDIR, w.root, "x", 2, NULL, 0) == 0, "mkdir");
		CHECK(rig_lookup(&w.g, w.root, longer, &e) == (len <= 255 ? 0 : len <= 1024 ? -ENAMETOOLONG
											    : -EINVAL),
		      "a name of %zu bytes", len);
		longer[len] = 'x';
	}
	fuserig_down(&w.g);
}

TEST(more_arguments_than_any_request_has_are_refused)
{
	static uint8_t raw[8192];
	struct fuse_entry_out e;
	struct world w;

	world_up(&w);
	memset(raw, 'x', sizeof(raw));
	w.g.chop = 100;
	CHECK(fuse_call(&w.g, FUSE_LOOKUP, w.root, raw, sizeof(raw), &e, sizeof(e)) == -E2BIG, "lookup");
	CHECK(fuse_call(&w.g, FUSE_SETXATTR, w.root, raw, sizeof(raw), NULL, 0) == -EINVAL, "setxattr: a name without an end");
	fuserig_down(&w.g);
}

TEST(lengths_and_offsets_that_wrap_are_refused)
{
	static const uint64_t offs[] = { INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 3 };
	struct fuse_read_in rd = { .size = 4 };
	struct world w;
	char c[4];

	world_up(&w);
	for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
		struct fuse_lseek_in seek = { .fh = w.fh, .offset = offs[i], .whence = SEEK_DATA };
		struct fuse_copy_file_range_in copy = { .fh_in = w.fh, .fh_out = w.fh, .nodeid_out = w.file, .len = 1, .off_out = offs[i] };

		CHECK(rig_write(&w.g, w.file, w.fh, offs[i], "data", 4) == -EINVAL, "write");
		CHECK(rig_read(&w.g, w.file, w.fh, offs[i], c, 4) == -EINVAL, "read");
		CHECK(fuse_call(&w.g, FUSE_LSEEK, w.file, &seek, sizeof(seek), c, 8) < 0, "lseek");
		CHECK(fuse_call(&w.g, FUSE_COPY_FILE_RANGE, w.file, &copy, sizeof(copy), (uint8_t[8]){ 0 }, 8) == -EINVAL, "copy");
	}
	rd.fh = w.fh;
	CHECK(fuse_call(&w.g, FUSE_READ, w.file, &rd, sizeof(rd), c, 3) == -EINVAL, "more than there is room for");
	rd.size = (1 << 20) + 1;
	CHECK(fuse_call(&w.g, FUSE_READ, w.file, &rd, sizeof(rd), NULL, rd.size) == -EINVAL, "more than was agreed on");
	rd.fh = w.dh;
	rd.size = UINT32_MAX;
	CHECK(fuse_call(&w.g, FUSE_READDIR, w.root, &rd, sizeof(rd), c, 4) == -EINVAL, "a directory of 4 GiB");
	fuserig_down(&w.g);
}

TEST(forgetting_too_much_is_counted_and_harms_nobody)
{
	struct {
		struct fuse_batch_forget_in head;
		struct fuse_forget_one one[200];
	} batch = { .head.count = 200 };
	struct fuse_entry_out e;
	struct fuse_stats st;
	struct fusecall c;
	struct world w;
	uint64_t faults;

	world_up(&w);
	counts(&w, &st);
	faults = st.faults;
	rig_forget(&w.g, w.dir, 2);
	rig_forget(&w.g, w.dir, 1);
	rig_forget(&w.g, 0, UINT64_MAX);
	rig_forget(&w.g, w.root, UINT64_MAX);
	counts(&w, &st);
	CHECK(st.faults == faults + 4, "%llu faults", (unsigned long long)(st.faults - faults));
	CHECK(rig_lookup(&w.g, w.root, "dir", &e) == 0 && e.nodeid != w.dir, "it is found again");
	rig_forget(&w.g, w.file, 1); /* while it is open */
	CHECK(rig_write(&w.g, w.file, w.fh, 0, "x", 1) == -ESTALE, "a node that was forgotten");
	for (unsigned i = 0; i < 200; i++)
		batch.one[i] = (struct fuse_forget_one){ .nodeid = i == 150 ? w.link : 99999, .nlookup = 1 };
	fusecall_send(&w.g, &c, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), 0);
	CHECK(c.replied && c.written == 0, "BATCH_FORGET was answered");
	CHECK(fuse_call(&w.g, FUSE_READLINK, w.link, NULL, 0, &e, 10) == -ESTALE, "the link was among them");
	for (uint32_t count = 0; count < 500; count += 7) {
		batch.head.count = count == 210 ? UINT32_MAX : count;
		fusecall_send(&w.g, &c, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), 0);
		CHECK(c.replied && c.written == 0, "a count of %u", count);
	}
	fuserig_down(&w.g);
}

static size_t written_now;

static void replied_now(struct fuse_req *r, size_t written)
{
	(void)r;
	written_now = written;
}

TEST(handles_have_a_limit)
{
	struct fuse_open_out open;
	struct fuse_entry_out e;
	struct world w;
	uint64_t first = 0, fh;

	world_up(&w);
	for (unsigned i = 2; i < FUSE_HANDLES_MAX; i++) {
		struct fuse_open_in in = { .flags = O_RDONLY };
		uint8_t raw[40 + sizeof(in)], out[16 + sizeof(open)];
		struct fuse_in_header h = { .len = sizeof(raw), .opcode = FUSE_OPEN, .unique = i, .nodeid = w.file };
		struct iovec vin = { raw, sizeof(raw) }, vout = { out, sizeof(out) };
		struct fuse_req r = { .in = &vin, .out = &vout, .in_count = 1, .out_count = 1, .in_len = sizeof(raw), .out_len = sizeof(out), .reply = replied_now };

		memcpy(raw, &h, sizeof(h));
		memcpy(raw + sizeof(h), &in, sizeof(in));
		fuse_submit(w.g.s, &r);
		memcpy(&open, out + 16, sizeof(open));
		CHECK(written_now == sizeof(out), "open %u", i);
		first = first ? first : open.fh;
	}
	CHECK(rig_open(&w.g, w.file, O_RDONLY, &open) == -ENFILE && rig_create(&w.g, w.root, "one more", O_RDWR, &e, &fh) == -ENFILE && rig_opendir(&w.g, w.root, &fh) == -ENFILE, "full");
	CHECK(rig_release(&w.g, w.file, first, false) == 0 && rig_open(&w.g, w.file, O_RDONLY, &open) == 0 && open.fh != first, "room again");
	fuserig_down(&w.g);
}

/* ---- Time ---- */

TEST(slow_requests_are_answered_in_any_order_and_hold_up_nobody)
{
	struct fuse_read_in in = { .size = 4 };
	struct fuse_entry_out e;
	struct fuse_stats st;
	struct fusecall c[3];
	struct world w;
	char text[4];

	world_up(&w);
	CHECK(rig_write(&w.g, w.file, w.fh, 0, "data", 4) == 4, "write");
	in.fh = w.fh;
	slowfs_hold(w.g.fs[0], VFS_READ);
	for (int i = 0; i < 3; i++) {
		fusecall_send(&w.g, &c[i], FUSE_READ, w.file, &in, sizeof(in), 4);
		CHECK(!c[i].replied, "it did not wait");
	}
	counts(&w, &st);
	CHECK(slowfs_waiting() == 3 && st.inflight == 3 && rig_lookup(&w.g, w.root, "dir", &e) == 0, "another one");
	CHECK(rig_release(&w.g, w.file, w.fh, false) == 0, "the file is closed while it is read");
	rig_forget(&w.g, w.file, 1);
	CHECK(rig_read(&w.g, w.file, w.fh, 0, text, 4) == -ESTALE, "closed");
	while (slowfs_go())
		;
	for (int i = 0; i < 3; i++)
		CHECK(fusecall_result(&w.g, &c[i], text, 4) == 4 && memcmp(text, "data", 4) == 0, "read %d", i);
	counts(&w, &st);
	CHECK(st.handles == 1 && st.inflight == 0, "%u handles", st.handles);
	fuserig_down(&w.g);
}

TEST(a_request_is_interrupted_by_its_number_or_its_process)
{
	struct fuse_interrupt_in intr = { 0 };
	struct fusecall c[4], i;
	struct world w;

	world_up(&w);
	slowfs_hold(w.g.fs[0], VFS_LOOKUP);
	for (unsigned n = 0; n < 4; n++) {
		w.g.pid = 100 + n / 2;
		fusecall_send(&w.g, &c[n], FUSE_LOOKUP, w.root, "dir", 4, 128);
	}
	intr.unique = 999;
	fusecall_send(&w.g, &i, FUSE_INTERRUPT, 0, &intr, sizeof(intr), 0);
	CHECK(i.replied && i.written == 0 && slowfs_waiting() == 4, "nobody's number");
	intr.unique = w.g.unique - 1; /* the last LOOKUP's */
	fusecall_send(&w.g, &i, FUSE_INTERRUPT, 0, &intr, sizeof(intr), 0);
	CHECK(fusecall_result(&w.g, &c[3], NULL, 128) == -EINTR && slowfs_waiting() == 3, "by number");
	CHECK(fuse_interrupt_pid(w.g.s, 99) == 0 && fuse_interrupt_pid(w.g.s, 100) == 2, "by process");
	CHECK(fusecall_result(&w.g, &c[0], NULL, 128) == -EINTR && fusecall_result(&w.g, &c[1], NULL, 128) == -EINTR && !c[2].replied, "both of it");
	CHECK(slowfs_go() && fusecall_result(&w.g, &c[2], NULL, 128) == 128, "the other process's");
	fuserig_down(&w.g);
}

TEST(quiesce_and_reset_end_what_waits)
{
	struct fuse_entry_out e;
	struct fuse_stats st;
	struct fusecall c[2];
	struct world w;

	world_up(&w);
	slowfs_hold(w.g.fs[0], VFS_CODE_COUNT_);
	fusecall_send(&w.g, &c[0], FUSE_LOOKUP, w.root, "dir", 4, 128);
	fuse_quiesce(w.g.s);
	CHECK(fusecall_result(&w.g, &c[0], NULL, 128) == -EINTR, "quiesce");
	fusecall_send(&w.g, &c[0], FUSE_LOOKUP, w.root, "dir", 4, 128);
	fusecall_send(&w.g, &c[1], FUSE_LOOKUP, FUSE_ROOT_ID, "0", 2, 128);
	fuse_reset(w.g.s);
	CHECK(fusecall_result(&w.g, &c[0], NULL, 128) == -EINTR && fusecall_result(&w.g, &c[1], NULL, 128) == -EINTR, "reset");
	counts(&w, &st);
	CHECK(st.nodes == 2 && st.handles == 0 && st.inflight == 0, "%u nodes, %u handles", st.nodes, st.handles);
	slowfs_let();
	CHECK(rig_lookup(&w.g, FUSE_ROOT_ID, "0", &e) == -EIO, "INIT comes first");
	fuserig_init(&w.g);
	CHECK(rig_root(&w.g, 0) == w.root && rig_lookup(&w.g, w.root, "file", &e) == 0 && e.nodeid != w.file, "a new guest");
	fuserig_down(&w.g);
}

TEST(init_and_destroy_in_the_middle_take_nothing_from_under_a_request)
{
	for (int destroy = 0; destroy < 2; destroy++) {
		struct fuse_write_in in = { .size = 0 };
		struct fuse_stats st;
		struct fusecall c[2];
		struct world w;

		world_up(&w);
		slowfs_hold(w.g.fs[0], VFS_CODE_COUNT_);
		in.fh = w.fh;
		fusecall_send(&w.g, &c[0], FUSE_WRITE, w.file, &in, sizeof(in), 8);
		fusecall_send(&w.g, &c[1], FUSE_LOOKUP, w.root, "dir", 4, 128);
		CHECK(slowfs_waiting() == 2, "%u wait", slowfs_waiting());
		if (destroy)
			CHECK(fuse_call(&w.g, FUSE_DESTROY, 0, NULL, 0, NULL, 0) == 0, "DESTROY");
		else
			fuserig_init(&w.g);
		counts(&w, &st);
		CHECK(st.nodes == 2 && st.handles == 1, "%u nodes, %u handles", st.nodes, st.handles);
		while (slowfs_go())
			;
		CHECK(fusecall_result(&w.g, &c[0], NULL, 8) == 8 && fusecall_result(&w.g, &c[1], NULL, 128) == 128, "they went on");
		counts(&w, &st);
		CHECK(st.nodes == 3 && st.handles == 0, "%u nodes, %u handles", st.nodes, st.handles);
		fuserig_down(&w.g);
	}
}

TEST(two_pages_of_a_file_that_appends_may_come_back_at_once)
{
	struct {
		struct fuse_write_in in;
		char c;
	} page = { .in = { .size = 1, .write_flags = FUSE_WRITE_CACHE } };
	const size_t len = sizeof(page.in) + 1;
	struct fuse_entry_out e;
	struct fusecall c[3];
	struct world w;

	world_up(&w);
	CHECK(rig_create(&w.g, w.root, "log", O_RDWR | O_APPEND, &e, &page.in.fh) == 0 && rig_write(&w.g, e.nodeid, page.in.fh, 0, "abc", 3) == 3, "create");
	slowfs_hold(w.g.fs[0], VFS_CODE_COUNT_);
	for (unsigned i = 0; i < 3; i++) {
		page.in.offset = i;
		page.c = (char)('A' + i);
		fusecall_send(&w.g, &c[i], FUSE_WRITE, e.nodeid, &page, len, 8);
	}
	CHECK(rig_release(&w.g, e.nodeid, page.in.fh, false) == 0, "release");
	CHECK(slowfs_go() && slowfs_go() && slowfs_waiting() == 3, "two were opened, and write now");
	fuse_interrupt_pid(w.g.s, 1);
	while (slowfs_go())
		;
	for (unsigned i = 0; i < 3; i++)
		CHECK(fusecall_result(&w.g, &c[i], NULL, 8) == 8, "page %u", i);
	slowfs_let();
	CHECK(rig_open(&w.g, e.nodeid, O_RDONLY, (struct fuse_open_out[1]){ 0 }) == 0 && rig_getattr(&w.g, e.nodeid, &e.attr) == 0 && e.attr.size == 3, "size %llu", (unsigned long long)e.attr.size);
	fuserig_down(&w.g);
}

/* ---- Memory ---- */

TEST(a_session_runs_out_of_memory_cleanly)
{
	FAULT_LOOP {
		struct fuse_read_in list = { .size = 4096 };
		struct fuse_entry_out e;
		struct fuse_session *s = NULL;
		struct fuserig g;
		uint8_t raw[4096];
		uint64_t fh;
		int r;

		fault_pause();
		fuserig_up(&g, 2);
		fuse_session_free(g.s);
		fault_resume();
		r = fuse_session_create(g.mount, g.mounts, &s);
		CHECK((r == 0) == (s != NULL) && (r == 0 || r == -ENOMEM), "%d", r);
		g.s = s;
		if (r < 0) {
			fuserig_down(&g);
			continue;
		}
		fault_pause();
		fuserig_init(&g);
		fault_resume();
		r = rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &e, &fh);
		CHECK(r == 0 || r == -ENOMEM, "create: %d", r);
		if (r == 0)
			CHECK(rig_release(&g, e.nodeid, fh, false) == 0, "release");
		r = rig_opendir(&g, rig_root(&g, 0), &list.fh);
		CHECK(r == 0 || r == -ENOMEM, "opendir: %d", r);
		if (r == 0)
			r = fuse_call(&g, FUSE_READDIRPLUS, rig_root(&g, 0), &list, sizeof(list), raw, sizeof(raw));
		CHECK(r >= 0 || r == -ENOMEM, "readdir: %d", r);
		fuserig_down(&g);
	}
}

RUN_TESTS(T(the_samples_are_well_formed), T(a_request_that_is_cut_short_anywhere_changes_nothing), T(a_reply_without_room_changes_nothing),
	  T(headers_that_lie_are_refused), T(opcodes_that_no_mount_has_are_turned_off_for_all),
	  T(nodes_that_were_never_given_out_are_not_found), T(second_nodes_are_checked_as_well),
	  T(requests_on_the_wrong_kind_of_object_are_refused), T(handles_that_were_never_given_out_are_not_found),
	  T(names_that_no_directory_has_are_refused), T(more_arguments_than_any_request_has_are_refused),
	  T(lengths_and_offsets_that_wrap_are_refused), T(forgetting_too_much_is_counted_and_harms_nobody), T(handles_have_a_limit),
	  T(slow_requests_are_answered_in_any_order_and_hold_up_nobody), T(a_request_is_interrupted_by_its_number_or_its_process),
	  T(quiesce_and_reset_end_what_waits), T(init_and_destroy_in_the_middle_take_nothing_from_under_a_request),
	  T(two_pages_of_a_file_that_appends_may_come_back_at_once), T(a_session_runs_out_of_memory_cleanly))
