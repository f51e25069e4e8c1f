/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/net_ops.c - a network driver and the guest behind it, at native speed, against our network as a vhost-user server (bench/net_server):
 *
 *	net_ops SOCKET [NAME]
 *
 * All experiments, or one. The guest's TCP is our own stack with the sides changed, with every offload on: its segments are as large as a kernel's. The other ends are children that listen on
 * this machine's loopback. What counts is the server's time on a processor, which says what one core carries however busy the machine is; it includes the kernel's
 * part of its system calls. Prints a line an experiment:
 *
 *	upload GBIT_PER_CPU_SECOND GBIT_PER_SECOND	STREAM_BYTES out of the guest
 *	download ...					into it
 *	request CPU_NS P50_NS				64 bytes to an echo and back, one after the other
 *	request_many CPU_NS				MANY at once
 *	idle_flow BYTES					of the server's memory, each of FLOWS open connections
 *	fair LEAST TENTH				what the slowest, and the slowest tenth, of ACTIVE connections got of what all got on average */
#include <errno.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rd.h"
#include "net/network.h"
#include "peers.h"
#include "vhost.h"

enum {
	RX,
	TX,
	QUEUES,
	QUEUE_SIZE = 256,
	HDR_BYTES = 12,
	RX_BYTES = 4096, /* of a receive buffer, as Linux makes them */
	TX_SLOTS = 64,
	TX_SLOT_BYTES = 68 << 10,
	TX_PIECE_BYTES = 32 << 10, /* of a descriptor: a fragment of a socket buffer */
	TX_PIECES = 4,
	RX_AT = QUEUES * VHOST_QUEUE_BYTES,
	TX_AT = RX_AT + QUEUE_SIZE * RX_BYTES,
	MEM_BYTES = TX_AT + TX_SLOTS * TX_SLOT_BYTES,
	REQUEST_BYTES = 64,
	REQUESTS = 40000,
	MANY = 64,
	FLOWS = 5000,
	ACTIVE = 1000,
	SPIN_NS = 200000,
};
#define STREAM_BYTES (UINT64_C(4) << 30)
#define FAIR_NS (8 * NS_PER_S)

#define FEATURE(name) (UINT64_C(1) << VIRTIO_NET_F_##name)

struct end {
	struct tcp *t;
	uint64_t sent, to_send, got;
	bool open, fin, counts;
	uint64_t asked_ns;
	unsigned asks; /* left */
};

static struct {
	struct vhost v;
	struct stack *s;
	pid_t server;
	bool woken, no_room;
	uint64_t next_ns;
	uint16_t rx_avail, rx_seen, tx_avail, tx_told, tx_seen;
	uint16_t tx_free[TX_SLOTS];
	unsigned tx_free_count;
	uint8_t frame[HDR_BYTES + FRAME_MAX];
	struct end *end;
	unsigned opened, answered, finished;
	uint64_t took[REQUESTS];
	uint16_t next_port;
} m;

static const uint8_t zeros[REQUEST_BYTES];

/* ---- The driver ---- */

static uint8_t *tx_slot(unsigned slot)
{
	return m.v.mem + TX_AT + slot * TX_SLOT_BYTES;
}

static bool on_send(void *user, const struct frame_out *f)
{
	static const uint8_t types[] = { VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 };
	size_t len = HDR_BYTES + f->len, at = HDR_BYTES + f->head_len;
	struct vhost_desc *d;
	unsigned slot, n = 0;
	uint8_t *p;

	(void)user;
	if (m.tx_free_count == 0) {
		m.no_room = true;
		return false;
	}
	slot = m.tx_free[--m.tx_free_count];
	p = tx_slot(slot);
	memset(p, 0, HDR_BYTES);
	p[0] = f->csum_start ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
	p[1] = types[f->gso];
	store_le16(p + 2, f->gso_head_len);
	store_le16(p + 4, f->gso_size);
	store_le16(p + 6, f->csum_start);
	store_le16(p + 8, f->csum_offset);
	memcpy(p + HDR_BYTES, f->head, f->head_len);
	for (unsigned i = 0; i < f->body_count; at += f->body[i++].iov_len)
		memcpy(p + at, f->body[i].iov_base, f->body[i].iov_len);
	d = vhost_desc(&m.v, TX) + slot * TX_PIECES;
	for (size_t off = 0; off < len; off += TX_PIECE_BYTES, n++)
		d[n] = (struct vhost_desc){ .addr = TX_AT + slot * TX_SLOT_BYTES + off, .len = (uint32_t)MIN(len - off, (size_t)TX_PIECE_BYTES), .flags = VHOST_DESC_NEXT, .next = (uint16_t)(slot * TX_PIECES + n + 1) };
	d[n - 1].flags = 0;
	vhost_offer(&m.v, TX, m.tx_avail++, (uint16_t)(slot * TX_PIECES));
	return true;
}

static void offer_rx(uint16_t i)
{
	vhost_desc(&m.v, RX)[i] = (struct vhost_desc){ .addr = RX_AT + (uint64_t)i * RX_BYTES, .len = RX_BYTES, .flags = VHOST_DESC_WRITE };
	vhost_offer(&m.v, RX, m.rx_avail++, i);
}

static void take_frame(uint16_t *seen)
{
	unsigned buffers = 1;
	size_t len = 0;
	struct frame_in f;

	for (unsigned i = 0; i < buffers; i++) {
		uint32_t n;
		uint16_t head = vhost_used(&m.v, RX, (*seen)++, &n);

		memcpy(m.frame + len, m.v.mem + RX_AT + head * RX_BYTES, n);
		if (i == 0)
			buffers = load_le16(m.frame + 10);
		len += n;
		offer_rx(head);
	}
	f = (struct frame_in){ .head = m.frame + HDR_BYTES, .head_len = len - HDR_BYTES, .len = len - HDR_BYTES, .csum_absent = m.frame[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM };
	stack_input(m.s, &f);
}

/* True when something was there to do. */
static bool drive(void)
{
	uint16_t rx = vhost_used_index(&m.v, RX), tx = vhost_used_index(&m.v, TX);
	bool busy = rx != m.rx_seen || tx != m.tx_seen || m.woken || m.tx_avail != m.tx_told || m.next_ns <= clock_mono_ns();
	uint32_t len;

	for (; m.tx_seen != tx; m.tx_seen++)
		m.tx_free[m.tx_free_count++] = vhost_used(&m.v, TX, m.tx_seen, &len) / TX_PIECES;
	vhost_want(&m.v, TX, m.tx_seen);
	if (m.no_room && m.tx_free_count > 0) {
		m.no_room = false;
		stack_room(m.s);
	}
	if (m.rx_seen != rx) {
		while (m.rx_seen != rx)
			take_frame(&m.rx_seen);
		vhost_want(&m.v, RX, m.rx_seen);
		vhost_kick(&m.v, RX);
	}
	if (busy) {
		m.woken = false;
		m.next_ns = stack_run(m.s);
	}
	if (m.tx_avail != m.tx_told) {
		m.tx_told = m.tx_avail;
		vhost_kick(&m.v, TX);
	}
	return busy;
}

static void drive_until(const unsigned *count, unsigned want)
{
	uint64_t idle_since = clock_mono_ns();

	while (*count < want) {
		if (drive())
			idle_since = clock_mono_ns();
		else if (clock_mono_ns() - idle_since < SPIN_NS)
			(void)sched_yield();
		else
			vhost_wait(&m.v, 1);
	}
}

/* ---- The guest's programs ---- */

static void fill(struct end *e)
{
	while (e->t && e->sent < e->to_send) {
		struct iovec iov[16];
		unsigned count = tcp_room(e->t, (size_t)MIN(e->to_send - e->sent, UINT64_C(1) << 20), iov, ARRAY_LEN(iov));
		size_t n = 0;

		if (count == 0)
			return;
		for (unsigned i = 0; i < count; i++)
			n += iov[i].iov_len; /* whatever is there */
		tcp_filled(e->t, n);
		e->sent += n;
	}
	if (e->t && e->to_send > 0 && e->sent == e->to_send)
		tcp_shutdown(e->t);
}

static void ask(struct end *e)
{
	e->asked_ns = clock_mono_ns();
	e->got = 0;
	if (tcp_write(e->t, zeros, REQUEST_BYTES) != REQUEST_BYTES)
		vhost_die("no room for a request");
}

static size_t on_data(void *user, const struct iovec *iov, unsigned count, size_t len)
{
	struct end *e = user;

	(void)iov;
	(void)count;
	e->got += len;
	if (e->asks > 0 && e->got == REQUEST_BYTES) {
		if (m.answered < REQUESTS)
			m.took[m.answered] = clock_mono_ns() - e->asked_ns;
		m.answered++;
		if (--e->asks > 0)
			ask(e);
	} else if (e->counts && e->got >= STREAM_BYTES) {
		e->counts = false;
		m.finished++;
	}
	return len;
}

static void on_fin(void *user)
{
	struct end *e = user;

	e->fin = true;
	m.finished++;
}

static void on_room(void *user)
{
	struct end *e = user;

	m.opened += !e->open;
	e->open = true;
	fill(e);
}

static void on_closed(void *user, int reason)
{
	struct end *e = user;

	if (!e->open)
		vhost_die("a connection was not made: %s", strerror(-reason));
	e->t = NULL;
}

static const struct tcp_ops end_ops = { .data = on_data, .fin = on_fin, .room = on_room, .closed = on_closed };

static void on_tcp_open(void *user, struct tcp *t)
{
	(void)user;
	tcp_refuse(t, -ECONNREFUSED);
}

static void on_udp(void *user, const struct stack_datagram *d)
{
	(void)user;
	(void)d;
}

static void on_echo(void *user, const struct stack_echo *e)
{
	(void)user;
	(void)e;
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

static const struct stack_ops stack_ops = { .send = on_send, .now_ns = on_now, .wake = on_wake, .tcp_open = on_tcp_open, .udp = on_udp, .echo = on_echo };

/* ---- The experiments ---- */

static uint64_t server_cpu_ns(void)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)m.server);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%llu", &ns) != 1)
		vhost_die("cannot read %s", path);
	(void)fclose(f);
	return ns;
}

static uint64_t server_bytes(void)
{
	unsigned long long total = 0, resident = 0;
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)m.server);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%llu %llu", &total, &resident) != 2)
		vhost_die("cannot read %s", path);
	(void)fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* @count connections to @port, opened. @to_send: bytes that each sends then, and shuts down. */
static void open_ends(unsigned count, uint16_t port, uint64_t to_send)
{
	const struct stack_config *a = network_addresses();

	m.end = calloc(count, sizeof(*m.end));
	m.opened = m.answered = m.finished = 0;
	if (!m.end)
		vhost_die("out of memory");
	for (unsigned i = 0; i < count; i++) {
		struct flow_key key = flow_key_of(IP_PROTO_TCP, &a->gateway4, port, &a->guest4, m.next_port++);

		m.end[i].to_send = to_send;
		if (tcp_connect(m.s, &key, &end_ops, &m.end[i], &m.end[i].t) < 0)
			vhost_die("too many connections");
		if (i % MANY == MANY - 1)
			drive_until(&m.opened, i + 1); /* what is being opened is bounded */
	}
	drive_until(&m.opened, count);
}

static void close_ends(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (m.end[i].t)
			tcp_abort(m.end[i].t);
	while (drive())
		;
	free(m.end);
}

static void report_stream(const char *name, uint64_t wall, uint64_t cpu)
{
	printf("%s %.2f %.2f\n", name, (double)STREAM_BYTES * 8 / (double)(server_cpu_ns() - cpu), (double)STREAM_BYTES * 8 / (double)(clock_mono_ns() - wall));
}

static void upload(uint16_t sink)
{
	uint64_t wall, cpu;

	open_ends(1, sink, 0);
	wall = clock_mono_ns();
	cpu = server_cpu_ns();
	m.end[0].to_send = STREAM_BYTES;
	fill(&m.end[0]);
	drive_until(&m.finished, 1);
	report_stream("upload", wall, cpu);
	close_ends(1);
}

static void download(uint16_t source)
{
	uint64_t wall, cpu;

	open_ends(1, source, 0);
	wall = clock_mono_ns();
	cpu = server_cpu_ns();
	m.end[0].counts = true;
	m.end[0].got = 0;
	drive_until(&m.finished, 1);
	report_stream("download", wall, cpu);
	close_ends(1);
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void requests(uint16_t echo, unsigned at_once)
{
	uint64_t cpu;

	open_ends(at_once, echo, 0);
	cpu = server_cpu_ns();
	for (unsigned i = 0; i < at_once; i++) {
		m.end[i].asks = REQUESTS / at_once;
		ask(&m.end[i]);
	}
	drive_until(&m.answered, REQUESTS / at_once * at_once);
	cpu = (server_cpu_ns() - cpu) / m.answered;
	qsort(m.took, MIN(m.answered, (unsigned)REQUESTS), sizeof(m.took[0]), order);
	if (at_once == 1)
		printf("request %llu %llu\n", (unsigned long long)cpu, (unsigned long long)m.took[m.answered / 2]);
	else
		printf("request_many %llu\n", (unsigned long long)cpu);
	close_ends(at_once);
}

static void idle(uint16_t echo)
{
	uint64_t before = server_bytes();

	open_ends(FLOWS, echo, 0);
	for (unsigned i = 0; i < FLOWS; i++) { /* each has been used */
		m.end[i].asks = 1;
		ask(&m.end[i]);
		drive_until(&m.answered, i + 1);
	}
	printf("idle_flow %llu\n", (unsigned long long)(server_bytes() - before) / FLOWS);
	close_ends(FLOWS);
}

static void fair(uint16_t source)
{
	static uint64_t got[ACTIVE];
	uint64_t until, sum = 0;

	open_ends(ACTIVE, source, 0);
	for (unsigned i = 0; i < ACTIVE; i++)
		m.end[i].got = 0;
	until = clock_mono_ns() + FAIR_NS;
	while (clock_mono_ns() < until)
		if (!drive())
			(void)sched_yield();
	for (unsigned i = 0; i < ACTIVE; i++) {
		got[i] = m.end[i].got;
		sum += got[i];
	}
	qsort(got, ACTIVE, sizeof(got[0]), order);
	printf("fair %.3f %.3f\n", (double)got[0] * ACTIVE / (double)sum, (double)got[ACTIVE / 10] * ACTIVE / (double)sum);
	close_ends(ACTIVE);
}

static void start_driver(const char *path)
{
	const struct stack_config *a = network_addresses();
	struct stack_config mirrored = *a;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	memcpy(mirrored.guest_mac, a->gateway_mac, 6);
	memcpy(mirrored.gateway_mac, a->guest_mac, 6);
	mirrored.guest4 = a->gateway4;
	mirrored.gateway4 = a->guest4;
	(void)vhost_open(&m.v, path, MEM_BYTES, QUEUES, QUEUE_SIZE,
			 FEATURE(CSUM) | FEATURE(GUEST_CSUM) | FEATURE(HOST_TSO4) | FEATURE(HOST_TSO6) | FEATURE(GUEST_TSO4) | FEATURE(GUEST_TSO6) | FEATURE(MRG_RXBUF) | VHOST_F_EVENT_IDX);
	if (getsockopt(m.v.sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		vhost_die("no server");
	m.server = peer.pid;
	for (uint16_t i = 0; i < TX_SLOTS; i++)
		m.tx_free[m.tx_free_count++] = i;
	for (uint16_t i = 0; i < QUEUE_SIZE; i++)
		offer_rx(i);
	vhost_kick(&m.v, RX);
	m.next_port = 20000;
	if (stack_create(&mirrored, &stack_ops, NULL, 1, &m.s) < 0)
		vhost_die("out of memory");
	stack_restart(m.s, &(struct frame_caps){ true, true, true });
}

static bool wanted(const char *name, const char *only)
{
	return !only || strcmp(name, only) == 0;
}

int main(int argc, char **argv)
{
	const char *only;
	struct rlimit l;
	uint16_t source, sink, echo;

	if (argc != 2 && argc != 3)
		return fprintf(stderr, "usage: net_ops SOCKET [NAME]\n"), 2;
	only = argv[2];
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	source = peer_start(PEER_SOURCE, 0);
	sink = peer_start(PEER_SINK, 0);
	echo = peer_start(PEER_ECHO, 0);
	start_driver(argv[1]);
	if (wanted("idle_flow", only))
		idle(echo); /* first: memory that was freed is not given back */
	if (wanted("upload", only))
		upload(sink);
	if (wanted("download", only))
		download(source);
	if (wanted("request", only))
		requests(echo, 1);
	if (wanted("request_many", only))
		requests(echo, MANY);
	if (wanted("fair", only))
		fair(source);
	stack_free(m.s);
	vhost_close(&m.v);
	return 0;
}
