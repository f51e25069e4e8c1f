/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu.h - internals of the qemu engine, for src/vmm/qemu*.c, src/vmm/auto.c and their tests only. */
#ifndef VMM_QEMU_H
#define VMM_QEMU_H

#include "base/work.h"
#include "vmm/engine.h"

#include <sys/types.h>

/* qemu_child.c: a program that holds exactly the descriptors it is given and dies with us. */

enum { QEMU_CHILD_FD = 3 }; /* where the first of its descriptors is */

struct qemu_child {
	pid_t pid; /* 0: not running, or reaped */
	int pidfd; /* readable when it has ended; -1 when there is none */
};

/* How a child ended. */
struct qemu_exit {
	bool signalled;
	int status; /* exit status, or the signal */
};

struct qemu_spawn {
	const char *path; /* absolute */
	char *const *argv;
	char *const *env; /* NULL: none */
	const int *fd; /* become QEMU_CHILD_FD, QEMU_CHILD_FD + 1, ...; borrowed */
	unsigned fd_count;
	int out_fd; /* its stdout and stderr; borrowed */
};

/* Starts it in a session of its own with /dev/null as stdin. It is killed when the calling thread ends.
 * Returns when the program itself runs. -errno, with words, when it cannot. */
int qemu_child_spawn(const struct qemu_spawn *s, struct qemu_child *ret, struct sbx_err *err);
void qemu_child_condemn(const struct qemu_child *c); /* SIGKILL, without waiting: taking a VM apart takes time on both sides */
void qemu_child_kill(struct qemu_child *c); /* and reaps; idempotent */
/* Reaps a child whose pidfd is readable. False when it has not ended. */
bool qemu_child_reap(struct qemu_child *c, struct qemu_exit *ret);
/* Stops or continues every thread of it; returns when it has stopped. -ESRCH when it has ended. */
int qemu_child_stop(struct qemu_child *c);
int qemu_child_continue(struct qemu_child *c);

/* qemu_memory.c: the guest's memory. */

struct qemu_memory {
	int fd; /* the memfd; -1: none */
	uint64_t bytes;
	/* Huge pages, on a thread. */
	struct work_pool *pool;
	struct work work;
	int huge_fd; /* the thread's; -1: it has ended, or never began */
};

/* @ret has both descriptors -1 and the rest zero, and takes qemu_memory_done() in every case. -ENOMEM, with words, for more than the machine has. */
int qemu_memory_create(struct loop *loop, uint64_t bytes, struct qemu_memory *ret, struct sbx_err *err);
void qemu_memory_done(struct qemu_memory *m);

/* qemu_listen.c: a listening socket without a name, and a descriptor (O_PATH) of the place by which its inheritor can connect. */
int qemu_listen(int *ret_listener, int *ret_place, struct sbx_err *err);

/* qemu_args.c: the command line. */

enum { QEMU_ARGS_MAX = 96,
       QEMU_FDS_MAX = 24,
       QEMU_TEXT_MAX = 8192 };

struct qemu_args {
	char *argv[QEMU_ARGS_MAX + 1];
	unsigned argc;
	char text[QEMU_TEXT_MAX];
	size_t used;
	int fd[QEMU_FDS_MAX]; /* borrowed */
	unsigned fd_count;
	bool full; /* something did not fit */
};

/* What the engine serves: descriptors for the child's side, and what it has measured. */
struct qemu_args_in {
	int memory, initrd;
	int early, console; /* sockets: port 0x3f8 and virtconsole */
	const int *vhost;   /* one for each device of the configuration; -1 where QEMU has its own (console); of a net device the place to connect to */
	uint32_t tsc_khz;   /* of the guest's time stamp counter under TCG */
};

/* -EINVAL for a device that QEMU has no front end for, -E2BIG when the kernel command line is too long. */
int qemu_args_build(const struct engine_config *c, const struct qemu_args_in *fds, struct qemu_args *ret, struct sbx_err *err);

/* qemu_tsc.c */

struct qemu_tsc {
	uint64_t ns, ticks;
};

struct qemu_tsc qemu_tsc_now(void);
uint32_t qemu_tsc_khz(const struct qemu_tsc *since); /* waits until @since is some milliseconds ago */

/* qemu_probe.c */

/* Only whether the file is there and executable: what a VM's start can afford. */
void qemu_look(const char *qemu_path, struct engine_probe *ret);
/* Also runs it: version, machines. Some ten milliseconds. */
void qemu_probe(const char *qemu_path, struct engine_probe *ret);
/* The two numbers of "QEMU emulator version 7.2.22 (...)". */
bool qemu_parse_version(const char *text, unsigned *ret_major, unsigned *ret_minor);

#endif
