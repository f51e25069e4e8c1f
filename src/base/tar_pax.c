/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/tar_pax.c - reading extended headers: pax records, and GNU's long names. A door, as tar.c: keys, lengths and values are checked before anything is
 * made of them. What they give stays in the reader's memory as spans of it until the entry has been described. */
#include "base/tar_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

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
			return tar_bad(t, -EBADMSG, "an extended header is malformed");
		key = (size_t)(blank - p) + 1;
		if (len < key + 3 || p[len - 1] != '\n')
			return tar_bad(t, -EBADMSG, "an extended header is malformed");
		equals = memchr(p + key, '=', len - key - 1);
		if (!equals || equals == p + key)
			return tar_bad(t, -EBADMSG, "an extended header is malformed");
		if (names_sparse(p + key, (size_t)(equals - p) - key))
			return tar_bad(t, -EOPNOTSUPP, "it holds a sparse file in GNU's format, which is not supported");

		struct tar_span k = { .at = at + key, .len = (size_t)(equals - p) - key };
		struct tar_span v = { .at = at + (size_t)(equals - p) + 1, .len = (size_t)(p + len - 1 - equals) - 1 };

		if (!take_record(t, k, v))
			return tar_bad(t, -EBADMSG, "an extended header has a value that is malformed or out of range");
		at += len;
	}
	return 0;
}

int tar_take_meta(struct tar_reader *t)
{
	struct tar_span all = { .at = t->meta_start, .len = buf_len(&t->meta) - t->meta_start };

	switch (t->meta_type) {
	case 'x':
		return take_pax(t);
	case 'L':
	case 'K': /* a string with its NUL */
		all.len = strnlen((const char *)buf_data(&t->meta) + all.at, all.len);
		if (all.len == 0)
			return tar_bad(t, -EBADMSG, "an extended header is malformed");
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
