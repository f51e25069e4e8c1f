/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/main.c - sandbox-init, PID 1 of the guest: its boot and its end.
 *
 * Boot: connect to the host (answered while we mount), mount the image, say HELLO, take the GUEST_MOUNTs, GUEST_NET, GUEST_CA and GUEST_CONFIG, build and enter the root,
 * say GUEST_READY. A failure is told to the host as GUEST_FAILED, and on the console; then the machine ends.
 * Life: one loop; the host's streams (jobs.c), the control stream, dead children.
 * End: POWER_OFF ends every process, by SIGTERM and then SIGKILL, syncs, and says BYE. Without its control stream a guest is of no use to anybody
 * and ends at once.
 *
 * Trust: the host is trusted. The workload is not: it may be root in here, and then it may do to this process what it likes, but the host does
 * not depend on it. A workload that is not root cannot reach init: all signals are blocked, and nothing of init's is open to others. */
#include "base/clock.h"
#include "control.h"
#include "jobs.h"
#include "net.h"
#include "notify.h"
#include "root.h"
#include "say.h"
#include "sys.h"
#include "thrash.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
	TERM_GRACE_MS = 3000, /* from SIGTERM to SIGKILL */
	KILL_GRACE_MS = 2000, /* from SIGKILL to the end without those that do not die */
	STUCK_MS = 100,       /* after SIGKILL those left are likely to wait for the host */
	SYNC_MS = 1000,       /* for file systems to be synced: the host's may hang */
	LAST_WORDS_MS = 500,  /* for the host to take the last frame */
};

struct init {
	struct loop *loop;
	struct control control;
	struct jobs jobs;
	struct thrash thrash;
	struct notify notify;
	struct loop_timer power_timer, stuck_timer;
	bool powering_off, killed;
	pid_t sync_pid; /* the child that syncs, the last thing before the end */
	bool root_readonly;
	struct trust trust;
	uint64_t entry_ns;
};

static struct init init;

/* A triple fault (reboot=t): ends the machine in every engine. */
static _Noreturn void machine_end(void)
{
	(void)reboot(RB_AUTOBOOT);
	for (;;)
		(void)pause();
}

/* Sends what is queued and waits until the host has closed the stream, or long enough. */
static _Noreturn void last_words(void)
{
	struct pollfd p = { .fd = init.control.link.fd, .events = POLLRDHUP };

	if (control_send_now(&init.control, LAST_WORDS_MS) == 0)
		(void)poll(&p, 1, LAST_WORDS_MS);
	machine_end();
}

static _Noreturn void boot_failed(int code, const char *why)
{
	struct msg_guest_failed m = { .err = (uint32_t)-code, .message = slice_of(why) };

	say("%s", why);
	(void)msg_guest_failed_put(link_out(&init.control.link), 0, &m);
	last_words();
}

/* ---- Powering off ---- */

static _Noreturn void say_bye(void)
{
	(void)msg_bye_put(link_out(&init.control.link), 0, &(struct msg_bye){ 0 });
	last_words();
}

static void on_stuck(void *user, pid_t tid)
{
	(void)user;
	(void)msg_guest_stuck_put(link_out(&init.control.link), 0, &(struct msg_guest_stuck){ .pid = (uint32_t)tid });
	control_flush(&init.control);
}

static void stuck_timer(struct loop_timer *t)
{
	(void)t;
	if (init.sync_pid > 0)
		on_stuck(NULL, init.sync_pid);
	else
		cgroups_each_thread(&init.jobs.groups, on_stuck, NULL);
}

static void sync_timer(struct loop_timer *t)
{
	(void)t;
	say("not everything could be synced in time");
	say_bye();
}

/* In a child: sync() waits for file systems of the host, which may never answer. */
static void sync_and_bye(void)
{
	uint64_t now = clock_mono_ns();

	init.sync_pid = fork();
	if (init.sync_pid == 0) {
		sync();
		_exit(0);
	}
	if (init.sync_pid < 0 || loop_timer_set(init.loop, &init.power_timer, now + SYNC_MS * NS_PER_MS, sync_timer) < 0 ||
	    loop_timer_set(init.loop, &init.stuck_timer, now + SYNC_MS / 2 * NS_PER_MS, stuck_timer) < 0)
		say_bye();
}

static void power_timer(struct loop_timer *t)
{
	uint64_t now = clock_mono_ns();

	if (init.killed) {
		say("processes are left that SIGKILL does not end");
		sync_and_bye();
		return;
	}
	init.killed = true;
	(void)kill(-1, SIGKILL);
	(void)loop_timer_set(init.loop, t, now + KILL_GRACE_MS * NS_PER_MS, power_timer);
	(void)loop_timer_set(init.loop, &init.stuck_timer, now + STUCK_MS * NS_PER_MS, stuck_timer);
}

static void on_childless(void *user)
{
	(void)user;
	if (init.powering_off && init.sync_pid > 0)
		say_bye();
	if (init.powering_off)
		sync_and_bye();
}

static void power_off(void)
{
	if (init.powering_off)
		return;
	init.powering_off = true;
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGCONT);
	(void)loop_timer_set(init.loop, &init.power_timer, clock_mono_ns() + TERM_GRACE_MS * NS_PER_MS, power_timer);
	jobs_reap(&init.jobs); /* there may be nobody to wait for */
}

/* ---- The control stream ---- */

static void control_lost(struct control *c)
{
	(void)c;
	say("the control stream is gone");
	machine_end();
}

static void control_command(struct control *c, const struct control_frame *f)
{
	struct job *j = f->job ? jobs_find(&init.jobs, f->job) : NULL;

	switch (f->type) {
	case PROTO_SET_TIME:
		sys_set_wall(f->wall_ns);
		break;
	case PROTO_GUEST_CHANGED:
		if (!init.powering_off)
			notify_tell(&init.notify, &f->changed);
		break;
	case PROTO_POWER_OFF:
		power_off();
		break;
	case PROTO_EXEC_SIGNAL:
		if (j)
			job_signal(j, (int)f->signo);
		break;
	case PROTO_EXEC_RESIZE:
		if (j)
			job_resize(j, f->rows, f->cols);
		break;
	case PROTO_EXEC_ABORT:
		if (j)
			job_abort(j);
		break;
	default:
		control_lost(c);
	}
}

static void on_oom(void *user, uint32_t job, uint32_t kills)
{
	(void)user;
	(void)msg_guest_oom_put(link_out(&init.control.link), 0, &(struct msg_guest_oom){ .exec_id = job, .kills = kills });
	control_flush(&init.control);
}

static bool is_busy(void *user)
{
	(void)user;
	return init.jobs.running > 0 || init.jobs.leftover_count > 0;
}

static void on_start(void *user)
{
	(void)user;
	thrash_watch(&init.thrash, init.loop, is_busy, NULL);
}

/* ---- Boot ---- */

static void boot_hello(void)
{
	struct utsname u = { 0 };

	(void)uname(&u);
	(void)msg_hello_put(link_out(&init.control.link), 0,
			    &(struct msg_hello){ .version = PROTO_VERSION, .kernel_ns = init.entry_ns, .kernel_release = slice_of(u.release) });
	if (control_send_now(&init.control, -1) < 0)
		control_lost(&init.control);
}

/* The host answers HELLO while the image is being mounted. */
static void boot_connect(void)
{
	struct sbx_err err;
	int mounted;
	int r = control_connect(&init.control);

	if (r < 0) {
		say("cannot connect to the host over vsock: %s", strerror(-r));
		machine_end();
	}
	mounted = root_mount_image(&err);
	r = control_connected(&init.control);
	if (r < 0) {
		say("the host does not take the control stream: %s", strerror(-r));
		machine_end();
	}
	boot_hello();
	if (mounted < 0)
		boot_failed(mounted, err.message);
}

static bool is_boot_frame(const struct control_frame *cf)
{
	switch (cf->type) {
	case PROTO_GUEST_MOUNT:
	case PROTO_GUEST_NET:
	case PROTO_GUEST_CA: return true;
	case PROTO_GUEST_CONFIG: return cf->config.version == PROTO_VERSION;
	default: return false;
	}
}

/* Takes GUEST_MOUNTs, GUEST_NET and GUEST_CA in, up to GUEST_CONFIG; its frame is still to be dropped. */
static void boot_receive(struct guest_mounts *mounts, struct net *net, struct frame *f, struct control_frame *cf)
{
	for (;;) {
		if (control_receive(&init.control, f) < 0)
			control_lost(&init.control);
		if (control_frame_decode(f, cf) < 0 || !is_boot_frame(cf))
			boot_failed(-EPROTO, "sandbox-init does not understand the host's configuration: install both together");
		if (cf->type == PROTO_GUEST_CONFIG)
			return;
		if (cf->type == PROTO_GUEST_NET)
			net_set(net, &cf->net);
		else if (cf->type == PROTO_GUEST_CA && !init.trust.pem && trust_set(&init.trust, &cf->ca) < 0)
			boot_failed(-ENOMEM, "sandbox-init cannot remember the host's certificate authority");
		else if (cf->type == PROTO_GUEST_MOUNT && guest_mounts_add(mounts, &cf->mount) < 0)
			boot_failed(-ENOMEM, "sandbox-init cannot remember so many mounts");
		link_pop(&init.control.link, f);
	}
}

static void boot_configure(void)
{
	struct guest_mounts mounts = { .notify = &init.notify };
	struct net net = { .present = false };
	struct control_frame cf;
	struct sbx_err err;
	struct frame f;
	int r;

	notify_init(&init.notify);
	boot_receive(&mounts, &net, &f, &cf);
	sys_set_wall(cf.config.wall_ns);
	sys_hostname(cf.config.hostname);
	sys_entropy(cf.config.entropy);
	init.root_readonly = !(cf.config.flags & PROTO_GUEST_WRITABLE);
	r = root_enter(&(struct root_spec){
			       .writable = !init.root_readonly,
			       .scratch_bytes = cf.config.scratch_bytes,
			       .resolv_conf = net.present ? net.resolv_conf : NULL,
			       .trust = &init.trust,
			       .mounts = &mounts,
		       },
		       &err);
	if (r == 0 && net.present)
		r = net_up(&net, &err);
	if (r < 0)
		boot_failed(r, err.message);
	guest_mounts_done(&mounts);
	link_pop(&init.control.link, &f);
	sys_loopback_up();
	sys_settings();
}

static void boot_services(void)
{
	int fd = -1;
	int r = loop_create(&init.loop);

	if (r == 0)
		r = jobs_init(&init.jobs, init.loop, ROOT_CGROUPS, on_oom, &init);
	if (r == 0) {
		init.jobs.env = init.trust.env;
		init.jobs.on_childless = on_childless;
		init.jobs.on_start = on_start;
		init.jobs.on_stuck = on_stuck;
		r = fd = control_listen();
	}
	if (r >= 0)
		r = jobs_listen(&init.jobs, fd, control_is_host);
	if (r == 0)
		r = control_run(&init.control, init.loop, control_command, control_lost);
	if (r < 0)
		boot_failed(r, "sandbox-init cannot start its services");
}

static void boot_ready(void)
{
	struct msg_guest_ready m = {
		.kernel_ns = init.entry_ns,
		.init_ns = clock_mono_ns() - init.entry_ns,
		.boot_ticks = sys_ticks(),
		.root_readonly = init.root_readonly,
	};

	(void)msg_guest_ready_put(link_out(&init.control.link), 0, &m);
	control_flush(&init.control);
}

int main(void)
{
	init.entry_ns = clock_mono_ns();
	if (getpid() != 1) {
		say("this is the init of a sandbox guest; it does nothing as an ordinary process");
		return EXIT_FAILURE;
	}
	sys_begin();
	boot_connect();
	boot_configure();
	boot_services();
	boot_ready();
	cgroups_prepare(&init.jobs.groups); /* while the host deals with that */
	(void)loop_run(init.loop);
	machine_end();
}
