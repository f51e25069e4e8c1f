/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/engine.h - the seam between a VM's devices and where its CPU comes from. Two engines: kvm (ours, on /dev/kvm)
 * and qemu (qemu-system-x86_64 -M microvm with our devices over vhost-user). All calls on the loop thread. */
#ifndef VMM_ENGINE_H
#define VMM_ENGINE_H

#include "virtio/vdev.h"

enum engine_end {
	ENGINE_END_SHUTDOWN, /* the guest powered off or reset (a panic with panic=-1 looks the same) */
	ENGINE_END_FAILED,   /* the engine cannot go on; the detail says why */
	ENGINE_END_QUIT,     /* the same, and it is the engine's own program that gave up: the detail has its words */
	ENGINE_END_COUNT_
};

/* Callbacks from an engine to its VM. Borrowed for the engine's life. */
struct engine_events {
	/* Bytes the guest printed on any console of the engine's own (early port, QEMU's virtconsole). */
	void (*console)(void *user, const uint8_t *p, size_t len);
	/* At most once; the engine stays valid until engine_free(). @detail is for a person, "" if there is nothing to say. */
	void (*ended)(void *user, enum engine_end end, const char *detail);
	void *user;
};

struct engine_config {
	struct loop *loop;
	const struct log *log;
	const struct engine_events *events;
	int kernel_fd;         /* ELF vmlinux or bzImage; borrowed */
	int init_fd;           /* the sandbox-init ELF, wrapped into an initramfs by the engine's loader; borrowed */
	uint64_t memory_bytes; /* a multiple of 1 MiB */
	unsigned cpus;         /* 1..SBX_CPUS_MAX */
	const char *cmdline;   /* what the VM wants on the kernel command line beyond the engine's own part; "" if nothing */
	struct vdev **devs;    /* in the order in which the guest shall see them; they outlive the engine */
	unsigned dev_count;
	const char *qemu_path; /* absolute, for the qemu engine; NULL: not available */
	bool icount;           /* qemu: count guest instructions as virtual time (for boot measurements) */
	bool hw_virt;          /* qemu: /dev/kvm is true (engine_choose()), so use it */
	bool verbose;          /* the guest kernel prints everything */
};

/* What a probe found. */
struct engine_probe {
	bool usable;
	char detail[256]; /* what was found, one line */
	char remedy[256]; /* what a user can do when not usable; "" otherwise */
};

struct engine {
	const struct engine_ops *ops;
};

struct engine_ops {
	const char *name; /* "kvm", "qemu" */
	void (*probe)(const char *qemu_path, struct engine_probe *ret);
	/* Everything that can fail before the first guest instruction. */
	int (*create)(const struct engine_config *c, struct engine **ret, struct sbx_err *err);
	int (*start)(struct engine *e, struct sbx_err *err);
	int (*pause)(struct engine *e, struct sbx_err *err);  /* returns when no guest instruction runs; idempotent */
	int (*resume)(struct engine *e, struct sbx_err *err); /* idempotent */
	void (*free)(struct engine *e);                       /* stops at once, reaps everything; accepts NULL */
};

extern const struct engine_ops engine_kvm;
extern const struct engine_ops engine_qemu;

#endif
