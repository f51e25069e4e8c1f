/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/nodes.c - the objects that the guest knows, by nodeid. A node lives as long as the guest has lookups of it that it did not forget,
 * or is pinned. The counts are the guest's word: whoever forgets more than was looked up gets what is there, and is counted.
 *
 * A vnode carries the nodeid in its tag, so hard links and repeated lookups lead to the same node. If one file system is mounted twice, a vnode
 * may have a node in each mount: they are chained, and the tag is the first's. */
#include "fuse/fuse_impl.h"

#include <sys/stat.h>

struct fuse_node *fuse_node_get(const struct fuse_session *s, uint64_t nodeid)
{
	return table_get(&s->nodes, nodeid);
}

static int node_add(struct fuse_session *s, unsigned mount, struct vnode *v, uint32_t mode, uint64_t *ret_nodeid)
{
	struct fuse_node *n;
	void *entry;
	int r = table_add(&s->nodes, ret_nodeid, &entry);

	if (r < 0) {
		vnode_unref(v);
		return r;
	}
	n = entry;
	*n = (struct fuse_node){ .vnode = v, .type = mode & S_IFMT, .mount = (uint16_t)mount };
	if (v) {
		n->alias = v->tag;
		v->tag = *ret_nodeid;
	}
	return 0;
}

int fuse_node_enter(struct fuse_session *s, unsigned mount, struct vnode *v, uint32_t mode, uint64_t *ret_nodeid)
{
	uint64_t id = v->tag;
	struct fuse_node *n = fuse_node_get(s, id);
	int r;

	while (n && n->mount != mount) {
		id = n->alias;
		n = fuse_node_get(s, id);
	}
	if (n) {
		vnode_unref(v);
	} else {
		r = node_add(s, mount, v, mode, &id);
		if (r < 0)
			return r;
		n = fuse_node_get(s, id);
	}
	n->lookups++;
	*ret_nodeid = id;
	return 0;
}

int fuse_node_pin(struct fuse_session *s, unsigned mount, struct vnode *v, uint64_t *ret_nodeid)
{
	int r = node_add(s, mount, v ? vnode_ref(v) : NULL, S_IFDIR, ret_nodeid);

	if (r == 0)
		fuse_node_get(s, *ret_nodeid)->pinned = true;
	return r;
}

static void node_del(struct fuse_session *s, uint64_t nodeid, struct fuse_node *n)
{
	struct vnode *v = n->vnode;

	if (v) {
		uint64_t *at = &v->tag;

		while (*at != nodeid)
			at = &fuse_node_get(s, *at)->alias;
		*at = n->alias;
	}
	table_del(&s->nodes, nodeid);
	vnode_unref(v);
}

void fuse_node_forget(struct fuse_session *s, uint64_t nodeid, uint64_t lookups)
{
	struct fuse_node *n = fuse_node_get(s, nodeid);

	if (nodeid == FUSE_ROOT_ID)
		return; /* never looked up, always there */
	if (!n || lookups > n->lookups)
		s->stats.faults++;
	if (!n)
		return;
	n->lookups = lookups < n->lookups ? n->lookups - lookups : 0;
	if (n->lookups == 0 && !n->pinned)
		node_del(s, nodeid, n);
}

void fuse_nodes_clear(struct fuse_session *s, bool pinned_too)
{
	struct fuse_node *n;
	uint32_t cursor = 0;
	uint64_t id;

	while ((n = table_next(&s->nodes, &cursor, &id)) != NULL) {
		n->lookups = 0;
		if (!n->pinned || pinned_too)
			node_del(s, id, n);
	}
}
