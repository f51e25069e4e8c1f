/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/tar.c - reading the tar format (POSIX.1-2001 pax, with GNU's long names). A door: archives come from the guest, or from strangers. Everything is checked
 * before it is used: each number against its range, names for NULs, lengths against what is there. An entry is described to the caller when all of its
 * headers have passed; content is handed on as it comes and never stored.
 *
 * Kinds of entries that are none of the usual seven (sparse files, multi-volume pieces) are refused, not guessed at. */
#include "base/tar.h"

#include "base/cleanup.h"
#include "base/tar_impl.h"

#include <errno.h>
#include <string.h>

static const char posix_magic[MAGIC_LEN] = TAR_POSIX_MAGIC, gnu_magic[MAGIC_LEN] = "ustar  ", no_magic[MAGIC_LEN];

uint32_t tar_checksum(const uint8_t *block)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_LEN ? ' ' : block[i];
	return sum;
}

/* ---- One header ---- */

int tar_bad(struct tar_reader *t, int code, const char *why)
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
		return tar_bad(t, -ENAMETOOLONG, "the path of an entry is too long");
	if (!t->given.link)
		copy_field(t->link_text, t->block + LINK_AT, NAME_LEN);
	else if (!copy_span(t, t->link_text, t->link))
		return tar_bad(t, -ENAMETOOLONG, "the target of a link is too long");
	t->entry.path = t->path_text;
	t->entry.link = "";
	return t->path_text[0] ? 0 : tar_bad(t, -EBADMSG, "an entry has no name");
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
		return tar_bad(t, -EOPNOTSUPP, "it holds an entry of a kind that is not supported (sparse, multi-volume or vendor-specific)");
	if (!take_numbers(t))
		return tar_bad(t, -EBADMSG, "a number of a header is malformed or out of range");
	if (e->type == TAR_HARD_LINK || e->type == TAR_SYMLINK) {
		e->link = t->link_text;
		if (!e->link[0])
			return tar_bad(t, -EBADMSG, "a link has no target");
	}
	if (e->type == TAR_DIR) /* some archivers write a size there, and no content */
		e->size = 0;
	if (e->type != TAR_FILE && e->size > 0)
		return tar_bad(t, -EBADMSG, "something that is not a file has content");
	take_xattrs(t);
	t->left = e->size;
	t->padding = tar_padding(e->size);
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
		return tar_bad(t, -EBADMSG, "a number of a header is malformed or out of range");
	if ((uint64_t)size > buf_room(&t->meta))
		return tar_bad(t, -ENAMETOOLONG, "an entry's extended headers are too long");
	t->meta_type = type;
	t->meta_start = buf_len(&t->meta);
	t->left = (uint64_t)size;
	t->padding = tar_padding(t->left);
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
	if (!parse_octal(b + CHECKSUM_AT, CHECKSUM_LEN, &sum) || sum != tar_checksum(b))
		return tar_bad(t, -EBADMSG, "it is no tar archive, or a damaged one (the checksum of a header does not match)");
	if (memcmp(b + MAGIC_AT, posix_magic, MAGIC_LEN) != 0 && memcmp(b + MAGIC_AT, gnu_magic, MAGIC_LEN) != 0 &&
	    memcmp(b + MAGIC_AT, no_magic, MAGIC_LEN) != 0)
		return tar_bad(t, -EOPNOTSUPP, "it is an archive of a format that is not supported");
	if (strchr("xgLK", b[TYPE_AT]) && b[TYPE_AT])
		return take_meta_header(t, (char)b[TYPE_AT]);
	return take_entry(t);
}

/* ---- The stream ---- */

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
		return tar_bad(t, -ENOMEM, "out of memory");
	consume(p, len, n);
	t->left -= n;
	if (t->left > 0)
		return TAR_MORE;
	r = tar_take_meta(t);
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
