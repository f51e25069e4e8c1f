/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/mem_xattr.c - extended attributes: a list an object, sorted by name. They count as bytes of the file system, and the names of an object may
 * not become more than one listing can return, which bounds the list. Names are "user.", "trusted." or "security." and something;
 * who may touch which is the guest kernel's to decide, but for the listing of "trusted.", which is root's. */
#include "vfs/mem_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

struct mem_xattr {
	struct mem_xattr *next;
	uint32_t value_len;
	uint16_t name_len;
	uint8_t bytes[]; /* name, 0, value */
};

static uint64_t xattr_cost(const struct mem_xattr *x)
{
	return sizeof(*x) + x->name_len + 1 + x->value_len;
}

static int check_name(const char *name)
{
	static const char *const prefixes[] = { "user.", "trusted.", "security." };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], len) == 0)
			return name[len] ? 0 : -EINVAL;
	}
	return -EOPNOTSUPP;
}

/* Where the attribute is linked, or would be. */
static struct mem_xattr **find(struct mem_node *n, const char *name, bool *found)
{
	struct mem_xattr **p = &n->xattrs;
	int order = 1;

	while (*p && (order = strcmp((const char *)(*p)->bytes, name)) < 0)
		p = &(*p)->next;
	*found = *p && order == 0;
	return p;
}

static size_t list_len(const struct mem_node *n)
{
	size_t len = 0;

	for (const struct mem_xattr *x = n->xattrs; x; x = x->next)
		len += x->name_len + 1U;
	return len;
}

static void unlink_xattr(struct mem *m, struct mem_xattr **p)
{
	struct mem_xattr *x = *p;

	*p = x->next;
	m->bytes -= xattr_cost(x);
	free(x);
}

bool mem_xattr_del(struct mem *m, struct mem_node *n, const char *name)
{
	bool found;
	struct mem_xattr **p = find(n, name, &found);

	if (found)
		unlink_xattr(m, p);
	return found;
}

void mem_xattrs_free(struct mem *m, struct mem_node *n)
{
	while (n->xattrs)
		unlink_xattr(m, &n->xattrs);
}

/* With the name and value of @op. */
static int xattr_new(struct mem *m, struct vfs_op *op, struct mem_xattr **ret)
{
	size_t name_len = strlen(op->name);
	struct mem_xattr *x = malloc(sizeof(*x) + name_len + 1 + op->iov_len);
	int r;

	if (!x)
		return -ENOMEM;
	*x = (struct mem_xattr){ .name_len = (uint16_t)name_len, .value_len = (uint32_t)op->iov_len };
	memcpy(x->bytes, op->name, name_len + 1);
	(void)vfs_iov_get(op, 0, x->bytes + name_len + 1, op->iov_len);
	r = mem_charge(m, xattr_cost(x));
	if (r < 0) {
		free(x);
		return r;
	}
	*ret = x;
	return 0;
}

int mem_setxattr(struct mem *m, struct vfs_op *op)
{
	struct mem_node *n = mem_node(op->node);
	struct mem_xattr **p, *x;
	bool found;
	int r = check_name(op->name);

	if (r < 0)
		return r;
	if (op->iov_len > VFS_XATTR_MAX)
		return -E2BIG;
	p = find(n, op->name, &found);
	if (found && op->flags & XATTR_CREATE)
		return -EEXIST;
	if (!found && op->flags & XATTR_REPLACE)
		return -ENODATA;
	if (!found && list_len(n) + strlen(op->name) + 1 > VFS_XATTR_MAX)
		return -ENOSPC;
	r = xattr_new(m, op, &x);
	if (r < 0)
		return r;
	if (found)
		unlink_xattr(m, p);
	x->next = *p;
	*p = x;
	mem_touch(m, n, 1U << MEM_CTIME);
	return 0;
}

int mem_getxattr(struct mem *m, struct vfs_op *op)
{
	const struct mem_xattr *x;
	bool found;
	int r = check_name(op->name);

	(void)m;
	if (r < 0)
		return r;
	x = *find(mem_node(op->node), op->name, &found);
	if (!found)
		return -ENODATA;
	if (op->iov_len > 0 && op->iov_len < x->value_len)
		return -ERANGE;
	if (op->iov_len > 0)
		(void)vfs_iov_put(op, 0, x->bytes + x->name_len + 1, x->value_len);
	op->done_len = x->value_len;
	return 0;
}

static bool listed(const struct vfs_op *op, const struct mem_xattr *x)
{
	return op->uid == 0 || strncmp((const char *)x->bytes, "trusted.", 8) != 0;
}

int mem_listxattr(struct mem *m, struct vfs_op *op)
{
	const struct mem_node *n = mem_node(op->node);
	size_t len = 0, at = 0;

	(void)m;
	for (const struct mem_xattr *x = n->xattrs; x; x = x->next)
		len += listed(op, x) ? x->name_len + 1U : 0;
	if (op->iov_len > 0 && op->iov_len < len)
		return -ERANGE;
	for (const struct mem_xattr *x = n->xattrs; x && op->iov_len > 0; x = x->next)
		if (listed(op, x))
			at += vfs_iov_put(op, at, x->bytes, x->name_len + 1U);
	op->done_len = len;
	return 0;
}

int mem_removexattr(struct mem *m, struct vfs_op *op)
{
	int r = check_name(op->name);

	if (r < 0)
		return r;
	if (!mem_xattr_del(m, mem_node(op->node), op->name))
		return -ENODATA;
	mem_touch(m, mem_node(op->node), 1U << MEM_CTIME);
	return 0;
}
