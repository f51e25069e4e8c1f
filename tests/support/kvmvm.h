/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A VM of the kvm engine for a test: engine, loop, and what the guest printed. Tests in tests/kvm and tests/unit. */
#ifndef TESTS_SUPPORT_KVMVM_H
#define TESTS_SUPPORT_KVMVM_H

#include "vmm/engine.h"

enum { KVMVM_TEXT_MAX = 64 << 10 };

struct kvmvm {
	struct loop *loop;
	struct log log;
	struct engine_events events;
	struct engine *engine;
	struct vdev *dev[8];
	unsigned dev_count;
	char text[KVMVM_TEXT_MAX + 1]; /* console output; what does not fit is dropped */
	size_t text_len;
	unsigned ends; /* how often ended() was called */
	enum engine_end end;
	char detail[256];
};

/* Ends the test as skipped unless /dev/kvm can be opened and creates VMs (freestanding guests run on emulating KVMs, too). */
void kvmvm_need_kvm(void);
/* … unless it is true hardware virtualisation, as Linux needs it. */
void kvmvm_need_true_kvm(void);

/* A file descriptor for an ELF program of @len bytes of code, loaded and entered at @addr. */
int kvmvm_elf(const void *code, size_t len, uint64_t addr);
/* A guest program of tests/kvm, built beside the test program. */
int kvmvm_guest(const char *name);

/* Loop and events. Devices are added to ->dev by the test, before kvmvm_create(). */
void kvmvm_init(struct kvmvm *vm);
/* Borrows both descriptors; @init_fd -1: no initramfs. Fails the test when the engine fails. */
void kvmvm_create(struct kvmvm *vm, int kernel_fd, int init_fd, unsigned memory_mib, unsigned cpus, const char *cmdline);
void kvmvm_start(struct kvmvm *vm);
/* Runs the loop until the guest has printed @text (then true), or the VM has ended, or for @limit_ms. */
bool kvmvm_wait_text(struct kvmvm *vm, const char *text, unsigned limit_ms);
bool kvmvm_wait_end(struct kvmvm *vm, unsigned limit_ms);
/* Runs the loop for @ms and sees whether anything was printed. */
bool kvmvm_silent(struct kvmvm *vm, unsigned ms);
void kvmvm_done(struct kvmvm *vm); /* engine, devices, loop */

/* Of this process. */
unsigned kvmvm_count_threads(void);

#endif
