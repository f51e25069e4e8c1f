/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/http_tap.c - sandbox-host without a VM: takes its configuration from libsbx as the real one does, and has the stack, the resolver and the interceptor behind a tap device,
 * so that ordinary clients in a network namespace are the guest and no emulation is in the figures.
 *
 * "TAP DIR" comes where the kernel's command line would be. Into DIR go "pid", then "own.pem", the authority that the clients are to trust: then all is ready; and after each SIGUSR1
 * "allocated", the bytes that the allocator has given out. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"
#include "host/http.h"
#include "http/ca.h"
#include "net/dns_service.h"

#include <errno.h>
#include <fcntl.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <malloc.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

enum {
	CLIENT_FD = 3,
	HDR = 12, /* struct virtio_net_hdr_mrg_rxbuf */
	FRAMES_A_ROUND = 64,
};

static struct {
	const char *dir;
	int tap;
	struct loop *loop;
	struct ctl ctl;
	struct vm_config config;
	struct loop_fd tap_watch, signal_watch;
	struct network *network;
	struct host_http http;
	uint8_t frame[HDR + FRAME_MAX];
} m;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "http_tap: %s: %s\n", what, why);
	exit(1);
}

static bool on_send(void *user, const struct frame_out *f)
{
	static const uint8_t types[] = { VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 };
	uint8_t hdr[HDR] = { f->csum_start ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0, types[f->gso] };
	struct iovec iov[2 + FRAME_BODY_IOVS] = { { hdr, HDR }, { (void *)f->head, f->head_len } };

	(void)user;
	store_le16(hdr + 2, f->gso_head_len);
	store_le16(hdr + 4, f->gso_size);
	store_le16(hdr + 6, f->csum_start);
	store_le16(hdr + 8, f->csum_offset);
	memcpy(iov + 2, f->body, f->body_count * sizeof(*iov));
	return writev(m.tap, iov, (int)(2 + f->body_count)) >= 0 || errno != EAGAIN;
}

static void on_frames(struct loop_fd *w, uint32_t events)
{
	(void)events;
	for (int i = 0; i < FRAMES_A_ROUND; i++) {
		ssize_t n = read(w->fd, m.frame, sizeof(m.frame));
		size_t len = n > HDR ? (size_t)n - HDR : 0, head = MIN(len, (size_t)FRAME_HEAD_BYTES);
		struct iovec body = { m.frame + HDR + head, len - head };
		struct frame_in f = {
			.head = m.frame + HDR,
			.head_len = head,
			.body = &body,
			.body_count = body.iov_len > 0,
			.len = len,
			.csum_absent = m.frame[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM,
		};

		if (n < 0)
			return;
		if (len >= FRAME_ETH_BYTES)
			network_input(m.network, &f);
	}
}

static void open_tap(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int hdr = HDR;

	m.tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (m.tap < 0 || ioctl(m.tap, TUNSETIFF, &r) < 0 || ioctl(m.tap, TUNSETVNETHDRSZ, &hdr) < 0 ||
	    ioctl(m.tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die("cannot make a tap device", strerror(errno));
}

static void write_file(const char *name, const char *text)
{
	char path[PATH_MAX];
	AUTOCLOSE int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/%s", m.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path, strerror(errno));
}

static void write_number(const char *name, size_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%zu\n", n);
	write_file(name, text);
}

static void on_signal(struct loop_fd *w, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(w->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		write_number("allocated", mallinfo2().uordblks);
}

static void serve(void)
{
	static const struct log log;
	const struct network_link link = { .send = on_send };
	struct http_proxy_config proxy = { .loop = m.loop, .log = &log };
	char *dir = strchr(m.config.cmdline, ' ');
	struct sbx_err err = { 0 };
	struct dns_service *service;

	if (!dir)
		die("usage", "TAP DIR");
	*dir++ = '\0';
	m.dir = dir;
	open_tap(m.config.cmdline);
	if (network_create(m.loop, &log, m.config.policy, &link, &m.network) < 0 ||
	    dns_service_create(m.loop, &log, m.network, network_policy(m.network), NULL, &service) < 0)
		die("network", "no memory");
	proxy.network = m.network;
	proxy.dns = dns_service_resolver(service);
	if (host_http_init(&m.http, &proxy, &m.ctl, &m.config, &err) < 0 || !m.http.ca)
		die("interception", err.message);
	if (loop_fd_add(m.loop, &m.tap_watch, m.tap, EPOLLIN, on_frames) < 0)
		die("loop", "no memory");
	network_started(m.network, &(struct frame_caps){ .csum = true, .tso4 = true, .tso6 = true });
	write_number("pid", (size_t)getpid());
	write_file("own.pem", ca_certificate_pem(m.http.ca));
}

static int on_frame(void *user, const struct frame *f)
{
	struct sbx_err err = { 0 };

	(void)user;
	if (m.http.proxy)
		return host_http_frame(&m.http, f);
	if (f->type != PROTO_CONFIG)
		return vm_config_add(&m.config, f, &m.ctl.link);
	if (vm_config_read(&m.config, f, &m.ctl.link, &err) < 0)
		die("configuration", err.message);
	serve();
	return 0;
}

static void on_drained(void *user)
{
	(void)user;
	httpcalls_resume(&m.http.calls);
}

static void on_closed(void *user, int reason)
{
	(void)user;
	(void)reason;
	loop_stop(m.loop);
}

int main(void)
{
	static const struct ctl_ops ops = { .frame = on_frame, .drained = on_drained, .closed = on_closed };
	sigset_t usr1;
	int signals;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &usr1, NULL);
	signals = signalfd(-1, &usr1, SFD_CLOEXEC | SFD_NONBLOCK);
	vm_config_init(&m.config);
	if (signals < 0 || loop_create(&m.loop) < 0 || ctl_init(&m.ctl, m.loop, CLIENT_FD, &ops, &m) < 0 ||
	    loop_fd_add(m.loop, &m.signal_watch, signals, EPOLLIN, on_signal) < 0)
		die("start", strerror(errno));
	(void)loop_run(m.loop);
	_exit(0); /* the measurement is over */
}
