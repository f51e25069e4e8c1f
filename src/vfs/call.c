/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/call.c - an operation travels from the job's thread to the loop in a list under one mutex (an eventfd wakes the loop) and its end comes back by
 * a condition variable. One operation at a time is the caller's own struct, so nothing is allocated for it.
 *
 * Everything of a caller but the fields guarded by the lock belongs to the job while it is idle and to the loop while an operation is posted
 * or submitted; the lock, taken at each change of state, orders the two. caller_done() may only be called when the job has ended. */
#include "vfs/call.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
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

static struct vfs_op *begin(struct caller *c, enum vfs_code code, struct held *h)
{
	c->op = (struct vfs_op){ .code = code, .uid = c->uid, .gid = c->gid, .node = h->node, .file = h->file, .done = call_ended };
	c->then = NULL;
	return &c->op;
}

static struct vfs_op *begin_io(struct caller *c, enum vfs_code code, struct held *h, void *buf, size_t len)
{
	struct vfs_op *op = begin(c, code, h);

	c->iov = (struct iovec){ .iov_base = buf, .iov_len = len };
	op->iov = &c->iov;
	op->iov_count = 1;
	op->iov_len = len;
	return op;
}

/* Makes the operation that begin() and its caller have filled in, and waits for its end. */
static int run(struct caller *c)
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

/* Runs an operation that yields an object. */
static int run_new(struct caller *c, struct held **ret, struct vattr *ret_attr)
{
	struct held *h = held_new(c);
	int r = h ? run(c) : -ENOMEM;

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

static int run_made(struct caller *c)
{
	struct held *h;
	int r = run_new(c, &h, NULL);

	if (r == 0)
		held_drop(h);
	return r;
}

void held_drop(struct held *h)
{
	if (!h || h == &h->c->root || h == h->c->undo_dir)
		return;
	list_del(&h->link);
	list_add_tail(&h->c->dropped, &h->link);
}

/* ------------------------------------------------------------------ operations */

int call_lookup(struct caller *c, struct held *dir, const char *name, struct held **ret, struct vattr *ret_attr)
{
	begin(c, VFS_LOOKUP, dir)->name = name;
	return run_new(c, ret, ret_attr);
}

static int run_attr(struct caller *c, struct vattr *ret_attr)
{
	int r = run(c);

	if (r == 0 && ret_attr)
		*ret_attr = c->op.attr;
	return r;
}

int call_getattr(struct caller *c, struct held *h, struct vattr *ret_attr)
{
	(void)begin(c, VFS_GETATTR, h);
	return run_attr(c, ret_attr);
}

int call_setattr(struct caller *c, struct held *h, uint32_t set, const struct vattr *values, struct vattr *ret_attr)
{
	struct vfs_op *op = begin(c, VFS_SETATTR, h);

	op->set = set;
	op->attr = *values;
	return run_attr(c, ret_attr);
}

int call_open(struct caller *c, struct held *h, uint32_t flags, struct held **ret)
{
	begin(c, VFS_OPEN, h)->flags = flags;
	return run_new(c, ret, NULL);
}

int call_create(struct caller *c, struct held *dir, const char *name, uint32_t mode, uint32_t flags, struct held **ret, struct vattr *ret_attr)
{
	struct vfs_op *op = begin(c, VFS_CREATE, dir);

	op->name = name;
	op->mode = mode;
	op->flags = flags;
	return run_new(c, ret, ret_attr);
}

ssize_t call_read(struct caller *c, struct held *h, uint64_t off, void *buf, size_t len)
{
	size_t done = 0, n = 1;

	while (done < len && n > 0) {
		size_t want = MIN(len - done, (size_t)CALL_IO_MAX);
		int r;

		begin_io(c, VFS_READ, h, (uint8_t *)buf + done, want)->off = off + done;
		r = run(c);
		if (r < 0)
			return r;
		n = MIN(c->op.done_len, want);
		done += n;
		if (n < want)
			break;
	}
	return (ssize_t)done;
}

int call_write(struct caller *c, struct held *h, uint64_t off, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t want = MIN(len - done, (size_t)CALL_IO_MAX);
		/* WRITE only reads what the iov points to. */
		struct vfs_op *op = begin_io(c, VFS_WRITE, h, (uint8_t *)(uintptr_t)buf + done, want);
		int r;

		op->off = off + done;
		op->flags = VFS_KILL_PRIV;
		r = run(c);
		if (r < 0)
			return r;
		if (c->op.done_len == 0)
			return -EIO;
		done += MIN(c->op.done_len, want);
	}
	return 0;
}

int call_flush(struct caller *c, struct held *h)
{
	(void)begin(c, VFS_FLUSH, h);
	return run(c);
}

int call_readdir(struct caller *c, struct held *h, uint64_t off, bool plus, struct vfs_dir *d)
{
	struct vfs_op *op = begin(c, VFS_READDIR, h);

	vfs_dir_done(d);
	vfs_dir_init(d, CALL_DIR_ROOM, plus);
	op->off = off;
	op->dir = d;
	return run(c);
}

int call_mkdir(struct caller *c, struct held *dir, const char *name, uint32_t mode)
{
	struct vfs_op *op = begin(c, VFS_MKDIR, dir);

	op->name = name;
	op->mode = mode;
	return run_made(c);
}

int call_symlink(struct caller *c, struct held *dir, const char *name, const char *target)
{
	struct vfs_op *op = begin(c, VFS_SYMLINK, dir);

	op->name = name;
	op->target = target;
	return run_made(c);
}

int call_link(struct caller *c, struct held *object, struct held *dir, const char *name)
{
	struct vfs_op *op = begin(c, VFS_LINK, dir);

	if (object->node->fs != dir->node->fs)
		return -EXDEV;
	op->name = name;
	op->node2 = object->node;
	return run_made(c);
}

int call_unlink(struct caller *c, struct held *dir, const char *name)
{
	begin(c, VFS_UNLINK, dir)->name = name;
	return run(c);
}

int call_rmdir(struct caller *c, struct held *dir, const char *name)
{
	begin(c, VFS_RMDIR, dir)->name = name;
	return run(c);
}

int call_rename(struct caller *c, struct held *dir, const char *name, struct held *dir2, const char *name2, uint32_t flags)
{
	struct vfs_op *op = begin(c, VFS_RENAME, dir);

	if (dir->node->fs != dir2->node->fs)
		return -EXDEV;
	op->name = name;
	op->node2 = dir2->node;
	op->name2 = name2;
	op->flags = flags;
	return run(c);
}

int call_readlink(struct caller *c, struct held *h, char ret[VFS_PATH_MAX + 1])
{
	size_t len;
	int r;

	(void)begin_io(c, VFS_READLINK, h, ret, VFS_PATH_MAX);
	r = run(c);
	if (r < 0)
		return r;
	len = c->op.done_len;
	if (len == 0 || len > VFS_PATH_MAX || memchr(ret, '\0', len))
		return -EIO;
	ret[len] = '\0';
	return 0;
}

ssize_t call_listxattr(struct caller *c, struct held *h, void *buf, size_t len)
{
	int r;

	(void)begin_io(c, VFS_LISTXATTR, h, buf, len);
	r = run(c);
	return r < 0 ? r : (ssize_t)MIN(c->op.done_len, len);
}

ssize_t call_getxattr(struct caller *c, struct held *h, const char *name, void *buf, size_t len)
{
	int r;

	begin_io(c, VFS_GETXATTR, h, buf, len)->name = name;
	r = run(c);
	return r < 0 ? r : (ssize_t)MIN(c->op.done_len, len);
}

int call_setxattr(struct caller *c, struct held *h, const char *name, const void *buf, size_t len)
{
	begin_io(c, VFS_SETXATTR, h, (void *)(uintptr_t)buf, len)->name = name;
	return run(c);
}

/* ------------------------------------------------------------------ replacing a file */

void call_undo_set(struct caller *c, struct held *dir, const char *name)
{
	assert(strlen(name) < sizeof(c->undo_name));
	memcpy(c->undo_name, name, strlen(name) + 1);
	c->undo_dir = dir;
}

bool call_replaces(const struct held *dir)
{
	return vfs_replaces(dir->node);
}

void call_undoing(struct caller *c, bool on)
{
	pthread_mutex_lock(&c->set->lock);
	c->undoing = on;
	pthread_mutex_unlock(&c->set->lock);
}

void call_undo(struct caller *c)
{
	int r;

	if (!c->undo_dir)
		return;
	call_undoing(c, true);
	r = call_unlink(c, c->undo_dir, c->undo_name);
	call_undoing(c, false);
	if (r == 0 || r == -ENOENT)
		c->undo_dir = NULL; /* else caller_done() tries again */
}

static bool times_equal(struct vtime a, struct vtime b)
{
	return a.sec == b.sec && a.nsec == b.nsec;
}

/* On the loop's thread, after the lookup of the name that is to be replaced. */
static bool rename_if_same(struct caller *c)
{
	const struct vattr *now = &c->op.attr, *before = c->before;
	bool same = c->op.ret_node == c->same->node && now->size == before->size && times_equal(now->mtime, before->mtime) &&
		    times_equal(now->ctime, before->ctime);

	vnode_unref(c->op.ret_node);
	if (!same) {
		c->op.error = -ESTALE;
		return false;
	}
	(void)begin(c, VFS_RENAME, c->undo_dir);
	c->op.name = c->undo_name;
	c->op.node2 = c->undo_dir->node;
	c->op.name2 = c->new_name;
	return true;
}

int call_replace(struct caller *c, const char *name, struct held *same, const struct vattr *before)
{
	int r;

	begin(c, VFS_LOOKUP, c->undo_dir)->name = name;
	c->new_name = name;
	c->same = same;
	c->before = before;
	c->then = rename_if_same;
	r = run(c);
	if (r == -ENOENT)
		return -ESTALE; /* it was there */
	if (r == 0)
		c->undo_dir = NULL;
	return r;
}
