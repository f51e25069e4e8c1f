/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/vm_client.c - what the client asks of the VM: a frame at a time, to the part that it is about. The client is the embedding program, which is trusted; a frame
 * that makes no sense is -EPROTO all the same. */
#include "host/vm_impl.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "dev/blk.h"
#include "dev/vsock.h"
#include "host/procstat.h"

#include <errno.h>

static void vm_done_reply(struct vm *vm, uint32_t seq, int code, const char *message)
{
	(void)msg_done_put(ctl_out(vm->ctl), 0, &(struct msg_done){ .seq = seq, .err = (uint32_t)-code, .message = slice_of(message) });
	ctl_send(vm->ctl);
}

static void vm_set_guest_time(struct vm *vm)
{
	(void)msg_set_time_put(guest_out(&vm->guest), 0, &(struct msg_set_time){ .wall_ns = clock_wall_ns() });
	guest_send(&vm->guest);
}

static int vm_pause_resume(struct vm *vm, const struct frame *f)
{
	struct sbx_err err = { 0 };
	struct msg_pause m; /* PAUSE and RESUME have the same fields */
	int r;

	if (msg_pause_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	if (f->type == PROTO_PAUSE) {
		r = vm->engine_ops->pause(vm->engine, &err);
	} else {
		r = vm->engine_ops->resume(vm->engine, &err);
		if (r == 0)
			vm_set_guest_time(vm);
	}
	vm_done_reply(vm, m.seq, r, err.message);
	return 0;
}

static int vm_shutdown(struct vm *vm, const struct frame *f)
{
	struct msg_shutdown m;

	if (msg_shutdown_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	vm_done_reply(vm, m.seq, 0, "");
	if (vm->state == VM_BOOTING) {
		vm_end(vm, PROTO_END_STOPPED, 0, "the VM was stopped while it booted");
	} else if (vm->state == VM_READY) {
		vm->state = VM_STOPPING;
		(void)msg_power_off_put(guest_out(&vm->guest), 0, &(struct msg_power_off){ 0 });
		guest_send(&vm->guest);
	}
	return 0;
}

static int vm_set_rules(struct vm *vm, const struct frame *f)
{
	struct sbx_err err = { 0 };
	struct msg_rules_set m;

	if (msg_rules_set_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	vm_done_reply(vm, m.seq, host_network_set_rules(&vm->network, m.rules, &err), err.message);
	return 0;
}

static int vm_publish(struct vm *vm, const struct frame *f)
{
	struct sbx_err err = { 0 };
	struct msg_publish m;
	int fd = link_take_fd(&vm->ctl->link);

	if (msg_publish_decode(f->body, f->len, &m) < 0) {
		close_fd(&fd);
		return -EPROTO;
	}
	vm_done_reply(vm, m.seq, host_network_publish(&vm->network, fd, &m, &err), err.message);
	return 0;
}

static int vm_unpublish(struct vm *vm, const struct frame *f)
{
	struct sbx_err err = { 0 };
	struct msg_unpublish m;

	if (msg_unpublish_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	vm_done_reply(vm, m.seq, host_network_unpublish(&vm->network, &m, &err), err.message);
	return 0;
}

static int vm_stats(struct vm *vm, const struct frame *f)
{
	struct msg_stats s = { 0 };
	struct msg_stats_get m;
	struct blk_stats blk;
	struct vsock_stats vsock;
	struct network_stats net = { 0 };
	struct fuse_stats fs;

	if (msg_stats_get_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	s.seq = m.seq;
	procstat_read(vm->procstat_fd, vm->blk->mem, &s.host_rss_bytes, &s.guest_rss_bytes);
	blk_get_stats(vm->blk, &blk);
	s.blk_reads = blk.reads;
	s.blk_read_bytes = blk.bytes;
	vsock_get_stats(vm->vsock, &vsock);
	s.vsock_rx_bytes = vsock.rx_bytes;
	s.vsock_tx_bytes = vsock.tx_bytes;
	for (unsigned i = 0; i < vm->dev_count; i++)
		s.device_breaks += vm->dev[i]->breaks;
	if (vm->network.network)
		network_get_stats(vm->network.network, &net);
	s.net_bytes_out = net.bytes_out;
	s.net_bytes_in = net.bytes_in;
	s.net_flows_admitted = net.admitted;
	s.net_flows_denied = net.denied;
	s.net_flows_open = net.open;
	s.net_log_left_out = net.log_left_out;
	files_get_stats(&vm->files, &fs);
	s.fs_requests = fs.requests;
	s.fs_read_bytes = fs.read_bytes;
	s.fs_written_bytes = fs.written_bytes;
	s.fs_objects = fs.nodes;
	s.fs_open = fs.handles;
	s.execs_started = vm->execs.started;
	s.execs_running = execs_running(&vm->execs);
	s.oom_kills = vm->oom_kills;
	s.uptime_ns = clock_mono_ns() - vm->born_ns;
	(void)msg_stats_put(ctl_out(vm->ctl), 0, &s);
	ctl_send(vm->ctl);
	return 0;
}

int vm_frame(struct vm *vm, const struct frame *f)
{
	if (vm->state == VM_ENDED)
		return 0;
	switch (f->type) {
	case PROTO_PAUSE:
	case PROTO_RESUME:
		return vm_pause_resume(vm, f);
	case PROTO_SHUTDOWN:
		return vm_shutdown(vm, f);
	case PROTO_STATS_GET:
		return vm_stats(vm, f);
	case PROTO_RULES_SET:
		return vm_set_rules(vm, f);
	case PROTO_PUBLISH:
		return vm_publish(vm, f);
	case PROTO_UNPUBLISH:
		return vm_unpublish(vm, f);
	case PROTO_FS_TOOL:
	case PROTO_FS_TOOL_CANCEL:
	case PROTO_FS_CHANGED:
		return tools_frame(&vm->tools, f);
	case PROTO_EXEC_START ... PROTO_EXEC_ABORT:
	case PROTO_EXEC_CREDIT:
		return vm->state == VM_BOOTING ? -EPROTO : execs_frame(&vm->execs, f);
	case PROTO_HTTP_UNHOOK:
	case PROTO_HTTP_FORWARD ... PROTO_HTTP_REFUSE:
		return host_http_frame(&vm->network.http, f);
	case PROTO_FS_ERROR ... PROTO_FS_COUNT:
		return fscalls_frame(&vm->files.calls, f);
	default:
		return -EPROTO;
	}
}

void vm_client_drained(struct vm *vm)
{
	if (vm->state == VM_ENDED || !vm->execs.ctl)
		return;
	/* Whoever goes first may fill the queue again: in turns. */
	vm->execs_first = !vm->execs_first;
	if (vm->execs_first)
		execs_resume(&vm->execs);
	fscalls_resume(&vm->files.calls);
	httpcalls_resume(&vm->network.http.calls);
	tools_resume(&vm->tools);
	if (!vm->execs_first)
		execs_resume(&vm->execs);
}
