/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm.h - internals of the kvm engine, for src/vmm/kvm*.c and their tests only.
 *
 * Threads: the loop thread owns everything; each vCPU thread runs its own struct kvm_vcpu. What both touch is guarded by
 * struct kvm's lock, which is never held across a system call that may wait. */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include "virtio/mmio.h"
#include "vmm/boot.h"
#include "vmm/engine.h"

#include <linux/kvm.h>
#include <pthread.h>

enum {
	KVM_IRQ_FIRST = 5, /* GSI of the first device; one each, up to the last pin of the I/O APIC */
	KVM_DEVS_MAX = 24 - KVM_IRQ_FIRST,
	KVM_CPUID_MAX = 256,
	KVM_EARLY_BYTES = 4096, /* early console output on its way to the loop; a vCPU waits when it is full */
};

/* What the vCPU threads shall do. */
enum kvm_want {
	KVM_WANT_RUN,
	KVM_WANT_PAUSE, /* stay out of the guest */
	KVM_WANT_STOP,  /* end the thread; final */
};

struct kvm_dev;

struct kvm_kick {
	struct kvm_dev *dev;
	struct loop_fd watch;
	int fd; /* ioeventfd of the queue's QueueNotify */
	uint16_t queue;
};

struct kvm_dev {
	struct kvm *kvm;
	struct vdev *vdev;
	struct mmio *mmio;
	int irq_fd; /* irqfd of the device's line */
	struct kvm_kick kick[VDEV_QUEUES_MAX];
};

/* A register access of a vCPU that the loop thread serves. */
struct kvm_access {
	struct kvm_dev *dev;
	uint32_t off, len;
	bool write;
	uint8_t data[8];
};

struct kvm_vcpu {
	struct kvm *kvm;
	unsigned id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool thread_started; /* loop thread only */
	bool inside;         /* guarded by: lock. May be executing guest code. */
	bool waiting;        /* guarded by: lock. @access is the loop thread's until this is false. */
	struct kvm_access access;
	pthread_cond_t answered;
};

struct kvm {
	struct engine engine;
	struct loop *loop;
	const struct log *log;
	const struct engine_events *events;
	int kvm_fd, vm_fd;
	struct gmem *mem;
	unsigned cpus, dev_count;
	struct kvm_dev *dev;
	struct kvm_vcpu *vcpu;
	size_t run_len; /* of each vCPU's struct kvm_run mapping */
	bool started, paused, end_told;

	int wake_fd; /* eventfd: vCPU threads have something for the loop thread */
	struct loop_fd wake;

	pthread_mutex_t lock;
	pthread_cond_t go;    /* want has changed */
	pthread_cond_t quiet; /* a vCPU has left the guest */
	enum kvm_want want;   /* guarded by: lock, as all below */
	bool serial_divisor;  /* the guest sets the speed: bytes to the data port are none (LCR, DLAB) */
	unsigned early_len;
	uint8_t early[KVM_EARLY_BYTES];
	bool ended;
	enum engine_end end;
	char end_detail[256];
};

/* kvm_vm.c: what belongs to the VM, not to a CPU. */

/* /dev/kvm, of the API that we know. @err: what is wrong; kvm_remedy() of the returned code: what a user can do. */
int kvm_open(struct sbx_err *err);
const char *kvm_remedy(int code);
int kvm_create_vm(int kvm_fd, struct sbx_err *err); /* the descriptor or -errno */
/* Interrupt controllers. Before the vCPUs. */
int kvm_vm_setup(struct kvm *k, struct sbx_err *err);
/* Hands guest memory to KVM. Any thread; beside the calls above and those of kvm_cpu.c. */
int kvm_add_memory(const struct kvm *k, struct sbx_err *err);
/* Transport, doorbells and interrupt line of each device. */
int kvm_devs_create(struct kvm *k, const struct engine_config *c, struct sbx_err *err);
void kvm_devs_free(struct kvm *k);

/* kvm_cpu.c: the state in which a vCPU starts. */

int kvm_cpu_create(struct kvm *k, struct kvm_vcpu *v, struct sbx_err *err);
void kvm_cpu_free(struct kvm *k, struct kvm_vcpu *v);
/* Offers guest @id of @cpus what @kvm_fd supports. */
int kvm_cpu_set_cpuid(int kvm_fd, int vcpu_fd, struct kvm_cpuid2 *supported, unsigned id, unsigned cpus, struct sbx_err *err);
/* 64-bit mode at @entry, on the tables of vmm/boot.h. */
int kvm_cpu_enter_at(int vcpu_fd, uint64_t entry, struct sbx_err *err);

/* kvm_run.c: the threads. */

int kvm_run_mask(int vcpu_fd); /* lets the kick signal, and no other, through during KVM_RUN; 0 or -errno */
void kvm_drain_kicks(void);    /* forgets kicks that have done their work; calling thread */
int kvm_run_start(struct kvm *k, struct sbx_err *err);
void kvm_run_set(struct kvm *k, enum kvm_want want); /* returns when every vCPU obeys; STOP also ends the threads */

/* kvm_exit.c: why a vCPU came out, and the loop thread's side of it. */

bool kvm_exit_handle(struct kvm_vcpu *v, int run_errno); /* vCPU thread; false: this vCPU has ended */
void kvm_exit_wake(struct loop_fd *w, uint32_t events);  /* loop thread: kvm->wake */
/* Records why the VM ends, unless it is known already, and wakes the loop thread. vCPU thread. */
void kvm_end(struct kvm *k, enum engine_end end, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The signal that makes a vCPU leave the guest; blocked everywhere but in KVM_RUN. */
int kvm_kick_signal(void);

#endif
