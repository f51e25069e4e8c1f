/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/session.c - a request's way: header and arguments are copied once into private memory and checked, its rule prepares a vfs_op, the
 * provider works on it, the rule's end encodes the reply. The guest is trusted to nothing: lengths, ids, names, flags and the order of
 * requests are its to choose, and what no kernel sends is answered with an error and counted (fuse_stats.faults).
 *
 * A request holds references to the vnodes and handles that it works on, so FORGET, RELEASE and DESTROY at any moment take nothing away from
 * under it. Many are under way at once, in any order; only the device bounds their number. Each ends in fuse_reply(), once.
 *
 * One connection serves all mounts, and the guest's kernel takes ENOSYS for the whole connection: a provider's ENOSYS becomes
 * EOPNOTSUPP here. Only what no mount has is answered with it. */
#include "fuse/fuse_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { ERRNO_MAX = 511 }; /* the guest's kernel takes no larger one */

static const uint64_t soon_s = 1, late_s = 86400;

static void mount_init(struct fuse_mount_state *m, const struct fuse_mount *is)
{
	static const uint64_t entry_s[] = { [FUSE_CACHE_AUTO] = soon_s, [FUSE_CACHE_NONE] = 0, [FUSE_CACHE_ALWAYS] = late_s };

	m->is = *is;
	m->entry_s = m->attr_s = m->negative_s = entry_s[is->cache];
	if (is->cache == FUSE_CACHE_NONE)
		m->open_flags = FOPEN_DIRECT_IO;
	if (is->cache == FUSE_CACHE_ALWAYS)
		m->open_flags = m->opendir_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	if (!is->flush)
		m->open_flags |= FOPEN_NOFLUSH;
}

int fuse_session_create(const struct fuse_mount *mounts, unsigned count, struct fuse_session **ret)
{
	struct fuse_session *s = calloc(1, sizeof(*s));
	uint64_t id;
	int r;

	assert(count <= FUSE_MOUNTS_MAX);
	if (!s)
		return -ENOMEM;
	list_init(&s->pending);
	r = table_init(&s->nodes, sizeof(struct fuse_node), FUSE_NODES_MAX);
	if (r == 0)
		r = table_init(&s->handles, sizeof(struct fuse_handle), FUSE_HANDLES_MAX);
	if (r == 0)
		r = fuse_node_pin(s, 0, NULL, &id);
	assert(r < 0 || id == FUSE_ROOT_ID);
	for (; r == 0 && s->mount_count < count; s->mount_count++) {
		mount_init(&s->mount[s->mount_count], &mounts[s->mount_count]);
		s->xattrs |= !mounts[s->mount_count].no_xattrs;
		r = fuse_node_pin(s, s->mount_count, mounts[s->mount_count].fs->root, &s->mount[s->mount_count].root);
	}
	if (r < 0) {
		fuse_session_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void fuse_session_free(struct fuse_session *s)
{
	if (!s)
		return;
	fuse_reset(s);
	fuse_nodes_clear(s, true);
	table_done(&s->nodes);
	table_done(&s->handles);
	free(s);
}

void fuse_quiesce(struct fuse_session *s)
{
	while (!list_empty(&s->pending))
		vfs_finish(&CONTAINER_OF(s->pending.next, struct fuse_req, pending)->op);
}

void fuse_forget_all(struct fuse_session *s)
{
	fuse_handles_clear(s);
	fuse_nodes_clear(s, false);
}

void fuse_reset(struct fuse_session *s)
{
	fuse_quiesce(s);
	fuse_forget_all(s);
	s->started = false;
}

unsigned fuse_interrupt_pid(struct fuse_session *s, uint32_t pid)
{
	unsigned count = 0;

	LIST_EACH (at, &s->pending) {
		struct fuse_req *r = CONTAINER_OF(at, struct fuse_req, pending);

		if (r->op.pid == pid) {
			vfs_cancel(&r->op);
			count++;
		}
	}
	return count;
}

void fuse_get_stats(const struct fuse_session *s, struct fuse_stats *ret)
{
	*ret = s->stats;
	ret->nodes = s->nodes.count;
	ret->handles = s->handles.count;
}

/* ---- the end of a request ---- */

static int guest_error(int error)
{
	if (error == -ENOSYS)
		return -EOPNOTSUPP;
	return error < -ERRNO_MAX || error > 0 ? -EIO : error;
}

/* Writes the reply and returns its length. */
static size_t put_reply(struct fuse_req *r, int error, const void *body, size_t len)
{
	struct fuse_out_header h = { .error = error, .unique = r->unique };
	uint8_t together[sizeof(h) + 256];
	size_t total = sizeof(h) + (error ? 0 : len);

	if (r->out_len < sizeof(h))
		return 0;
	h.len = (uint32_t)total;
	if (r->cut_off > 0)
		fuse_uncut_out(r);
	memcpy(together, &h, sizeof(h));
	if (error || !body) {
		(void)fuse_iov_put(r->out, r->out_count, 0, together, sizeof(h));
	} else if (total <= sizeof(together)) {
		memcpy(together + sizeof(h), body, len);
		(void)fuse_iov_put(r->out, r->out_count, 0, together, total);
	} else {
		(void)fuse_iov_put(r->out, r->out_count, 0, together, sizeof(h));
		(void)fuse_iov_put(r->out, r->out_count, sizeof(h), body, len);
	}
	return total;
}

/* The request goes back to the device, @written bytes of its reply being there. */
static void request_end(struct fuse_req *r, size_t written)
{
	struct fuse_session *s = r->session;

	fuse_handle_drop(s, r->handle);
	fuse_handle_drop(s, r->handle2);
	vnode_unref(r->op.node);
	vnode_unref(r->op.node2);
	free(r->args_heap);
	s->stats.inflight--;
	r->reply(r, written);
}

void fuse_reply(struct fuse_req *r, int error, const void *body, size_t len)
{
	if (error)
		r->session->stats.errors++;
	request_end(r, r->rule && (r->rule->flags & FUSE_RULE_SILENT) ? 0 : put_reply(r, error, body, len));
}

static void op_done(struct vfs_op *op)
{
	struct fuse_req *r = CONTAINER_OF(op, struct fuse_req, op);

	list_del(&r->pending);
	op->error = guest_error(op->error);
	if (op->error && !(r->rule->flags & FUSE_RULE_FAILS))
		fuse_reply(r, op->error, NULL, 0);
	else if (r->rule->end)
		r->rule->end(r);
	else
		fuse_reply(r, 0, NULL, 0);
}

void fuse_go(struct fuse_req *r)
{
	list_add_tail(&r->session->pending, &r->pending);
	vfs_submit(&r->op);
}

/* ---- the beginning ---- */

/* The arguments, copied: 0, -E2BIG or -ENOMEM. */
static int copy_args(struct fuse_req *r, struct rd *ret)
{
	size_t left = r->in_len - sizeof(struct fuse_in_header);
	size_t len = r->rule->flags & FUSE_RULE_PAYLOAD ? MIN(left, (size_t)r->rule->args) : left;
	uint8_t *args = r->args;

	if (len > FUSE_ARGS_MAX)
		return -E2BIG;
	if (len > sizeof(r->args))
		args = r->args_heap = malloc(len);
	if (!args)
		return -ENOMEM;
	(void)fuse_iov_get(r->in, r->in_count, sizeof(struct fuse_in_header), args, len);
	*ret = rd_over(args, len);
	return 0;
}

static int find_node(struct fuse_req *r)
{
	const struct fuse_node *n = fuse_node_get(r->session, r->nodeid);

	if (!n)
		return -ESTALE;
	if ((r->rule->flags & FUSE_RULE_DIR) && n->type != S_IFDIR)
		return -ENOTDIR;
	r->mount = n->mount;
	if ((r->rule->flags & FUSE_RULE_XATTR) && fuse_mount_of(r)->is.no_xattrs)
		return -EOPNOTSUPP;
	r->op.node = vnode_ref(n->vnode);
	return 0;
}

/* As struct fuse_rule.begin. */
static int request_begin(struct fuse_req *r, uint32_t opcode)
{
	struct rd args;
	int e = copy_args(r, &args);

	if (e < 0)
		return e;
	if (r->rule->reply > 0 && fuse_room(r) < r->rule->reply)
		return -EINVAL;
	r->op.code = r->rule->code;
	if ((r->rule->flags & FUSE_RULE_XATTR) && !r->session->xattrs)
		return -ENOSYS;
	if (r->rule->flags & FUSE_RULE_ALONE)
		return r->rule->begin(r, &args);
	if (r->nodeid == FUSE_ROOT_ID)
		return fuse_root_begin(r, opcode, &args);
	e = find_node(r);
	if (e == 0)
		e = r->rule->begin(r, &args);
	if (e == 0 && fuse_mount_of(r)->is.readonly && vfs_op_writes(&r->op))
		e = -EROFS;
	return e;
}

static void request_init(struct fuse_session *s, struct fuse_req *r)
{
	r->session = s;
	r->rule = NULL;
	r->unique = r->nodeid = 0;
	r->mount = 0;
	r->handle = r->handle2 = NULL;
	r->cut_seg = 0;
	r->cut_off = 0;
	r->args_heap = NULL;
	memset(&r->op, 0, sizeof(r->op));
	r->op.done = op_done;
	s->stats.requests++;
	s->stats.inflight++;
}

/* Reads the header: 0, or why the request is not served. */
static int read_header(struct fuse_req *r, uint32_t *ret_opcode)
{
	uint8_t raw[sizeof(struct fuse_in_header)];
	struct rd h = rd_over(raw, fuse_iov_get(r->in, r->in_count, 0, raw, sizeof(raw)));
	uint32_t len = rd_le32(&h);

	*ret_opcode = rd_le32(&h);
	r->unique = rd_le64(&h);
	r->nodeid = rd_le64(&h);
	r->op.uid = rd_le32(&h);
	r->op.gid = rd_le32(&h);
	r->op.pid = rd_le32(&h);
	(void)rd_le32(&h); /* length of extensions, none of which was negotiated; and padding */
	if (!rd_done(&h) || len != r->in_len)
		return -EINVAL;
	if (*ret_opcode < FUSE_OPCODE_COUNT && fuse_rules[*ret_opcode].begin)
		r->rule = &fuse_rules[*ret_opcode];
	else
		return -ENOSYS;
	if (!(r->rule->flags & FUSE_RULE_SILENT) && r->out_len < sizeof(struct fuse_out_header))
		return -EINVAL;
	return r->session->started || (r->rule->flags & FUSE_RULE_EARLY) ? 0 : -EIO;
}

void fuse_submit(struct fuse_session *s, struct fuse_req *r)
{
	uint32_t opcode;
	int e;

	request_init(s, r);
	e = read_header(r, &opcode);
	if (e == 0)
		e = request_begin(r, opcode);
	else if (e != -ENOSYS)
		s->stats.faults++;
	if (e == FUSE_ANSWERED)
		return;
	if (e < 0) {
		fuse_reply(r, e, NULL, 0);
		return;
	}
	fuse_go(r);
}
