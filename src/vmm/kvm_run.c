/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/kvm_run.c - the vCPU threads: enter the guest, come out, look what is wanted, enter again.
 *
 * A vCPU is made to leave the guest by a real-time signal which every thread blocks and only KVM_RUN lets through
 * (KVM_SET_SIGNAL_MASK). It is therefore never delivered: no handler, nothing of the process changes, and one that comes a moment too early
 * waits and ends the next KVM_RUN at once, so no kick is lost. The vCPU takes it from the queue afterwards. */
#include "vmm/kvm.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

/* A vCPU thread calls little: a page or two of stack, and room for sanitizers. */
enum { KVM_STACK = 256 << 10 };

int kvm_kick_signal(void)
{
	return SIGRTMIN + 1;
}

/* Waits until the guest may be entered. False: it shall not be any more. */
static bool vcpu_enter(struct kvm_vcpu *v)
{
	struct kvm *k = v->kvm;
	bool run;

	pthread_mutex_lock(&k->lock);
	while (k->want == KVM_WANT_PAUSE)
		pthread_cond_wait(&k->go, &k->lock);
	run = k->want == KVM_WANT_RUN;
	v->inside = run;
	pthread_mutex_unlock(&k->lock);
	return run;
}

static void vcpu_leave(struct kvm_vcpu *v)
{
	struct kvm *k = v->kvm;

	pthread_mutex_lock(&k->lock);
	v->inside = false;
	if (k->want != KVM_WANT_RUN)
		pthread_cond_signal(&k->quiet);
	pthread_mutex_unlock(&k->lock);
}

void kvm_drain_kicks(void)
{
	static const struct timespec now = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, kvm_kick_signal());
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
}

static void *vcpu_main(void *arg)
{
	struct kvm_vcpu *v = arg;
	bool go_on = true;
	char name[16];

	(void)snprintf(name, sizeof(name), "vcpu %u", v->id);
	(void)prctl(PR_SET_NAME, name);
	while (go_on && vcpu_enter(v)) {
		int r = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;

		vcpu_leave(v);
		if (r == EINTR)
			kvm_drain_kicks();
		else if (r != EAGAIN) /* a CPU that the guest has not started says EAGAIN */
			go_on = kvm_exit_handle(v, r);
	}
	return NULL;
}

int kvm_run_mask(int vcpu_fd)
{
	uint64_t set = ~(UINT64_C(1) << (kvm_kick_signal() - 1));
	struct {
		uint32_t len; /* struct kvm_signal_mask */
		uint8_t set[sizeof(uint64_t)];
	} mask = { .len = sizeof(set) };

	memcpy(mask.set, &set, sizeof(set));
	return ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, &mask) < 0 ? -errno : 0;
}

static int start_thread(struct kvm_vcpu *v)
{
	pthread_attr_t attr;
	int r = kvm_run_mask(v->fd);

	if (r < 0)
		return r;
	r = -pthread_attr_init(&attr);
	if (r < 0)
		return r;
	(void)pthread_attr_setstacksize(&attr, MAX((size_t)KVM_STACK, (size_t)PTHREAD_STACK_MIN));
	r = -pthread_create(&v->thread, &attr, vcpu_main, v);
	(void)pthread_attr_destroy(&attr);
	if (r < 0)
		return r;
	v->thread_started = true;
	return 0;
}

int kvm_run_start(struct kvm *k, struct sbx_err *err)
{
	sigset_t all, before;
	int r = 0;

	sigfillset(&all); /* inherited by the threads: the process's signals are not theirs */
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; r == 0 && i < k->cpus; i++)
		r = start_thread(&k->vcpu[i]);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return err_set(err, r, "cannot start a vCPU thread: %m");
	kvm_run_set(k, KVM_WANT_RUN); /* only now that all are there */
	return 0;
}

static bool any_inside(const struct kvm *k)
{
	for (unsigned i = 0; i < k->cpus; i++)
		if (k->vcpu[i].inside)
			return true;
	return false;
}

void kvm_run_set(struct kvm *k, enum kvm_want want)
{
	pthread_mutex_lock(&k->lock);
	assert(k->want != KVM_WANT_STOP || want == KVM_WANT_STOP);
	k->want = want;
	pthread_cond_broadcast(&k->go);
	for (unsigned i = 0; want != KVM_WANT_RUN && i < k->cpus; i++) {
		if (k->vcpu[i].inside)
			(void)pthread_kill(k->vcpu[i].thread, kvm_kick_signal());
		if (want == KVM_WANT_STOP)
			pthread_cond_signal(&k->vcpu[i].answered);
	}
	while (want != KVM_WANT_RUN && any_inside(k))
		pthread_cond_wait(&k->quiet, &k->lock);
	pthread_mutex_unlock(&k->lock);
	for (unsigned i = 0; want == KVM_WANT_STOP && i < k->cpus; i++)
		if (k->vcpu[i].thread_started) {
			(void)pthread_join(k->vcpu[i].thread, NULL);
			k->vcpu[i].thread_started = false;
		}
}
