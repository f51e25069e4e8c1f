/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/spawn.c - children, and the memory that they run in until they are programs (child.c).
 *
 * A launch is one mapping: struct child, a guard page, a stack. The kernel clears its @busy when the child has left the memory, be it by execve() or by dying, so
 * nobody needs to wake up for it. Bound: one for each child on its way, which is at most a job each, and SPAWN_KEEP more. */
#include "spawn.h"

#include "base/cleanup.h"
#include "child.h"
#include "envp.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
	SPAWN_KEEP = 1,
	STACK_BYTES = 1 << 16,
	GUARD_BYTES = 1 << 12,
};

struct launch {
	struct list node;
	int busy; /* the child's, until the kernel clears it */
	struct child child;
};

enum { LAUNCH_BYTES = (sizeof(struct launch) + GUARD_BYTES - 1) / GUARD_BYTES * GUARD_BYTES,
       MAPPING_BYTES = LAUNCH_BYTES + GUARD_BYTES + STACK_BYTES };

static bool launch_busy(const struct launch *l)
{
	return __atomic_load_n(&l->busy, __ATOMIC_ACQUIRE) != 0;
}

static void launch_clear(struct launch *l)
{
	free(l->child.argv);
	free(l->child.envp);
	free(l->child.cwd);
	free(l->child.user);
	l->child.argv = l->child.envp = NULL;
	l->child.cwd = l->child.user = NULL;
}

static void launch_free(struct launch *l)
{
	launch_clear(l);
	list_del(&l->node);
	(void)munmap(l, MAPPING_BYTES);
}

static struct launch *launch_create(struct spawner *sp)
{
	struct launch *l = mmap(NULL, MAPPING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (l == MAP_FAILED)
		return NULL;
	if (mprotect((char *)l + LAUNCH_BYTES, GUARD_BYTES, PROT_NONE) < 0) {
		(void)munmap(l, MAPPING_BYTES);
		return NULL;
	}
	list_add_tail(&sp->launches, &l->node);
	return l;
}

void spawner_init(struct spawner *sp)
{
	list_init(&sp->launches);
}

void spawner_tidy(struct spawner *sp)
{
	unsigned kept = 0;

	LIST_EACH (node, &sp->launches) {
		struct launch *l = CONTAINER_OF(node, struct launch, node);

		if (launch_busy(l))
			continue;
		if (kept++ < SPAWN_KEEP)
			launch_clear(l);
		else
			launch_free(l);
	}
}

void spawner_done(struct spawner *sp)
{
	LIST_EACH (node, &sp->launches) {
		struct launch *l = CONTAINER_OF(node, struct launch, node);

		if (!launch_busy(l))
			launch_free(l);
	}
}

static struct launch *launch_get(struct spawner *sp)
{
	LIST_EACH (node, &sp->launches) {
		struct launch *l = CONTAINER_OF(node, struct launch, node);

		if (launch_busy(l))
			continue;
		launch_clear(l);
		return l;
	}
	return launch_create(sp);
}

/* The frame is gone before the child looks at it, so it gets copies. */
static bool launch_fill(struct launch *l, const struct spawn_spec *s, struct spawn_failure *failure)
{
	struct child *c = &l->child;

	c->tty = s->start->flags & PROTO_EXECF_TTY;
	c->builtin = s->start->flags & PROTO_EXECF_BUILTIN;
	c->in = s->in;
	c->out = s->out;
	c->err = s->err;
	c->failure = failure;
	c->argv = vector_of(s->start->argv, 1);
	c->envp = envp_build(s->start->env, c->home, c->tty, s->env);
	c->cwd = slice_dup(s->start->cwd);
	c->user = slice_dup(s->start->user);
	return c->argv && c->envp && c->cwd && c->user;
}

/* On the stack that @args names, or on a copy of this one, @fn(@arg) in the child. */
static pid_t clone_to(const struct clone_args *args, void (*fn)(struct child *), struct child *arg)
{
	long r = SYS_clone3;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t" /* the outermost frame */
			 "mov %[arg], %%rdi\n\t"
			 "call *%[fn]\n"
			 "1:"
			 : "+a"(r)
			 : "D"(args), "S"(sizeof(*args)), [fn] "r"(fn), [arg] "r"(arg)
			 : "rcx", "r11", "memory");
	return (pid_t)r;
}

static pid_t launch_go(struct launch *l, int cgroup_fd)
{
	struct clone_args args = {
		.flags = cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup_fd >= 0 ? (unsigned long long)cgroup_fd : 0,
	};
	bool share = SPAWN_SHARES_MEMORY && !l->child.builtin;
	pid_t pid;

	if (share) {
		args.flags |= CLONE_VM | CLONE_CHILD_CLEARTID;
		args.child_tid = (uintptr_t)&l->busy;
		args.stack = (uintptr_t)l + LAUNCH_BYTES + GUARD_BYTES;
		args.stack_size = STACK_BYTES;
	}
	l->busy = share;
	pid = clone_to(&args, child_main, &l->child);
	if (pid < 0)
		l->busy = false;
	return pid;
}

int spawn(struct spawner *sp, const struct spawn_spec *s, struct spawn_failure *failure, pid_t *ret_pid)
{
	struct launch *l = launch_get(sp);
	pid_t pid;

	failure->code = failure->error = 0;
	if (!l || !launch_fill(l, s, failure))
		return -ENOMEM;
	pid = launch_go(l, s->cgroup_fd);
	if (pid < 0)
		return pid;
	*ret_pid = pid;
	return 0;
}

void spawn_explain(const struct spawn_failure *f, char *dst, size_t size)
{
	(void)snprintf(dst, size, "%.*s%s%s", SPAWN_WHY_MAX, f->why, f->why[0] && f->error ? ": " : "", f->error ? strerror(f->error) : "");
}
