/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/frames.c - checks everything that the decoders made from the schema leave open: ranges, known flags, what must not be empty.
 * The host is trusted more than the workload, but a frame that makes no sense is still refused whole, never half obeyed. */
#include "frames.h"

#include <errno.h>
#include <string.h>

static int decode_config(const struct frame *f, struct control_frame *c)
{
	if (msg_guest_config_decode(f->body, f->len, &c->config) < 0)
		return -EPROTO;
	if (c->config.flags & ~(uint32_t)PROTO_GUEST_WRITABLE || c->config.hostname.len > FRAMES_HOSTNAME_MAX ||
	    c->config.entropy.len > FRAMES_ENTROPY_MAX)
		return -EPROTO;
	return 0;
}

static int decode_mount(const struct frame *f, struct control_frame *c)
{
	struct msg_guest_mount m;

	if (msg_guest_mount_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	if (m.kind >= PROTO_FS_COUNT_ || m.flags & ~(uint32_t)PROTO_MOUNT_READONLY || m.max_bytes > INT64_MAX || m.path.len < 2 ||
	    m.path.len > FRAMES_PATH_MAX || m.path.p[0] != '/')
		return -EPROTO;
	c->mount = m;
	return 0;
}

static int decode_net(const struct frame *f, struct control_frame *c)
{
	struct msg_guest_net m;

	if (msg_guest_net_decode(f->body, f->len, &m) < 0 || m.prefix4 < 1 || m.prefix4 > 32 || m.prefix6 < 1 || m.prefix6 > 128 ||
	    m.addresses.len != PROTO_NET_BYTES)
		return -EPROTO;
	c->net = m;
	return 0;
}

static int decode_ca(const struct frame *f, struct control_frame *c)
{
	struct msg_guest_ca m;

	if (msg_guest_ca_decode(f->body, f->len, &m) < 0 || m.hash.len != FRAMES_CA_HASH_LEN || m.pem.len == 0)
		return -EPROTO;
	for (size_t i = 0; i < m.hash.len; i++) /* it becomes the name of a file */
		if (m.hash.p[i] == '\0' || !strchr("0123456789abcdef", m.hash.p[i]))
			return -EPROTO;
	c->ca = m;
	return 0;
}

static int decode_changed(const struct frame *f, struct control_frame *c)
{
	struct msg_guest_changed m;

	if (msg_guest_changed_decode(f->body, f->len, &m) < 0 || m.index >= PROTO_MOUNTS_MAX || m.flags & ~(uint32_t)PROTO_CHANGED_NAMES || m.path.len > FRAMES_PATH_MAX)
		return -EPROTO;
	c->changed = m;
	return 0;
}

static int decode_signal(const struct frame *f, struct control_frame *c)
{
	struct msg_exec_signal m;

	if (msg_exec_signal_decode(f->body, f->len, &m) < 0 || m.signo < 1 || m.signo > FRAMES_SIGNO_MAX)
		return -EPROTO;
	c->signo = m.signo;
	return 0;
}

static int decode_resize(const struct frame *f, struct control_frame *c)
{
	struct msg_exec_resize m;

	if (msg_exec_resize_decode(f->body, f->len, &m) < 0 || m.rows > UINT16_MAX || m.cols > UINT16_MAX)
		return -EPROTO;
	c->rows = (uint16_t)m.rows;
	c->cols = (uint16_t)m.cols;
	return 0;
}

static int decode_time(const struct frame *f, struct control_frame *c)
{
	struct msg_set_time m;

	if (msg_set_time_decode(f->body, f->len, &m) < 0)
		return -EPROTO;
	c->wall_ns = m.wall_ns;
	return 0;
}

int control_frame_decode(const struct frame *f, struct control_frame *ret)
{
	struct control_frame c = { .type = f->type, .job = f->chan };
	int r;

	switch (f->type) {
	case PROTO_GUEST_CONFIG:
		r = decode_config(f, &c);
		break;
	case PROTO_GUEST_MOUNT:
		r = decode_mount(f, &c);
		break;
	case PROTO_GUEST_NET:
		r = decode_net(f, &c);
		break;
	case PROTO_GUEST_CA:
		r = decode_ca(f, &c);
		break;
	case PROTO_GUEST_CHANGED:
		r = decode_changed(f, &c);
		break;
	case PROTO_SET_TIME:
		r = decode_time(f, &c);
		break;
	case PROTO_EXEC_SIGNAL:
		r = decode_signal(f, &c);
		break;
	case PROTO_EXEC_RESIZE:
		r = decode_resize(f, &c);
		break;
	case PROTO_POWER_OFF:
	case PROTO_EXEC_ABORT:
		r = f->len == 0 ? 0 : -EPROTO;
		break;
	default:
		r = -EPROTO;
	}
	if (r == 0)
		*ret = c;
	return r;
}

static int decode_start(const struct frame *f, struct msg_exec_start *ret)
{
	struct msg_exec_start m;
	struct slice first;

	if (msg_exec_start_decode(f->body, f->len, &m) < 0 || m.flags & ~(uint32_t)(PROTO_EXECF_TTY | PROTO_EXECF_STDIN | PROTO_EXECF_BUILTIN) ||
	    (m.flags & PROTO_EXECF_BUILTIN && m.flags & PROTO_EXECF_TTY) || m.rows > UINT16_MAX || m.cols > UINT16_MAX)
		return -EPROTO;

	struct slices argv = m.argv;

	if (!slices_next(&argv, &first) || first.len == 0)
		return -EPROTO;
	*ret = m;
	return 0;
}

int job_frame_decode(const struct frame *f, struct job_frame *ret)
{
	struct job_frame j = { .type = f->type, .job = f->chan };
	struct msg_exec_stdin m;
	int r = 0;

	switch (f->type) {
	case PROTO_EXEC_START:
		r = f->chan == 0 ? -EPROTO : decode_start(f, &j.start);
		break;
	case PROTO_EXEC_STDIN:
		if (msg_exec_stdin_decode(f->body, f->len, &m) < 0 || m.data.len > PROTO_DATA_MAX)
			r = -EPROTO;
		else
			j.data = m.data;
		break;
	case PROTO_EXEC_STDIN_EOF:
		r = f->len == 0 ? 0 : -EPROTO;
		break;
	default:
		r = -EPROTO;
	}
	if (r == 0)
		*ret = j;
	return r;
}
