/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/probe.c - sbx_probe(): asks a host process of its own, since only that knows the engines. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum { PROBE_TIMEOUT_MS = 20000,
       PROBE_GRACE_MS = 400 };

static int probe_ask(struct link *l, const char *qemu_path, struct sbx_err *err)
{
	struct msg_probe m = { .version = PROTO_VERSION, .qemu_path = slice_of(qemu_path) };
	int r = msg_probe_put(link_out(l), 0, &m) ? link_flush(l) : -ENOMEM;

	return r < 0 ? err_set(err, r, "cannot send to sandbox-host: %s", strerror(-r)) : 0;
}

/* Waits for one frame. */
static int probe_answer(struct link *l, struct frame *ret)
{
	uint64_t deadline = clock_mono_ns() + PROBE_TIMEOUT_MS * NS_PER_MS;
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	int r;

	while ((r = link_next(l, ret)) == 0) {
		uint64_t now = clock_mono_ns();

		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((deadline - now) / NS_PER_MS) + 1) < 0 && errno != EINTR)
			return -errno;
		r = link_fill(l);
		if (r == 0)
			return -EPIPE;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return r < 0 ? r : 0;
}

static void engine_result(uint32_t usable, struct slice detail, struct slice remedy, struct sbx_engine_probe *ret)
{
	ret->usable = usable != 0;
	slice_copy(detail, ret->detail, sizeof(ret->detail));
	slice_copy(remedy, ret->remedy, sizeof(ret->remedy));
}

static int probe_run(struct link *l, const char *qemu_path, struct sbx_probe *ret, struct sbx_err *err)
{
	struct msg_probe_result m;
	struct frame f;
	int r = probe_ask(l, qemu_path, err);

	if (r < 0)
		return r;
	r = probe_answer(l, &f);
	if (r == 0 && (f.type != PROTO_PROBE_RESULT || msg_probe_result_decode(f.body, f.len, &m) < 0 || m.chosen > PROTO_ENGINE_QEMU))
		r = -EPROTO;
	if (r < 0)
		return err_set(err, r, "sandbox-host did not answer the probe: %s", strerror(-r));
	ret->chosen = (enum sbx_engine)m.chosen;
	engine_result(m.kvm_usable, m.kvm_detail, m.kvm_remedy, &ret->kvm);
	engine_result(m.qemu_usable, m.qemu_detail, m.qemu_remedy, &ret->qemu);
	return 0;
}

int sbx_probe(const char *host_path, const char *qemu_path, struct sbx_probe *ret, struct sbx_err *err)
{
	char host[PATH_MAX], qemu[PATH_MAX];
	struct host_proc proc;
	struct link link;
	int r = 0;

	if (err)
		*err = (struct sbx_err){ 0 };
	if (!host_path)
		r = sbx_default_path(SBX_ARTIFACT_HOST, host, sizeof(host));
	if (r < 0)
		return err_set(err, r, "the installation's path is too long for sandbox-host");
	qemu_find(qemu_path, qemu, sizeof(qemu));
	r = host_connect(host_path ? host_path : host, &proc, &link, err);
	if (r < 0)
		return r;
	r = probe_run(&link, qemu, ret, err);
	link_done(&link);
	host_reap(&proc, PROBE_GRACE_MS, NULL, 0);
	return r;
}
