/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_impl.h - shared by the parts of the host tools: tools.c (requests and answers), tools_tree.c (names and attributes), tools_list.c
 * (directories in order), tools_data.c (content), tools_patch.c, tools_search.c. But for tools.c, everything runs on a thread of the tools' pool. */
#ifndef HOST_TOOLS_IMPL_H
#define HOST_TOOLS_IMPL_H

#include "host/tools.h"
#include "proto/tool.h"
#include "vfs/walk.h"

enum {
	TOOL_MESSAGE_MAX = 512,
	TOOL_DEPTH_MAX = 64,            /* directories in directories that a tool has in its hands at once */
	TOOL_DIR_ENTRIES_MAX = 1 << 22, /* entries of one directory that a tool looks at */
	TOOL_PATCH_MAX = 16 << 20,      /* bytes of a file that is patched, before and after */
};

struct tool {
	struct tools *tools;
	struct list node; /* tools.running or tools.answered */
	struct work work;
	struct loop_timer timer;
	struct caller c;
	uint32_t chan;
	const struct attachment *at; /* the mount or binding */
	const char *prefix;          /* its path */
	uint8_t *body;
	struct msg_fs_tool m; /* borrows from @body */
	char *path, *path2;
	/* The answer. */
	int error;
	struct msg_fs_result r;
	struct buf data;
	char message[TOOL_MESSAGE_MAX]; /* "": strerror() says enough */
};

/* Why it failed, in words; returns @code. */
int tool_fail(struct tool *t, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* walk() with the request's prefix and flags PARENTS and OWNER. walk_done() in any case. */
int tool_walk(struct tool *t, const char *path, unsigned flags, struct walk *ret);
/* What is created in @w's directory from here on belongs to whom the request says. */
void tool_set_owner(struct tool *t, const struct walk *w);
/* The object that the answer tells about. */
void tool_set_attr(struct tool *t, const struct vattr *a);

/* The tools: 0 or -errno. */
int tool_stat(struct tool *t);
int tool_mkdir(struct tool *t);
int tool_remove(struct tool *t);
int tool_rename(struct tool *t);
int tool_link(struct tool *t);
int tool_symlink(struct tool *t);
int tool_readlink(struct tool *t);
int tool_setattr(struct tool *t);
int tool_list(struct tool *t);
int tool_read(struct tool *t);
int tool_read_lines(struct tool *t);
int tool_write(struct tool *t);
int tool_patch(struct tool *t);
int tool_search(struct tool *t);

/* tools_data.c: a regular file, found by @path and opened; @ret_attr is as of when it was open. */
int tool_open_file(struct tool *t, const char *path, struct held **ret, struct vattr *ret_attr);
/* Asks for the errors of what was written, where a file system has them. */
int tool_flush(struct tool *t, struct held *open);

/* tools_list.c: entries of a directory in the order of their names' bytes, the first ones behind a name, as many as fit. */
struct dir_name {
	uint32_t type;     /* DT_* */
	struct vattr attr; /* mode 0: not known */
	size_t len;
	char name[]; /* a C string */
};

struct dir_names {
	size_t max_bytes, entry_bytes; /* an entry counts as its name and @entry_bytes; one always fits */
	struct dir_name **v;
	size_t count, cap, bytes;
	size_t settled; /* so many are in order and without equals */
	bool more;      /* there are names behind the last one */
};

void dir_names_init(struct dir_names *d, size_t max_bytes, size_t entry_bytes);
void dir_names_done(struct dir_names *d);
/* Reads the directory @dir and keeps the first names behind @after ("": all). */
int dir_names_read(struct tool *t, struct held *dir, const char *after, bool plus, struct dir_names *d);

#endif
