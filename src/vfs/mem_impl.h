/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_impl.h - shared by the parts of mem: mem.c (attributes, life and death), mem_tree.c (names), mem_dir.c (the table of a directory),
 * mem_file.c (data), mem_map.c (where a file's pages are), mem_page.c (memory for them), mem_xattr.c. */
#ifndef VFS_MEM_IMPL_H
#define VFS_MEM_IMPL_H

#include "base/list.h"
#include "vfs/mem.h"

enum {
	MEM_PAGE = 4096,
	MEM_SECTOR = 512,
	MEM_LINKS_MAX = 65535, /* hard links of a file */
	MEM_TARGET_INLINE = 127, /* a longer symbolic link takes a page of max_bytes, as on tmpfs */
	MEM_DIRENT_SIZE = 20,    /* what a name adds to the size of a directory, as on tmpfs */
};
#define MEM_FILE_MAX ((uint64_t)INT64_MAX) /* bytes of a file, as on tmpfs */

/* Pages in memory. */
struct mem_pages {
	struct list slabs;    /* with a free page */
	unsigned empty_slabs; /* of them, with nothing but free pages */
};

struct mem {
	struct vfs vfs;
	struct mem_config config;
	struct mem_pages pages;
	uint64_t bytes, inodes;               /* taken, of config's limits */
	uint64_t map_bytes, map_bytes_max;    /* of maps */
	uint64_t next_ino;
	uint64_t hash_key;
};

/* What every object has. It lives while it is referenced; its names hold one reference together. */
struct mem_node {
	struct vnode v;
	uint32_t mode, nlink, uid, gid, rdev;
	bool linkable;        /* made without a name, and may get one */
	uint32_t nsec[3];     /* of MEM_ATIME, ... */
	int64_t sec[3];
	uint64_t ino;
	struct mem_xattr *xattrs; /* sorted by name */
};

enum { MEM_ATIME, MEM_MTIME, MEM_CTIME };

/* Page number -> what is there: a tree of MAP_FAN slots a node, as high as the largest number asks for. */
struct mem_map {
	void *root; /* a slot's value if height is 0, else a node */
	unsigned height;
	uint64_t pages; /* slots in use */
};

struct mem_reg {
	struct mem_node n;
	uint64_t size;
	struct mem_map map; /* bytes of a page behind the file's end are zero */
};

struct mem_symlink {
	struct mem_node n;
	uint32_t len;
	char target[]; /* not terminated */
};

struct mem_entry {
	struct mem_entry *next; /* in its bucket */
	struct mem_node *node;
	uint64_t cookie;
	uint32_t hash;
	uint8_t len;
	char name[]; /* not terminated */
};

struct mem_dir {
	struct mem_node n;
	struct mem_dir *parent; /* itself: the root; NULL: removed */
	struct mem_entry **bucket;
	struct mem_slot *slot; /* by rising cookie */
	uint32_t buckets, count;
	uint32_t head, tail, cap; /* of slots; those from head to tail are in use */
	uint64_t next_cookie;
};

struct mem_handle {
	struct vfile f;
	uint32_t flags; /* O_* */
	uint64_t end;   /* of a directory: entries from this cookie on came after it was opened or rewound */
};

/* mem.c */
static inline struct mem_node *mem_node(struct vnode *v)
{
	return (struct mem_node *)(void *)v;
}

static inline struct mem_handle *mem_handle(struct vfile *f)
{
	return (struct mem_handle *)(void *)f;
}

struct mem_reg *mem_reg(struct vnode *v); /* NULL if it is none */
struct mem_dir *mem_dir(struct vnode *v);
void mem_touch(struct mem *m, struct mem_node *n, unsigned times); /* bits 1 << MEM_ATIME, ...: now */
void mem_touch_read(struct mem *m, struct mem_node *n);            /* the access time, as relatime does */
void mem_attr(const struct mem_node *n, struct vattr *ret);
int mem_charge(struct mem *m, uint64_t bytes); /* 0 or -ENOSPC */
int mem_charge_inode(struct mem *m);
/* A write, a change of size or of owner takes privileges away from a file: capabilities, and with @bits set-uid, and set-gid of a group that
 * may execute it. */
void mem_kill_priv(struct mem *m, struct mem_node *n, bool bits);
/* An object without a name or reference but the caller's; @size is its struct's. */
int mem_node_new(struct mem *m, const struct vfs_op *op, const struct mem_dir *parent, uint32_t mode, size_t size, struct mem_node **ret);
void mem_node_free(struct vnode *v);
void mem_handle_init(struct mem_handle *h, struct mem_node *n, uint32_t flags);
int mem_open_node(struct mem *m, struct mem_node *n, uint32_t flags, struct vfile **ret); /* empties it if O_TRUNC says so */

/* mem_dir.c */
struct mem_entry *mem_dir_find(const struct mem *m, const struct mem_dir *d, const char *name);
/* Adds a name that is not there. Takes no reference. 0 or -ENOMEM. */
int mem_dir_add(const struct mem *m, struct mem_dir *d, const char *name, struct mem_node *n);
void mem_dir_del(struct mem_dir *d, struct mem_entry *e); /* frees @e */
void mem_dir_done(struct mem_dir *d);                      /* frees the table; it has no entries */
/* Gives an entry another name, which is not there, at its old place. 0 or -ENOMEM. */
int mem_dir_rename(const struct mem *m, struct mem_dir *d, struct mem_entry *e, const char *name);
struct mem_entry *mem_dir_after(const struct mem_dir *d, uint64_t cookie); /* the first entry behind @cookie, or NULL */
struct mem_entry *mem_dir_any(const struct mem_dir *d);                    /* or NULL */
enum { MEM_COOKIE_DOT = 1, MEM_COOKIE_DOTDOT, MEM_COOKIE_FIRST };

/* mem_tree.c */
int mem_lookup(struct mem *m, struct vfs_op *op);
int mem_symlink(struct mem *m, struct vfs_op *op);
int mem_mknod(struct mem *m, struct vfs_op *op);
int mem_mkdir(struct mem *m, struct vfs_op *op);
int mem_unlink(struct mem *m, struct vfs_op *op);
int mem_rmdir(struct mem *m, struct vfs_op *op);
int mem_link(struct mem *m, struct vfs_op *op);
int mem_create_file(struct mem *m, struct vfs_op *op);
int mem_tmpfile(struct mem *m, struct vfs_op *op);
int mem_readdir(struct mem *m, struct vfs_op *op);
void mem_drop_name(struct mem *m, struct mem_node *n); /* one name of it is gone; may free it */

/* mem_rename.c */
int mem_rename(struct mem *m, struct vfs_op *op);

/* mem_file.c */
int mem_read(struct mem *m, struct vfs_op *op);
int mem_write(struct mem *m, struct vfs_op *op);
int mem_lseek(struct mem *m, struct vfs_op *op);
int mem_fallocate(struct mem *m, struct vfs_op *op);
int mem_copy_file_range(struct mem *m, struct vfs_op *op);
int mem_resize(struct mem *m, struct mem_reg *f, uint64_t size); /* 0 or -EFBIG */
void mem_drop_pages(struct mem *m, struct mem_reg *f, uint64_t first, uint64_t last);

/* mem_map.c. A slot holds NULL (a hole), MEM_RESERVED (paid for, reads as zeros) or a page. */
#define MEM_RESERVED ((void *)1)
void *mem_map_get(const struct mem_map *map, uint64_t index);
/* Puts something into an empty slot. 0, -ENOSPC (the maps' own limit) or -ENOMEM. */
int mem_map_add(struct mem *m, struct mem_map *map, uint64_t index, void *value);
void mem_map_replace(struct mem_map *map, uint64_t index, void *value); /* in a slot that is in use */
void mem_map_del(struct mem *m, struct mem_map *map, uint64_t index);   /* empties a slot that is in use */
bool mem_map_next(const struct mem_map *map, uint64_t *index, void **ret); /* the first slot in use from *index on */

/* mem_page.c */
void mem_pages_init(struct mem_pages *p);
void mem_pages_done(struct mem_pages *p); /* all pages have been freed */
void *mem_page_alloc(struct mem_pages *p, bool zeroed); /* or NULL */
void mem_page_free(struct mem_pages *p, void *page);

/* mem_xattr.c */
int mem_setxattr(struct mem *m, struct vfs_op *op);
int mem_getxattr(struct mem *m, struct vfs_op *op);
int mem_listxattr(struct mem *m, struct vfs_op *op);
int mem_removexattr(struct mem *m, struct vfs_op *op);
bool mem_xattr_del(struct mem *m, struct mem_node *n, const char *name); /* was it there? */
void mem_xattrs_free(struct mem *m, struct mem_node *n);

#endif
