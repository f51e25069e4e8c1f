/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/call.c - jobs and their way to the loop: an operation travels from the job's thread to the loop in a list under one mutex (an eventfd wakes the loop) and its end comes back by
 * a condition variable. One operation at a time is the caller's own struct, so nothing is allocated for it.
 *
 * Everything of a caller but the fields guarded by the lock belongs to the job while it is idle and to the loop while an operation is posted
 * or submitted; the lock, taken at each change of state, orders the two. caller_done() may only be called when the job has ended. */
#include "vfs/call.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "vfs/call_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* ------------------------------------------------------------------ the loop's side */

static void drop_all(struct list *from)
{
	while (!list_empty(from)) {
		struct held *h = CONTAINER_OF(from->next, struct held, link);

		list_del(&h->link);
		vfile_free(h->file);
		vnode_unref(h->node);
		free(h);
	}
}

/* What directories' entries brought along is of no use to the job, which has no references: only the attributes are kept. An entry for which the
 * file system found no memory looks like one without room, and so, if it was the first, like the end of the directory: that is -ENOMEM here. */
static int strip_nodes(struct vfs_dir *d)
{
	struct vfs_dir raw = *d;
	struct vfs_dirent e;
	const char *name;
	int r = buf_ok(&raw.buf) ? 0 : -ENOMEM;

	vfs_dir_init(d, CALL_DIR_ROOM, raw.plus);
	while (vfs_dir_next(&raw, &e, &name)) {
		if (e.node)
			vnode_unref(e.node);
		else
			e.attr = (struct vattr){ 0 };
		e.node = NULL;
		if (!vfs_dir_add(d, &e, name))
			r = -ENOMEM; /* it fitted before */
	}
	vfs_dir_done(&raw);
	return r;
}

static void call_ended(struct vfs_op *op)
{
	struct caller *c = CONTAINER_OF(op, struct caller, op);

	if (op->code == VFS_READDIR) {
		int r = strip_nodes(op->dir);

		if (op->error == 0)
			op->error = r;
	}
	if (op->code == VFS_OPEN && op->error == 0)
		op->ret_node = vnode_ref(op->node);
	if (op->error == 0 && c->then && c->then(c)) {
		vfs_submit(&c->op);
		return;
	}
	pthread_mutex_lock(&c->set->lock);
	c->state = CALLER_IDLE;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->set->lock);
}

static struct caller *take_posted(struct callers *s)
{
	struct caller *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (!list_empty(&s->posted)) {
		c = CONTAINER_OF(s->posted.next, struct caller, node);
		list_del(&c->node);
		c->state = CALLER_SUBMITTED;
	}
	pthread_mutex_unlock(&s->lock);
	return c;
}

static void callers_wake(struct loop_fd *w, uint32_t events)
{
	struct callers *s = CONTAINER_OF(w, struct callers, wake);
	struct caller *c;
	uint64_t count;

	(void)events;
	(void)!read(s->wakefd, &count, sizeof(count)); /* before the list is looked at: what comes later wakes again */
	while ((c = take_posted(s)) != NULL) {
		drop_all(&c->dropped);
		vfs_submit(&c->op);
	}
}

int callers_init(struct callers *s, struct loop *loop)
{
	AUTOCLOSE int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	*s = (struct callers){ .loop = loop, .wakefd = -1 };
	r = loop_fd_add(loop, &s->wake, fd, EPOLLIN, callers_wake);
	if (r < 0) {
		s->loop = NULL;
		return r;
	}
	s->wakefd = take_fd(&fd);
	list_init(&s->posted);
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

void callers_done(struct callers *s)
{
	if (!s->loop)
		return;
	assert(list_empty(&s->posted));
	loop_fd_del(s->loop, &s->wake);
	close_fd(&s->wakefd);
	pthread_mutex_destroy(&s->lock);
	s->loop = NULL;
}

void caller_init(struct caller *c, struct callers *s, struct vfs *fs)
{
	*c = (struct caller){ .set = s, .fs = fs, .root = { .c = c, .node = fs->root } };
	list_init(&c->node);
	list_init(&c->kept);
	list_init(&c->dropped);
	pthread_cond_init(&c->ended, NULL);
}

/* Is its operation with a file system now? One that only waits to get there ends at once. */
static bool stop(struct caller *c, int why, bool closing)
{
	bool submitted;

	pthread_mutex_lock(&c->set->lock);
	c->closing |= closing;
	if (!c->stop)
		c->stop = why;
	if (c->state == CALLER_POSTED && (closing || !c->undoing)) {
		list_del(&c->node);
		c->op.error = c->stop;
		c->state = CALLER_IDLE;
		pthread_cond_signal(&c->ended);
	}
	submitted = c->state == CALLER_SUBMITTED && (closing || !c->undoing);
	pthread_mutex_unlock(&c->set->lock);
	return submitted; /* stays true: operations end on this thread */
}

void caller_stop(struct caller *c, int why)
{
	if (stop(c, why, false))
		vfs_cancel(&c->op);
}

void caller_finish(struct caller *c)
{
	if (stop(c, -ESHUTDOWN, true))
		vfs_finish(&c->op);
	assert(c->state == CALLER_IDLE);
}

/* For the last operation, which nobody waits for. */
static void undo_ended(struct vfs_op *op)
{
	CONTAINER_OF(op, struct caller, op)->state = CALLER_IDLE;
}

void caller_done(struct caller *c)
{
	assert(c->state == CALLER_IDLE);
	if (c->undo_dir) {
		c->op = (struct vfs_op){ .code = VFS_UNLINK, .node = c->undo_dir->node, .name = c->undo_name, .done = undo_ended };
		c->state = CALLER_SUBMITTED;
		vfs_submit(&c->op);
		if (c->state == CALLER_SUBMITTED)
			vfs_finish(&c->op);
	}
	drop_all(&c->dropped);
	drop_all(&c->kept);
	pthread_cond_destroy(&c->ended);
}

/* ------------------------------------------------------------------ the job's side */

struct vfs_op *call_begin(struct caller *c, enum vfs_code code, struct held *h)
{
	c->op = (struct vfs_op){ .code = code, .uid = c->uid, .gid = c->gid, .node = h->node, .file = h->file, .done = call_ended };
	c->then = NULL;
	return &c->op;
}

int call_run(struct caller *c)
{
	struct callers *s = c->set;
	uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	c->op.error = c->stop;
	if (!c->stop || (c->undoing && !c->closing)) {
		c->state = CALLER_POSTED;
		list_add_tail(&s->posted, &c->node);
		(void)!write(s->wakefd, &one, sizeof(one));
	}
	while (c->state != CALLER_IDLE)
		pthread_cond_wait(&c->ended, &s->lock);
	/* A cancelled operation says -EINTR: why is what its caller wants to know. */
	if (c->op.error == -EINTR && c->stop)
		c->op.error = c->stop;
	pthread_mutex_unlock(&s->lock);
	return c->op.error;
}

static struct held *held_new(struct caller *c)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h) {
		h->c = c;
		list_init(&h->link);
	}
	return h;
}

int call_run_new(struct caller *c, struct held **ret, struct vattr *ret_attr)
{
	struct held *h = held_new(c);
	int r = h ? call_run(c) : -ENOMEM;

	if (r < 0) {
		free(h);
		return r;
	}
	h->node = c->op.ret_node;
	h->file = c->op.ret_file;
	list_add_tail(&c->kept, &h->link);
	if (ret_attr)
		*ret_attr = c->op.attr;
	*ret = h;
	return 0;
}

void held_drop(struct held *h)
{
	if (!h || h == &h->c->root || h == h->c->undo_dir)
		return;
	list_del(&h->link);
	list_add_tail(&h->c->dropped, &h->link);
}
