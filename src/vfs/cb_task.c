/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vfs/cb_task.c - operations of the callback provider that wait: for answers, and for each other.
 *
 * A call names its file by a path, so the path must not change between sending and answer: a write that was on its way to /log while /log became /log.1
 * must not end up in the new /log. Therefore a call is counted in every node of its path (busy), and a task that renames or removes a node waits
 * until that node is not busy; calls through a node that is being renamed (active), or that a task waits to rename (intents, so that it is not
 * starved), wait in fs->blocked. Such a task takes all that it needs at once or nothing, and looks past other tasks' intents where it only passes through,
 * so two that want into each other's directories cannot block each other. Nobody else ever waits.
 *
 * A hung call thus holds up what would rename its file, and what comes behind that; its time limit or its cancellation ends it.
 *
 * Tasks are bounded by the operations of their submitters, and one for each hidden file that is being removed. */
#include "vfs/cb_impl.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------ paths in use */

/* May a call go through @n, whose path is then as long as *@len tells? 0, -EAGAIN, -ESTALE, -ENAMETOOLONG. */
static int path_check(const struct cb_node *n, bool exclusive, size_t *len)
{
	int r = 0;

	for (; n; n = n->parent) {
		if (n->gone)
			return -ESTALE;
		if (n->active || (n->intents > 0 && !exclusive))
			r = -EAGAIN;
		*len += n->parent ? n->name_len + 1U : 0;
	}
	return *len > VFS_PATH_MAX ? -ENAMETOOLONG : r;
}

static void path_hold(struct cb_node *n)
{
	for (; n; n = n->parent)
		n->busy++;
}

static void path_release(struct cbfs *fs, struct cb_node *n)
{
	for (struct cb_node *p = n; p; p = p->parent)
		if (--p->busy == 0 && p->intents > 0)
			fs->wake = true;
	vnode_unref(&n->v);
}

static void drop_intents(struct cb_task *t)
{
	for (unsigned i = 0; i < ARRAY_LEN(t->intended); i++) {
		struct cb_node *n = t->intended[i];

		if (!n)
			continue;
		t->intended[i] = NULL;
		n->intents--;
		vnode_unref(&n->v);
	}
}

static void drop_all(struct cb_task *t)
{
	if (t->intended[0] || t->intended[1])
		t->fs->wake = true;
	drop_intents(t);
	for (unsigned i = 0; i < ARRAY_LEN(t->locked); i++) {
		struct cb_node *n = t->locked[i];

		if (!n)
			continue;
		t->locked[i] = NULL;
		n->active = false;
		t->fs->wake = true;
		vnode_unref(&n->v);
	}
	for (unsigned i = 0; i < ARRAY_LEN(t->held); i++) {
		if (!t->held[i])
			continue;
		path_release(t->fs, t->held[i]);
		t->held[i] = NULL;
	}
}

/* What a place means now: what is passed through, and what must not be in use; references. */
static int place_find(struct cb_task *t, const struct cb_place *p, struct cb_node **ret_hold, struct cb_node **ret_lock)
{
	struct cb_node *n = NULL;

	if (p->name) {
		n = cb_name_node(t->fs, p->node, p->name);
		if (!n)
			return -ENOMEM;
	}
	*ret_lock = t->exclusive ? n : NULL;
	*ret_hold = n && !t->exclusive ? n : p->node;
	if (*ret_hold == p->node)
		(void)vnode_ref(&p->node->v);
	return 0;
}

/* Can it have all of it? 0, -EAGAIN, or what is wrong with its paths. */
static int task_check(const struct cb_task *t, struct cb_node *const hold[2], struct cb_node *const lock[2])
{
	const struct cb_place *place[2] = { &t->at, &t->to };
	int result = 0;

	for (unsigned i = 0; i < 2 && hold[i]; i++) {
		size_t len = place[i]->name && hold[i] == place[i]->node ? strlen(place[i]->name) + 1 : 0;
		int r = path_check(hold[i], t->exclusive, &len);

		if (r < 0 && r != -EAGAIN)
			return r;
		if (lock[i] && hold[!i] && cb_below(hold[!i], lock[i]))
			return i == 0 ? -EINVAL : -ENOTEMPTY; /* a directory into itself, or onto one that it is in */
		if (r == -EAGAIN || (lock[i] && (lock[i]->busy > 0 || lock[i]->active)))
			result = -EAGAIN;
	}
	return result;
}

/* Takes what the task needs: 0, -EAGAIN (others know that it waits, but nothing was taken), or what is wrong with its paths. */
static int task_acquire(struct cb_task *t)
{
	struct cb_node *hold[2] = { NULL }, *lock[2] = { NULL };
	int r = place_find(t, &t->at, &hold[0], &lock[0]);

	if (r == 0 && t->to.node)
		r = place_find(t, &t->to, &hold[1], &lock[1]);
	if (r == 0)
		r = task_check(t, hold, lock);
	for (unsigned i = 0; i < 2; i++) { /* each reference goes to where it is needed, or back */
		if (hold[i] && r == 0) {
			path_hold(hold[i]);
			t->held[i] = hold[i];
		} else if (hold[i]) {
			vnode_unref(&hold[i]->v);
		}
		if (lock[i] && r == 0) {
			lock[i]->active = true;
			t->locked[i] = lock[i];
		} else if (lock[i] && r == -EAGAIN) {
			lock[i]->intents++;
			t->intended[i] = lock[i];
		} else if (lock[i]) {
			vnode_unref(&lock[i]->v);
		}
	}
	return r;
}

static void task_try(struct cb_task *t)
{
	struct cb_node *before[2] = { t->intended[0], t->intended[1] };
	int r;

	for (unsigned i = 0; i < 2; i++)
		if (before[i])
			(void)vnode_ref(&before[i]->v); /* else one that only stands for a name would be another one each time */
	drop_intents(t);
	r = task_acquire(t);
	for (unsigned i = 0; i < 2; i++) {
		if (!before[i])
			continue;
		if (before[i] != t->intended[i] && before[i] != t->locked[i])
			t->fs->wake = true; /* its name belongs to another object now: who waited because of this one need not */
		vnode_unref(&before[i]->v);
	}
	if (r == -EAGAIN)
		list_add_tail(&t->fs->blocked, &t->blocked);
	else if (r < 0)
		cb_task_end(t, r);
	else
		t->ready(t);
}

/* Tries every blocked task once, in their order, as long as something was given back. */
static void wake_blocked(struct cbfs *fs)
{
	if (fs->waking)
		return;
	fs->waking = true;
	while (fs->wake && !list_empty(&fs->blocked)) {
		struct list due = fs->blocked;

		due.prev->next = &due;
		due.next->prev = &due;
		list_init(&fs->blocked);
		fs->wake = false;
		while (!list_empty(&due)) {
			struct cb_task *t = CONTAINER_OF(due.next, struct cb_task, blocked);

			list_del(&t->blocked);
			task_try(t);
		}
	}
	fs->wake = false;
	fs->waking = false;
}

/* ------------------------------------------------------------------ the life of a task */

static void task_describe(struct cb_call *c, struct cb_request *ret)
{
	struct cb_task *t = CONTAINER_OF(c, struct cb_task, call);

	*ret = t->req;
	ret->path = cb_path(&t->call_at, t->fs->path[0]);
	if (t->call_to.node)
		ret->path2 = cb_path(&t->call_to, t->fs->path[1]);
}

/* Calls that change something, and so what is known of other things. */
static bool call_changes(const struct cb_task *t)
{
	switch (t->req.code) {
	case CB_STAT:
	case CB_LIST:
	case CB_READ:
	case CB_READLINK:
	case CB_FSYNC:
		return false;
	default:
		return true;
	}
}

static void task_reply(struct cb_call *c, const struct cb_reply *r)
{
	struct cb_task *t = CONTAINER_OF(c, struct cb_task, call);

	t->fs->changes += call_changes(t);
	t->out = r->kind == CB_REPLY_ENTRIES && r->more;
	if (t->out && t->req.code != CB_LIST) { /* nothing but a listing has parts */
		t->fs->c.transport->cancel(t->fs->c.user, c);
		t->out = false;
	}
	t->step(t, r);
}

struct cb_task *cb_task_new(struct cbfs *fs, struct vfs_op *op)
{
	struct cb_task *t = calloc(1, sizeof(*t));

	if (!t) {
		if (op)
			vfs_done(op, -ENOMEM);
		return NULL;
	}
	t->fs = fs;
	t->op = op;
	t->call.describe = task_describe;
	t->call.reply = task_reply;
	list_init(&t->blocked);
	list_add_tail(&fs->tasks, &t->node);
	if (op)
		op->priv = t;
	return t;
}

void cb_task_begin(struct cb_task *t, void (*ready)(struct cb_task *t))
{
	t->ready = ready;
	task_try(t);
}

void cb_task_call(struct cb_task *t, const struct cb_request *req, struct cb_place at, struct cb_place to,
		  void (*step)(struct cb_task *t, const struct cb_reply *r))
{
	assert(!t->out);
	t->req = *req;
	t->call_at = at;
	t->call_to = to;
	t->step = step;
	t->out = true;
	t->fs->c.transport->submit(t->fs->c.user, &t->call);
}

void cb_task_ask(struct cb_task *t, const struct cb_request *req, void (*step)(struct cb_task *t, const struct cb_reply *r))
{
	cb_task_call(t, req, t->at, (struct cb_place){ 0 }, step);
}

void cb_task_stat(struct cb_task *t, void (*step)(struct cb_task *t, const struct cb_reply *r))
{
	cb_task_ask(t, &(struct cb_request){ .code = CB_STAT }, step);
}

void cb_task_end(struct cb_task *t, int error)
{
	struct cbfs *fs = t->fs;
	struct vfs_op *op = t->op;
	bool others;

	if (t->out) {
		fs->changes += call_changes(t);
		fs->c.transport->cancel(fs->c.user, &t->call);
	}
	list_del(&t->node);
	list_del(&t->blocked);
	drop_all(t);
	cb_snapshot_free(fs, t->snapshot);
	if (t->own)
		vnode_unref(&t->own->v);
	free(t);
	/* Before the submitter hears of it, who may then let the file system go: blocked tasks are operations of his, too. */
	others = fs->wake && !list_empty(&fs->blocked);
	if (op) {
		op->priv = NULL;
		vfs_done(op, error);
	}
	if (others)
		wake_blocked(fs);
}
