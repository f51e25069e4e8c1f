/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/exec.c - one relay a program. A door: what comes from the stream is the guest's.
 *
 * Out: frames are looked at in the stream's own receive buffer and copied once, into the client's queue, as long as the client's window
 * and queue have room; otherwise they stay, the stream's credit runs out, and the program in the guest waits.
 * A stream serves one program after another, as opening one is a round trip and costs the guest as much as starting a program does. The first is
 * opened ahead; at most EXECS_IDLE_MAX stay when their programs have ended. Since streams are not ordered among each other, a late word on
 * the control stream must not reach the next program: each has a number of its own.
 * In: EXEC_START and stdin are queued here (bounded by the frame limit and the window), and handed to the stream as it has room; what
 * has been handed over is credited back to the client.
 * Beside: signals, resizes and aborts go over the control stream, so that blocked input cannot hold them up; until init has said
 * EXEC_STARTED they wait here, at most EXEC_HELD_MAX of them. */
#include "host/exec.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>

enum {
	EXEC_HELD_MAX = 16,
	EXECS_IDLE_MAX = 8,
	EXEC_IN_MAX = PROTO_BODY_MAX + (PROTO_HEADER_BYTES + 2) * PROTO_WINDOW_BYTES, /* a window of one-byte frames */
};

struct held_frame {
	uint16_t type;
	uint32_t a, b;
};

struct exec {
	struct execs *all;
	struct vsock_conn *conn;
	struct list idle; /* in execs.idle while it is no program's */
	uint32_t chan;    /* the client's id; 0: it is no program's */
	uint32_t id;      /* the guest's id */
	uint32_t port;    /* our vsock port */
	bool connected, started;
	size_t window;       /* bytes of output the client still takes */
	size_t stdin_queued; /* bytes of input taken from the client and not credited back */
	struct buf in;       /* frames for the guest */
	unsigned held_count;
	struct held_frame held[EXEC_HELD_MAX];
};

static void exec_idle(struct exec *e)
{
	e->chan = 0;
	list_add_tail(e->all->idle.next, &e->idle);
	e->all->idle_count++;
}

static void exec_unidle(struct exec *e)
{
	list_del(&e->idle);
	e->all->idle_count--;
}

static void exec_free(struct exec *e)
{
	if (e->conn)
		vsock_conn_close(e->conn);
	(void)idmap_del(&e->all->by_port, e->port);
	if (e->chan)
		e->all->by_slot[(e->chan & 0xffff) - 1] = NULL;
	else
		exec_unidle(e);
	buf_done(&e->in);
	free(e);
}

/* Its program has ended. False when the stream has too, as input is left that has nowhere to go, and part of which may be on its way. */
static bool exec_release(struct exec *e)
{
	if (buf_len(&e->in) > 0 || e->all->idle_count == EXECS_IDLE_MAX) {
		exec_free(e);
		return false;
	}
	e->all->by_slot[(e->chan & 0xffff) - 1] = NULL;
	e->started = false;
	e->window = PROTO_WINDOW_BYTES;
	e->stdin_queued = 0;
	e->held_count = 0;
	exec_idle(e);
	return true;
}

/* Tells the client how it ended, in our words, and forgets the program. */
static void exec_fail(struct exec *e, const char *why)
{
	struct msg_exec_exit m = { .reason = PROTO_EXIT_REFUSED, .message = slice_of(why) };

	if (e->chan) {
		(void)msg_exec_exit_put(ctl_out(e->all->ctl), e->chan, &m);
		ctl_send(e->all->ctl);
	}
	exec_free(e);
}

static bool held_put(struct buf *out, uint32_t id, const struct held_frame *h)
{
	switch (h->type) {
	case PROTO_EXEC_SIGNAL:
		return msg_exec_signal_put(out, id, &(struct msg_exec_signal){ .signo = h->a });
	case PROTO_EXEC_RESIZE:
		return msg_exec_resize_put(out, id, &(struct msg_exec_resize){ .rows = h->a, .cols = h->b });
	default:
		return msg_exec_abort_put(out, id, &(struct msg_exec_abort){ 0 });
	}
}

static void exec_release_held(struct exec *e)
{
	e->started = true;
	for (unsigned i = 0; i < e->held_count; i++)
		(void)held_put(guest_out(e->all->guest), e->id, &e->held[i]);
	if (e->held_count > 0)
		guest_send(e->all->guest);
	e->held_count = 0;
}

static int exec_hold(struct exec *e, const struct held_frame *h)
{
	if (!e->conn) {
		if (h->type == PROTO_EXEC_ABORT)
			exec_fail(e, "the guest reset the program's stream");
		return 0;
	}
	if (e->held_count == EXEC_HELD_MAX) {
		if (h->type != PROTO_EXEC_ABORT)
			return 0; /* a program that has not begun has had enough signals */
		e->held_count--;  /* but an abort must arrive */
	}
	e->held[e->held_count++] = *h;
	if (e->started)
		exec_release_held(e);
	return 0;
}

/* One frame from the guest. 1: relayed; 0: the client has no room now; 2: it ended; -EPROTO. */
static int exec_relay(struct exec *e, const struct frame *f)
{
	struct buf *out = ctl_out(e->all->ctl);
	uint8_t header[PROTO_HEADER_BYTES];
	struct msg_exec_exit m;
	struct msg_exec_started s;

	switch (f->type) {
	case PROTO_EXEC_STARTED:
		if (msg_exec_started_decode(f->body, f->len, &s) < 0)
			return -EPROTO;
		exec_release_held(e);
		return 1;
	case PROTO_EXEC_STDOUT:
	case PROTO_EXEC_STDERR:
		if (f->len > PROTO_DATA_MAX)
			return -EPROTO;
		if (f->len > e->window || ctl_congested(e->all->ctl))
			return 0;
		frame_header(header, f->type, e->chan, (uint32_t)f->len);
		(void)buf_put(out, header, sizeof(header)); /* congestion keeps far below the limit, and a full queue fails the link */
		(void)buf_put(out, f->body, f->len);
		e->window -= f->len;
		return 1;
	case PROTO_EXEC_EXIT:
		if (msg_exec_exit_decode(f->body, f->len, &m) < 0 || m.reason >= PROTO_EXIT_COUNT_ || m.code > 255 || m.signo > 64)
			return -EPROTO;
		(void)msg_exec_exit_put(out, e->chan, &m);
		return 2;
	default:
		return -EPROTO;
	}
}

static void exec_readable(void *user)
{
	struct exec *e = user;
	struct frame f;
	size_t len;
	int r;

	for (;;) {
		const uint8_t *p = vsock_conn_peek(e->conn, &len);

		r = frame_peek(p, len, &f);
		if ((r == 0 && len >= PROTO_HEADER_BYTES + PROTO_DATA_MAX) || (r > 0 && !e->chan))
			r = -EPROTO; /* no frame of a program is that long, and there is none before there is a program */
		if (r > 0)
			r = exec_relay(e, &f);
		if (r <= 0)
			break;
		ctl_send(e->all->ctl);
		vsock_conn_consume(e->conn, f.wire_len);
		if (r == 2 && !exec_release(e))
			return;
	}
	if (r < 0)
		exec_fail(e, "the guest sent malformed frames for this program");
	else if (vsock_conn_eof(e->conn))
		exec_fail(e, "the guest closed the program's stream before its end");
}

static void exec_credit_stdin(struct exec *e)
{
	size_t pending = MIN(buf_len(&e->in), e->stdin_queued);
	size_t done = e->stdin_queued - pending;

	if (done == 0 || (pending > 0 && done < PROTO_WINDOW_BYTES / 4))
		return;
	e->stdin_queued = pending;
	(void)msg_exec_credit_put(ctl_out(e->all->ctl), e->chan, &(struct msg_exec_credit){ .bytes = (uint32_t)done });
	ctl_send(e->all->ctl);
}

static void exec_flush(struct exec *e)
{
	if (!e->connected)
		return;
	buf_consume(&e->in, vsock_conn_write(e->conn, buf_data(&e->in), buf_len(&e->in)));
	exec_credit_stdin(e);
}

static void exec_connected(void *user)
{
	struct exec *e = user;

	e->connected = true;
	exec_flush(e);
}

static void exec_writable(void *user)
{
	exec_flush(user);
}

static void exec_closed(void *user, int reason)
{
	struct exec *e = user;

	e->conn = NULL;
	e->connected = false;
	if (!e->chan)
		exec_free(e);
	else if (reason == -ECONNREFUSED)
		exec_fail(e, "the guest's init does not accept programs (is it overloaded?)");
	else if (reason == -ECONNRESET)
		exec_fail(e, "the guest reset the program's stream");
	else if (reason != -ENETRESET)
		exec_fail(e, "the guest broke the rules of the program's stream");
	/* Else the guest's kernel took its driver down: the machine is about to end, and its end says how the program was lost. */
}

static const struct vsock_conn_ops exec_conn_ops = {
	.connected = exec_connected,
	.readable = exec_readable,
	.writable = exec_writable,
	.closed = exec_closed,
};

/* Opens a stream. It is idle. */
static int exec_open(struct execs *x)
{
	AUTOFREE struct exec *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	*e = (struct exec){ .all = x, .window = PROTO_WINDOW_BYTES };
	buf_init(&e->in, EXEC_IN_MAX);
	r = idmap_add(&x->by_port, e, &e->port);
	if (r < 0)
		return r;
	r = vsock_connect(x->vsock, e->port, PROTO_PORT_EXEC, &exec_conn_ops, e, &e->conn);
	if (r < 0) {
		(void)idmap_del(&x->by_port, e->port);
		return r;
	}
	exec_idle(TAKE_PTR(e));
	return 0;
}

void execs_open_spare(struct execs *x)
{
	if (list_empty(&x->idle))
		(void)exec_open(x); /* else the first program opens its own */
}

/* The stream for the program on the client's channel @chan. */
static int exec_create(struct execs *x, uint32_t chan, struct exec **ret)
{
	int r = list_empty(&x->idle) ? exec_open(x) : 0;
	struct exec *e;

	if (r < 0)
		return r;
	e = CONTAINER_OF(x->idle.next, struct exec, idle);
	exec_unidle(e);
	e->chan = chan;
	e->id = ++x->last_id ? x->last_id : ++x->last_id;
	x->by_slot[(chan & 0xffff) - 1] = e;
	*ret = e;
	return 0;
}

static int execs_refuse(struct execs *x, uint32_t chan, const char *why)
{
	struct msg_exec_exit m = { .reason = PROTO_EXIT_REFUSED, .message = slice_of(why) };

	(void)msg_exec_exit_put(ctl_out(x->ctl), chan, &m);
	ctl_send(x->ctl);
	return 0;
}

static int execs_start(struct execs *x, const struct frame *f)
{
	struct msg_exec_start m;
	struct exec *e;
	int r;

	if (msg_exec_start_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	r = exec_create(x, f->chan, &e);
	if (r == -ENOTCONN)
		return execs_refuse(x, f->chan, "the guest's vsock driver is not there");
	if (r < 0)
		return execs_refuse(x, f->chan, "the host process is out of memory or streams for another program");
	x->started++;
	if (!msg_exec_start_put(&e->in, e->id, &m)) {
		exec_free(e);
		return execs_refuse(x, f->chan, "the host process is out of memory for another program");
	}
	exec_flush(e);
	return 0;
}

static int exec_take_stdin(struct exec *e, const struct frame *f)
{
	if (f->len > PROTO_DATA_MAX || f->len > PROTO_WINDOW_BYTES - e->stdin_queued)
		return -EPROTO;
	if (!msg_exec_stdin_put(&e->in, 0, &(struct msg_exec_stdin){ .data = { .p = f->body, .len = f->len } }))
		return -ENOMEM;
	e->stdin_queued += f->len;
	exec_flush(e);
	return 0;
}

static int exec_take_credit(struct exec *e, const struct frame *f)
{
	struct msg_exec_credit m;

	if (msg_exec_credit_decode(f->body, f->len, &m) < 0 || m.bytes > PROTO_WINDOW_BYTES - e->window)
		return -EPROTO;
	e->window += m.bytes;
	if (e->connected)
		exec_readable(e);
	return 0;
}

static int exec_take_beside(struct exec *e, const struct frame *f)
{
	struct held_frame h = { .type = f->type };
	struct msg_exec_signal s;
	struct msg_exec_resize z;

	if (f->type == PROTO_EXEC_SIGNAL) {
		if (msg_exec_signal_decode(f->body, f->len, &s) < 0)
			return -EPROTO;
		h.a = s.signo;
	} else if (f->type == PROTO_EXEC_RESIZE) {
		if (msg_exec_resize_decode(f->body, f->len, &z) < 0)
			return -EPROTO;
		h.a = z.rows;
		h.b = z.cols;
	}
	return exec_hold(e, &h);
}

int execs_frame(struct execs *x, const struct frame *f)
{
	uint32_t slot = (f->chan & 0xffff) - 1;
	struct exec *e;

	if (slot >= PROTO_EXECS_MAX)
		return -EPROTO;
	e = x->by_slot[slot];
	if (f->type == PROTO_EXEC_START)
		return e ? -EPROTO : execs_start(x, f);
	if (!e || e->chan != f->chan)
		return 0; /* it ended while this was on its way */
	switch (f->type) {
	case PROTO_EXEC_STDIN:
		return exec_take_stdin(e, f);
	case PROTO_EXEC_STDIN_EOF:
		(void)msg_exec_stdin_eof_put(&e->in, 0, &(struct msg_exec_stdin_eof){ 0 });
		exec_flush(e);
		return 0;
	case PROTO_EXEC_CREDIT:
		return exec_take_credit(e, f);
	default:
		return exec_take_beside(e, f);
	}
}

void execs_resume(struct execs *x)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX && !ctl_congested(x->ctl); i++)
		if (x->by_slot[i] && x->by_slot[i]->connected)
			exec_readable(x->by_slot[i]);
}

uint32_t execs_running(const struct execs *x)
{
	return x->by_port.count - x->idle_count;
}

void execs_init(struct execs *x, struct ctl *ctl, struct guest *guest, struct vsock *vsock)
{
	*x = (struct execs){ .ctl = ctl, .guest = guest, .vsock = vsock };
	list_init(&x->idle);
	idmap_init(&x->by_port, PROTO_EXECS_MAX + EXECS_IDLE_MAX);
}

void execs_done(struct execs *x)
{
	if (!x->ctl)
		return;
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		if (x->by_slot[i])
			exec_free(x->by_slot[i]);
	while (!list_empty(&x->idle))
		exec_free(CONTAINER_OF(x->idle.next, struct exec, idle));
	idmap_done(&x->by_port);
}
