/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The vsock device, driven by a small guest of the test's own. */
#include "dev/vsock.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/rd.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>

#include "../test.h"
#include "minidriver.h"

enum {
	HDR = 44,
	RX_BYTES = 4096,
	TX_BYTES = 65536 + HDR,
	TX_SLOTS = 8,
	RX_BUFFERS = 32,
	RX = 0,
	TX = 1,
	BIG_WINDOW = 1 << 18,
	HOST_PORT = 1024,
	GUEST_PORT = 40000,
};

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	uint16_t type, op;
	const uint8_t *body;
};

/* One end of a stream in the host: what was called, in what order, and what it does about it. */
struct end {
	struct vsock_conn *conn;
	char calls[64]; /* c connected, r readable, w writable, x closed */
	int reason;
	bool close_in_callback;
	struct vsock_conn *close_also;
	bool drain; /* consume everything at once */
	uint64_t received;
	bool mismatch;
	unsigned writable_calls;
};

struct box {
	struct loop *loop;
	struct vsock *vsock;
	struct vdev *dev;
	struct minidriver md;
	uint64_t rx_gpa[MD_QUEUE_SIZE]; /* by head */
	uint64_t tx_gpa[TX_SLOTS];
	unsigned tx_next;
	struct end accepted;
	unsigned accept_count;
	bool refuse;
};

static struct box box;

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 9));
}

/* ---- The host's end ---- */

static void end_note(struct end *e, char what)
{
	size_t n = strlen(e->calls);

	if (n + 1 < sizeof(e->calls) && !(n > 0 && e->calls[n - 1] == what))
		e->calls[n] = what;
	if (e->close_also)
		vsock_conn_close(e->close_also);
	e->close_also = NULL;
	if (e->close_in_callback && what != 'x') {
		vsock_conn_close(e->conn);
		e->conn = NULL;
	}
}

static void end_connected(void *user)
{
	end_note(user, 'c');
}

static void end_readable(void *user)
{
	struct end *e = user;
	size_t len;
	const uint8_t *p = vsock_conn_peek(e->conn, &len);

	if (e->drain) {
		for (size_t i = 0; i < len; i++)
			e->mismatch |= p[i] != pattern(e->received + i);
		e->received += len;
		vsock_conn_consume(e->conn, len);
	}
	end_note(e, 'r');
}

static void end_writable(void *user)
{
	struct end *e = user;

	e->writable_calls++;
	end_note(e, 'w');
}

static void end_closed(void *user, int reason)
{
	struct end *e = user;

	e->conn = NULL;
	e->reason = reason;
	end_note(e, 'x');
}

static const struct vsock_conn_ops end_ops = {
	.connected = end_connected, .readable = end_readable, .writable = end_writable, .closed = end_closed
};

static bool box_accept(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user)
{
	struct box *b = arg;

	b->accept_count++;
	if (b->refuse)
		return false;
	b->accepted = (struct end){ .conn = c };
	*ret_ops = &end_ops;
	*ret_user = &b->accepted;
	return true;
}

/* ---- The guest ---- */

static void guest_post(unsigned count)
{
	while (count-- > 0) {
		struct md_seg seg = { md_alloc(&box.md, RX_BYTES), RX_BYTES, true };
		int head = md_add(&box.md, RX, &seg, 1);

		CHECK(head >= 0, "no room in the receive ring");
		box.rx_gpa[head] = seg.gpa;
	}
	md_kick(&box.md, RX);
}

static void guest_buffers(void)
{
	for (unsigned i = 0; i < TX_SLOTS; i++)
		box.tx_gpa[i] = md_alloc(&box.md, TX_BYTES);
	box.tx_next = 0;
}

static void setup_without_buffers(void)
{
	memset(&box, 0, sizeof(box));
	CHECK(loop_create(&box.loop) == 0, "loop");
	CHECK(vsock_create(box.loop, NULL, &box.vsock, &box.dev) == 0, "create");
	md_init(&box.md, box.loop, box.dev);
	guest_buffers();
	CHECK(vsock_listen(box.vsock, HOST_PORT, box_accept, &box) == 0, "listen");
}

static void setup(void)
{
	setup_without_buffers();
	guest_post(RX_BUFFERS);
}

static void teardown(void)
{
	md_done(&box.md);
	box.dev->ops->free(box.dev);
	loop_free(box.loop);
}

static struct packet from_guest(uint16_t op)
{
	return (struct packet){ .src_cid = VSOCK_GUEST_CID, .dst_cid = 2, .src_port = GUEST_PORT, .dst_port = HOST_PORT, .type = 1, .op = op, .buf_alloc = BIG_WINDOW };
}

static void guest_put(const struct packet *p)
{
	uint64_t gpa = box.tx_gpa[box.tx_next];
	uint8_t *raw = md_at(&box.md, gpa);
	/* Split, so that the chain has two segments and the header does not fill the first. */
	struct md_seg seg[2] = { { gpa, 20, false }, { gpa + 20, HDR - 20, false } };

	box.tx_next = (box.tx_next + 1) % TX_SLOTS;
	store_le64(raw, p->src_cid);
	store_le64(raw + 8, p->dst_cid);
	store_le32(raw + 16, p->src_port);
	store_le32(raw + 20, p->dst_port);
	store_le32(raw + 24, p->len);
	store_le16(raw + 28, p->type);
	store_le16(raw + 30, p->op);
	store_le32(raw + 32, p->flags);
	store_le32(raw + 36, p->buf_alloc);
	store_le32(raw + 40, p->fwd_cnt);
	if (p->body) {
		memcpy(raw + HDR, p->body, p->len);
		seg[1].len += p->len;
	}
	CHECK(md_add(&box.md, TX, seg, 2) >= 0, "the transmit ring is full");
}

static unsigned guest_take_tx(void)
{
	unsigned n = 0;

	while (md_used(&box.md, TX, NULL) >= 0)
		n++;
	return n;
}

static void guest_send(const struct packet *p)
{
	guest_put(p);
	md_kick(&box.md, TX);
	md_settle(&box.md);
	CHECK(guest_take_tx() == 1, "the packet was not taken");
}

static void guest_op(uint16_t op)
{
	struct packet p = from_guest(op);

	guest_send(&p);
}

static void guest_shutdown(uint32_t flags)
{
	struct packet p = from_guest(VIRTIO_VSOCK_OP_SHUTDOWN);

	p.flags = flags;
	guest_send(&p);
}

static void guest_data(const char *s)
{
	struct packet p = from_guest(VIRTIO_VSOCK_OP_RW);

	p.body = (const uint8_t *)s;
	p.len = (uint32_t)strlen(s);
	guest_send(&p);
}

/* The next packet for the guest, whose buffer goes back at once (the body stays valid until the device runs again); op 0 when none. */
static struct packet guest_receive(void)
{
	struct packet p = { 0 };
	uint32_t written;
	struct md_seg seg;
	const uint8_t *raw;
	int head;

	md_kick(&box.md, RX); /* for the buffers that went back */
	md_settle(&box.md);
	head = md_used(&box.md, RX, &written);
	if (head < 0)
		return p;
	seg = (struct md_seg){ box.rx_gpa[head], RX_BYTES, true };
	raw = md_at(&box.md, seg.gpa);
	p = (struct packet){
		.src_cid = load_le64(raw),
		.dst_cid = load_le64(raw + 8),
		.src_port = load_le32(raw + 16),
		.dst_port = load_le32(raw + 20),
		.len = load_le32(raw + 24),
		.type = load_le16(raw + 28),
		.op = load_le16(raw + 30),
		.flags = load_le32(raw + 32),
		.buf_alloc = load_le32(raw + 36),
		.fwd_cnt = load_le32(raw + 40),
		.body = raw + HDR,
	};
	CHECK(written == HDR + p.len, "%u bytes for a packet of %u", written, p.len);
	CHECK(p.dst_cid == VSOCK_GUEST_CID, "for CID %llu", (unsigned long long)p.dst_cid);
	head = md_add(&box.md, RX, &seg, 1);
	CHECK(head >= 0, "no room to give a buffer back");
	box.rx_gpa[head] = seg.gpa;
	return p;
}

static void expect(uint16_t op)
{
	struct packet p = guest_receive();

	CHECK(p.op == op, "got op %u instead of %u", p.op, op);
	CHECK(op == 0 || (p.src_port == HOST_PORT && p.dst_port == GUEST_PORT), "ports %u, %u", p.src_port, p.dst_port);
}

static void guest_connects(void)
{
	guest_op(VIRTIO_VSOCK_OP_REQUEST);
	expect(VIRTIO_VSOCK_OP_RESPONSE);
	CHECK(box.accepted.conn, "not accepted");
}

static void host_connects(struct end *e)
{
	struct packet p;

	*e = (struct end){ 0 };
	CHECK(vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, e, &e->conn) == 0, "connect");
	p = guest_receive();
	CHECK(p.op == VIRTIO_VSOCK_OP_REQUEST && p.buf_alloc == VSOCK_RX_BYTES_MAX && p.type == 1, "op %u", p.op);
	guest_op(VIRTIO_VSOCK_OP_RESPONSE);
	CHECK(!strcmp(e->calls, "c"), "calls %s", e->calls);
}

/* ---- Tests ---- */

TEST(a_guest_connects_talks_and_closes)
{
	struct packet p;
	size_t len;

	setup();
	guest_connects();
	CHECK(vsock_conn_peer_port(box.accepted.conn) == GUEST_PORT, "port");
	guest_data("hello ");
	guest_data("there");
	CHECK(!memcmp(vsock_conn_peek(box.accepted.conn, &len), "hello there", 11) && len == 11, "%zu bytes", len);
	vsock_conn_consume(box.accepted.conn, 6);
	CHECK(vsock_conn_write(box.accepted.conn, "hi", 2) == 2, "write");
	p = guest_receive();
	CHECK(p.op == VIRTIO_VSOCK_OP_RW && p.len == 2 && !memcmp(p.body, "hi", 2) && p.fwd_cnt == 6, "op %u", p.op);

	guest_shutdown(3);
	expect(VIRTIO_VSOCK_OP_RST); /* the guest forgets at once ... */
	CHECK(!strcmp(box.accepted.calls, "r"), "calls %s", box.accepted.calls);
	CHECK(!vsock_conn_eof(box.accepted.conn), "end before everything was read");
	CHECK(!memcmp(vsock_conn_peek(box.accepted.conn, &len), "there", 5) && len == 5, "... but what it sent stays");
	vsock_conn_consume(box.accepted.conn, 5);
	CHECK(vsock_conn_eof(box.accepted.conn), "no end");
	CHECK(vsock_conn_write(box.accepted.conn, "gone", 4) == 4, "writes are swallowed");
	vsock_conn_close(box.accepted.conn);
	expect(0);
	guest_connects(); /* the ports are free again */
	vsock_conn_close(box.accepted.conn);
	expect(VIRTIO_VSOCK_OP_RST);
	teardown();
}

TEST(a_reset_after_an_orderly_end_does_not_lose_bytes)
{
	setup();
	guest_connects();
	guest_data("last words");
	guest_shutdown(2);
	guest_op(VIRTIO_VSOCK_OP_RST);
	CHECK(!strcmp(box.accepted.calls, "r"), "calls %s", box.accepted.calls);
	vsock_conn_consume(box.accepted.conn, 10);
	CHECK(vsock_conn_eof(box.accepted.conn), "no end");
	vsock_conn_close(box.accepted.conn);
	expect(0);
	teardown();
}

TEST(nobody_listens_nobody_answers_for_others)
{
	static const struct {
		const char *why;
		uint64_t src_cid, dst_cid;
		uint32_t port;
		uint16_t type, op, want;
	} cases[] = {
		{ "no listener", 3, 2, 7, 1, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RST },
		{ "data on no connection", 3, 2, HOST_PORT, 1, VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_RST },
		{ "answer to no question", 3, 2, HOST_PORT, 1, VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_OP_RST },
		{ "unknown operation", 3, 2, HOST_PORT, 1, 99, VIRTIO_VSOCK_OP_RST },
		{ "operation 0", 3, 2, HOST_PORT, 1, 0, VIRTIO_VSOCK_OP_RST },
		{ "a reset is not answered", 3, 2, HOST_PORT, 1, VIRTIO_VSOCK_OP_RST, 0 },
		{ "seqpacket", 3, 2, HOST_PORT, 2, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RST },
		{ "another machine's address", 3, 9, HOST_PORT, 1, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RST },
		{ "a forged source", 4, 2, HOST_PORT, 1, VIRTIO_VSOCK_OP_REQUEST, 0 },
		{ "a source beyond 32 bits", 3 + (1ull << 32), 2, HOST_PORT, 1, VIRTIO_VSOCK_OP_REQUEST, 0 },
	};

	setup();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct packet p = from_guest(cases[i].op), r;

		p.src_cid = cases[i].src_cid;
		p.dst_cid = cases[i].dst_cid;
		p.dst_port = cases[i].port;
		p.type = cases[i].type;
		guest_send(&p);
		r = guest_receive();
		CHECK(r.op == cases[i].want, "%s: got %u", cases[i].why, r.op);
		if (r.op)
			CHECK(r.src_cid == p.dst_cid && r.src_port == p.dst_port && r.dst_port == p.src_port && r.type == p.type, "%s: reply's addresses", cases[i].why);
	}
	CHECK(box.accept_count == 0, "accepted");
	box.refuse = true;
	guest_op(VIRTIO_VSOCK_OP_REQUEST);
	expect(VIRTIO_VSOCK_OP_RST);
	CHECK(box.accept_count == 1, "not asked");
	CHECK(vsock_listen(box.vsock, HOST_PORT, box_accept, &box) == -EADDRINUSE, "two listeners on a port");
	CHECK(vsock_listen(box.vsock, HOST_PORT, NULL, NULL) == 0, "stop");
	guest_op(VIRTIO_VSOCK_OP_REQUEST);
	expect(VIRTIO_VSOCK_OP_RST);
	CHECK(box.accept_count == 1, "asked after it had stopped listening");
	for (uint32_t i = 0; i < VSOCK_LISTENERS_MAX; i++)
		CHECK(vsock_listen(box.vsock, i, box_accept, &box) == 0, "listener %u", i);
	CHECK(vsock_listen(box.vsock, 99, box_accept, &box) == -ENOSPC, "one listener too many");
	teardown();
}

TEST(the_host_connects_and_is_accepted_or_refused)
{
	struct vsock_conn *second;
	struct end e;

	setup();
	host_connects(&e);
	CHECK(vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, &e, &second) == -EADDRINUSE, "same ports twice");
	vsock_conn_close(e.conn);
	expect(VIRTIO_VSOCK_OP_RST);

	e = (struct end){ 0 };
	CHECK(vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, &e, &e.conn) == 0, "connect");
	CHECK(vsock_conn_write(e.conn, "early", 5) == 5, "bytes wait for the connection");
	expect(VIRTIO_VSOCK_OP_REQUEST);
	expect(0);
	guest_op(VIRTIO_VSOCK_OP_RST);
	CHECK(!strcmp(e.calls, "x") && e.reason == -ECONNREFUSED, "calls %s, %d", e.calls, e.reason);

	vdev_reset(box.dev);
	CHECK(vsock_connect(box.vsock, 5, 5, &end_ops, &e, &second) == -ENOTCONN, "connect without a driver");
	teardown();
}

TEST(each_half_shuts_down_by_itself)
{
	struct packet p;

	setup();
	guest_connects();
	CHECK(vsock_conn_write(box.accepted.conn, "bye", 3) == 3, "write");
	vsock_conn_shutdown_write(box.accepted.conn);
	expect(VIRTIO_VSOCK_OP_RW); /* what was queued goes first */
	p = guest_receive();
	CHECK(p.op == VIRTIO_VSOCK_OP_SHUTDOWN && p.flags == 2, "op %u, flags %u", p.op, p.flags);
	guest_data("still talking");
	CHECK(!vsock_conn_eof(box.accepted.conn), "our end is not theirs");
	guest_shutdown(2);
	expect(0);
	vsock_conn_consume(box.accepted.conn, 13);
	CHECK(vsock_conn_eof(box.accepted.conn), "no end");
	vsock_conn_close(box.accepted.conn);
	expect(VIRTIO_VSOCK_OP_RST);

	guest_connects();
	CHECK(vsock_conn_write(box.accepted.conn, "x", 1) == 1, "write");
	guest_shutdown(1); /* the guest reads no more, but may send */
	CHECK(vsock_conn_write(box.accepted.conn, "y", 1) == 1, "swallowed");
	guest_data("more");
	CHECK(!strcmp(box.accepted.calls, "r"), "calls %s", box.accepted.calls);
	vsock_conn_close(box.accepted.conn);
	while ((p = guest_receive()).op == VIRTIO_VSOCK_OP_RW) /* the x may have left before */
		;
	CHECK(p.op == VIRTIO_VSOCK_OP_RST, "op %u", p.op);
	teardown();
}

static void fill_window(void)
{
	static uint8_t block[65536];
	struct packet p = from_guest(VIRTIO_VSOCK_OP_RW);

	p.body = block;
	p.len = sizeof(block);
	for (unsigned i = 0; i < VSOCK_RX_BYTES_MAX / sizeof(block); i++)
		guest_send(&p);
}

TEST(data_without_credit_ends_the_connection)
{
	size_t len;

	setup();
	guest_connects();
	fill_window();
	(void)vsock_conn_peek(box.accepted.conn, &len);
	CHECK(len == VSOCK_RX_BYTES_MAX, "%zu bytes of the window", len);
	expect(0);
	guest_data("!");
	expect(VIRTIO_VSOCK_OP_RST);
	CHECK(!strcmp(box.accepted.calls, "rx") && box.accepted.reason == -EPROTO, "calls %s", box.accepted.calls);

	guest_connects();
	guest_shutdown(2);
	guest_data("after my end");
	expect(VIRTIO_VSOCK_OP_RST);
	CHECK(!strcmp(box.accepted.calls, "rx"), "calls %s", box.accepted.calls);
	teardown();
}

TEST(credit_comes_back_in_batches_and_when_asked_for)
{
	struct packet p;

	setup();
	guest_connects();
	fill_window();
	vsock_conn_consume(box.accepted.conn, VSOCK_RX_BYTES_MAX / 2 - 1);
	expect(0);
	vsock_conn_consume(box.accepted.conn, 1);
	p = guest_receive();
	CHECK(p.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE && p.fwd_cnt == VSOCK_RX_BYTES_MAX / 2 && p.buf_alloc == VSOCK_RX_BYTES_MAX, "op %u, %u", p.op, p.fwd_cnt);
	vsock_conn_consume(box.accepted.conn, 5);
	for (int i = 0; i < 3; i++) { /* asked three times before it could answer: once is enough */
		struct packet ask = from_guest(VIRTIO_VSOCK_OP_CREDIT_REQUEST);

		guest_put(&ask);
	}
	md_kick(&box.md, TX);
	p = guest_receive();
	CHECK(p.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE && p.fwd_cnt == VSOCK_RX_BYTES_MAX / 2 + 5, "op %u", p.op);
	expect(0);
	vsock_conn_close(box.accepted.conn);
	teardown();
}

/* Receives data packets until there are none; returns the bytes. */
static uint64_t guest_receive_data(void)
{
	uint64_t sum = 0;
	struct packet p;

	while ((p = guest_receive()).op == VIRTIO_VSOCK_OP_RW)
		sum += p.len;
	CHECK(p.op == 0, "op %u", p.op);
	return sum;
}

TEST(the_guests_credit_is_respected_whatever_it_says)
{
	static uint8_t block[VSOCK_TX_BYTES_MAX];
	struct packet p = from_guest(VIRTIO_VSOCK_OP_REQUEST);

	setup();
	p.buf_alloc = 10000;
	guest_send(&p);
	expect(VIRTIO_VSOCK_OP_RESPONSE);
	CHECK(vsock_conn_write(box.accepted.conn, block, sizeof(block)) == sizeof(block), "write");
	CHECK(guest_receive_data() == 10000, "not the window");
	p.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	p.fwd_cnt = 4000;
	guest_send(&p);
	CHECK(guest_receive_data() == 4000, "not what was given back");
	p.fwd_cnt = 3000; /* back in time */
	guest_send(&p);
	p.fwd_cnt = 14001; /* more than was sent */
	guest_send(&p);
	p.fwd_cnt = UINT32_MAX;
	guest_send(&p);
	CHECK(guest_receive_data() == 0, "nonsense was believed");
	p.fwd_cnt = 14000;
	p.buf_alloc = 100; /* a smaller buffer */
	guest_send(&p);
	CHECK(guest_receive_data() == 100, "not the new window");
	p.buf_alloc = 0;
	guest_send(&p);
	CHECK(guest_receive_data() == 0, "sent into no window");
	p.fwd_cnt = 14100;
	p.buf_alloc = UINT32_MAX;
	guest_send(&p);
	CHECK(guest_receive_data() == sizeof(block) - 14100, "not the rest");
	vsock_conn_close(box.accepted.conn);
	teardown();
}

TEST(a_short_write_is_followed_by_writable)
{
	static uint8_t block[VSOCK_TX_BYTES_MAX + 1];
	struct packet p = from_guest(VIRTIO_VSOCK_OP_REQUEST);

	setup();
	p.buf_alloc = 0;
	guest_send(&p);
	expect(VIRTIO_VSOCK_OP_RESPONSE);
	CHECK(vsock_conn_write_room(box.accepted.conn) == VSOCK_TX_BYTES_MAX, "room");
	CHECK(vsock_conn_write(box.accepted.conn, block, sizeof(block)) == VSOCK_TX_BYTES_MAX, "write");
	CHECK(vsock_conn_write(box.accepted.conn, block, 1) == 0, "write into a full buffer");
	CHECK(guest_receive_data() == 0 && !strcmp(box.accepted.calls, ""), "calls %s", box.accepted.calls);
	p.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	p.buf_alloc = 1000;
	guest_send(&p);
	CHECK(guest_receive_data() == 1000 && !strcmp(box.accepted.calls, ""), "called for a little room");
	p.buf_alloc = BIG_WINDOW;
	guest_send(&p);
	CHECK(guest_receive_data() == VSOCK_TX_BYTES_MAX - 1000 && !strcmp(box.accepted.calls, "w"), "calls %s", box.accepted.calls);
	CHECK(vsock_conn_write(box.accepted.conn, block, sizeof(block)) == VSOCK_TX_BYTES_MAX, "write");
	guest_shutdown(1);
	CHECK(box.accepted.writable_calls == 2, "the writer waits for ever");
	vsock_conn_close(box.accepted.conn);
	teardown();
}

TEST(a_hundred_megabytes_pass_from_the_guest)
{
	static uint8_t block[65536];
	const uint64_t total = 100u << 20;
	uint64_t sent = 0;
	uint32_t told = 0;

	test_timeout(300);
	setup();
	guest_connects();
	box.accepted.drain = true;
	while (sent < total) {
		struct packet p = from_guest(VIRTIO_VSOCK_OP_RW), r;

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(sent + i);
		CHECK((uint32_t)sent - told + sizeof(block) <= VSOCK_RX_BYTES_MAX, "no credit after %llu", (unsigned long long)sent);
		p.body = block;
		p.len = sizeof(block);
		guest_send(&p);
		sent += sizeof(block);
		while ((r = guest_receive()).op == VIRTIO_VSOCK_OP_CREDIT_UPDATE)
			told = r.fwd_cnt;
		CHECK(r.op == 0, "op %u", r.op);
	}
	CHECK(box.accepted.received == total && !box.accepted.mismatch, "%llu bytes", (unsigned long long)box.accepted.received);
	vsock_conn_close(box.accepted.conn);
	teardown();
}

TEST(a_hundred_megabytes_pass_to_the_guest)
{
	static uint8_t block[VSOCK_TX_BYTES_MAX];
	const uint64_t total = 100u << 20;
	uint64_t written = 0, received = 0;
	uint32_t told = 0;

	test_timeout(300);
	setup();
	guest_connects();
	while (received < total) {
		size_t n = MIN(vsock_conn_write_room(box.accepted.conn), (size_t)(total - written));
		struct packet p;

		for (size_t i = 0; i < n; i++)
			block[i] = pattern(written + i);
		CHECK(vsock_conn_write(box.accepted.conn, block, n) == n, "write");
		written += n;
		while ((p = guest_receive()).op == VIRTIO_VSOCK_OP_RW) {
			for (size_t i = 0; i < p.len; i += 61)
				CHECK(p.body[i] == pattern(received + i), "wrong byte at %llu", (unsigned long long)(received + i));
			received += p.len;
			CHECK((uint32_t)received - told <= BIG_WINDOW, "more than the window");
		}
		p = from_guest(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		p.fwd_cnt = told = (uint32_t)received;
		guest_send(&p);
	}
	CHECK(received == total, "%llu bytes", (unsigned long long)received);
	vsock_conn_close(box.accepted.conn);
	teardown();
}

TEST(resets_are_bounded_and_the_guest_waits)
{
	struct packet p = from_guest(VIRTIO_VSOCK_OP_RW);
	unsigned taken = 0, resets = 0, put = 0;

	setup_without_buffers(); /* it takes nothing, and asks for resets */
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned free = box.md.queue[TX].free_count / 2; free > 0; free--, put++)
			guest_put(&p);
		md_kick(&box.md, TX);
		md_settle(&box.md);
		taken += guest_take_tx();
	}
	CHECK(taken == 256 && put > taken, "%u of %u packets were taken", taken, put);
	guest_post(RX_BUFFERS);
	while (guest_receive().op == VIRTIO_VSOCK_OP_RST)
		resets++;
	taken += guest_take_tx();
	CHECK(taken == put && resets == put, "%u put, %u taken, %u resets", put, taken, resets);
	teardown();
}

TEST(connections_are_bounded)
{
	struct packet p = from_guest(VIRTIO_VSOCK_OP_REQUEST), r;
	static struct vsock_conn *all[VSOCK_CONNS_MAX];
	struct end e = { 0 };

	setup();
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		p.src_port = i;
		guest_send(&p);
		r = guest_receive();
		CHECK(r.op == VIRTIO_VSOCK_OP_RESPONSE, "connection %u: %u", i, r.op);
		all[i] = box.accepted.conn;
	}
	p.src_port = VSOCK_CONNS_MAX;
	guest_send(&p);
	r = guest_receive();
	CHECK(r.op == VIRTIO_VSOCK_OP_RST, "one too many: %u", r.op);
	CHECK(vsock_connect(box.vsock, 1, 1, &end_ops, &e, &e.conn) == -EAGAIN, "ours too");
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++)
		vsock_conn_close(all[i]);
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		r = guest_receive();
		CHECK(r.op == VIRTIO_VSOCK_OP_RST && r.dst_port == i, "reset %u: %u, %u", i, r.op, r.dst_port);
	}
	CHECK(vsock_connect(box.vsock, 1, 1, &end_ops, &e, &e.conn) == 0, "room again");
	vsock_conn_close(e.conn);
	expect(0);
	teardown();
}

TEST(connections_take_turns)
{
	static uint8_t block[VSOCK_TX_BYTES_MAX];
	struct vsock_conn *c[3];
	unsigned got[3] = { 0 };
	struct packet p = from_guest(VIRTIO_VSOCK_OP_REQUEST);

	setup();
	for (uint32_t i = 0; i < 3; i++) {
		p.src_port = i;
		guest_send(&p);
		CHECK(guest_receive().op == VIRTIO_VSOCK_OP_RESPONSE, "connection %u", i);
		c[i] = box.accepted.conn;
	}
	for (int i = 0; i < 3; i++)
		CHECK(vsock_conn_write(c[i], block, sizeof(block)) == sizeof(block), "write");
	for (unsigned n = 0; n < 30; n++) {
		p = guest_receive();
		CHECK(p.op == VIRTIO_VSOCK_OP_RW && p.dst_port < 3, "op %u", p.op);
		got[p.dst_port]++;
		CHECK(got[p.dst_port] == n / 3 + 1, "packet %u is for %u again", n, p.dst_port);
	}
	for (int i = 0; i < 3; i++)
		vsock_conn_close(c[i]);
	teardown();
}

TEST(a_connection_closes_in_each_state)
{
	struct end e = { 0 };

	setup();
	/* before the guest has heard of it */
	CHECK(vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, &e, &e.conn) == 0, "connect");
	vsock_conn_close(e.conn);
	expect(0);
	/* while it is asked */
	CHECK(vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, &e, &e.conn) == 0, "connect");
	expect(VIRTIO_VSOCK_OP_REQUEST);
	vsock_conn_close(e.conn);
	guest_op(VIRTIO_VSOCK_OP_RESPONSE); /* crosses our reset */
	expect(VIRTIO_VSOCK_OP_RST);
	/* with its reset on the way, the guest goes on: data, then its own end */
	for (unsigned i = 0; i < 2; i++) {
		guest_connects();
		vsock_conn_close(box.accepted.conn);
		guest_data("crossing");
		expect(VIRTIO_VSOCK_OP_RST);
	}
	/* the guest has reset it, the owner does not know yet */
	guest_connects();
	struct packet p = from_guest(VIRTIO_VSOCK_OP_RST);

	guest_put(&p);
	md_kick(&box.md, TX);
	vsock_conn_close(box.accepted.conn);
	md_settle(&box.md);
	CHECK(!strcmp(box.accepted.calls, "") && guest_take_tx() == 1, "calls %s", box.accepted.calls);
	expect(0);
	/* the protocol was broken, the owner does not know yet */
	guest_connects();
	p.op = VIRTIO_VSOCK_OP_RESPONSE;
	guest_put(&p);
	md_kick(&box.md, TX);
	vsock_conn_close(box.accepted.conn);
	expect(VIRTIO_VSOCK_OP_RST);
	CHECK(!strcmp(box.accepted.calls, "") && guest_take_tx() == 1, "calls %s", box.accepted.calls);
	/* both halves shut by the guest, its reset not yet sent */
	guest_connects();
	p.op = VIRTIO_VSOCK_OP_SHUTDOWN;
	p.flags = 3;
	guest_put(&p);
	md_kick(&box.md, TX);
	vsock_conn_close(box.accepted.conn);
	expect(VIRTIO_VSOCK_OP_RST);
	expect(0);
	CHECK(guest_take_tx() == 1, "not taken");
	teardown();
}

TEST(the_wrong_operation_ends_a_connection)
{
	static const uint16_t open_ops[] = { 0, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE, 8, 0xffff };
	static const uint16_t connecting_ops[] = { 0, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_OP_CREDIT_UPDATE };
	struct packet p = from_guest(VIRTIO_VSOCK_OP_RW);
	struct end e;

	setup();
	for (size_t i = 0; i < ARRAY_LEN(open_ops); i++) {
		guest_connects();
		guest_op(open_ops[i]);
		expect(VIRTIO_VSOCK_OP_RST);
		CHECK(!strcmp(box.accepted.calls, "x") && box.accepted.reason == -EPROTO, "op %u: calls %s", open_ops[i], box.accepted.calls);
	}
	for (size_t i = 0; i < ARRAY_LEN(connecting_ops); i++) {
		e = (struct end){ 0 };
		CHECK(vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, &e, &e.conn) == 0, "connect");
		expect(VIRTIO_VSOCK_OP_REQUEST);
		guest_op(connecting_ops[i]);
		expect(VIRTIO_VSOCK_OP_RST);
		CHECK(!strcmp(e.calls, "x") && e.reason == -EPROTO, "op %u: calls %s", connecting_ops[i], e.calls);
	}
	guest_connects();
	p.len = 1; /* a body that is not there */
	guest_send(&p);
	expect(VIRTIO_VSOCK_OP_RST);
	CHECK(box.accepted.reason == -EPROTO, "%d", box.accepted.reason);
	guest_connects();
	p.len = 0;
	guest_send(&p); /* an empty one is legal */
	expect(0);
	vsock_conn_close(box.accepted.conn);
	teardown();
}

TEST(callbacks_may_close_any_connection)
{
	struct packet p;
	struct end a, b;

	setup();
	for (int self = 0; self < 2; self++) {
		guest_connects();
		a = box.accepted;
		/* box.accepted is the user of the first; give the second an end of its own */
		b = (struct end){ 0 };
		CHECK(vsock_connect(box.vsock, 77, 78, &end_ops, &b, &b.conn) == 0, "connect");
		p = guest_receive();
		CHECK(p.op == VIRTIO_VSOCK_OP_REQUEST, "op %u", p.op);
		box.accepted.close_in_callback = self;
		box.accepted.close_also = b.conn;
		p = from_guest(VIRTIO_VSOCK_OP_RW);
		p.body = (const uint8_t *)"x";
		p.len = 1;
		guest_put(&p);
		p = from_guest(VIRTIO_VSOCK_OP_RESPONSE); /* told in the same round, after the callback that closes */
		p.src_port = 78;
		p.dst_port = 77;
		guest_put(&p);
		md_kick(&box.md, TX);
		md_settle(&box.md);
		CHECK(guest_take_tx() == 2, "not taken");
		CHECK(!strcmp(box.accepted.calls, "r") && !strcmp(b.calls, ""), "calls %s and %s", box.accepted.calls, b.calls);
		for (int i = 0; i < 1 + self; i++)
			CHECK(guest_receive().op == VIRTIO_VSOCK_OP_RST, "no reset");
		if (!self) {
			vsock_conn_close(a.conn);
			CHECK(guest_receive().op == VIRTIO_VSOCK_OP_RST, "no reset");
		}
	}
	teardown();
}

TEST(a_reboot_ends_every_connection)
{
	struct end e;

	setup();
	guest_connects();
	e = (struct end){ 0 };
	CHECK(vsock_connect(box.vsock, 77, 78, &end_ops, &e, &e.conn) == 0, "connect");
	vsock_conn_close(e.conn);
	CHECK(vsock_connect(box.vsock, 77, 79, &end_ops, &e, &e.conn) == 0, "connect");
	md_reset(&box.md);
	md_settle(&box.md);
	CHECK(!strcmp(box.accepted.calls, "x") && box.accepted.reason == -ENETRESET, "calls %s", box.accepted.calls);
	CHECK(!strcmp(e.calls, "x") && e.reason == -ENETRESET, "calls %s", e.calls);
	memset(box.rx_gpa, 0, sizeof(box.rx_gpa));
	guest_buffers();
	guest_post(RX_BUFFERS);
	guest_connects();
	vsock_conn_close(box.accepted.conn);
	teardown();
}

TEST(a_guest_that_breaks_its_rings_loses_the_device_and_owners_hear_of_it)
{
	static const struct {
		const char *why;
		uint16_t queue;
		struct md_seg seg;
	} cases[] = {
		{ "half a header", TX, { 4096, HDR - 1, false } },
		{ "an empty packet", TX, { 4096, 0, false } },
		{ "memory that is not there", TX, { UINT64_MAX - 4, 64, false } },
		{ "a receive buffer without room", RX, { 4096, HDR, true } },
		{ "a receive buffer to read from", RX, { 4096, 4096, false } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup_without_buffers();
		if (cases[i].queue == TX)
			guest_post(1);
		struct packet p = from_guest(VIRTIO_VSOCK_OP_REQUEST);

		guest_send(&p);
		CHECK(md_add(&box.md, cases[i].queue, &cases[i].seg, 1) >= 0, "add");
		md_kick(&box.md, cases[i].queue);
		md_settle(&box.md);
		CHECK(box.md.broken == 1, "%s: not broken", cases[i].why);
		CHECK(!strcmp(box.accepted.calls, "x") && box.accepted.reason == -ENETRESET, "%s: calls %s", cases[i].why, box.accepted.calls);
		teardown();
	}
}

TEST(the_configuration_holds_the_cid_at_any_offset)
{
	static const uint8_t want[16] = { VSOCK_GUEST_CID };

	setup();
	for (uint32_t off = 0; off < 16; off++)
		for (uint32_t len = 0; len <= 16 - off; len++) {
			uint8_t *got = guard_alloc(len);

			box.dev->ops->config_read(box.dev, off, got, len);
			CHECK(!memcmp(got, want + off, len), "offset %u, length %u", off, len);
		}
	box.dev->ops->config_read(box.dev, UINT32_MAX, (uint8_t[4]){ 1 }, 4);
	teardown();
}

TEST(memory_that_runs_out_is_an_error_and_nothing_more)
{
	struct loop *loop;

	CHECK(loop_create(&loop) == 0, "loop");
	FAULT_LOOP
	{
		struct vsock *v = NULL;
		struct vdev *d = NULL;
		int r = vsock_create(loop, NULL, &v, &d);

		CHECK((r == 0) == !fault_happened() && (r == 0) == (v != NULL), "got %d", r);
		if (d)
			d->ops->free(d);
	}
	FAULT_LOOP
	{
		fault_pause();
		setup();
		fault_resume();
		struct end e = { 0 };
		int r = vsock_connect(box.vsock, HOST_PORT, GUEST_PORT, &end_ops, &e, &e.conn);
		bool failed = fault_happened();

		CHECK((r == 0) == !failed && (r == 0) == (e.conn != NULL), "got %d", r);
		if (r == 0 && vsock_conn_write(e.conn, "x", 1) == 0) {
			CHECK(fault_happened(), "nothing taken");
			fault_pause();
			md_settle(&box.md);
			CHECK(!strcmp(e.calls, "x") && e.reason == -ENOMEM, "calls %s", e.calls);
			fault_resume();
		}
		fault_pause();
		teardown();
		fault_resume();
	}
	loop_free(loop);
	FAULT_LOOP
	{
		fault_pause();
		setup();
		guest_connects();
		fault_resume();
		guest_data("data");
		fault_pause();
		CHECK(!strcmp(box.accepted.calls, fault_happened() ? "x" : "r"), "calls %s", box.accepted.calls);
		teardown();
		fault_resume();
	}
}

RUN_TESTS(T(a_guest_connects_talks_and_closes), T(a_reset_after_an_orderly_end_does_not_lose_bytes), T(nobody_listens_nobody_answers_for_others),
	  T(the_host_connects_and_is_accepted_or_refused), T(each_half_shuts_down_by_itself), T(data_without_credit_ends_the_connection),
	  T(credit_comes_back_in_batches_and_when_asked_for), T(the_guests_credit_is_respected_whatever_it_says),
	  T(a_short_write_is_followed_by_writable), T(a_hundred_megabytes_pass_from_the_guest), T(a_hundred_megabytes_pass_to_the_guest),
	  T(resets_are_bounded_and_the_guest_waits), T(connections_are_bounded), T(connections_take_turns),
	  T(a_connection_closes_in_each_state), T(the_wrong_operation_ends_a_connection), T(callbacks_may_close_any_connection),
	  T(a_reboot_ends_every_connection), T(a_guest_that_breaks_its_rings_loses_the_device_and_owners_hear_of_it),
	  T(the_configuration_holds_the_cid_at_any_offset), T(memory_that_runs_out_is_an_error_and_nothing_more))
