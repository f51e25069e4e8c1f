/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/tar.c - the tar format (POSIX.1-2001 pax, with GNU's long names). A door: archives come from the guest, or from strangers. Everything is checked
 * before it is used: each number against its range, names for NULs, lengths against what is there. An entry is described to the caller when all of its
 * headers have passed; content is handed on as it comes and never stored.
 *
 * Kinds of entries that are none of the usual seven (sparse files, multi-volume pieces) are refused, not guessed at. */
#include "base/tar.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	NAME_AT = 0,
	NAME_LEN = 100,
	MODE_AT = 100,
	ID_LEN = 8,
	UID_AT = 108,
	GID_AT = 116,
	SIZE_AT = 124,
	NUMBER_LEN = 12,
	MTIME_AT = 136,
	CHECKSUM_AT = 148,
	CHECKSUM_LEN = 8,
	TYPE_AT = 156,
	LINK_AT = 157,
	MAGIC_AT = 257,
	MAGIC_LEN = 8,
	MAJOR_AT = 329,
	MINOR_AT = 337,
	PREFIX_AT = 345,
	PREFIX_LEN = 155,
	MODE_MASK = 07777,
	ID_MAX = UINT32_MAX - 1, /* the last one means "no change" to Linux */
	OCTAL7_MAX = (1 << 21) - 1,
};

#define OCTAL11_MAX (((int64_t)1 << 33) - 1)
#define XATTR_KEY "SCHILY.xattr."

static const char posix_magic[MAGIC_LEN] = "ustar\00000", gnu_magic[MAGIC_LEN] = "ustar  ", no_magic[MAGIC_LEN];

static uint32_t checksum(const uint8_t *block)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_LEN ? ' ' : block[i];
	return sum;
}

static size_t padding_of(uint64_t size)
{
	return (size_t)(-size % TAR_BLOCK_BYTES);
}

/* ---- Writing ---- */

static bool put_zeros(struct buf *out, size_t n)
{
	uint8_t *p = buf_reserve(out, n);

	if (!p)
		return false;
	memset(p, 0, n);
	buf_commit(out, n);
	return true;
}

bool tar_put_padding(struct buf *out, uint64_t size)
{
	return put_zeros(out, padding_of(size));
}

bool tar_put_end(struct buf *out)
{
	return put_zeros(out, 2 * (size_t)TAR_BLOCK_BYTES);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void put_record(struct buf *out, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(key) + len + 3; /* blank, '=', newline */
	size_t total = rest + 1;
	char head[32];
	int n;

	while ((n = snprintf(head, sizeof(head), "%zu ", total)) > 0 && (size_t)n - 1 + rest != total)
		total = (size_t)n - 1 + rest;
	(void)buf_put(out, head, (size_t)n);
	(void)buf_put(out, key, strlen(key));
	(void)buf_put(out, "=", 1);
	(void)buf_put(out, value, len);
	(void)buf_put(out, "\n", 1);
}

static void put_number(struct buf *out, const char *key, uint64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, v);

	put_record(out, key, text, (size_t)n);
}

/* Seconds are rounded down in a struct timespec, but a pax time is a decimal fraction: -1.25 is { -2, 750000000 }. */
static void put_time(struct buf *out, int64_t sec, uint32_t nsec)
{
	uint64_t whole = sec < 0 ? -(uint64_t)sec : (uint64_t)sec;
	char text[40];
	int n;

	if (sec < 0 && nsec > 0) {
		whole--;
		nsec = 1000000000 - nsec;
	}
	n = snprintf(text, sizeof(text), "%s%" PRIu64 ".%09" PRIu32, sec < 0 ? "-" : "", whole, nsec);
	put_record(out, "mtime", text, (size_t)n);
}

/* '=' ends a key, so it is written as GNU tar does. */
static bool xattr_key(const char *name, char *dst, size_t size)
{
	size_t n = sizeof(XATTR_KEY) - 1;

	memcpy(dst, XATTR_KEY, n);
	for (; *name; name++) {
		if (n + 4 > size)
			return false;
		if (*name == '%' || *name == '=')
			n += (size_t)snprintf(dst + n, size - n, "%%%02X", *name);
		else
			dst[n++] = *name;
	}
	dst[n] = '\0';
	return true;
}

static bool put_xattrs(struct buf *out, const struct tar_entry *e)
{
	char key[sizeof(XATTR_KEY) + 3 * TAR_XATTR_NAME_MAX + 1];

	for (size_t i = 0; i < e->xattr_count; i++) {
		if (!xattr_key(e->xattrs[i].name, key, sizeof(key)) || e->xattrs[i].len > TAR_XATTR_BYTES_MAX)
			return false;
		put_record(out, key, e->xattrs[i].value, e->xattrs[i].len);
	}
	return e->xattr_count <= TAR_XATTRS_MAX;
}

static void set_octal(uint8_t *block, size_t at, size_t len, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%0*" PRIo64, (int)len - 1, v);
	memcpy(block + at, text, len);
}

static void set_checksum(uint8_t *block)
{
	set_octal(block, CHECKSUM_AT, CHECKSUM_LEN - 1, checksum(block));
	block[CHECKSUM_AT + CHECKSUM_LEN - 1] = ' ';
}

static bool put_block(struct buf *out, char type, const char *path, const char *link, const struct tar_entry *e)
{
	uint8_t block[TAR_BLOCK_BYTES] = { 0 };
	bool slash = type == TAR_DIR && strlen(path) < NAME_LEN && path[strlen(path) - 1] != '/';

	memcpy(block + NAME_AT, path, strnlen(path, NAME_LEN));
	if (slash)
		block[strlen(path)] = '/';
	memcpy(block + LINK_AT, link, strnlen(link, NAME_LEN));
	set_octal(block, MODE_AT, ID_LEN, e->mode & MODE_MASK);
	set_octal(block, UID_AT, ID_LEN, e->uid <= OCTAL7_MAX ? e->uid : 0);
	set_octal(block, GID_AT, ID_LEN, e->gid <= OCTAL7_MAX ? e->gid : 0);
	set_octal(block, SIZE_AT, NUMBER_LEN, e->size <= OCTAL11_MAX ? e->size : 0);
	set_octal(block, MTIME_AT, NUMBER_LEN, e->mtime_sec >= 0 && e->mtime_sec <= OCTAL11_MAX ? (uint64_t)e->mtime_sec : 0);
	block[TYPE_AT] = (uint8_t)type;
	memcpy(block + MAGIC_AT, posix_magic, MAGIC_LEN);
	set_octal(block, MAJOR_AT, ID_LEN, e->major & OCTAL7_MAX);
	set_octal(block, MINOR_AT, ID_LEN, e->minor & OCTAL7_MAX);
	set_checksum(block);
	return buf_put(out, block, sizeof(block));
}

/* The records of everything that the plain header cannot hold. */
static bool put_records(struct buf *out, const struct tar_entry *e)
{
	if (strlen(e->path) >= NAME_LEN)
		put_record(out, "path", e->path, strlen(e->path));
	if (strlen(e->link) > NAME_LEN)
		put_record(out, "linkpath", e->link, strlen(e->link));
	if (e->uid > OCTAL7_MAX)
		put_number(out, "uid", e->uid);
	if (e->gid > OCTAL7_MAX)
		put_number(out, "gid", e->gid);
	if (e->size > OCTAL11_MAX)
		put_number(out, "size", e->size);
	if (e->mtime_sec < 0 || e->mtime_sec > OCTAL11_MAX || e->mtime_nsec > 0)
		put_time(out, e->mtime_sec, e->mtime_nsec);
	return put_xattrs(out, e) && buf_ok(out);
}

static bool put_meta(struct buf *out, const struct buf *records)
{
	struct tar_entry e = { .mode = 0644, .size = buf_len(records) };

	return put_block(out, 'x', "PaxHeader", "", &e) && buf_put(out, buf_data(records), buf_len(records)) &&
	       tar_put_padding(out, buf_len(records));
}

static bool entry_fits(const struct tar_entry *e)
{
	return e->path[0] && strlen(e->path) <= TAR_PATH_MAX && strlen(e->link) <= TAR_PATH_MAX && e->size <= INT64_MAX && e->uid <= ID_MAX &&
	       e->gid <= ID_MAX && e->mtime_nsec < 1000000000;
}

bool tar_put_entry(struct buf *out, const struct tar_entry *e)
{
	struct buf records, all;
	bool good;

	buf_init(&records, TAR_META_MAX);
	buf_init(&all, TAR_META_MAX + 4 * TAR_BLOCK_BYTES);
	good = entry_fits(e) && put_records(&records, e) && (buf_len(&records) == 0 || put_meta(&all, &records)) &&
	       put_block(&all, (char)e->type, e->path, e->link, e) && buf_put(out, buf_data(&all), buf_len(&all));
	buf_done(&records);
	buf_done(&all);
	return good;
}

/* ---- Reading: one header ---- */

static int bad(struct tar_reader *t, int code, const char *why)
{
	t->why = why;
	return code;
}

/* Two's complement in base 256, big endian, bit 7 of the first byte being the mark of this format and bit 6 the sign. */
static bool parse_base256(const uint8_t *f, size_t len, int64_t *ret)
{
	bool negative = f[0] & 0x40;
	uint64_t v = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = i > 0 ? f[i] : negative ? f[0] | 0x80
						       : f[0] & 0x7f;

		if ((v >> 56) != (negative ? 0xff : 0)) /* the next shift would lose something */
			return false;
		v = v << 8 | byte;
	}
	if ((v >> 63) != negative)
		return false;
	*ret = (int64_t)v;
	return true;
}

static bool parse_octal(const uint8_t *f, size_t len, int64_t *ret)
{
	int64_t v = 0;
	size_t i = 0;

	while (i < len && f[i] == ' ')
		i++;
	for (; i < len && f[i] >= '0' && f[i] <= '7'; i++)
		v = v * 8 + (f[i] - '0');
	for (; i < len; i++)
		if (f[i] != ' ' && f[i] != '\0')
			return false;
	*ret = v;
	return true;
}

static bool parse_field(const uint8_t *block, size_t at, size_t len, int64_t min, int64_t max, int64_t *ret)
{
	bool good = block[at] & 0x80 ? parse_base256(block + at, len, ret) : parse_octal(block + at, len, ret);

	return good && *ret >= min && *ret <= max;
}

static void copy_field(char *dst, const uint8_t *f, size_t len)
{
	size_t n = strnlen((const char *)f, len);

	memcpy(dst, f, n);
	dst[n] = '\0';
}

/* The name of a plain header, with its prefix. */
static void copy_name(char *dst, const uint8_t *block)
{
	size_t n = 0;

	if (memcmp(block + MAGIC_AT, posix_magic, MAGIC_LEN) == 0 && block[PREFIX_AT]) {
		copy_field(dst, block + PREFIX_AT, PREFIX_LEN);
		n = strlen(dst);
		dst[n++] = '/';
	}
	copy_field(dst + n, block + NAME_AT, NAME_LEN);
}

static bool copy_span(const struct tar_reader *t, char *dst, struct tar_span s)
{
	const uint8_t *p = buf_data(&t->meta) + s.at;

	if (s.len > TAR_PATH_MAX || memchr(p, 0, s.len))
		return false;
	memcpy(dst, p, s.len);
	dst[s.len] = '\0';
	return true;
}

static int take_names(struct tar_reader *t)
{
	if (!t->given.path)
		copy_name(t->path_text, t->block);
	else if (!copy_span(t, t->path_text, t->path))
		return bad(t, -ENAMETOOLONG, "the path of an entry is too long");
	if (!t->given.link)
		copy_field(t->link_text, t->block + LINK_AT, NAME_LEN);
	else if (!copy_span(t, t->link_text, t->link))
		return bad(t, -ENAMETOOLONG, "the target of a link is too long");
	t->entry.path = t->path_text;
	t->entry.link = "";
	return t->path_text[0] ? 0 : bad(t, -EBADMSG, "an entry has no name");
}

static void take_xattrs(struct tar_reader *t)
{
	for (size_t i = 0; i < t->entry.xattr_count; i++) {
		const uint8_t *p = buf_data(&t->meta);

		t->xattr[i] = (struct tar_xattr){
			.name = (const char *)p + t->xattr_name[i].at,
			.value = p + t->xattr_value[i].at,
			.len = t->xattr_value[i].len,
		};
	}
	t->entry.xattrs = t->xattr;
}

/* Numbers that an extended header has given are left alone. */
static bool take_numbers(struct tar_reader *t)
{
	const uint8_t *b = t->block;
	struct tar_entry *e = &t->entry;
	int64_t mode, uid, gid, size, mtime, major = 0, minor = 0;
	bool device = e->type == TAR_CHAR_DEVICE || e->type == TAR_BLOCK_DEVICE;

	if (!parse_field(b, MODE_AT, ID_LEN, 0, INT64_MAX, &mode) || (!t->given.uid && !parse_field(b, UID_AT, ID_LEN, 0, ID_MAX, &uid)) ||
	    (!t->given.gid && !parse_field(b, GID_AT, ID_LEN, 0, ID_MAX, &gid)) ||
	    (!t->given.size && !parse_field(b, SIZE_AT, NUMBER_LEN, 0, INT64_MAX, &size)) ||
	    (!t->given.mtime && !parse_field(b, MTIME_AT, NUMBER_LEN, INT64_MIN, INT64_MAX, &mtime)))
		return false;
	if (device && (!parse_field(b, MAJOR_AT, ID_LEN, 0, UINT32_MAX, &major) || !parse_field(b, MINOR_AT, ID_LEN, 0, UINT32_MAX, &minor)))
		return false;
	e->mode = (uint32_t)mode & MODE_MASK;
	e->uid = t->given.uid ? e->uid : (uint32_t)uid;
	e->gid = t->given.gid ? e->gid : (uint32_t)gid;
	e->size = t->given.size ? e->size : (uint64_t)size;
	e->mtime_sec = t->given.mtime ? e->mtime_sec : mtime;
	e->major = (uint32_t)major;
	e->minor = (uint32_t)minor;
	return true;
}

/* '\0' and '7' are files of older and rarer formats; the oldest one marks a directory by the slash at its end. */
static bool take_type(struct tar_reader *t)
{
	char type = (char)t->block[TYPE_AT];
	size_t len = strlen(t->path_text);

	if (type == '\0' || type == '7')
		type = TAR_FILE;
	if (type < TAR_FILE || type > TAR_FIFO)
		return false;
	if (type == TAR_FILE && t->path_text[len - 1] == '/')
		type = TAR_DIR;
	t->entry.type = (enum tar_type)type;
	return true;
}

static int take_entry(struct tar_reader *t)
{
	struct tar_entry *e = &t->entry;
	int r = take_names(t);

	if (r < 0)
		return r;
	if (!take_type(t))
		return bad(t, -EOPNOTSUPP, "it holds an entry of a kind that is not supported (sparse, multi-volume or vendor-specific)");
	if (!take_numbers(t))
		return bad(t, -EBADMSG, "a number of a header is malformed or out of range");
	if (e->type == TAR_HARD_LINK || e->type == TAR_SYMLINK) {
		e->link = t->link_text;
		if (!e->link[0])
			return bad(t, -EBADMSG, "a link has no target");
	}
	if (e->type == TAR_DIR) /* some archivers write a size there, and no content */
		e->size = 0;
	if (e->type != TAR_FILE && e->size > 0)
		return bad(t, -EBADMSG, "something that is not a file has content");
	take_xattrs(t);
	t->left = e->size;
	t->padding = padding_of(e->size);
	t->state = e->type == TAR_FILE ? TAR_AT_DATA : TAR_AT_HEADER;
	return TAR_ENTRY;
}

/* What the last entry's extended headers gave is over with it. */
static void forget_entry(struct tar_reader *t)
{
	buf_consume(&t->meta, buf_len(&t->meta));
	memset(&t->given, 0, sizeof(t->given));
	t->entry = (struct tar_entry){ .type = TAR_FILE };
}

static int take_meta_header(struct tar_reader *t, char type)
{
	int64_t size;

	if (!parse_field(t->block, SIZE_AT, NUMBER_LEN, 0, INT64_MAX, &size))
		return bad(t, -EBADMSG, "a number of a header is malformed or out of range");
	if ((uint64_t)size > buf_room(&t->meta))
		return bad(t, -ENAMETOOLONG, "an entry's extended headers are too long");
	t->meta_type = type;
	t->meta_start = buf_len(&t->meta);
	t->left = (uint64_t)size;
	t->padding = padding_of(t->left);
	t->state = TAR_AT_META;
	return 0;
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK_BYTES - 1) == 0;
}

static int take_header(struct tar_reader *t)
{
	const uint8_t *b = t->block;
	int64_t sum;

	t->have = 0;
	if (is_zero(b)) {
		t->state = TAR_AT_END;
		return TAR_END;
	}
	if (!parse_octal(b + CHECKSUM_AT, CHECKSUM_LEN, &sum) || sum != checksum(b))
		return bad(t, -EBADMSG, "it is no tar archive, or a damaged one (the checksum of a header does not match)");
	if (memcmp(b + MAGIC_AT, posix_magic, MAGIC_LEN) != 0 && memcmp(b + MAGIC_AT, gnu_magic, MAGIC_LEN) != 0 &&
	    memcmp(b + MAGIC_AT, no_magic, MAGIC_LEN) != 0)
		return bad(t, -EOPNOTSUPP, "it is an archive of a format that is not supported");
	if (strchr("xgLK", b[TYPE_AT]) && b[TYPE_AT])
		return take_meta_header(t, (char)b[TYPE_AT]);
	return take_entry(t);
}

/* ---- Reading: extended headers ---- */

static bool span_is(const uint8_t *p, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(p, text, len) == 0;
}

static bool parse_decimal(const uint8_t *p, size_t len, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)p[i] - '0';

		if (digit > 9 || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret = v;
	return true;
}

static bool take_time(struct tar_reader *t, const uint8_t *p, size_t len)
{
	bool negative = len > 0 && p[0] == '-';
	const uint8_t *dot;
	uint64_t whole = 0;
	uint32_t nsec = 0, unit = 100000000;

	p += negative;
	len -= negative;
	dot = len > 0 ? memchr(p, '.', len) : NULL;
	if (!parse_decimal(p, dot ? (size_t)(dot - p) : len, INT64_MAX - 1, &whole))
		return false;
	for (const uint8_t *d = dot ? dot + 1 : p + len; d < p + len; d++) {
		if (*d < '0' || *d > '9')
			return false;
		nsec += (uint32_t)(*d - '0') * unit; /* digits beyond nanoseconds count for nothing */
		unit /= 10;
	}
	t->entry.mtime_sec = negative ? -(int64_t)whole - (nsec > 0) : (int64_t)whole;
	t->entry.mtime_nsec = negative && nsec > 0 ? 1000000000 - nsec : nsec;
	t->given.mtime = true;
	return true;
}

/* Undoes xattr_key() in place; the '=' behind the name makes room for the NUL. */
static bool take_xattr(struct tar_reader *t, size_t name_at, size_t name_len, struct tar_span value)
{
	char *name = (char *)buf_data(&t->meta) + name_at;
	size_t n = 0, i = t->entry.xattr_count;

	if (i == TAR_XATTRS_MAX || value.len > TAR_XATTR_BYTES_MAX || memchr(name, 0, name_len))
		return false;
	for (size_t at = 0; at < name_len; at++) {
		bool escaped = name[at] == '%' && name_len - at > 2 && (memcmp(name + at, "%3D", 3) == 0 || memcmp(name + at, "%25", 3) == 0);

		name[n++] = !escaped ? name[at] : name[at + 1] == '3' ? '='
								      : '%';
		at += escaped ? 2 : 0;
	}
	name[n] = '\0';
	if (n == 0 || n > TAR_XATTR_NAME_MAX)
		return false;
	t->xattr_name[i] = (struct tar_span){ .at = name_at, .len = n };
	t->xattr_value[i] = value;
	t->entry.xattr_count++;
	return true;
}

static bool take_id(const uint8_t *p, size_t len, uint32_t *ret, bool *given)
{
	uint64_t v;

	if (!parse_decimal(p, len, ID_MAX, &v))
		return false;
	*ret = (uint32_t)v;
	*given = true;
	return true;
}

/* One record: its key at @key, and its value. An empty value takes back what was given before. */
static bool take_record(struct tar_reader *t, struct tar_span key, struct tar_span value)
{
	const uint8_t *k = buf_data(&t->meta) + key.at, *v = buf_data(&t->meta) + value.at;
	const size_t prefix = sizeof(XATTR_KEY) - 1;

	if (span_is(k, key.len, "path")) {
		t->path = value;
		t->given.path = value.len > 0;
	} else if (span_is(k, key.len, "linkpath")) {
		t->link = value;
		t->given.link = value.len > 0;
	} else if (span_is(k, key.len, "size")) {
		t->given.size = true;
		return parse_decimal(v, value.len, INT64_MAX, &t->entry.size);
	} else if (span_is(k, key.len, "uid")) {
		return take_id(v, value.len, &t->entry.uid, &t->given.uid);
	} else if (span_is(k, key.len, "gid")) {
		return take_id(v, value.len, &t->entry.gid, &t->given.gid);
	} else if (span_is(k, key.len, "mtime")) {
		return take_time(t, v, value.len);
	} else if (key.len > prefix && memcmp(k, XATTR_KEY, prefix) == 0) {
		return take_xattr(t, key.at + prefix, key.len - prefix, value);
	}
	return true; /* access times, names of users, comments */
}

static bool names_sparse(const uint8_t *key, size_t len)
{
	static const char sparse[] = "GNU.sparse.";

	return len >= sizeof(sparse) - 1 && memcmp(key, sparse, sizeof(sparse) - 1) == 0;
}

/* The records from @t->meta_start on: "LENGTH KEY=VALUE\n" each. */
static int take_pax(struct tar_reader *t)
{
	size_t at = t->meta_start, end = buf_len(&t->meta);

	while (at < end) {
		const uint8_t *p = buf_data(&t->meta) + at, *blank = memchr(p, ' ', MIN(end - at, (size_t)8)), *equals;
		uint64_t len;
		size_t key;

		if (!blank || !parse_decimal(p, (size_t)(blank - p), end - at, &len))
			return bad(t, -EBADMSG, "an extended header is malformed");
		key = (size_t)(blank - p) + 1;
		if (len < key + 3 || p[len - 1] != '\n')
			return bad(t, -EBADMSG, "an extended header is malformed");
		equals = memchr(p + key, '=', len - key - 1);
		if (!equals || equals == p + key)
			return bad(t, -EBADMSG, "an extended header is malformed");
		if (names_sparse(p + key, (size_t)(equals - p) - key))
			return bad(t, -EOPNOTSUPP, "it holds a sparse file in GNU's format, which is not supported");

		struct tar_span k = { .at = at + key, .len = (size_t)(equals - p) - key };
		struct tar_span v = { .at = at + (size_t)(equals - p) + 1, .len = (size_t)(p + len - 1 - equals) - 1 };

		if (!take_record(t, k, v))
			return bad(t, -EBADMSG, "an extended header has a value that is malformed or out of range");
		at += len;
	}
	return 0;
}

static int take_meta(struct tar_reader *t)
{
	struct tar_span all = { .at = t->meta_start, .len = buf_len(&t->meta) - t->meta_start };

	switch (t->meta_type) {
	case 'x':
		return take_pax(t);
	case 'L':
	case 'K': /* a string with its NUL */
		all.len = strnlen((const char *)buf_data(&t->meta) + all.at, all.len);
		if (all.len == 0)
			return bad(t, -EBADMSG, "an extended header is malformed");
		if (t->meta_type == 'L') {
			t->path = all;
			t->given.path = true;
		} else {
			t->link = all;
			t->given.link = true;
		}
		return 0;
	default: /* 'g': for all entries; what people put there are comments */
		return 0;
	}
}

/* ---- Reading: the stream ---- */

void tar_reader_init(struct tar_reader *t)
{
	memset(t, 0, sizeof(*t));
	buf_init(&t->meta, TAR_META_MAX);
	forget_entry(t);
}

void tar_reader_done(struct tar_reader *t)
{
	buf_done(&t->meta);
}

static void consume(const uint8_t **p, size_t *len, size_t n)
{
	*p += n;
	*len -= n;
}

static int read_header(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	size_t n = MIN(*len, TAR_BLOCK_BYTES - t->have);

	/* The last entry may be looked at until here. */
	if (t->have == 0 && t->meta_type == '\0')
		forget_entry(t);
	memcpy(t->block + t->have, *p, n);
	t->have += n;
	consume(p, len, n);
	if (t->have < TAR_BLOCK_BYTES)
		return TAR_MORE;
	t->meta_type = '\0';
	return take_header(t);
}

static int read_meta(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	size_t n = (size_t)MIN((uint64_t)*len, t->left);
	int r;

	if (!buf_put(&t->meta, *p, n))
		return bad(t, -ENOMEM, "out of memory");
	consume(p, len, n);
	t->left -= n;
	if (t->left > 0)
		return TAR_MORE;
	r = take_meta(t);
	t->state = TAR_AT_PADDING;
	return r;
}

static int read_data(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	if (t->left == 0) {
		t->state = TAR_AT_PADDING;
		return TAR_CONTENT_END;
	}
	if (*len == 0)
		return TAR_MORE;
	t->data = *p;
	t->data_len = (size_t)MIN((uint64_t)*len, t->left);
	t->left -= t->data_len;
	consume(p, len, t->data_len);
	return TAR_DATA;
}

static int read_padding(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	size_t n = MIN(*len, t->padding);

	consume(p, len, n);
	t->padding -= n;
	if (t->padding == 0)
		t->state = TAR_AT_HEADER;
	return TAR_MORE;
}

int tar_read(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	int r = TAR_MORE;

	if (t->why)
		return -EBADMSG;
	do {
		switch (t->state) {
		case TAR_AT_HEADER:
			r = read_header(t, p, len);
			break;
		case TAR_AT_META:
			r = read_meta(t, p, len);
			break;
		case TAR_AT_DATA:
			r = read_data(t, p, len);
			break;
		case TAR_AT_PADDING:
			r = read_padding(t, p, len);
			break;
		default:
			return TAR_END;
		}
	} while (r == TAR_MORE && (*len > 0 || (t->state == TAR_AT_DATA && t->left == 0)));
	return r;
}

bool tar_reader_ended(const struct tar_reader *t)
{
	return t->state == TAR_AT_END;
}
