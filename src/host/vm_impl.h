/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/vm_impl.h - what the files of vm share: vm.c (its parts, its life) and vm_client.c (what the client asks of it). */
#ifndef HOST_VM_IMPL_H
#define HOST_VM_IMPL_H

#include "host/vm.h"

#include "host/conlog.h"
#include "host/exec.h"
#include "host/files.h"
#include "host/guest.h"
#include "host/network.h"
#include "host/tools.h"
#include "vmm/engine.h"

enum { VM_DEVS_MAX = 8 };

enum vm_state {
	VM_BOOTING,
	VM_READY,
	VM_STOPPING,
	VM_ENDED,
};

struct vm {
	struct loop *loop;
	struct log log;
	struct ctl *ctl;
	struct vm_config config;
	enum vm_state state;
	uint64_t born_ns; /* CLOCK_MONOTONIC */
	struct conlog console;
	struct work_pool *pool;
	struct vdev *dev[VM_DEVS_MAX];
	unsigned dev_count;
	struct vdev *blk; /* one of dev */
	struct vsock *vsock;
	const struct engine_ops *engine_ops;
	struct engine *engine;
	struct engine_events events;
	struct guest guest;
	struct execs execs;
	struct loop_timer timer; /* boot limit, then the grace after a lost control stream */
	char lost_why[128];
	char release[64];
	bool said_bye;
	uint32_t oom_kills;
	struct log_limit stuck_limit;
	struct files files;
	struct tools tools;
	struct host_network network;
	bool execs_first; /* of those who wait for the client */
	int procstat_fd;
};

/* Tells the client, once, why the VM has ended, and lets the loop stop. */
void vm_end(struct vm *vm, enum proto_end_reason reason, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
