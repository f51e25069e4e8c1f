/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/hostdir_node.c - the objects of a lent directory that somebody refers to. An object is recognised by device, inode number and time of
 * birth (numbers are used again), in a hash table, so that hard links lead to one node.
 *
 * A node remembers under which name it was seen last, in which directory, and refers to that directory. Other programs rename what they
 * like, so this is a hint: whoever follows it checks who he meets (hostdir_way.c). Two directories could be remembered as each
 * other's parents when the host moves them about; hd_node_move() keeps the chains free of cycles, by losing the older hint.
 *
 * What is mounted on the host beneath the lent directory is not shown ("barred": an empty directory, or a file without rights). It would let a guest into /proc, or
 * wait for a file system that answers to somebody else. */
#include "vfs/hostdir_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

enum {
	BUCKETS_MIN = 256,
	ALIGN = 8, /* malloc rounds up anyway */
};

static uint64_t stx_dev(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

/* What is mounted there is recognised by its mount: roots of file systems have the same number often. */
static uint64_t stx_number(const struct statx *stx, int dev)
{
	return dev == HD_DEV_BARRED ? stx->stx_mnt_id : stx->stx_ino;
}

static uint32_t stx_born(const struct statx *stx)
{
	if (!(stx->stx_mask & STATX_BTIME))
		return 0;
	return ((uint32_t)stx->stx_btime.tv_sec * 1000000007u ^ stx->stx_btime.tv_nsec) | 1;
}

bool hd_ident_is(const struct hd_ident *want, const struct statx *stx)
{
	return want->ino == stx->stx_ino && want->dev == stx_dev(stx) && want->type == (stx->stx_mode & (uint32_t)S_IFMT) &&
	       want->born == stx_born(stx) && !(stx->stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

struct hd_ident hd_node_ident(const struct hostdir *h, const struct hd_node *n)
{
	return (struct hd_ident){ .ino = n->ino, .dev = h->dev[n->dev], .born = n->born, .type = n->mode & (uint32_t)S_IFMT };
}

uint64_t hd_ino(const struct hd_node *n, uint64_t ino)
{
	return ino ^ (uint64_t)n->dev << 48; /* the first device's are unchanged */
}

/* ---- the table ---- */

static struct hd_node **bucket_of(const struct hostdir *h, uint8_t dev, uint64_t ino)
{
	uint64_t x = (ino ^ (uint64_t)dev << 56) * UINT64_C(0x9e3779b97f4a7c15);

	return &h->bucket[(x >> 32) & (h->buckets - 1)];
}

static void table_grow(struct hostdir *h)
{
	size_t old_count = h->buckets;
	struct hd_node **old = h->bucket, **grown = calloc(old_count * 2, sizeof(*grown));

	if (!grown)
		return; /* longer chains are only slower */
	h->bucket = grown;
	h->buckets = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		struct hd_node *n = old[i], *next;

		for (; n; n = next) {
			struct hd_node **at = bucket_of(h, n->dev, n->ino);

			next = n->next;
			n->next = *at;
			*at = n;
		}
	}
	free(old);
}

static void table_del(struct hostdir *h, struct hd_node *n)
{
	struct hd_node **at = bucket_of(h, n->dev, n->ino);

	if (!n->hashed)
		return;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->hashed = false;
}

static int dev_find(const struct hostdir *h, uint64_t dev)
{
	for (unsigned i = 0; i < h->devs; i++)
		if (h->dev[i] == dev)
			return (int)i;
	return -EXDEV;
}

static int dev_enter(struct hostdir *h, uint64_t dev)
{
	int i = dev_find(h, dev);

	if (i >= 0 || h->devs == HD_DEVS_MAX)
		return i;
	h->dev[h->devs] = dev;
	return (int)h->devs++;
}

static struct hd_node *table_find(struct hostdir *h, uint8_t dev, uint64_t ino)
{
	for (struct hd_node *n = *bucket_of(h, dev, ino); n; n = n->next)
		if (n->ino == ino && n->dev == dev)
			return n;
	return NULL;
}

static bool same_object(const struct hd_node *n, const struct statx *stx)
{
	return n->born == stx_born(stx) && (n->mode & S_IFMT) == (stx->stx_mode & S_IFMT);
}

/* ---- names ---- */

static void lose(struct hd_node *n)
{
	struct hd_node *parent = n->parent;

	n->parent = NULL;
	if (n->name != n->own_name)
		free(n->name);
	n->name = n->own_name;
	if (parent)
		vnode_unref(&parent->vnode);
}

static bool set_name(struct hd_node *n, const char *name)
{
	size_t bytes = strlen(name) + 1;
	char *longer = NULL;

	if (bytes > n->own_room) {
		longer = strdup(name);
		if (!longer)
			return false;
	} else {
		memcpy(n->own_name, name, bytes);
	}
	if (n->name != n->own_name)
		free(n->name);
	n->name = longer ? longer : n->own_name;
	return true;
}

static void move_hint(struct hd_node *n, struct hd_node *dir)
{
	struct hd_node *old = n->parent;

	if (S_ISDIR(n->mode))
		for (struct hd_node *up = dir; up; up = up->parent)
			if (up->parent == n) {
				lose(up);
				break;
			}
	vnode_ref(&dir->vnode);
	n->parent = dir;
	if (old)
		vnode_unref(&old->vnode);
}

void hd_node_move(struct hd_node *n, struct hd_node *dir, const char *name)
{
	if (n == dir || &n->vnode == n->vnode.fs->root)
		return;
	if (n->parent == dir && strcmp(n->name, name) == 0)
		return;
	if (!set_name(n, name)) {
		lose(n);
		return;
	}
	if (n->parent != dir)
		move_hint(n, dir);
}

/* ---- life ---- */

static struct hd_node *node_new(struct hostdir *h, uint8_t dev, const struct statx *stx, const char *name)
{
	size_t room = (sizeof(struct hd_node) + strlen(name) + 1 + ALIGN - 1) / ALIGN * ALIGN - sizeof(struct hd_node);
	struct hd_node *n = malloc(sizeof(*n) + room), **at;

	if (!n)
		return NULL;
	*n = (struct hd_node){
		.vnode = { .fs = &h->vfs, .refs = 1 },
		.name = n->own_name,
		.ino = stx_number(stx, dev),
		.born = stx_born(stx),
		.mode = dev != HD_DEV_BARRED ? stx->stx_mode : S_ISDIR(stx->stx_mode) ? S_IFDIR | 0555 : S_IFREG,
		.dev = dev,
		.hashed = true,
		.own_room = (uint8_t)MIN(room, (size_t)UINT8_MAX),
	};
	if (h->stats.nodes >= h->buckets)
		table_grow(h);
	at = bucket_of(h, dev, n->ino);
	n->next = *at;
	*at = n;
	h->stats.nodes++;
	return n;
}

/* Goes up the chain of parents itself: vnode_unref() would call this again, for each level of a deep tree. */
void hd_node_free(struct vnode *v)
{
	struct hostdir *h = hd_of(v->fs);
	struct hd_node *n = hd_node_of(v), *parent;

	do {
		parent = n->parent;
		table_del(h, n);
		hd_hold_drop(h, n);
		if (n->watched)
			hd_watch_forget(h, n);
		if (n->name != n->own_name)
			free(n->name);
		free(n);
		h->stats.nodes--;
		n = parent;
	} while (n && --n->vnode.refs == 0);
}

int hd_node_enter(struct hostdir *h, struct hd_node *dir, const char *name, const struct statx *stx, struct hd_node **ret)
{
	bool barred = dir && (stx->stx_attributes & STATX_ATTR_MOUNT_ROOT);
	int dev = barred ? HD_DEV_BARRED : dev_enter(h, stx_dev(stx));
	struct hd_node *n;

	if (dev < 0)
		return dev;
	n = table_find(h, (uint8_t)dev, stx_number(stx, dev));
	if (n && !barred && !same_object(n, stx)) {
		table_del(h, n);
		n = NULL;
	}
	if (n) {
		vnode_ref(&n->vnode);
		if (!barred)
			n->mode = stx->stx_mode;
	} else if (h->stats.nodes >= HD_NODES_MAX) {
		return -ENFILE;
	} else {
		n = node_new(h, (uint8_t)dev, stx, name ? name : "");
		if (!n)
			return -ENOMEM;
	}
	if (name)
		hd_node_move(n, dir, name);
	*ret = n;
	return 0;
}

struct hd_node *hd_node_find(struct hostdir *h, const struct statx *stx)
{
	int dev = dev_find(h, stx_dev(stx));
	struct hd_node *n = dev >= 0 ? table_find(h, (uint8_t)dev, stx->stx_ino) : NULL;

	return n && same_object(n, stx) ? n : NULL;
}

int hd_nodes_init(struct hostdir *h, int rootfd, const struct statx *stx)
{
	struct hd_hold *d = malloc(sizeof(*d));
	struct hd_node *root = NULL;
	int r = d ? 0 : -ENOMEM;

	if (r == 0) {
		h->buckets = BUCKETS_MIN;
		h->bucket = calloc(h->buckets, sizeof(*h->bucket));
		r = h->bucket ? hd_node_enter(h, NULL, NULL, stx, &root) : -ENOMEM;
	}
	if (r < 0) {
		free(d);
		return r;
	}
	*d = (struct hd_hold){ .node = root, .fd = rootfd, .pins = 1 };
	list_init(&d->lru);
	root->hold = d;
	h->vfs.root = &root->vnode;
	return 0;
}

void hd_nodes_done(struct hostdir *h)
{
	if (h->vfs.root)
		vnode_unref(h->vfs.root);
	free(h->bucket);
}

/* ---- attributes ---- */

static struct vtime time_of(struct statx_timestamp t)
{
	return (struct vtime){ .sec = t.tv_sec, .nsec = t.tv_nsec };
}

/* As the kernel writes a device's number in 32 bits. */
static uint32_t rdev_of(const struct statx *stx)
{
	uint32_t major = stx->stx_rdev_major, minor = stx->stx_rdev_minor;

	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

void hd_attr(const struct hostdir *h, struct hd_node *n, const struct statx *stx, struct vattr *ret)
{
	if (hd_node_barred(n)) {
		*ret = (struct vattr){ .ino = hd_ino(n, n->ino), .mode = n->mode, .nlink = 1, .blksize = 4096 };
	} else {
		n->mode = stx->stx_mode;
		*ret = (struct vattr){
			.ino = hd_ino(n, stx->stx_ino), .size = stx->stx_size, .blocks = stx->stx_blocks,
			.atime = time_of(stx->stx_atime), .mtime = time_of(stx->stx_mtime), .ctime = time_of(stx->stx_ctime),
			.mode = stx->stx_mode, .nlink = stx->stx_nlink, .uid = stx->stx_uid, .gid = stx->stx_gid,
			.rdev = rdev_of(stx), .blksize = stx->stx_blksize,
		};
	}
	if (h->config.map_owner) {
		ret->uid = h->config.uid;
		ret->gid = h->config.gid;
	}
}
