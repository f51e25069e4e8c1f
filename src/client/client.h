/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/client.h - what the files of libsbx share. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/idmap.h"
#include "base/loop.h"
#include "base/place.h"
#include "proto/link.h"
#include "sbx.h"

#include <limits.h>

/* A running sandbox-host process and our end of its socket. */
struct host_proc {
	pid_t pid; /* 0: none, or reaped */
	int pidfd;
	int stderr_fd; /* a memfd: what the process wrote to its stderr, for the message when it dies */
};

/* Starts @path with @sock as its control socket. */
int host_spawn(const char *path, int sock, struct host_proc *ret, struct sbx_err *err);
/* Waits for the end at most @grace_ms, then kills; reaps and closes. Idempotent. @ret_how (may be NULL) says how it ended. */
void host_reap(struct host_proc *h, int grace_ms, char *ret_how, size_t size);
/* A connected pair and a host process at the other end of it. */
int host_connect(const char *host_path, struct host_proc *ret, struct link *ret_link, struct sbx_err *err);

/* A mount or binding, checked and opened. */
struct launch_mount {
	struct sbx_mount user; /* borrows from the user's configuration */
	struct sbx_fs_callbacks callbacks; /* of SBX_FS_CALLBACKS */
	bool binding;
	char *path; /* canonical */
	int fd;     /* of a host directory, else -1 */
	uint32_t same_as;
	unsigned mask_count;
	char **mask_path;
	uint32_t *mask_target;
};

/* launch.c: sends what is queued, waiting for the peer to read. @fds: beside its first byte. */
int link_send_all(struct link *link, const int *fds, unsigned fd_count);

/* The configuration, checked and opened: what CONFIG needs. */
struct launch {
	struct launch_mount *mount; /* bindings first */
	unsigned mount_count;
	int kernel_fd, init_fd, image_fd, console_fd, net_log_fd, http_log_fd;
	char qemu_path[PATH_MAX]; /* "" when there is none */
	char host_path[PATH_MAX];
	struct msg_config msg; /* borrows from this struct and the user's config */
};

int launch_prepare(const struct sbx_vm_config *c, struct launch *ret, struct sbx_err *err);
void launch_done(struct launch *l);

/* mounts.c */
char *path_canonical(const char *path); /* "/a//b/" as "/a/b", on the heap */
int launch_mounts_prepare(const struct sbx_vm_config *c, struct launch *l, struct sbx_err *err);
int launch_mounts_send(struct link *link, const struct launch *l, struct sbx_err *err); /* before CONFIG; waits for the peer to read */
void launch_mounts_done(struct launch *l);
/* The host directories that the guest may write to: a list on the heap, NULL when there are none. 0, -ENOMEM, -errno. */
int launch_mounts_lent(const struct launch *l, struct place_lent **ret, size_t *ret_count);
/* Finds QEMU: @path if given, else along PATH. "" in @ret when there is none. */
void qemu_find(const char *path, char *ret, size_t size);

/* policy.c */
int rules_check(const struct sbx_vm_config *c, struct sbx_err *err);
int rules_send(struct link *link, const struct sbx_vm_config *c, struct sbx_err *err); /* before CONFIG; waits for the peer to read */

/* http.c: interception of HTTP */
int http_check(const struct sbx_vm_config *c, struct sbx_err *err);
int http_send(struct link *link, const struct sbx_vm_config *c, struct sbx_err *err); /* before CONFIG; waits for the peer to read */

struct sbx_vm {
	struct loop *loop;
	struct loop_fd watch;
	struct link link;
	struct host_proc host;
	struct fs_calls *fs; /* NULL: no mount has callbacks */
	struct http_calls *http; /* NULL: there are no hooks */
	struct place_lent *lent; /* host directories that the guest may write to */
	size_t lent_count;
	struct idmap tools; /* struct tool_call, by channel: requests of host tools */
	struct idmap guest_requests; /* requests to the guest's tree that nobody waits for */
	struct idmap controls; /* struct control: questions to the host process */
	struct idmap procs; /* struct sbx_proc: running, or freed by the user and not yet ended */
	bool ready;
	bool ended;       /* on_end has been called */
	bool dispatching; /* inside sbx_vm_dispatch() */
	struct sbx_ready ready_info;
	char engine[16], release[64];
	enum sbx_end_reason end_reason;
	struct sbx_err end_err;
	void (*on_ready)(struct sbx_vm *vm, const struct sbx_ready *ready, void *user);
	void (*on_end)(struct sbx_vm *vm, const struct sbx_end *end, void *user);
	void (*on_oom)(struct sbx_vm *vm, uint32_t kills, void *user);
	void (*on_log)(struct sbx_vm *vm, enum sbx_log_level level, const char *line, void *user);
	void *user;
};

/* vm.c: of a zeroed VM. */
void vm_tables_init(struct sbx_vm *vm);
/* vm.c: queues what was appended to the link, and sees to it that it is sent. A dead link is noticed by the next dispatch. */
void vm_send(struct sbx_vm *vm);
/* wait.c: dispatches until a callback has set *@come: 0. Else -ETIMEDOUT at @deadline_ns (0: none), -ENOTCONN when the VM has ended. */
int vm_wait(struct sbx_vm *vm, const bool *come, uint64_t deadline_ns);
/* wait.c: clears @err; -EDEADLK inside of a callback, where nothing can be waited for. */
int vm_refuse_reentry(const struct sbx_vm *vm, struct sbx_err *err);
int vm_ended_error(const struct sbx_vm *vm, struct sbx_err *err); /* why it ended, for a call that it ended under */
/* exec.c: sbx_vm_exec() with more of enum proto_exec_flags. */
int vm_exec(struct sbx_vm *vm, const struct sbx_exec_spec *spec, uint32_t proto_flags, struct sbx_proc **ret, struct sbx_err *err);
/* vm.c: one frame from the host process. 0, or -EPROTO: it makes no sense. */
int client_frame(struct sbx_vm *vm, const struct frame *f);
/* exec.c: the frames of programs; 0, or -EPROTO. Programs that the host no longer knows are ignored. */
int proc_frame(struct sbx_vm *vm, const struct frame *f);
void proc_lose_all(struct sbx_vm *vm, const char *why); /* on_exit(LOST) for every program */

/* fs_calls.c: file systems of the embedding program. */
/* Checks a user's struct and copies it. */
int fs_callbacks_check(const struct sbx_fs_callbacks *user, const char *kind, const char *path, struct sbx_fs_callbacks *ret, struct sbx_err *err);
uint32_t fs_callbacks_ops(const struct sbx_fs_callbacks *cb); /* bits of enum proto_fs_op */
/* Makes room for @count file systems, then takes each in. */
int fs_calls_create(struct sbx_vm *vm, unsigned count);
void fs_calls_serve(struct sbx_vm *vm, uint32_t number, const struct sbx_fs_callbacks *cb, void *user);
void fs_calls_free(struct sbx_vm *vm);
int fs_frame(struct sbx_vm *vm, const struct frame *f); /* FS_CALL, FS_CANCEL: 0 or -EPROTO */
void fs_lose_all(struct sbx_vm *vm);                    /* on_cancel for every call that was kept */
/* Moves answers that waited to the link as it has room; true if there is something to send now. */
bool fs_calls_pump(struct sbx_vm *vm);

/* http_calls.c: hooks of the embedding program. */
int http_calls_create(struct sbx_vm *vm, const struct sbx_vm_config *c); /* checked; 0 or -ENOMEM */
void http_calls_free(struct sbx_vm *vm);
int http_frame(struct sbx_vm *vm, const struct frame *f); /* HTTP_CALL, HTTP_CANCEL: 0 or -EPROTO */
void http_lose_all(struct sbx_vm *vm);                    /* on_cancel for every call that was kept */
bool http_calls_pump(struct sbx_vm *vm);                  /* as fs_calls_pump() */

/* Whoever waits for a request of the host tools: it is done when @done says so, and the result is his. */
struct tool_wait {
	bool done;
	struct sbx_fs_result result;
};

/* fs_tools.c, fs_results.c: the host tools. */
/* As sbx_fs_submit(); with @w nobody is called, and @w gets the result, unless tool_forget() comes first. */
int tool_submit(struct sbx_vm *vm, const struct sbx_fs_request *request, struct tool_wait *w, uint32_t *ret_id, struct sbx_err *err);
int tool_frame(struct sbx_vm *vm, const struct frame *f); /* FS_RESULT: 0 or -EPROTO */
void tool_forget(struct sbx_vm *vm, uint32_t id);         /* cancels a request whose result nobody wants any more */
void tool_lose_all(struct sbx_vm *vm);                    /* every request ends, as the VM did */
bool tool_calls_pump(struct sbx_vm *vm);                  /* as fs_calls_pump(), for steps of requests */

#endif
