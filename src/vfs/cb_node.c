/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_node.c - the callback provider's nodes: one for each name that a guest holds, with a reference to that of its directory, so that renaming a
 * directory moves all below it at no cost. There are as many as their users refer to; nothing is kept for later.
 *
 * Two tables: by directory and name, so that a name has one node, and by inode number. The number is a hash of the directory's number and the
 * name, so that it is the same again when a guest has forgotten a file and asks anew, and has 52 bits, which a double holds. It stays with its node when
 * that is renamed; a number that is in use is stepped over. SipHash with a known key makes it: a guest can find names with the same low bits, so the
 * tables choose their buckets by a secret factor; it cannot find many with the same number.
 *
 * A node may stand for a name at which nothing is known to be (type 0), while a task makes, renames or removes something there: so that others with the
 * same name meet it. It becomes an object's with the first answer that says so.
 *
 * A node that has lost its name (removed, replaced, or found to be something else) is not found by it any more, and no new call goes through it. It keeps
 * name and directory for the calls that are on their way. */
#include "vfs/cb_impl.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
	TABLE_BITS_FIRST = 6,
	TABLE_BITS_MAX = 28,
	INO_BITS = 52,
};

/* ------------------------------------------------------------------ hashing */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

/* SipHash-1-3 of a directory's number and a name. */
static uint64_t name_key(uint64_t dir_ino, const char *name, size_t len)
{
	struct sip s = { UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d), UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573) };
	uint8_t last[8] = { 0 };
	size_t whole = len & ~(size_t)7;

	sip_word(&s, dir_ino);
	for (size_t i = 0; i < whole; i += 8)
		sip_word(&s, load_le64(name + i));
	memcpy(last, name + whole, len - whole);
	last[7] = (uint8_t)len;
	sip_word(&s, load_le64(last));
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* ------------------------------------------------------------------ tables */

static size_t bucket_of(const struct cb_table *t, uint64_t key)
{
	return (size_t)((key * t->seed) >> (64 - t->bits));
}

static int table_init(struct cb_table *t)
{
	*t = (struct cb_table){ .bits = TABLE_BITS_FIRST };
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != (ssize_t)sizeof(t->seed))
		t->seed = (uintptr_t)t * UINT64_C(0x9e3779b97f4a7c15); /* a guest that can guess it makes its own files slow */
	t->seed |= 1;
	t->bucket = calloc((size_t)1 << t->bits, sizeof(struct cb_link *));
	return t->bucket ? 0 : -ENOMEM;
}

/* Doubles a full table. Without memory its chains grow longer. */
static void table_grow(struct cb_table *t)
{
	size_t old = (size_t)1 << t->bits;
	struct cb_link **bucket;
	struct cb_table grown = *t;

	if (t->count < old || t->bits == TABLE_BITS_MAX)
		return;
	bucket = calloc(old * 2, sizeof(struct cb_link *));
	if (!bucket)
		return;
	grown.bits++;
	grown.bucket = bucket;
	for (size_t i = 0; i < old; i++) {
		while (t->bucket[i]) {
			struct cb_link *l = t->bucket[i];
			struct cb_link **to = &bucket[bucket_of(&grown, l->key)];

			t->bucket[i] = l->next;
			l->next = *to;
			*to = l;
		}
	}
	free(t->bucket);
	*t = grown;
}

static void table_add(struct cb_table *t, struct cb_link *l, uint64_t key)
{
	struct cb_link **at;

	table_grow(t);
	at = &t->bucket[bucket_of(t, key)];
	l->key = key;
	l->next = *at;
	*at = l;
	t->count++;
}

static void table_del(struct cb_table *t, struct cb_link *l)
{
	struct cb_link **at = &t->bucket[bucket_of(t, l->key)];

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	t->count--;
}

int cb_tables_init(struct cbfs *fs)
{
	int r = table_init(&fs->names);

	return r < 0 ? r : table_init(&fs->inos);
}

void cb_tables_done(struct cbfs *fs)
{
	free(fs->names.bucket);
	free(fs->inos.bucket);
}

/* ------------------------------------------------------------------ nodes */

static struct cb_node *child_by_key(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len, uint64_t key)
{
	for (struct cb_link *l = fs->names.bucket[bucket_of(&fs->names, key)]; l; l = l->next) {
		struct cb_node *n = CONTAINER_OF(l, struct cb_node, by_name);

		if (l->key == key && n->parent == dir && n->name_len == len && memcmp(n->name, name, len) == 0)
			return n;
	}
	return NULL;
}

struct cb_node *cb_child(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len)
{
	return child_by_key(fs, dir, name, len, name_key(dir->ino, name, len));
}

static uint64_t ino_of_key(uint64_t key)
{
	uint64_t ino = key >> (64 - INO_BITS);

	return ino > CB_ROOT_INO ? ino : CB_ROOT_INO + 1;
}

static bool ino_used(const struct cbfs *fs, uint64_t ino)
{
	for (struct cb_link *l = fs->inos.bucket[bucket_of(&fs->inos, ino)]; l; l = l->next)
		if (l->key == ino)
			return true;
	return false;
}

uint64_t cb_ino_of(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len)
{
	uint64_t key = name_key(dir->ino, name, len);
	struct cb_node *n = child_by_key(fs, dir, name, len, key);
	uint64_t ino = ino_of_key(key);

	if (n)
		return n->ino;
	while (ino_used(fs, ino))
		ino++;
	return ino;
}

int cb_root_create(struct cbfs *fs)
{
	struct cb_node *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->v = (struct vnode){ .fs = &fs->vfs, .refs = 1 };
	n->ino = CB_ROOT_INO;
	n->type = S_IFDIR;
	table_add(&fs->inos, &n->by_ino, n->ino);
	fs->vfs.root = &n->v;
	return 0;
}

static struct cb_node *node_create(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len, uint32_t type)
{
	AUTOFREE struct cb_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->name = malloc(len + 1);
	if (!n->name)
		return NULL;
	memcpy(n->name, name, len);
	n->name[len] = '\0';
	n->name_len = (uint16_t)len;
	n->v = (struct vnode){ .fs = &fs->vfs, .refs = 1 };
	n->type = type;
	n->ino = cb_ino_of(fs, dir, name, len);
	(void)vnode_ref(&dir->v);
	n->parent = dir;
	table_add(&fs->names, &n->by_name, name_key(dir->ino, name, len));
	table_add(&fs->inos, &n->by_ino, n->ino);
	return TAKE_PTR(n);
}

struct cb_node *cb_intern(struct cbfs *fs, struct cb_node *dir, const char *name, size_t len, uint32_t type)
{
	struct cb_node *n = cb_child(fs, dir, name, len);

	if (n && n->type == 0)
		n->type = type;
	if (n && n->type == type) {
		(void)vnode_ref(&n->v);
		return n;
	}
	if (n)
		cb_lose(fs, n); /* another object has taken its place */
	return node_create(fs, dir, name, len, type);
}

struct cb_node *cb_name_node(struct cbfs *fs, struct cb_node *dir, const char *name)
{
	size_t len = strlen(name);
	struct cb_node *n = cb_child(fs, dir, name, len);

	if (!n)
		return node_create(fs, dir, name, len, 0);
	(void)vnode_ref(&n->v);
	return n;
}

void cb_hide(struct cbfs *fs, struct cb_node *n, bool hidden)
{
	if (n->hidden == hidden)
		return;
	n->hidden = hidden;
	if (hidden)
		fs->hidden++;
	else
		fs->hidden--;
}

void cb_lose(struct cbfs *fs, struct cb_node *n)
{
	if (!n->parent || n->gone)
		return;
	table_del(&fs->names, &n->by_name);
	n->gone = true;
	cb_hide(fs, n, false);
}

/* Takes a live node out of its directory, the reference to which is the caller's now. */
static struct cb_node *node_unlink(struct cbfs *fs, struct cb_node *n)
{
	table_del(&fs->names, &n->by_name);
	return n->parent;
}

/* Puts a node that is in no directory under a name on the heap, which becomes its own. */
static void node_link(struct cbfs *fs, struct cb_node *n, struct cb_node *dir, char *name, size_t len)
{
	(void)vnode_ref(&dir->v);
	n->parent = dir;
	n->name = name;
	n->name_len = (uint16_t)len;
	table_add(&fs->names, &n->by_name, name_key(dir->ino, name, len));
}

int cb_move(struct cbfs *fs, struct cb_node *n, struct cb_node *dir, const char *name)
{
	size_t len = strlen(name);
	struct cb_node *there = cb_child(fs, dir, name, len);
	char *copy = strdup(name);
	struct cb_node *old;

	assert(n->parent && !n->gone);
	if (there && there != n)
		cb_lose(fs, there);
	if (!copy) {
		cb_lose(fs, n);
		return -ENOMEM;
	}
	old = node_unlink(fs, n);
	free(n->name);
	node_link(fs, n, dir, copy, len);
	vnode_unref(&old->v);
	return 0;
}

void cb_swap(struct cbfs *fs, struct cb_node *a, struct cb_node *b)
{
	struct cb_node *dir_a = node_unlink(fs, a), *dir_b = node_unlink(fs, b);
	char *name_a = a->name;
	size_t len_a = a->name_len;

	node_link(fs, a, dir_b, b->name, b->name_len);
	node_link(fs, b, dir_a, name_a, len_a);
	vnode_unref(&dir_a->v);
	vnode_unref(&dir_b->v);
}

bool cb_below(const struct cb_node *n, const struct cb_node *dir)
{
	for (; n; n = n->parent)
		if (n == dir)
			return true;
	return false;
}

const char *cb_path(const struct cb_place *p, char buf[VFS_PATH_MAX + 1])
{
	char *at = buf + VFS_PATH_MAX;
	size_t len = p->name ? strlen(p->name) : 0;

	*at = '\0';
	if (p->name) {
		at -= len + 1;
		at[0] = '/';
		memcpy(at + 1, p->name, len);
	}
	for (const struct cb_node *n = p->node; n->parent; n = n->parent) {
		at -= n->name_len + 1;
		at[0] = '/';
		memcpy(at + 1, n->name, n->name_len);
	}
	if (*at == '\0')
		*--at = '/';
	return at;
}

/* Without recursion: a chain of directories may be as long as a path. */
void cb_node_free(struct vnode *v)
{
	struct cb_node *n = cb_node(v);
	struct cbfs *fs = cb_fs(v->fs);

	for (;;) {
		struct cb_node *dir = n->parent;

		assert(n->busy == 0 && n->opens == 0 && !n->active);
		cb_hide(fs, n, false);
		if (dir && !n->gone)
			table_del(&fs->names, &n->by_name);
		table_del(&fs->inos, &n->by_ino);
		free(n->name);
		free(n);
		if (!dir || --dir->v.refs > 0)
			return;
		n = dir;
	}
}
