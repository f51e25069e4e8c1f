/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/tar.h - tar archives as bytes, without files: what is read and written elsewhere. Written: ustar headers, and a pax header before an entry that
 * needs one (long names, large numbers, fractions of seconds, attributes). Read: those, GNU's long names and base-256 numbers, and the old format without a magic.
 *
 * Bounds: paths of TAR_PATH_MAX bytes, TAR_META_MAX bytes of extended headers an entry, TAR_XATTRS_MAX attributes; what is beyond is refused. */
#ifndef BASE_TAR_H
#define BASE_TAR_H

#include "base/buf.h"

enum {
	TAR_BLOCK_BYTES = 512,
	TAR_PATH_MAX = 4095,
	TAR_META_MAX = 1 << 20,
	TAR_XATTRS_MAX = 64,
	TAR_XATTR_NAME_MAX = 255,
	TAR_XATTR_BYTES_MAX = 1 << 16,
};

enum tar_type {
	TAR_FILE = '0',
	TAR_HARD_LINK = '1',
	TAR_SYMLINK = '2',
	TAR_CHAR_DEVICE = '3',
	TAR_BLOCK_DEVICE = '4',
	TAR_DIR = '5',
	TAR_FIFO = '6',
};

struct tar_xattr {
	const char *name;
	const uint8_t *value;
	size_t len;
};

struct tar_entry {
	enum tar_type type;
	const char *path; /* as the archive has it: any bytes, perhaps absolute, perhaps with ".." */
	const char *link; /* of links: the target; else "" */
	uint32_t mode;    /* permissions, set-user-ID and the like: 07777 */
	uint32_t uid, gid;
	uint32_t major, minor; /* of devices */
	uint64_t size;         /* of the content that follows; 0 but for files */
	int64_t mtime_sec;
	uint32_t mtime_nsec; /* < 1e9 */
	const struct tar_xattr *xattrs;
	size_t xattr_count;
};

/* Appends the headers of an entry; its content follows, and then tar_put_padding(). False, and nothing appended, when something is
 * over its bound, or the buffer is full. */
bool tar_put_entry(struct buf *out, const struct tar_entry *e);
bool tar_put_padding(struct buf *out, uint64_t size);
bool tar_put_end(struct buf *out);

enum tar_event {
	TAR_MORE,        /* everything was taken in */
	TAR_ENTRY,       /* tar_reader.entry, valid until the next call */
	TAR_DATA,        /* tar_reader.data: some of a file's content */
	TAR_CONTENT_END, /* of a file, once, also of an empty one */
	TAR_END,         /* what follows is no part of the archive */
};

enum tar_state { TAR_AT_HEADER,
		 TAR_AT_META,
		 TAR_AT_DATA,
		 TAR_AT_CONTENT_END,
		 TAR_AT_PADDING,
		 TAR_AT_END };

/* Where in the extended headers something is. */
struct tar_span {
	size_t at, len;
};

struct tar_reader {
	enum tar_state state;
	uint8_t block[TAR_BLOCK_BYTES];
	size_t have;    /* bytes of the block */
	uint64_t left;  /* bytes of content or of an extended header */
	size_t padding; /* bytes behind it */
	char meta_type;
	size_t meta_start;
	struct buf meta; /* all extended headers of the next entry */
	struct {
		bool path, link, size, uid, gid, mtime;
	} given; /* by extended headers */
	struct tar_span path, link, xattr_name[TAR_XATTRS_MAX], xattr_value[TAR_XATTRS_MAX];
	struct tar_xattr xattr[TAR_XATTRS_MAX];
	char path_text[TAR_PATH_MAX + 1], link_text[TAR_PATH_MAX + 1];
	struct tar_entry entry;
	const uint8_t *data; /* borrows from what was given to tar_read() */
	size_t data_len;
	const char *why; /* after a failure: what is wrong with the archive */
};

void tar_reader_init(struct tar_reader *t);
void tar_reader_done(struct tar_reader *t);
/* Takes bytes from the front of *@p (*@len of them are there) up to the next event. An enum tar_event; -EBADMSG (no archive, or a damaged
 * one), -ENAMETOOLONG, -EOPNOTSUPP (a kind of entry that is not supported), -ENOMEM: with words in @why, and final. */
int tar_read(struct tar_reader *t, const uint8_t **p, size_t *len);
/* False while an archive is cut short. */
bool tar_reader_ended(const struct tar_reader *t);

#endif
