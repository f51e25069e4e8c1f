/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The stack against this machine's own TCP, which stands for the guest's: a tap device in a network namespace of the test's, and a wire in between that loses,
 * doubles and reorders frames. The machine's clock, so bounds are generous. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"
#include "net/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "netrig.h"
#include "../test.h"

enum { HDR = 12,
       BYTES = 4 << 20,
       ENDS_MAX = 64,
       PORT_SEND = 1000,  /* our end sends BYTES and shuts down; it takes what comes */
       PORT_TAKE = 1001,  /* our end takes all, then answers the number */
       PORT_ECHO = 1002,
       PORT_SLOW = 1003,  /* as PORT_TAKE, but takes a little every millisecond */
       PORT_RESET = 1004, /* our end resets when the first byte comes */
       PORT_REFUSE = 1005,
       LIMIT_S = 50 };

struct wire {
	unsigned lose, twice, hold; /* of 1000 frames each way; held ones come after the next */
};

struct end {
	struct tcp *t;
	uint16_t port;
	uint64_t sent, got;
	bool fin, answered;
	uint8_t held[1 << 16]; /* PORT_ECHO */
	size_t held_len;
};

static struct {
	int tap;
	struct stack *s;
	struct wire wire;
	uint64_t seed, next_ns;
	bool woken;
	struct end end[ENDS_MAX];
	uint8_t held[2][HDR + FRAME_MAX];
	size_t held_len[2];
	uint8_t in[HDR + FRAME_MAX], out[HDR + FRAME_MAX];
} m;

static uint32_t dice(uint32_t n)
{
	m.seed = m.seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(m.seed >> 33) % n;
}

static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 31 + (pos >> 13));
}

/* ---- The wire ---- */

static void deliver(int way, const uint8_t *p, size_t len)
{
	if (way == 0) {
		struct frame_in f = { .head = p + HDR, .head_len = len - HDR, .len = len - HDR, .csum_absent = p[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM };

		if (len >= HDR + 14)
			stack_input(m.s, &f);
	} else {
		(void)!write(m.tap, p, len);
	}
}

static void carry(int way, const uint8_t *p, size_t len)
{
	if (dice(1000) < m.wire.lose)
		return;
	if (m.held_len[way] == 0 && dice(1000) < m.wire.hold) {
		memcpy(m.held[way], p, len);
		m.held_len[way] = len;
		return;
	}
	deliver(way, p, len);
	if (dice(1000) < m.wire.twice)
		deliver(way, p, len);
	if (m.held_len[way] > 0)
		deliver(way, m.held[way], m.held_len[way]);
	m.held_len[way] = 0;
}

static bool on_send(void *user, const struct frame_out *f)
{
	static const uint8_t types[] = { VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 };
	size_t at = HDR + f->head_len;

	(void)user;
	memset(m.out, 0, HDR);
	m.out[0] = f->csum_start ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
	m.out[1] = types[f->gso];
	store_le16(m.out + 2, f->gso_head_len);
	store_le16(m.out + 4, f->gso_size);
	store_le16(m.out + 6, f->csum_start);
	store_le16(m.out + 8, f->csum_offset);
	memcpy(m.out + HDR, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(m.out + at, f->body[i].iov_base, f->body[i].iov_len);
	carry(1, m.out, at);
	return true;
}

/* ---- Our ends ---- */

static void feed(struct end *e)
{
	while (e->t && e->sent < BYTES) {
		struct iovec iov[4];
		unsigned count = tcp_room(e->t, (size_t)(BYTES - e->sent), iov, 4);
		size_t n = 0;

		if (count == 0)
			return;
		for (unsigned i = 0; i < count; i++)
			for (size_t k = 0; k < iov[i].iov_len; k++, n++)
				((uint8_t *)iov[i].iov_base)[k] = byte_at(e->sent + n);
		e->sent += n;
		tcp_filled(e->t, n);
	}
	tcp_shutdown(e->t);
}

static void echo_back(struct end *e)
{
	size_t n = tcp_write(e->t, e->held, e->held_len);

	memmove(e->held, e->held + n, e->held_len - n);
	e->held_len -= n;
	if (e->held_len == 0 && e->fin)
		tcp_shutdown(e->t);
}

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct end *e = user;
	size_t take = len, done = 0;

	if (e->port == PORT_SLOW)
		take = MIN(len, (size_t)20000);
	if (e->port == PORT_RESET) {
		tcp_abort(e->t);
		e->t = NULL;
		return 0;
	}
	for (unsigned i = 0; i < count && done < take; i++) {
		const uint8_t *p = iov[i].iov_base;

		for (size_t k = 0; k < iov[i].iov_len && done < take; k++, done++) {
			CHECK(p[k] == byte_at(e->got + done), "byte %llu", (unsigned long long)(e->got + done));
			if (e->port == PORT_ECHO && e->held_len == sizeof(e->held))
				echo_back(e);
			if (e->port == PORT_ECHO && e->held_len == sizeof(e->held)) {
				take = done; /* on_room() goes on */
				break;
			}
			if (e->port == PORT_ECHO)
				e->held[e->held_len++] = p[k];
		}
	}
	e->got += take;
	if (e->port == PORT_ECHO)
		echo_back(e);
	return take;
}

static void on_fin(void *user)
{
	struct end *e = user;
	char text[32];

	e->fin = true;
	if (e->port == PORT_TAKE || e->port == PORT_SLOW) {
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)e->got);
		(void)tcp_write(e->t, text, strlen(text));
		tcp_shutdown(e->t);
	} else if (e->port == PORT_ECHO) {
		echo_back(e);
	}
}

static void on_room(void *user)
{
	struct end *e = user;

	if (e->port == PORT_SEND)
		feed(e);
	if (e->port == PORT_ECHO) {
		echo_back(e);
		(void)tcp_pull(e->t);
	}
}

static void on_closed(void *user, int reason)
{
	(void)reason;
	((struct end *)user)->t = NULL;
}

static const struct tcp_ops ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void on_tcp_open(void *user, struct tcp *t)
{
	(void)user;
	if (tcp_key(t)->remote_port == PORT_REFUSE) {
		tcp_refuse(t, -ECONNREFUSED);
		return;
	}
	for (int i = 0; i < ENDS_MAX; i++) {
		struct end *e = &m.end[i];

		if (e->t)
			continue;
		memset(e, 0, offsetof(struct end, held));
		e->held_len = 0;
		e->t = t;
		e->port = tcp_key(t)->remote_port;
		tcp_set_ops(t, &ops, e);
		tcp_accept(t);
		return;
	}
	tcp_refuse(t, -ENOMEM);
}

static uint64_t on_now(void *user)
{
	(void)user;
	return clock_mono_ns();
}

static void on_wake(void *user)
{
	(void)user;
	m.woken = true;
}

static const struct stack_ops stack_ops = {
	.send = on_send,
	.now_ns = on_now,
	.wake = on_wake,
	.tcp_open = on_tcp_open,
	.udp = nrig_no_udp,
	.echo = nrig_no_echo,
};

/* ---- The machine's end ---- */

static void configure(const char *name, int mtu)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct ifreq q = { 0 };

	(void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	q.ifr_hwaddr.sa_family = 1;
	memcpy(q.ifr_hwaddr.sa_data, nrig_config.guest_mac, 6);
	CHECK(ioctl(fd, SIOCSIFHWADDR, &q) == 0, "%s", strerror(errno));
	q.ifr_mtu = mtu;
	CHECK(ioctl(fd, SIOCSIFMTU, &q) == 0, "%s", strerror(errno));
	CHECK(inet_pton(AF_INET, "10.0.2.2", &a.sin_addr) == 1, "address");
	memcpy(&q.ifr_addr, &a, sizeof(a));
	CHECK(ioctl(fd, SIOCSIFADDR, &q) == 0, "%s", strerror(errno));
	q.ifr_flags = IFF_UP;
	CHECK(ioctl(fd, SIOCSIFFLAGS, &q) == 0, "%s", strerror(errno));
	memcpy(&route.rt_genmask, &(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(a));
	memcpy(&route.rt_dst, &(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(a));
	CHECK(inet_pton(AF_INET, "10.0.2.1", &a.sin_addr) == 1, "address");
	memcpy(&route.rt_gateway, &a, sizeof(a));
	CHECK(ioctl(fd, SIOCADDRT, &route) == 0, "%s", strerror(errno));
	close(fd);
}

static void up(struct wire wire, bool offloads)
{
	struct ifreq q = { .ifr_name = "tap0", .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };
	int hdr = HDR;

	memset(&m, 0, offsetof(__typeof__(m), held));
	m.wire = wire;
	m.seed = 7;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		SKIP("no network namespaces here: %s", strerror(errno));
	m.tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (m.tap < 0 || ioctl(m.tap, TUNSETIFF, &q) < 0)
		SKIP("no tap devices here: %s", strerror(errno));
	CHECK(ioctl(m.tap, TUNSETVNETHDRSZ, &hdr) == 0, "%s", strerror(errno));
	CHECK(ioctl(m.tap, TUNSETOFFLOAD, offloads ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0) == 0, "%s", strerror(errno));
	configure("tap0", nrig_config.mtu);
	CHECK(stack_create(&nrig_config, &stack_ops, NULL, 99, &m.s) == 0, "stack");
	stack_restart(m.s, &(struct frame_caps){ offloads, offloads, offloads });
}

static void pull_slow(void)
{
	for (int i = 0; i < ENDS_MAX; i++)
		if (m.end[i].t && m.end[i].port == PORT_SLOW)
			(void)tcp_pull(m.end[i].t);
}

/* Runs the stack until the program on the other side has ended well. */
static void serve(pid_t child)
{
	uint64_t limit = clock_mono_ns() + LIMIT_S * NS_PER_S, tick = 0;
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		struct pollfd p = { .fd = m.tap, .events = POLLIN };
		uint64_t now = clock_mono_ns(), next;
		ssize_t n;

		CHECK(now < limit, "the other side does not end");
		if (now >= tick) {
			pull_slow();
			tick = now + NS_PER_MS;
		}
		next = stack_run(m.s);
		(void)poll(&p, 1, m.woken || next <= now ? 0 : 1);
		m.woken = false;
		for (int i = 0; i < 32 && (n = read(m.tap, m.in, sizeof(m.in))) > 0; i++)
			carry(0, m.in, (size_t)n);
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the other side failed: status %x", status);
	stack_free(m.s);
	close(m.tap);
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)inet_pton(AF_INET, "93.184.216.34", &a.sin_addr);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -errno;
}

#define MUST(cond)                                                                                     \
	do {                                                                                           \
		if (!(cond)) {                                                                         \
			fprintf(stderr, "# other side, line %d: %s: %s\n", __LINE__, #cond, strerror(errno)); \
			_exit(1);                                                                      \
		}                                                                                      \
	} while (0)

static void send_all(int fd, uint64_t count)
{
	static uint8_t chunk[30000];

	for (uint64_t at = 0; at < count;) {
		size_t n = MIN(sizeof(chunk), (size_t)(count - at));

		for (size_t i = 0; i < n; i++)
			chunk[i] = byte_at(at + i);
		for (size_t off = 0; off < n;) {
			ssize_t r = send(fd, chunk + off, n - off, MSG_NOSIGNAL);

			MUST(r > 0);
			off += (size_t)r;
		}
		at += n;
	}
}

static void receive_all(int fd, uint64_t count)
{
	static uint8_t chunk[30000];
	uint64_t at = 0;
	ssize_t n;

	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			MUST(chunk[i] == byte_at(at + (uint64_t)i));
		at += (uint64_t)n;
	}
	MUST(n == 0 && at == count);
}

static void take_answer(int fd, const char *want)
{
	char text[32] = "";
	size_t at = 0;
	ssize_t n;

	while ((n = recv(fd, text + at, sizeof(text) - 1 - at, 0)) > 0)
		at += (size_t)n;
	MUST(n == 0 && strcmp(text, want) == 0);
}

static void download(void)
{
	int fd = connect_to(PORT_SEND);

	MUST(fd >= 0);
	receive_all(fd, BYTES);
}

static void upload(void)
{
	int fd = connect_to(PORT_TAKE);

	MUST(fd >= 0);
	send_all(fd, BYTES);
	MUST(shutdown(fd, SHUT_WR) == 0);
	take_answer(fd, "4194304");
}

static void slowly(void)
{
	int fd = connect_to(PORT_SLOW);

	MUST(fd >= 0);
	send_all(fd, BYTES);
	MUST(shutdown(fd, SHUT_WR) == 0);
	take_answer(fd, "4194304");
}

static void echo(void)
{
	int fd = connect_to(PORT_ECHO);
	pid_t sender;
	int status;

	MUST(fd >= 0);
	sender = fork();
	if (sender == 0) {
		send_all(fd, BYTES);
		_exit(shutdown(fd, SHUT_WR) != 0);
	}
	receive_all(fd, BYTES);
	MUST(waitpid(sender, &status, 0) == sender && status == 0);
}

static void ends(void)
{
	int fd = connect_to(PORT_REFUSE);

	MUST(fd == -ECONNREFUSED);
	fd = connect_to(PORT_RESET);
	MUST(fd >= 0 && send(fd, "x", 1, MSG_NOSIGNAL) == 1);
	MUST(recv(fd, &(char){ 0 }, 1, 0) < 0 && errno == ECONNRESET);
}

static void run(struct wire wire, bool offloads, void (*program)(void))
{
	pid_t child;

	up(wire, offloads);
	child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		close(m.tap);
		program();
		_exit(0);
	}
	serve(child);
}

static const struct wire perfect, lossy = { .lose = 10, .twice = 5 }, shuffled = { .hold = 100, .twice = 20 };

TEST(a_download)
{
	run(perfect, true, download);
}

TEST(a_download_without_offloads)
{
	run(perfect, false, download);
}

TEST(a_download_over_a_lossy_wire)
{
	run(lossy, false, download);
}

TEST(a_download_with_large_segments_over_a_lossy_wire)
{
	run(lossy, true, download);
}

TEST(a_download_out_of_order)
{
	run(shuffled, false, download);
}

TEST(an_upload)
{
	run(perfect, true, upload);
}

TEST(an_upload_without_offloads)
{
	run(perfect, false, upload);
}

TEST(an_upload_over_a_lossy_wire)
{
	run(lossy, false, upload);
}

TEST(an_upload_with_large_segments_over_a_lossy_wire)
{
	run(lossy, true, upload);
}

TEST(an_upload_out_of_order)
{
	run(shuffled, false, upload);
}

TEST(an_upload_to_a_slow_reader)
{
	run(perfect, true, slowly);
}

TEST(both_ways_at_once)
{
	run(perfect, true, echo);
}

TEST(both_ways_at_once_over_a_lossy_wire)
{
	run(lossy, false, echo);
}

TEST(refused_and_reset)
{
	run(perfect, true, ends);
}

RUN_TESTS(T(a_download), T(a_download_without_offloads), T(a_download_over_a_lossy_wire), T(a_download_with_large_segments_over_a_lossy_wire),
	  T(a_download_out_of_order), T(an_upload), T(an_upload_without_offloads), T(an_upload_over_a_lossy_wire),
	  T(an_upload_with_large_segments_over_a_lossy_wire), T(an_upload_out_of_order), T(an_upload_to_a_slow_reader), T(both_ways_at_once),
	  T(both_ways_at_once_over_a_lossy_wire), T(refused_and_reset))
