/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/http_tap.c - a VM's network without the VM: the stack, the resolver and the interceptor behind a tap device, so that ordinary clients in a network namespace are
 * the guest and no emulation is in the figures. Prints "ready", and then does what sandbox-host would do, until its input ends.
 *
 *	http_tap TAP CA_OUT EXTRA_ROOTS RULE ORIGIN...
 *
 * Requests to each ORIGIN get a header by a hook. The authority that the clients are to trust is written to CA_OUT. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"
#include "http/ca.h"
#include "http/proxy.h"
#include "http/roots.h"
#include "http/tls.h"
#include "net/dns_service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

enum {
	HDR = 12, /* struct virtio_net_hdr_mrg_rxbuf */
	FRAMES_A_ROUND = 64,
};

static struct {
	int tap;
	struct loop *loop;
	struct loop_fd tap_watch, stdin_watch;
	struct network *network;
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
	struct iovec iov[2 + FRAME_BODY_IOVS] = { { hdr, HDR }, { (void *)(uintptr_t)f->head, f->head_len } };

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

static void on_stdin(struct loop_fd *w, uint32_t events)
{
	char c;

	(void)events;
	if (read(w->fd, &c, 1) <= 0)
		loop_stop(m.loop);
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

static void write_file(const char *path, const char *text)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path, strerror(errno));
}

static struct tls_context *make_tls(const char *ca_out, const char *extra)
{
	struct sbx_err err = { 0 };
	struct tls_config c = { 0 };
	struct tls_context *context;

	if (ca_create(&(struct ca_config){ 0 }, clock_wall_ns() / NS_PER_S, &c.ca, &err) < 0 || roots_create(&c.roots) < 0 ||
	    roots_add_file(c.roots, extra, &err) < 0 || tls_context_create(&c, &context, &err) < 0)
		die("TLS", err.message);
	write_file(ca_out, ca_certificate_pem(c.ca));
	return context;
}

static void add_hooks(struct http_hooks *hooks, char *const *origins)
{
	struct sbx_err err = { 0 };
	struct http_origin o;

	http_hooks_init(hooks);
	for (; *origins; origins++)
		if (http_origin_parse(*origins, &o, &err) < 0 || http_hooks_add_header(hooks, &o, "x-key", "from the host") < 0)
			die(*origins, err.message);
}

int main(int argc, char **argv)
{
	static const struct log log;
	static struct policy policy;
	static struct http_hooks hooks;
	const struct network_link link = { .send = on_send };
	struct http_proxy_config config = { .log = &log };
	struct dns_service *service;
	struct http_proxy *proxy;
	struct sbx_err err;

	if (argc < 6)
		die("usage", "http_tap TAP CA_OUT EXTRA_ROOTS RULE ORIGIN...");
	open_tap(argv[1]);
	if (rule_parse(argv[4], &policy.rule[policy.count++], &err) < 0)
		die(argv[4], err.message);
	config.tls = make_tls(argv[2], argv[3]);
	add_hooks(&hooks, argv + 5);
	if (loop_create(&m.loop) < 0 || network_create(m.loop, &log, &policy, &link, &m.network) < 0 ||
	    dns_service_create(m.loop, &log, m.network, network_policy(m.network), NULL, &service) < 0)
		die("network", "no memory");
	config.loop = m.loop;
	config.network = m.network;
	config.dns = dns_service_resolver(service);
	if (http_proxy_create(&config, &hooks, &proxy) < 0 || loop_fd_add(m.loop, &m.tap_watch, m.tap, EPOLLIN, on_frames) < 0 ||
	    loop_fd_add(m.loop, &m.stdin_watch, 0, EPOLLIN, on_stdin) < 0)
		die("proxy", "no memory");
	network_started(m.network, &(struct frame_caps){ .csum = true, .tso4 = true, .tso6 = true });
	(void)puts("ready");
	(void)fflush(stdout);
	(void)loop_run(m.loop);
	http_proxy_free(proxy);
	return 0;
}
