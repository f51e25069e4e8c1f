/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/fake_vsock.h - in the place of dev/vsock.c: one connection whose guest side is two buffers, for tests of the relays behind it.
 * Included by the one file that is the test; its definitions keep the real module out of the link. */
#ifndef TESTS_FAKE_VSOCK_H
#define TESTS_FAKE_VSOCK_H

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/buf.h"
#include "dev/vsock.h"

struct vsock_conn {
	const struct vsock_conn_ops *ops;
	void *user;
	struct buf from_guest, to_guest;
	size_t write_limit; /* bytes that vsock_conn_write() still takes */
	bool eof, open;
};

struct vsock {
	struct vsock_conn conn;
	int connect_result;
	bool (*accept)(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user);
	void *accept_arg;
};

static struct vsock fake_vsock;

static void fake_reset(void)
{
	buf_done(&fake_vsock.conn.from_guest);
	buf_done(&fake_vsock.conn.to_guest);
	memset(&fake_vsock, 0, sizeof(fake_vsock));
	buf_init(&fake_vsock.conn.from_guest, VSOCK_RX_BYTES_MAX);
	buf_init(&fake_vsock.conn.to_guest, 16 << 20);
	fake_vsock.conn.write_limit = SIZE_MAX;
}

/* The guest sends bytes. */
static void fake_guest_sends(const void *p, size_t len)
{
	(void)buf_put(&fake_vsock.conn.from_guest, p, len);
	if (fake_vsock.conn.open)
		fake_vsock.conn.ops->readable(fake_vsock.conn.user);
}

int vsock_listen(struct vsock *v, uint32_t port,
		 bool (*accept)(void *arg, struct vsock_conn *c, const struct vsock_conn_ops **ret_ops, void **ret_user), void *arg)
{
	(void)port;
	v->accept = accept;
	v->accept_arg = arg;
	return 0;
}

int vsock_connect(struct vsock *v, uint32_t host_port, uint32_t guest_port, const struct vsock_conn_ops *ops, void *user,
		  struct vsock_conn **ret)
{
	(void)host_port;
	(void)guest_port;
	if (v->connect_result < 0)
		return v->connect_result;
	v->conn.ops = ops;
	v->conn.user = user;
	v->conn.open = true;
	*ret = &v->conn;
	return 0;
}

const uint8_t *vsock_conn_peek(const struct vsock_conn *c, size_t *ret_len)
{
	*ret_len = buf_len(&c->from_guest);
	return buf_data(&c->from_guest);
}

void vsock_conn_consume(struct vsock_conn *c, size_t len)
{
	buf_consume(&c->from_guest, len);
}

bool vsock_conn_eof(const struct vsock_conn *c)
{
	return c->eof && buf_len(&c->from_guest) == 0;
}

size_t vsock_conn_write(struct vsock_conn *c, const void *p, size_t len)
{
	size_t n = MIN(len, c->write_limit);

	(void)buf_put(&c->to_guest, p, n);
	c->write_limit -= n;
	return n;
}

void vsock_conn_close(struct vsock_conn *c)
{
	c->open = false;
}

#endif
