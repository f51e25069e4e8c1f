/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The tar format: what is written is read again, what GNU tar and Python write is read, and nothing malformed passes. */
#include "base/tar.h"

#include "../test.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { B = TAR_BLOCK_BYTES };

/* What an archive was read as. */
struct seen {
	int last; /* the event or error that ended the reading */
	unsigned entries, contents;
	struct tar_entry e; /* the last one, with */
	char path[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1], xattr_name[256];
	size_t xattr_len;
	uint8_t content[4096];
	size_t content_len;
	const char *why;
};

static void note(struct seen *s, const struct tar_reader *t, int event)
{
	const struct tar_entry *e = &t->entry;

	switch (event) {
	case TAR_ENTRY:
		s->entries++;
		s->e = *e;
		(void)snprintf(s->path, sizeof(s->path), "%s", e->path);
		(void)snprintf(s->link, sizeof(s->link), "%s", e->link);
		if (e->xattr_count > 0) {
			(void)snprintf(s->xattr_name, sizeof(s->xattr_name), "%s", e->xattrs[0].name);
			s->xattr_len = e->xattrs[0].len;
		}
		s->content_len = 0;
		break;
	case TAR_DATA:
		CHECK(s->content_len + t->data_len <= sizeof(s->content), "too much content");
		memcpy(s->content + s->content_len, t->data, t->data_len);
		s->content_len += t->data_len;
		break;
	case TAR_CONTENT_END:
		s->contents++;
		CHECK(s->content_len == e->size, "%zu bytes of %llu", s->content_len, (unsigned long long)e->size);
		break;
	default:
		break;
	}
}

/* Reads @bytes in pieces of @step. */
static void read_all(const void *bytes, size_t len, size_t step, struct seen *s)
{
	struct tar_reader t;

	memset(s, 0, sizeof(*s));
	tar_reader_init(&t);
	for (size_t at = 0; at < len && s->last >= 0 && s->last != TAR_END; at += step) {
		size_t left = MIN(step, len - at), n = left;
		const uint8_t *piece = guard_copy((const uint8_t *)bytes + at, n), *p = piece;

		do {
			s->last = tar_read(&t, &p, &left);
			note(s, &t, s->last);
			CHECK(p + left == piece + n, "lost count");
		} while (s->last > TAR_MORE && s->last != TAR_END);
		CHECK(s->last != TAR_MORE || left == 0, "%zu bytes were not taken", left);
	}
	CHECK((s->last < 0) == (t.why != NULL), "%d without words", s->last);
	CHECK((s->last == TAR_END) == tar_reader_ended(&t), "the end");
	s->why = t.why;
	tar_reader_done(&t);
}

static struct tar_entry plain(enum tar_type type, const char *path)
{
	return (struct tar_entry){ .type = type, .path = path, .link = "", .mode = 0644, .uid = 1, .gid = 2, .mtime_sec = 1000000000 };
}

static void put_content(struct buf *b, const char *text)
{
	CHECK(buf_put(b, text, strlen(text)) && tar_put_padding(b, strlen(text)), "content");
}

static char *repeated(char c, size_t n)
{
	static char text[2][TAR_PATH_MAX + 2];
	static unsigned turn;
	char *p = text[turn++ % 2];

	CHECK(n < sizeof(text[0]), "too long");
	memset(p, c, n);
	p[n] = '\0';
	return p;
}

/* Writes one entry and reads it again, in pieces as well. */
static void round_trip(const struct tar_entry *e, const char *content, struct seen *s)
{
	struct buf b;

	buf_init(&b, 8 << 20);
	CHECK(tar_put_entry(&b, e), "put");
	if (content)
		put_content(&b, content);
	CHECK(tar_put_end(&b) && buf_len(&b) % B == 0, "end");
	read_all(buf_data(&b), buf_len(&b), 61, s);
	CHECK(s->last == TAR_END && s->entries == 1, "%u entries, %s", s->entries, s->why);
	read_all(buf_data(&b), buf_len(&b), buf_len(&b), s);
	CHECK(s->last == TAR_END && s->entries == 1, "%u entries, %s", s->entries, s->why);
	CHECK(strcmp(s->path, e->path) == 0 || e->type == TAR_DIR, "'%s'", s->path);
	CHECK(strcmp(s->link, e->link) == 0, "'%s'", s->link);
	CHECK(s->e.type == e->type && s->e.mode == e->mode && s->e.uid == e->uid && s->e.gid == e->gid && s->e.size == e->size, "'%s' differs", e->path);
	CHECK(s->e.mtime_sec == e->mtime_sec && s->e.mtime_nsec == e->mtime_nsec, "time %lld.%u", (long long)s->e.mtime_sec, s->e.mtime_nsec);
	buf_done(&b);
}

TEST(every_kind_of_entry_comes_back_as_it_was)
{
	struct tar_entry e = plain(TAR_FILE, "a/file");
	struct seen s;

	e.size = 5;
	round_trip(&e, "hello", &s);
	CHECK(s.content_len == 5 && memcmp(s.content, "hello", 5) == 0 && s.contents == 1, "content");
	e = plain(TAR_FILE, "empty");
	round_trip(&e, NULL, &s);
	CHECK(s.contents == 1, "an empty file has an end too");
	e = plain(TAR_DIR, "dir");
	e.mode = 01777;
	round_trip(&e, NULL, &s);
	CHECK(strcmp(s.path, "dir/") == 0, "'%s'", s.path);
	e = plain(TAR_SYMLINK, "link");
	e.link = "../else/where";
	round_trip(&e, NULL, &s);
	e.type = TAR_HARD_LINK;
	round_trip(&e, NULL, &s);
	e = plain(TAR_FIFO, "pipe");
	e.mode = 06755;
	round_trip(&e, NULL, &s);
	e = plain(TAR_CHAR_DEVICE, "null");
	e.major = 1;
	e.minor = 3;
	round_trip(&e, NULL, &s);
	CHECK(s.e.major == 1 && s.e.minor == 3, "device %u:%u", s.e.major, s.e.minor);
	e.type = TAR_BLOCK_DEVICE;
	round_trip(&e, NULL, &s);
}

TEST(what_a_plain_header_cannot_hold_comes_back_too)
{
	static const size_t lengths[] = { 98, 99, 100, 101, 255, 256, TAR_PATH_MAX };
	static const struct {
		int64_t sec;
		uint32_t nsec;
	} times[] = { { 0, 1 }, { -1, 0 }, { -2, 750000000 }, { -1, 999999999 }, { 1000000000, 123456789 }, { 1LL << 40, 0 }, { -(1LL << 40), 5 } };
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct tar_entry e = plain(TAR_SYMLINK, repeated('p', lengths[i]));

		e.link = repeated('l', lengths[i]);
		round_trip(&e, NULL, &s);
		e = plain(TAR_DIR, repeated('d', lengths[i]));
		round_trip(&e, NULL, &s);
	}
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct tar_entry e = plain(TAR_FILE, "f");

		e.mtime_sec = times[i].sec;
		e.mtime_nsec = times[i].nsec;
		round_trip(&e, NULL, &s);
	}

	struct tar_entry e = plain(TAR_FILE, "\xff\xfe not UTF-8\n=");

	e.uid = UINT32_MAX - 1;
	e.gid = 3000000;
	round_trip(&e, NULL, &s);
	e = plain(TAR_FILE, repeated('\n', 150));
	round_trip(&e, NULL, &s);
}

TEST(sizes_beyond_eight_gigabytes_are_told)
{
	struct tar_entry e = plain(TAR_FILE, "big");
	struct seen s;
	struct buf b;

	for (int i = 0; i < 3; i++) {
		static const uint64_t sizes[] = { (1ULL << 33) - 1, 1ULL << 33, INT64_MAX };

		buf_init(&b, 1 << 20);
		e.size = sizes[i];
		CHECK(tar_put_entry(&b, &e), "put");
		read_all(buf_data(&b), buf_len(&b), B, &s);
		CHECK(s.entries == 1 && s.e.size == sizes[i], "%llu", (unsigned long long)s.e.size);
		buf_done(&b);
	}
	e.size = (uint64_t)INT64_MAX + 1;
	buf_init(&b, 1 << 20);
	CHECK(!tar_put_entry(&b, &e) && buf_len(&b) == 0, "more than can be");
	buf_done(&b);
}

TEST(attributes_with_any_name_and_value_come_back)
{
	static const uint8_t value[300] = { 0, '\n', '=', 0xff };
	struct tar_xattr x = { .name = "user.a=b%c", .value = value, .len = sizeof(value) };
	struct tar_entry e = plain(TAR_FILE, "f");
	struct seen s;

	e.xattrs = &x;
	e.xattr_count = 1;
	round_trip(&e, NULL, &s);
	CHECK(s.e.xattr_count == 1 && strcmp(s.xattr_name, "user.a=b%c") == 0 && s.xattr_len == sizeof(value), "'%s' %zu", s.xattr_name, s.xattr_len);
	x.len = 0;
	round_trip(&e, NULL, &s);
	CHECK(s.e.xattr_count == 1 && s.xattr_len == 0, "empty");
}

TEST(what_is_over_a_bound_is_not_written)
{
	static uint8_t value[TAR_XATTR_BYTES_MAX + 1];
	struct tar_xattr x[TAR_XATTRS_MAX + 1], big = { .name = "user.x", .value = value, .len = sizeof(value) };
	struct tar_entry e = plain(TAR_FILE, repeated('p', TAR_PATH_MAX + 1));
	struct buf b;

	buf_init(&b, 8 << 20);
	CHECK(!tar_put_entry(&b, &e), "path");
	e = plain(TAR_SYMLINK, "l");
	e.link = repeated('p', TAR_PATH_MAX + 1);
	CHECK(!tar_put_entry(&b, &e), "link");
	e = plain(TAR_FILE, "");
	CHECK(!tar_put_entry(&b, &e), "no name");
	e = plain(TAR_FILE, "f");
	e.mtime_nsec = 1000000000;
	CHECK(!tar_put_entry(&b, &e), "nanoseconds");
	e = plain(TAR_FILE, "f");
	e.uid = UINT32_MAX;
	CHECK(!tar_put_entry(&b, &e), "no such user");
	for (size_t i = 0; i < ARRAY_LEN(x); i++)
		x[i] = (struct tar_xattr){ .name = "user.x", .value = value, .len = 1 };
	e = plain(TAR_FILE, "f");
	e.xattrs = x;
	e.xattr_count = ARRAY_LEN(x);
	CHECK(!tar_put_entry(&b, &e), "attributes");
	e.xattrs = &big;
	e.xattr_count = 1;
	CHECK(!tar_put_entry(&b, &e), "value");
	CHECK(buf_len(&b) == 0 && buf_ok(&b), "something was appended");
	buf_done(&b);
	buf_init(&b, B - 1);
	e = plain(TAR_FILE, "f");
	CHECK(!tar_put_entry(&b, &e) && buf_len(&b) == 0, "a full buffer");
	buf_done(&b);
}

/* ---- Foreign archives ---- */

/* A header by hand: text goes to @at. */
struct patch {
	size_t at;
	const char *bytes;
	size_t len;
};

/* clang-format off */
#define PATCH(at, s) { at, s, sizeof(s) - 1 }
/* clang-format on */

static void header(uint8_t *block, const char *name, char type, const char *size)
{
	memset(block, 0, B);
	memcpy(block, name, strnlen(name, 100));
	memcpy(block + 100, "0000644", 7);
	memcpy(block + 108, "0000001", 7);
	memcpy(block + 116, "0000002", 7);
	memcpy(block + 124, size, 11);
	memcpy(block + 136, "00000000007", 11);
	block[156] = (uint8_t)type;
	memcpy(block + 257, "ustar\00000", 8);
}

static void seal(uint8_t *block)
{
	unsigned sum = 8 * ' ';
	char text[8];

	memset(block + 148, 0, 8);
	for (size_t i = 0; i < B; i++)
		sum += block[i];
	(void)snprintf(text, sizeof(text), "%06o", sum & 0777777);
	memcpy(block + 148, text, 7);
}

/* Reads one patched header and an end. */
static void read_patched(char type, const struct patch *p, struct seen *s)
{
	static uint8_t archive[3 * B];

	header(archive, "name", type, "00000000000");
	if (p)
		memcpy(archive + p->at, p->bytes, p->len);
	seal(archive);
	read_all(archive, sizeof(archive), sizeof(archive), s);
}

TEST(numbers_in_the_form_of_gnu_tar_are_read)
{
	static const struct {
		struct patch p;
		int64_t want;
	} cases[] = {
		{ PATCH(136, "\x80\0\0\0\0\0\0\0\0\0\1\0"), 256 },
		{ PATCH(136, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX },
		{ PATCH(136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), -1 },
		{ PATCH(136, "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"), INT64_MIN },
		{ PATCH(136, "        12 \0"), 10 },
		{ PATCH(136, "\0\0\0\0\0\0\0\0\0\0\0\0"), 0 },
		{ PATCH(136, "777777777777"), (1LL << 36) - 1 },
	};
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		read_patched('0', &cases[i].p, &s);
		CHECK(s.last == TAR_END && s.e.mtime_sec == cases[i].want, "case %zu: %lld (%s)", i, (long long)s.e.mtime_sec, s.why);
	}
}

TEST(headers_that_make_no_sense_are_refused)
{
	static const struct {
		const char *why;
		char type;
		struct patch p;
		int want;
	} cases[] = {
		{ "a number too large", '0', PATCH(136, "\x80\0\0\0\x80\0\0\0\0\0\0\0"), -EBADMSG },
		{ "a number too small", '0', PATCH(136, "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), -EBADMSG },
		{ "a negative size", '0', PATCH(124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), -EBADMSG },
		{ "a negative user", '0', PATCH(108, "\xff\xff\xff\xff\xff\xff\xff\xff"), -EBADMSG },
		{ "a user that is none", '0', PATCH(108, "\x80\0\0\0\xff\xff\xff\xff"), -EBADMSG },
		{ "not octal", '0', PATCH(124, "0000000009"), -EBADMSG },
		{ "text in a number", '0', PATCH(108, "12x4567"), -EBADMSG },
		{ "a device number too large", '3', PATCH(329, "\x80\0\0\1\0\0\0\0"), -EBADMSG },
		{ "a link with content", '1', PATCH(124, "00000000001\0" "00000000007\0" "        " "1x"), -EBADMSG },
		{ "a link without target", '2', PATCH(0, "n"), -EBADMSG },
		{ "no name", '0', PATCH(0, "\0"), -EBADMSG },
		{ "another magic", '0', PATCH(257, "USTAR"), -EOPNOTSUPP },
		{ "a sparse file", 'S', PATCH(0, "n"), -EOPNOTSUPP },
		{ "a volume header", 'V', PATCH(0, "n"), -EOPNOTSUPP },
		{ "a type above all", '\xff', PATCH(0, "n"), -EOPNOTSUPP },
		{ "an extended header too long", 'x', PATCH(124, "00010000000"), -ENAMETOOLONG },
		{ "an extended header far too long", 'L', PATCH(124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), -ENAMETOOLONG },
	};
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		read_patched(cases[i].type, &cases[i].p, &s);
		CHECK(s.last == cases[i].want && s.entries == 0, "%s: %d", cases[i].why, s.last);
	}
}

TEST(old_formats_are_read)
{
	static const struct patch v7 = PATCH(257, "\0\0\0\0\0\0\0\0"), gnu = PATCH(257, "ustar  \0"), slash = PATCH(0, "old/");
	static const struct patch prefix = PATCH(345, "in/front");
	struct seen s;

	read_patched('\0', &v7, &s);
	CHECK(s.last == TAR_END && s.e.type == TAR_FILE && strcmp(s.path, "name") == 0, "v7: %s", s.why);
	read_patched('7', &gnu, &s);
	CHECK(s.last == TAR_END && s.e.type == TAR_FILE, "gnu: %s", s.why);
	read_patched('\0', &slash, &s);
	CHECK(s.last == TAR_END && s.e.type == TAR_DIR, "slash: %s", s.why);
	read_patched('0', &prefix, &s);
	CHECK(s.last == TAR_END && strcmp(s.path, "in/front/name") == 0, "prefix: '%s'", s.path);
}

TEST(a_flipped_bit_in_a_header_is_noticed)
{
	struct tar_entry e = plain(TAR_FILE, "f");
	struct seen s;
	struct buf b;

	buf_init(&b, 1 << 20);
	CHECK(tar_put_entry(&b, &e) && tar_put_end(&b), "put");
	for (size_t i = 0; i < B; i++) {
		buf_data(&b)[i] ^= 1;
		read_all(buf_data(&b), buf_len(&b), buf_len(&b), &s);
		/* but where the text of a number ends */
		CHECK(s.last == -EBADMSG || i >= 148, "byte %zu: %d", i, s.last);
		buf_data(&b)[i] ^= 1;
	}
	buf_done(&b);
}

/* An extended header with @records, then a file "name". */
static void read_records(char type, const char *records, size_t len, struct seen *s)
{
	static uint8_t archive[8 * B];
	size_t behind = B + (len + B - 1) / B * B;
	char size[12];

	memset(archive, 0, sizeof(archive));
	(void)snprintf(size, sizeof(size), "%011zo", len);
	header(archive, "ext", type, size);
	seal(archive);
	CHECK(len <= 2 * B, "too long");
	memcpy(archive + B, records, len);
	header(archive + behind, "name", '0', "00000000000");
	seal(archive + behind);
	read_all(archive, sizeof(archive), sizeof(archive), s);
}

#define RECORDS(type, text, s) read_records(type, text, sizeof(text) - 1, s)

TEST(extended_headers_override_the_plain_one)
{
	struct seen s;

	RECORDS('x', "14 path=other\n10 uid=77\n15 atime=12.25\n17 comment=a\nb=c\n", &s);
	CHECK(s.last == TAR_END && strcmp(s.path, "other") == 0 && s.e.uid == 77 && s.e.gid == 2, "%s '%s' %u", s.why, s.path, s.e.uid);
	RECORDS('x', "20 mtime=-1.25000000\n", &s);
	CHECK(s.last == -EBADMSG, "a length that lies");
	RECORDS('x', "21 mtime=-1.25000000\n", &s);
	CHECK(s.e.mtime_sec == -2 && s.e.mtime_nsec == 750000000, "%lld.%u", (long long)s.e.mtime_sec, s.e.mtime_nsec);
	RECORDS('x', "13 mtime=1.5\n8 path=\n", &s);
	CHECK(strcmp(s.path, "name") == 0 && s.e.mtime_nsec == 500000000, "'%s'", s.path);
	RECORDS('g', "14 path=other\n", &s);
	CHECK(s.last == TAR_END && strcmp(s.path, "name") == 0, "a global header: '%s'", s.path);
	RECORDS('L', "gnu/long/name\0", &s);
	CHECK(s.last == TAR_END && strcmp(s.path, "gnu/long/name") == 0, "'%s'", s.path);
	RECORDS('x', "", &s);
	CHECK(s.last == TAR_END && strcmp(s.path, "name") == 0, "an empty one");
}

TEST(an_extended_header_counts_for_one_entry)
{
	static uint8_t archive[6 * B];
	struct seen s;

	header(archive, "ext", 'x', "00000000016");
	memcpy(archive + B, "14 path=other\n", 14);
	header(archive + 2 * B, "first", '0', "00000000000");
	header(archive + 3 * B, "second", '0', "00000000000");
	seal(archive);
	seal(archive + 2 * B);
	seal(archive + 3 * B);
	read_all(archive, sizeof(archive), sizeof(archive), &s);
	CHECK(s.last == TAR_END && s.entries == 2 && strcmp(s.path, "second") == 0, "%u, '%s'", s.entries, s.path);
	read_all(archive, sizeof(archive), 7, &s);
	CHECK(s.last == TAR_END && s.entries == 2 && strcmp(s.path, "second") == 0, "%u, '%s'", s.entries, s.path);
}

TEST(malformed_extended_headers_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
		int want;
	} cases[] = {
#define CASE(s, want) { s, sizeof(s) - 1, want }
		CASE("x", -EBADMSG),
		CASE("14 path=othe", -EBADMSG),
		CASE("99999999999999999999 path=x\n", -EBADMSG),
		CASE("14path=other\n", -EBADMSG),
		CASE("0 path=other\n", -EBADMSG),
		CASE("3 \n", -EBADMSG),
		CASE("7 path\n", -EBADMSG),
		CASE("9 =other\n", -EBADMSG),
		CASE("14 path=other ", -EBADMSG),
		CASE("11 path=\0a\n", -ENAMETOOLONG),
		CASE("9 uid=-1\n", -EBADMSG),
		CASE("18 uid=4294967295\n", -EBADMSG),
		CASE("11 mtime=x\n", -EBADMSG),
		CASE("13 mtime=1.x\n", -EBADMSG),
		CASE("29 mtime=9223372036854775808\n", -EBADMSG),
		CASE("29 size=99999999999999999999\n", -EBADMSG),
		CASE("22 GNU.sparse.major=1\n", -EOPNOTSUPP),
		CASE("18 SCHILY.xattr.=\n", 0), /* no name behind it: some other key */
	};
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		read_records('x', cases[i].bytes, cases[i].len, &s);
		CHECK((cases[i].want == 0 ? s.last == TAR_END : s.last == cases[i].want), "case %zu: %d %s", i, s.last, s.why);
	}
	RECORDS('L', "\0x", &s);
	CHECK(s.last == -EBADMSG, "an empty long name");
}

TEST(an_archive_without_its_end_is_not_at_its_end)
{
	struct tar_entry e = plain(TAR_FILE, "f");
	struct seen s;
	struct buf b;

	e.size = 600;
	buf_init(&b, 1 << 20);
	CHECK(tar_put_entry(&b, &e), "put");
	put_content(&b, repeated('c', 600));
	CHECK(tar_put_end(&b), "end");
	for (size_t len = 0; len <= 3 * B; len += 100) {
		read_all(buf_data(&b), len, 4096, &s);
		CHECK(s.last != TAR_END, "%zu bytes", len);
	}
	buf_done(&b);
}

TEST(what_gnu_tar_and_python_write_is_read)
{
	static const char python[] = "import sys,tarfile; t=tarfile.open(fileobj=sys.stdout.buffer,mode=\\\"w|\\\"); t.add(\\\"t\\\"); t.close()";
	static const char *const archivers[] = { "tar --format=gnu -cf - t", "tar --format=pax -cf - t", NULL };
	static uint8_t archive[1 << 20];
	char command[2048];
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(archivers); i++) {
		const char *dir = repeated('n', 120);
		char by_python[200];
		size_t len;
		FILE *f;

		(void)snprintf(by_python, sizeof(by_python), "python3 -c \"%s\"", python);
		(void)snprintf(command, sizeof(command),
			       "d=$(mktemp -d) && cd $d && mkdir -p t/%s && cd t/%s && printf content >f && ln -s f s && ln f h && cd ../.. && %s; rm -rf $d", dir, dir,
			       archivers[i] ? archivers[i] : by_python);
		f = popen(command, "re");
		CHECK(f, "popen");
		len = fread(archive, 1, sizeof(archive), f);
		(void)pclose(f);
		if (len == 0)
			SKIP("no Python here");
		read_all(archive, len, 1000, &s);
		CHECK(s.last == TAR_END && s.entries == 5, "command %zu: %u entries, %s", i, s.entries, s.why);
	}
}

TEST(gnu_tar_reads_what_is_written)
{
	struct tar_entry e = plain(TAR_FILE, repeated('n', 200));
	char path[] = "/tmp/sbx-tar-XXXXXX", command[100], got[16] = "";
	int fd = mkstemp(path);
	struct buf b;
	FILE *f;

	CHECK(fd >= 0, "mkstemp");
	buf_init(&b, 1 << 20);
	e.size = 5;
	e.mtime_nsec = 1;
	CHECK(tar_put_entry(&b, &e), "put");
	put_content(&b, "hello");
	CHECK(tar_put_end(&b), "end");
	(void)snprintf(command, sizeof(command), "tar -xOf - >%s", path);
	f = popen(command, "we");
	CHECK(f && fwrite(buf_data(&b), 1, buf_len(&b), f) == buf_len(&b), "popen");
	CHECK(pclose(f) == 0, "tar complains");
	CHECK(read(fd, got, sizeof(got)) == 5 && memcmp(got, "hello", 5) == 0, "'%s'", got);
	close(fd);
	(void)remove(path);
	buf_done(&b);
}

TEST(reading_survives_every_failing_allocation)
{
	static uint8_t value[3000];
	struct tar_xattr x = { .name = "user.x", .value = value, .len = sizeof(value) };
	struct tar_entry e = plain(TAR_FILE, repeated('n', 3000));

	e.xattrs = &x;
	e.xattr_count = 1;
	FAULT_LOOP {
		struct tar_reader t;
		struct buf b;
		bool put;
		int event = TAR_MORE;

		buf_init(&b, 1 << 20);
		put = tar_put_entry(&b, &e);
		CHECK(put || (fault_happened() && buf_len(&b) == 0), "failed without a fault");
		tar_reader_init(&t);
		if (put) {
			const uint8_t *p = buf_data(&b);
			size_t len = buf_len(&b);

			event = tar_read(&t, &p, &len);
			CHECK(event == TAR_ENTRY || (event == -ENOMEM && fault_happened()), "%d", event);
		}
		tar_reader_done(&t);
		buf_done(&b);
	}
}

RUN_TESTS(T(every_kind_of_entry_comes_back_as_it_was), T(what_a_plain_header_cannot_hold_comes_back_too), T(sizes_beyond_eight_gigabytes_are_told),
	  T(attributes_with_any_name_and_value_come_back), T(what_is_over_a_bound_is_not_written), T(numbers_in_the_form_of_gnu_tar_are_read),
	  T(headers_that_make_no_sense_are_refused), T(old_formats_are_read), T(a_flipped_bit_in_a_header_is_noticed),
	  T(extended_headers_override_the_plain_one), T(an_extended_header_counts_for_one_entry), T(malformed_extended_headers_are_refused),
	  T(an_archive_without_its_end_is_not_at_its_end), T(what_gnu_tar_and_python_write_is_read), T(gnu_tar_reads_what_is_written),
	  T(reading_survives_every_failing_allocation))
