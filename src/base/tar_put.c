/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/tar_put.c - writing the tar format: a plain header for each entry, and before it a pax header with what the plain one cannot hold. Nothing of an entry
 * that is over a bound is written. */
#include "base/tar_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
	return put_zeros(out, tar_padding(size));
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
	char key[sizeof(XATTR_KEY) + 3 * (size_t)TAR_XATTR_NAME_MAX + 1];

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
	set_octal(block, CHECKSUM_AT, CHECKSUM_LEN - 1, tar_checksum(block));
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
	memcpy(block + MAGIC_AT, TAR_POSIX_MAGIC, MAGIC_LEN);
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
