/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm_exit.c - what happens when a vCPU leaves the guest: on the vCPU thread the little that must be done there, on the loop thread the rest.
 *
 * The guest chooses addresses, ports, sizes and values freely. A device page's accesses go to its register file, which takes any of them; port 0x3f8
 * is an output-only serial port for the time before the guest has its console; port 0x64 can reset. Everything else reads as ones and
 * swallows writes, as an empty bus does. Nothing here is logged.
 *
 * Device registers are served on the loop thread (devices live there), while the vCPU waits; but for the interrupt registers, which are
 * read and written for every interrupt and are atomic. */
#include "vmm/kvm.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	PORT_KBD = 0x64, /* keyboard controller: status and command */
	KBD_RESET = 0xfe,
	PORT_SERIAL = 0x3f8,
	PORT_SERIAL_LCR = 0x3fb,
	LCR_DLAB = 0x80,
	PORT_SERIAL_LSR = 0x3fd,
	LSR_IDLE = 0x60, /* transmitter empty */
};

static void wake_loop(const struct kvm *k)
{
	uint64_t one = 1;

	(void)!write(k->wake_fd, &one, sizeof(one)); /* non-blocking; a full counter has woken it already */
}

void kvm_end(struct kvm *k, enum engine_end end, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&k->lock);
	if (!k->ended) {
		k->ended = true;
		k->end = end;
		va_start(ap, fmt);
		(void)vsnprintf(k->end_detail, sizeof(k->end_detail), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&k->lock);
	wake_loop(k);
}

/* ---- Device registers ---- */

/* Hands v->access to the loop thread and waits for the answer. False: the VM stops. */
static bool access_on_loop(struct kvm_vcpu *v)
{
	struct kvm *k = v->kvm;
	bool answered;

	pthread_mutex_lock(&k->lock);
	v->waiting = true;
	wake_loop(k);
	while (v->waiting && k->want != KVM_WANT_STOP)
		pthread_cond_wait(&v->answered, &k->lock);
	answered = !v->waiting;
	pthread_mutex_unlock(&k->lock);
	return answered;
}

static bool exit_mmio(struct kvm_vcpu *v)
{
	struct kvm_access *a = &v->access;
	uint64_t gpa = v->run->mmio.phys_addr, index = (gpa - BOOT_MMIO_GPA) / MMIO_SIZE;
	uint32_t len = MIN(v->run->mmio.len, (uint32_t)sizeof(a->data));

	if (gpa < BOOT_MMIO_GPA || index >= v->kvm->dev_count) {
		memset(v->run->mmio.data, 0xff, sizeof(v->run->mmio.data)); /* not looked at after a write */
		return true;
	}
	a->dev = &v->kvm->dev[index];
	a->off = (uint32_t)(gpa % MMIO_SIZE);
	a->len = len;
	a->write = v->run->mmio.is_write;
	memcpy(a->data, v->run->mmio.data, len);
	if (!mmio_try_irq_access(a->dev->mmio, a->off, a->write, a->data, len) && !access_on_loop(v))
		return false;
	memcpy(v->run->mmio.data, a->data, len);
	return true;
}

static void serve_accesses(struct kvm *k)
{
	for (unsigned i = 0; i < k->cpus; i++) {
		struct kvm_vcpu *v = &k->vcpu[i];
		struct kvm_access *a = &v->access;
		bool waiting;

		pthread_mutex_lock(&k->lock);
		waiting = v->waiting;
		pthread_mutex_unlock(&k->lock);
		if (!waiting)
			continue;
		if (a->write)
			mmio_write(a->dev->mmio, a->off, a->data, a->len);
		else
			mmio_read(a->dev->mmio, a->off, a->data, a->len);
		pthread_mutex_lock(&k->lock);
		v->waiting = false;
		pthread_cond_signal(&v->answered);
		pthread_mutex_unlock(&k->lock);
	}
}

/* ---- Ports ---- */

static void serial_control(struct kvm *k, uint8_t lcr)
{
	pthread_mutex_lock(&k->lock);
	k->serial_divisor = lcr & LCR_DLAB;
	pthread_mutex_unlock(&k->lock);
}

/* Queues early output. False: the VM stops. */
static bool early_put(struct kvm_vcpu *v, const uint8_t *p, size_t len)
{
	struct kvm *k = v->kvm;
	bool go_on = true;

	pthread_mutex_lock(&k->lock);
	if (k->serial_divisor)
		len = 0;
	while (len > 0 && go_on) {
		size_t n = MIN(len, sizeof(k->early) - k->early_len);

		memcpy(k->early + k->early_len, p, n);
		if (k->early_len == 0)
			wake_loop(k);
		k->early_len += (unsigned)n;
		p += n;
		len -= n;
		if (len > 0)
			pthread_cond_wait(&v->answered, &k->lock);
		go_on = k->want != KVM_WANT_STOP;
	}
	pthread_mutex_unlock(&k->lock);
	return go_on;
}

static void deliver_early(struct kvm *k)
{
	uint8_t copy[KVM_EARLY_BYTES];
	unsigned len;

	pthread_mutex_lock(&k->lock);
	len = k->early_len;
	memcpy(copy, k->early, len);
	k->early_len = 0;
	for (unsigned i = 0; len > 0 && i < k->cpus; i++)
		pthread_cond_signal(&k->vcpu[i].answered);
	pthread_mutex_unlock(&k->lock);
	if (len > 0)
		k->events->console(k->events->user, copy, len);
}

static bool exit_port(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	size_t len = (size_t)run->io.size * run->io.count; /* one page at most */

	assert(run->io.data_offset + len <= v->kvm->run_len);
	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, run->io.port == PORT_SERIAL_LSR ? LSR_IDLE : run->io.port == PORT_KBD ? 0
												   : 0xff,
		       len);
		return true;
	}
	if (run->io.port == PORT_SERIAL && run->io.size == 1)
		return early_put(v, data, len);
	if (run->io.port == PORT_SERIAL_LCR && len > 0)
		serial_control(v->kvm, data[0]);
	if (run->io.port == PORT_KBD && len > 0 && data[0] == KBD_RESET) {
		kvm_end(v->kvm, ENGINE_END_SHUTDOWN, "%s", "");
		return false;
	}
	return true;
}

/* ---- Ends ---- */

static void end_internal_error(struct kvm_vcpu *v)
{
	static const char *const why[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "it cannot emulate an instruction of the guest",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "two exceptions at once",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "an event could not be delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit that it does not know",
	};
	uint32_t sub = v->run->internal.suberror;
	struct kvm_regs regs = { 0 };

	(void)ioctl(v->fd, KVM_GET_REGS, &regs);
	kvm_end(v->kvm, ENGINE_END_FAILED, "KVM internal error %u (%s) on vCPU %u at RIP %#llx", sub,
		sub < ARRAY_LEN(why) && why[sub] ? why[sub] : "unknown", v->id, (unsigned long long)regs.rip);
}

static bool run_failed(struct kvm_vcpu *v, int run_errno)
{
	const char *hint = run_errno == EFAULT || run_errno == ENOMEM ? ": the machine is out of memory for it" : "";

	kvm_end(v->kvm, ENGINE_END_FAILED, "KVM cannot run vCPU %u (%s)%s", v->id, strerrorname_np(run_errno), hint);
	return false;
}

bool kvm_exit_handle(struct kvm_vcpu *v, int run_errno)
{
	if (run_errno)
		return run_failed(v, run_errno);
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		return exit_port(v);
	case KVM_EXIT_MMIO:
		return exit_mmio(v);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HLT:
		return true;
	case KVM_EXIT_SHUTDOWN: /* a triple fault: how this guest resets, or an accident of its own */
	case KVM_EXIT_SYSTEM_EVENT:
		kvm_end(v->kvm, ENGINE_END_SHUTDOWN, "%s", "");
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		kvm_end(v->kvm, ENGINE_END_FAILED, "the processor refuses to enter the guest on vCPU %u (reason %#llx)", v->id,
			(unsigned long long)v->run->fail_entry.hardware_entry_failure_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		end_internal_error(v);
		return false;
	default:
		kvm_end(v->kvm, ENGINE_END_FAILED, "vCPU %u left the guest for an unknown reason (%u)", v->id, v->run->exit_reason);
		return false;
	}
}

static void tell_end(struct kvm *k)
{
	bool ended;

	pthread_mutex_lock(&k->lock);
	ended = k->ended;
	pthread_mutex_unlock(&k->lock);
	if (!ended || k->end_told)
		return;
	k->end_told = true;
	kvm_run_set(k, KVM_WANT_STOP);
	deliver_early(k); /* what was printed while they stopped */
	k->events->ended(k->events->user, k->end, k->end_detail);
}

void kvm_exit_wake(struct loop_fd *w, uint32_t events)
{
	struct kvm *k = CONTAINER_OF(w, struct kvm, wake);
	uint64_t count;

	(void)events;
	(void)!read(k->wake_fd, &count, sizeof(count));
	deliver_early(k);
	serve_accesses(k);
	tell_end(k);
}
