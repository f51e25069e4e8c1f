/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h2_in.c - a door: what the peer of an HTTP/2 connection says, as nghttp2 reports it. Heads are gathered field by field and judged when they are whole; bodies wait in
 * the stream's buffer, and their windows open only when they are consumed. A fault in a stream resets that stream.
 *
 * The budget: resets (CVE-2023-44487), pings, settings, priorities and empty frames (CVE-2019-9512 and its kind) cost their sender a few bytes. Each takes something from a
 * budget that fills up slowly, and the connection of who finds it empty is ended. Frames that carry something, and window updates, which a transfer needs in any
 * number, are free. */
#include "http/h2_impl.h"

#include "base/cleanup.h"

#include <errno.h>

static void charge(struct h2 *h2, unsigned cost)
{
	uint64_t earned = (h2->now_ms - h2->paid_ms) * H2_BUDGET_PER_S / 1000;

	if (earned > 0) {
		h2->budget = MIN(h2->budget + earned, (uint64_t)H2_BUDGET);
		h2->paid_ms = h2->now_ms;
	}
	if (h2->budget < cost)
		h2_kill(h2, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that do nothing");
	else
		h2->budget -= cost;
}

static void reset(struct h2 *h2, int32_t id, uint32_t code)
{
	(void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, code);
}

/* What the peer is to blame for, in a stream. */
static void blame(struct h2 *h2, const char *why)
{
	h2->config.ops->fault(h2->config.user, why);
	charge(h2, H2_COST_RESET);
}

static void refuse(struct h2_stream *s, const char *why)
{
	s->problem = why;
	reset(s->h2, s->id, NGHTTP2_PROTOCOL_ERROR);
	blame(s->h2, why);
}

static struct h2_stream *stream_of(struct h2 *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2->session, id);
}

static void drop_gathered(struct h2_stream *s)
{
	if (s->gathered)
		http_head_done(s->gathered);
	free(s->gathered);
	s->gathered = NULL;
}

/* ---- Heads ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	int32_t id = frame->hd.stream_id;
	struct h2_stream *s = stream_of(h2, id);

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (!s && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s = h2_stream_new(h2, id);
		if (s)
			(void)nghttp2_session_set_stream_user_data(session, id, s);
	} else if (!s) {
		return 0; /* its owner has freed it */
	}
	if (s) {
		drop_gathered(s);
		s->problem = NULL;
		s->gathered = malloc(sizeof(*s->gathered));
	}
	if (s && s->gathered)
		http_head_init(s->gathered);
	else
		reset(h2, id, NGHTTP2_INTERNAL_ERROR); /* no memory */
	return 0;
}

static struct h1_text text_of(nghttp2_rcbuf *b)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(b);

	return (struct h1_text){ (const char *)v.base, v.len };
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *user)
{
	struct h2_stream *s = stream_of(user, frame->hd.stream_id);
	const char *why;

	(void)session;
	if (!s || !s->gathered || s->problem)
		return 0;
	why = h2_take_field(s->gathered, text_of(name), text_of(value), flags & NGHTTP2_NV_FLAG_NO_INDEX);
	if (why)
		refuse(s, why);
	return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *user)
{
	struct h2_stream *s = stream_of(user, frame->hd.stream_id);

	(void)session;
	(void)name;
	(void)value;
	(void)flags;
	if (s && !s->problem)
		refuse(s, "a bad character in a header field");
	return 0;
}

/* A whole head: a request's. */
static void got_request(struct h2 *h2, struct h2_stream *s, struct http_head *head)
{
	const char *why = h2_judge_request(head);
	int32_t id = s->id;

	s->head_seen = true;
	if (why) {
		refuse(s, why);
		return;
	}
	if (!h2->leaving) /* it may have been sent before the peer knew */
		h2->config.ops->request(h2->config.user, s, head);
	s = stream_of(h2, id); /* the owner may have freed it */
	if (s && !s->ops)
		reset(h2, id, NGHTTP2_REFUSED_STREAM);
}

static void got_response(struct h2_stream *s, struct http_head *head)
{
	const char *why = h2_judge_response(head);

	s->head_seen = head->status >= 200;
	if (why)
		refuse(s, why);
	else
		s->ops->head(s->user, head);
}

static void got_trailers(struct h2_stream *s)
{
	const char *why = h2_judge_trailers(s->gathered);

	if (why) {
		refuse(s, why);
		return;
	}
	s->trailers = s->gathered;
	s->gathered = NULL;
}

/* The stream may be gone afterwards. */
static void got_head(struct h2 *h2, struct h2_stream *s, bool end)
{
	struct http_head *head = s->gathered;

	if (!head || s->problem)
		return;
	s->ended = end;
	if (s->head_seen) {
		got_trailers(s);
		return;
	}
	s->gathered = NULL; /* the owner may free the stream */
	if (h2->config.server)
		got_request(h2, s, head);
	else
		got_response(s, head);
	http_head_done(head);
	free(head);
}

/* ---- Frames ---- */

static void got_end(struct h2 *h2, int32_t id)
{
	struct h2_stream *s = stream_of(h2, id);

	if (!s || !s->ops || s->problem)
		return;
	s->ended = true;
	s->ops->readable(s->user);
}

static void got_content(struct h2 *h2, const nghttp2_frame *frame)
{
	int32_t id = frame->hd.stream_id;
	struct h2_stream *s = stream_of(h2, id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (s && frame->hd.type == NGHTTP2_HEADERS)
		got_head(h2, s, end);
	else if (frame->hd.type == NGHTTP2_DATA && !end && frame->hd.length == frame->data.padlen)
		charge(h2, H2_COST_FRAME);
	if (end)
		got_end(h2, id); /* by its number: its owner may have freed it */
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA: got_content(h2, frame); break;
	case NGHTTP2_RST_STREAM:
		charge(h2, H2_COST_RESET);
		if (stream_of(h2, frame->hd.stream_id))
			stream_of(h2, frame->hd.stream_id)->reset = true;
		break;
	case NGHTTP2_GOAWAY:
		h2->goaway = true;
		h2->config.ops->goaway(h2->config.user, frame->goaway.error_code);
		break;
	case NGHTTP2_WINDOW_UPDATE: break;
	default:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			charge(h2, H2_COST_FRAME);
		break;
	}
	return 0;
}

/* nghttp2 has found fault with a frame, and resets the stream or ends the connection. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = stream_of(h2, frame->hd.stream_id);

	(void)session;
	if (s)
		s->problem = "it is malformed";
	blame(h2, nghttp2_strerror(error));
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = stream_of(h2, id);
	struct iovec iov = { (uint8_t *)p, len };

	(void)flags;
	if (!s || s->problem || !s->ops) {
		(void)nghttp2_session_consume_connection(session, len);
		return 0;
	}
	if (sbuf_put(&s->in, s->in.tail, &iov, 1, 0, len) < len) {
		s->problem = "no memory for a body";
		(void)nghttp2_session_consume_connection(session, len);
		h2->config.ops->fault(h2->config.user, s->problem);
		reset(h2, id, NGHTTP2_INTERNAL_ERROR);
		return 0;
	}
	sbuf_advance(&s->in, len);
	if (s->aside)
		(void)nghttp2_session_consume_connection(session, len);
	s->ops->readable(s->user);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = stream_of(h2, id);

	(void)session;
	if (!s)
		return 0;
	if (!s->ops) {
		h2_stream_drop(s);
		return 0;
	}
	if (code == NGHTTP2_PROTOCOL_ERROR && !s->reset && !s->problem) /* nghttp2 has counted its body, and reset it */
		blame(h2, "a body that is not as long as it should be");
	if (s->problem && code == NGHTTP2_NO_ERROR)
		code = NGHTTP2_PROTOCOL_ERROR; /* both had ended before the reset could be sent */
	s->closed = true;
	s->ops->closed(s->user, s->unsent ? (uint32_t)NGHTTP2_REFUSED_STREAM : code);
	return 0;
}

static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = stream_of(h2, frame->hd.stream_id);

	(void)session;
	if (!s || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s->unsent = error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED; /* nghttp2 closes it */
		return 0;
	}
	h2->config.ops->fault(h2->config.user, "a head that cannot be sent");
	reset(h2, s->id, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

static void sent_end(struct h2 *h2, int32_t id)
{
	struct h2_stream *s = stream_of(h2, id);

	if (!s)
		return;
	s->sent = true;
	if (s->stopped)
		h2_stop(s);
}

/* Also where nghttp2 ends the connection itself. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;

	(void)session;
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		sent_end(h2, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_GOAWAY && !h2->leaving && frame->goaway.error_code != NGHTTP2_NO_ERROR)
		h2_kill(h2, frame->goaway.error_code, "frames that are not HTTP/2");
	return 0;
}

void h2_set_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback2(c, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
}
