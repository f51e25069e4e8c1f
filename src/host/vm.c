/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/vm.c - wires devices, engine, guest and client together, and knows the life of a VM:
 *
 *   VM_BOOTING  the engine runs; ends in VM_READY (GUEST_READY came) or in VM_ENDED (it failed, died, or took too long)
 *   VM_READY    programs run
 *   VM_STOPPING the client asked init to power off
 *   VM_ENDED    VM_END is queued for the client; the loop is about to stop
 *
 * The end is told once, whatever is noticed first: init's word, the control stream, the engine, a timer. Nothing is freed from callbacks:
 * they queue VM_END and stop the loop, and main() frees. What the client asks meanwhile is in vm_client.c. */
#include "host/vm.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/work.h"
#include "dev/blk.h"
#include "dev/console.h"
#include "dev/rng.h"
#include "dev/vsock.h"
#include "host/procstat.h"
#include "host/vm_impl.h"
#include "vmm/auto.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum {
	WORK_THREADS = 4,
	ENTROPY_BYTES = 64,
	LOST_GRACE_MS = 2000, /* from a lost control stream to a dead engine: a panic prints itself, a reboot shuts drivers down. A halted
	                       * guest (without ACPI the kernel cannot switch the machine off) never gets there, and is ended then. */
	CHANGES_QUEUED_MAX = 64 << 10, /* bytes for init; what comes beyond is not told */
};

static void vm_log_sink(void *user, enum log_level level, const char *line)
{
	struct vm *vm = user;

	if (ctl_congested(vm->ctl))
		return;
	(void)msg_log_put(ctl_out(vm->ctl), 0, &(struct msg_log){ .level = level, .line = slice_of(line) });
	ctl_send(vm->ctl);
}

void vm_end(struct vm *vm, enum proto_end_reason reason, int code, const char *fmt, ...)
{
	char tail[PROTO_CONSOLE_TAIL_BYTES + 1] = "";
	char text[1024];
	va_list ap;

	if (vm->state == VM_ENDED)
		return;
	vm->state = VM_ENDED;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (reason != PROTO_END_STOPPED && reason != PROTO_END_POWEROFF)
		(void)conlog_tail(&vm->console, tail, sizeof(tail));
	(void)msg_vm_end_put(ctl_out(vm->ctl), 0,
			     &(struct msg_vm_end){
				     .reason = reason, .err = (uint32_t)-code, .message = slice_of(text), .console = slice_of(tail) });
	ctl_send(vm->ctl);
	loop_stop(vm->loop);
}

/* ---- What the guest's init says ---- */

static void vm_hello(void *user, const struct msg_hello *m)
{
	struct vm *vm = user;
	uint8_t entropy[ENTROPY_BYTES];
	struct msg_guest_config c = {
		.version = PROTO_VERSION,
		.flags = vm->config.flags & PROTO_CONFIG_WRITABLE ? PROTO_GUEST_WRITABLE : 0,
		.scratch_bytes = vm->config.scratch_bytes,
		.hostname = slice_of(vm->config.hostname),
		.entropy = { .p = entropy, .len = sizeof(entropy) },
	};

	if (m->version != PROTO_VERSION) {
		vm_end(vm, PROTO_END_LAUNCH, -EPROTO, "sandbox-init speaks version %u and sandbox-host version %d: install them together",
		       m->version, PROTO_VERSION);
		return;
	}
	slice_copy(m->kernel_release, vm->release, sizeof(vm->release));
	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy)) {
		vm_end(vm, PROTO_END_HOST, -EIO, "the host has no random bytes");
		return;
	}
	c.wall_ns = clock_wall_ns();
	files_put_mounts(&vm->files, guest_out(&vm->guest));
	host_network_tell(&vm->network, guest_out(&vm->guest));
	(void)msg_guest_config_put(guest_out(&vm->guest), 0, &c);
	guest_send(&vm->guest);
	explicit_bzero(entropy, sizeof(entropy));
}

static void vm_guest_ready(void *user, const struct msg_guest_ready *m)
{
	struct vm *vm = user;

	if (vm->state != VM_BOOTING)
		return;
	vm->state = VM_READY;
	loop_timer_del(vm->loop, &vm->timer);
	(void)msg_ready_put(ctl_out(vm->ctl), 0,
			    &(struct msg_ready){
				    .engine = slice_of(vm->engine_ops->name),
				    .host_start_ns = clock_mono_ns() - vm->born_ns,
				    .kernel_ns = m->kernel_ns,
				    .init_ns = m->init_ns,
				    .boot_ticks = m->boot_ticks,
				    .root_readonly = m->root_readonly,
				    .kernel_release = slice_of(vm->release),
			    });
	ctl_send(vm->ctl);
	execs_open_spare(&vm->execs);
}

static void vm_guest_failed(void *user, const struct msg_guest_failed *m)
{
	char text[768];

	slice_copy(m->message, text, sizeof(text));
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > 126)
			*p = '?';
	vm_end(user, PROTO_END_LAUNCH, m->err ? -(int)(m->err & 0xfff) : -EIO, "the guest could not start: %s", text);
}

static void vm_guest_oom(void *user, const struct msg_guest_oom *m)
{
	struct vm *vm = user;

	vm->oom_kills += MIN(m->kills, UINT32_MAX - vm->oom_kills);
	if (ctl_congested(vm->ctl))
		return; /* the next one carries the total */
	(void)msg_oom_put(ctl_out(vm->ctl), 0, &(struct msg_oom){ .kills = vm->oom_kills });
	ctl_send(vm->ctl);
}

static void vm_guest_stuck(void *user, const struct msg_guest_stuck *m)
{
	struct vm *vm = user;
	uint32_t held_back;

	if (log_limit_pass(&vm->stuck_limit, loop_now_ns(vm->loop), &held_back))
		log_line(&vm->log, LOG_DEBUG, "thread %u of the guest was killed and has not died yet", m->pid);
	files_interrupt(&vm->files, m->pid);
}

static void vm_guest_bye(void *user)
{
	struct vm *vm = user;

	vm->said_bye = true;
	if (vm->state == VM_STOPPING)
		vm_end(vm, PROTO_END_STOPPED, 0, "the VM was stopped");
	else
		vm_end(vm, PROTO_END_POWEROFF, 0, "the guest powered itself off");
}

static void vm_files_changed(void *user, uint32_t index, uint32_t flags, const char *path)
{
	struct vm *vm = user;

	if (vm->state != VM_READY || buf_len(guest_out(&vm->guest)) > CHANGES_QUEUED_MAX)
		return;
	(void)msg_guest_changed_put(guest_out(&vm->guest), 0, &(struct msg_guest_changed){ .index = index, .flags = flags, .path = slice_of(path) });
	guest_send(&vm->guest);
}

/* ---- How it dies ---- */

/* The guest's own account of its death, from the console; "" when there is none. */
static void vm_panic_line(const struct vm *vm, char *dst, size_t size)
{
	char tail[PROTO_CONSOLE_TAIL_BYTES + 1];
	const char *p, *last = NULL;

	(void)conlog_tail(&vm->console, tail, sizeof(tail));
	for (p = tail; (p = strstr(p, "Kernel panic")); p++)
		last = p;
	(void)snprintf(dst, size, "%.*s", last ? (int)strcspn(last, "\n") : 0, last ? last : "");
}

/* What a death or a silence during the boot most likely means, if nothing was printed; else "", as the console says it. */
static const char *vm_silence(const struct vm *vm)
{
	return vm->console.total == 0 ? "; its kernel has printed nothing: the kernel may be damaged, or made for another machine; if `sandbox doctor` finds the engine "
					"not usable, it is that"
				      : "";
}

static void vm_guest_died(struct vm *vm, const char *how)
{
	char panic[256];

	vm_panic_line(vm, panic, sizeof(panic));
	if (vm->state == VM_STOPPING)
		vm_end(vm, PROTO_END_STOPPED, 0, "the VM was stopped");
	else if (vm->state == VM_BOOTING)
		vm_end(vm, PROTO_END_LAUNCH, -EIO, "the guest died before it was ready: %s%s", panic[0] ? panic : how, vm_silence(vm));
	else if (panic[0] || vm->lost_why[0])
		vm_end(vm, PROTO_END_GUEST, -EIO, "the guest died: %s", panic[0] ? panic : vm->lost_why);
	else
		vm_end(vm, PROTO_END_POWEROFF, 0, "%s", how);
}

static void vm_lost_timer(struct loop_timer *t)
{
	struct vm *vm = CONTAINER_OF(t, struct vm, timer);

	vm_guest_died(vm, vm->lost_why[0] ? vm->lost_why : "the guest powered itself off");
}

static void vm_guest_lost(void *user, const char *why)
{
	struct vm *vm = user;

	(void)snprintf(vm->lost_why, sizeof(vm->lost_why), "%s", why ? why : "");
	(void)loop_timer_set(vm->loop, &vm->timer, loop_now_ns(vm->loop) + LOST_GRACE_MS * NS_PER_MS, vm_lost_timer);
}

static void vm_boot_timer(struct loop_timer *t)
{
	struct vm *vm = CONTAINER_OF(t, struct vm, timer);

	vm_end(vm, PROTO_END_LAUNCH, -ETIMEDOUT,
	       "the guest was not ready within %u ms (engine %s); %sa longer boot timeout helps if it was only slow%s", vm->config.boot_timeout_ms,
	       vm->engine_ops->name, vm->console.total > 0 ? "its console says where it stands, and " : "", vm_silence(vm));
}

static void vm_console(void *user, const uint8_t *p, size_t len)
{
	struct vm *vm = user;

	conlog_put(&vm->console, p, len);
}

static void vm_engine_ended(void *user, enum engine_end end, const char *detail)
{
	struct vm *vm = user;
	bool booting = vm->state == VM_BOOTING;

	if (end != ENGINE_END_SHUTDOWN)
		vm_end(vm, booting ? PROTO_END_LAUNCH : PROTO_END_ENGINE, -EIO, "the %s engine failed: %s%s", vm->engine_ops->name,
		       detail[0] ? detail : "it did not say why", booting && end == ENGINE_END_FAILED ? vm_silence(vm) : "");
	else
		vm_guest_died(vm, detail[0] ? detail : "the guest reset or powered itself off");
}

static const struct guest_ops vm_guest_ops = {
	.hello = vm_hello,
	.ready = vm_guest_ready,
	.failed = vm_guest_failed,
	.oom = vm_guest_oom,
	.stuck = vm_guest_stuck,
	.bye = vm_guest_bye,
	.lost = vm_guest_lost,
};

/* ---- Building it ---- */

static int vm_add_devices(struct vm *vm, struct sbx_err *err)
{
	int r = blk_create(vm->loop, &vm->log, vm->pool, take_fd(&vm->config.image_fd), &vm->dev[vm->dev_count], err);

	if (r < 0)
		return r;
	vm->blk = vm->dev[vm->dev_count++];
	r = vsock_create(vm->loop, &vm->log, &vm->vsock, &vm->dev[vm->dev_count]);
	vm->dev_count += r == 0;
	if (r == 0) {
		r = rng_create(vm->loop, &vm->log, &vm->dev[vm->dev_count]);
		vm->dev_count += r == 0;
	}
	if (r == 0) {
		r = console_create(vm->loop, &vm->log, vm_console, vm, &vm->dev[vm->dev_count]);
		vm->dev_count += r == 0;
	}
	if (r < 0)
		return err_set(err, r, "cannot create the devices: %s", strerror(-r));
	tools_init(&vm->tools, vm->loop, vm->ctl, &vm->files);
	r = files_init(&vm->files, vm->loop, &vm->log, vm->pool, vm->ctl, &vm->config, err);
	vm->files.changed = vm_files_changed;
	vm->files.user = vm;
	if (vm->files.dev)
		vm->dev[vm->dev_count++] = vm->files.dev;
	if (r == 0)
		r = host_network_init(&vm->network, vm->loop, &vm->log, vm->ctl, &vm->config, err);
	if (vm->network.dev)
		vm->dev[vm->dev_count++] = vm->network.dev;
	return r;
}

static int vm_start_engine(struct vm *vm, struct sbx_err *err)
{
	struct engine_config c = {
		.loop = vm->loop,
		.log = &vm->log,
		.events = &vm->events,
		.kernel_fd = vm->config.kernel_fd,
		.init_fd = vm->config.init_fd,
		.memory_bytes = (uint64_t)vm->config.memory_mib << 20,
		.cpus = vm->config.cpus,
		.cmdline = vm->config.cmdline,
		.devs = vm->dev,
		.dev_count = vm->dev_count,
		.qemu_path = vm->config.qemu_path[0] ? vm->config.qemu_path : NULL,
		.icount = vm->config.flags & PROTO_CONFIG_ICOUNT,
		.verbose = vm->config.flags & PROTO_CONFIG_VERBOSE,
	};
	int r = engine_choose(vm->config.engine, c.icount, c.qemu_path, &vm->engine_ops, &c.hw_virt, err);

	if (r < 0)
		return r;
	r = vm->engine_ops->create(&c, &vm->engine, err);
	return r < 0 ? r : vm->engine_ops->start(vm->engine, err);
}

static int vm_build(struct vm *vm, struct sbx_err *err)
{
	int r = work_pool_create(vm->loop, WORK_THREADS, &vm->pool);

	if (r == 0)
		r = vm_add_devices(vm, err);
	if (r == 0)
		r = guest_init(&vm->guest, vm->vsock, &vm_guest_ops, vm);
	if (r == 0) {
		execs_init(&vm->execs, vm->ctl, &vm->guest, vm->vsock);
		r = loop_timer_set(vm->loop, &vm->timer, clock_mono_ns() + vm->config.boot_timeout_ms * NS_PER_MS, vm_boot_timer);
	}
	return r == 0 ? vm_start_engine(vm, err) : r;
}

int vm_create(struct loop *loop, struct ctl *ctl, struct vm_config *config, uint64_t born_ns, struct vm **ret)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct sbx_err err = { 0 };
	int r;

	if (!vm)
		return -ENOMEM;
	vm->loop = loop;
	vm->ctl = ctl;
	vm->born_ns = born_ns;
	vm->config = *config;
	vm_config_init(config);
	vm->log = (struct log){ .level = vm->config.flags & PROTO_CONFIG_VERBOSE ? LOG_DEBUG : LOG_WARN, .sink = vm_log_sink, .user = vm };
	vm->events = (struct engine_events){ .console = vm_console, .ended = vm_engine_ended, .user = vm };
	conlog_init(&vm->console, take_fd(&vm->config.console_fd));
	vm->procstat_fd = -1;
	(void)procstat_open(&vm->procstat_fd);
	r = vm_build(vm, &err);
	if (r < 0)
		vm_end(vm, PROTO_END_LAUNCH, r, "%s", err.message[0] ? err.message : strerror(-r));
	*ret = vm;
	return r;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->engine)
		vm->engine_ops->free(vm->engine); /* first: the transports inside it use the devices */
	execs_done(&vm->execs);
	if (vm->guest.ops)
		guest_done(&vm->guest);
	for (unsigned i = vm->dev_count; i-- > 0;)
		vm->dev[i]->ops->free(vm->dev[i]);
	tools_done(&vm->tools);
	files_done(&vm->files);
	host_network_done(&vm->network);
	work_pool_free(vm->pool);
	loop_timer_del(vm->loop, &vm->timer);
	conlog_done(&vm->console);
	close_fd(&vm->procstat_fd);
	vm_config_done(&vm->config);
	free(vm);
}
