/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vsock packets from a guest that does what it likes, with owners that read, write, close and connect in between. The input is a
 * script: a byte what, then its operands. Beside the sanitizers: a connection holds no more than its limit, an owner hears nothing after an
 * end, and no packet is larger than its buffer. */
#include "dev/vsock.h"

#include "base/cleanup.h"
#include "base/rd.h"
#include "../unit/minidriver.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENDS = 8,
       PORTS = 4,
       TX_BYTES = 512,
       RX_BYTES = 256,
       QUEUE_RX = 0,
       QUEUE_TX = 1,
       STEPS_MAX = 512 };

struct end {
	struct vsock_conn *conn;
	uint8_t behaviour;
};

struct fuzz {
	struct loop *loop;
	struct vsock *vsock;
	struct vdev *dev;
	struct minidriver md;
	struct end end[ENDS];
	uint64_t tx_gpa, rx_gpa;
	struct rd in;
};

static struct fuzz f; /* callbacks get an end; this is the program */

static void end_act(struct end *e)
{
	size_t len;
	const uint8_t *p = vsock_conn_peek(e->conn, &len);

	assert(len <= VSOCK_RX_BYTES_MAX && (len == 0 || p != NULL));
	if (e->behaviour & 1)
		vsock_conn_consume(e->conn, len);
	if (e->behaviour & 2 && !(e->behaviour & 4))
		(void)vsock_conn_write(e->conn, "0123456789", 10);
	if (e->behaviour & 8) {
		vsock_conn_close(e->conn);
		e->conn = NULL;
	}
}

static void end_called(void *user)
{
	struct end *e = user;

	assert(e->conn);
	end_act(e);
}

static void end_closed(void *user, int reason)
{
	struct end *e = user;

	assert(e->conn && reason < 0);
	e->conn = NULL;
}

static const struct vsock_conn_ops end_ops = { .connected = end_called, .readable = end_called, .writable = end_called, .closed = end_closed };

static struct end *end_new(void)
{
	for (int i = 0; i < ENDS; i++)
		if (!f.end[i].conn)
			return &f.end[i];
	return NULL;
}

static bool fuzz_accept(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user)
{
	struct end *e = end_new();

	(void)arg;
	if (!e)
		return false;
	*e = (struct end){ .conn = c, .behaviour = rd_u8(&f.in) };
	*ret_ops = &end_ops;
	*ret_user = e;
	return true;
}

static void fuzz_packet(void)
{
	uint8_t *raw = md_at(&f.md, f.tx_gpa), addresses = rd_u8(&f.in), op = rd_u8(&f.in), flags = rd_u8(&f.in), lens = rd_u8(&f.in);
	uint32_t body = (uint32_t)(lens & 0x3f) * 8;
	struct md_seg seg[2] = { { f.tx_gpa, 16 + (lens >> 6) * 14u, false }, { f.tx_gpa + 16 + (lens >> 6) * 14u, 0, false } };

	seg[1].len = 44 + body - seg[0].len;
	memset(raw, 0, 44);
	store_le64(raw, addresses & 0x40 ? 9 : VSOCK_GUEST_CID);
	store_le64(raw + 8, addresses & 0x80 ? 9 : 2);
	store_le32(raw + 16, addresses % PORTS);
	store_le32(raw + 20, addresses / PORTS % PORTS);
	store_le32(raw + 24, flags & 4 ? body + 1 : body);
	store_le16(raw + 28, flags & 8 ? 2 : 1);
	store_le16(raw + 30, op & 0x80 ? op : op % 9);
	store_le32(raw + 32, flags & 3);
	store_le32(raw + 36, flags & 0x10 ? rd_le32(&f.in) : 4096);
	store_le32(raw + 40, flags & 0x20 ? rd_le32(&f.in) : 0);
	(void)md_add(&f.md, QUEUE_TX, seg, flags & 0x40 ? 1 : 2);
	if (flags & 0x80)
		md_kick(&f.md, QUEUE_TX);
}

static void fuzz_receive(uint8_t how)
{
	struct md_seg seg = { f.rx_gpa, how & 0x80 ? how & 0x3f : RX_BYTES, true };
	uint32_t written;

	while (md_used(&f.md, QUEUE_TX, NULL) >= 0)
		;
	while (md_used(&f.md, QUEUE_RX, &written) >= 0)
		assert(written >= 44 && written <= RX_BYTES);
	(void)md_add(&f.md, QUEUE_RX, &seg, 1);
	md_kick(&f.md, QUEUE_RX);
}

static void fuzz_owner(uint8_t what)
{
	struct end *e = &f.end[what % ENDS];

	if (!e->conn) {
		*e = (struct end){ .behaviour = rd_u8(&f.in) };
		if (vsock_connect(f.vsock, what % PORTS, what / PORTS % PORTS, &end_ops, e, &e->conn) < 0)
			e->conn = NULL;
	} else if (what & 0x80) {
		vsock_conn_close(e->conn);
		e->conn = NULL;
	} else if (what & 0x40) {
		e->behaviour |= 4;
		vsock_conn_shutdown_write(e->conn);
	} else {
		uint8_t was = e->behaviour;

		e->behaviour |= 1;
		end_act(e);
		e->behaviour = was;
	}
}

static void fuzz_restart(void)
{
	md_reset(&f.md);
	f.tx_gpa = md_alloc(&f.md, TX_BYTES + 64);
	f.rx_gpa = md_alloc(&f.md, RX_BYTES);
}

static void fuzz_step(void)
{
	uint8_t what = rd_u8(&f.in);

	switch (what >> 5) {
	case 0 ... 3: fuzz_packet(); break;
	case 4: fuzz_receive(rd_u8(&f.in)); break;
	case 5: fuzz_owner(rd_u8(&f.in)); break;
	case 6: (void)loop_once(f.loop, 0); break;
	default:
		if (what == 0xff)
			fuzz_restart();
		else if (what & 1)
			(void)vsock_listen(f.vsock, what / 2 % PORTS, fuzz_accept, NULL);
		else
			(void)vsock_listen(f.vsock, what / 2 % PORTS, NULL, NULL);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	f = (struct fuzz){ .in = rd_over(data, size) };
	if (loop_create(&f.loop) < 0 || vsock_create(f.loop, NULL, &f.vsock, &f.dev) < 0)
		return 0;
	md_init(&f.md, f.loop, f.dev);
	fuzz_restart();
	(void)vsock_listen(f.vsock, 1, fuzz_accept, NULL);
	for (int i = 0; i < STEPS_MAX && f.in.left > 0; i++)
		fuzz_step();
	(void)loop_once(f.loop, 0);
	for (int i = 0; i < ENDS; i++)
		if (f.end[i].conn)
			vsock_conn_close(f.end[i].conn);
	(void)loop_once(f.loop, 0);
	md_done(&f.md);
	f.dev->ops->free(f.dev);
	loop_free(f.loop);
	return 0;
}
