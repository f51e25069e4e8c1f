/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h2.c - sessions of HTTP/2 on nghttp2, which does frames, HPACK, windows and the states of streams. Here are its options, what is sent, and the life of streams:
 * a struct h2_stream lives from its first frame until its owner frees it, longer than nghttp2's stream when what was received is not consumed yet. What the
 * peer says is in h2_in.c, and what may be in heads in h2_head.c.
 *
 * The peer is trusted with nothing. What it can make us keep: bodies within H2_WINDOW and the pool; a head for each of H2_STREAMS_MAX streams; nghttp2's tables and
 * acknowledgements within the options below. What it can make us do for nothing is paid for from a budget (h2_in.c). */
#include "http/h2.h"

#include "base/cleanup.h"
#include "http/h2_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert((int)H2_STREAM_WINDOW <= (int)SBUF_BYTES, "a window's bytes fit");
_Static_assert((int)H2_ENHANCE_YOUR_CALM == (int)NGHTTP2_ENHANCE_YOUR_CALM && (int)H2_REFUSED_STREAM == (int)NGHTTP2_REFUSED_STREAM, "the codes of RFC 9113");

enum { SENT_HEAD_MAX = 2 * HTTP_FIELDS_BYTES_MAX, /* and what HPACK counts for each field */
       FRAME_BYTES = 1 << 14 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

int h2_is_preface(const void *p, size_t len)
{
	if (memcmp(p, preface, MIN(len, (size_t)H2_PREFACE_BYTES)) != 0)
		return 0;
	return len < H2_PREFACE_BYTES ? -EAGAIN : 1;
}

/* ---- Memory ---- */

/* nghttp2 has room for a whole frame in each session, from the beginning to the end. It gets that as pages of their own, which can be given back while nothing is sent. */
static void *frame_new(struct h2 *h2, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	h2->frame = p;
	h2->frame_len = size;
	return p;
}

static void *mem_malloc(size_t size, void *user)
{
	struct h2 *h2 = user;

	return !h2->frame && size >= FRAME_BYTES ? frame_new(h2, size) : malloc(size);
}

static void mem_free(void *p, void *user)
{
	struct h2 *h2 = user;

	if (!p || p != h2->frame) {
		free(p);
		return;
	}
	(void)munmap(p, h2->frame_len);
	h2->frame = NULL;
}

static void *mem_calloc(size_t count, size_t size, void *user)
{
	(void)user;
	return calloc(count, size);
}

static void *mem_realloc(void *p, size_t size, void *user)
{
	struct h2 *h2 = user;
	void *larger;

	if (!p)
		return mem_malloc(size, user);
	if (p != h2->frame)
		return realloc(p, size);
	larger = malloc(size);
	if (!larger)
		return NULL;
	memcpy(larger, p, MIN(size, h2->frame_len));
	mem_free(p, user);
	return larger;
}

void h2_rest(struct h2 *h2)
{
	if (h2->frame && !nghttp2_session_want_write(h2->session)) /* then there is no frame in it */
		(void)madvise(h2->frame, h2->frame_len, MADV_DONTNEED);
}

/* ---- Sessions ---- */

static int make_option(nghttp2_option **ret)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return -ENOMEM;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_peer_max_concurrent_streams(o, H2_STREAMS_MAX);
	nghttp2_option_set_max_reserved_remote_streams(o, 0);
	nghttp2_option_set_max_send_header_block_length(o, SENT_HEAD_MAX);
	nghttp2_option_set_max_deflate_dynamic_table_size(o, H2_TABLE_BYTES);
	nghttp2_option_set_max_outbound_ack(o, H2_ACKS_MAX);
	nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
	nghttp2_option_set_max_continuations(o, H2_CONTINUATIONS_MAX);
	nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX); /* the budget sees to it, on both sides and by the owner's clock */
	*ret = o;
	return 0;
}

static int make_session(struct h2 *h2)
{
	nghttp2_mem mem = { h2, mem_malloc, mem_free, mem_calloc, mem_realloc };
	nghttp2_session_callbacks *c;
	nghttp2_option *o;
	int r;

	if (nghttp2_session_callbacks_new(&c) != 0)
		return -ENOMEM;
	if (make_option(&o) < 0) {
		nghttp2_session_callbacks_del(c);
		return -ENOMEM;
	}
	h2_set_callbacks(c);
	r = (h2->config.server ? nghttp2_session_server_new3 : nghttp2_session_client_new3)(&h2->session, c, h2, o, &mem);
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(c);
	return r == 0 ? 0 : -ENOMEM;
}

static int send_settings(struct h2 *h2)
{
	const nghttp2_settings_entry all[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->config.server ? H2_STREAMS_MAX : 0 },
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, H2_TABLE_BYTES },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H1_HEAD_BYTES_MAX },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 }, /* clients only: the last */
	};

	if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, all, ARRAY_LEN(all) - h2->config.server) != 0 ||
	    nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW) != 0)
		return -ENOMEM;
	return 0;
}

int h2_create(const struct h2_config *config, struct h2 **ret)
{
	struct h2 *h2 = calloc(1, sizeof(*h2));
	int r;

	if (!h2)
		return -ENOMEM;
	h2->config = *config;
	h2->error = "";
	h2->budget = H2_BUDGET;
	list_init(&h2->streams);
	r = make_session(h2);
	if (r == 0)
		r = send_settings(h2);
	if (r < 0) {
		h2_free(h2);
		return r;
	}
	*ret = h2;
	return 0;
}

void h2_free(struct h2 *h2)
{
	if (!h2)
		return;
	LIST_EACH (node, &h2->streams)
		h2_stream_drop(CONTAINER_OF(node, struct h2_stream, node));
	nghttp2_session_del(h2->session);
	free(h2);
}

static void has_output(struct h2 *h2)
{
	if (!h2->busy)
		h2->config.ops->output(h2->config.user);
}

void h2_kill(struct h2 *h2, uint32_t code, const char *why)
{
	if (h2->error[0] != '\0')
		return;
	h2->error = why;
	h2->config.ops->fault(h2->config.user, why);
	if (nghttp2_session_terminate_session(h2->session, code) != 0)
		h2->broken = true;
}

/* Failures after which nghttp2 wants its session deleted. */
static void session_failed(struct h2 *h2, int error)
{
	h2->broken = true;
	if (h2->error[0] != '\0')
		return;
	h2->error = error == NGHTTP2_ERR_NOMEM ? "no memory for a session" :
		    error == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "not HTTP/2" :
		    error == NGHTTP2_ERR_FLOODED ? "too many frames that want an answer" :
						   "the session failed";
	h2->config.ops->fault(h2->config.user, h2->error);
}

int h2_input(struct h2 *h2, const void *p, size_t len, uint64_t now_ms)
{
	ssize_t r = 0;

	h2->now_ms = MAX(now_ms, h2->now_ms);
	h2->busy = true;
	if (!h2->broken)
		r = nghttp2_session_mem_recv(h2->session, p, len);
	if (r < 0)
		session_failed(h2, (int)r);
	h2->busy = false;
	return h2->broken || h2->error[0] != '\0' ? -EPROTO : 0;
}

size_t h2_output(struct h2 *h2, void *dst, size_t len)
{
	size_t done = 0;

	h2->busy = true;
	while (done < len) {
		size_t n = MIN(len - done, h2->chunk_len);
		ssize_t r;

		if (n > 0) {
			memcpy((uint8_t *)dst + done, h2->chunk, n);
			h2->chunk += n;
			h2->chunk_len -= n;
			done += n;
			continue;
		}
		r = h2->broken ? 0 : nghttp2_session_mem_send(h2->session, &h2->chunk);
		if (r < 0)
			session_failed(h2, (int)r);
		if (r <= 0)
			break;
		h2->chunk_len = (size_t)r;
	}
	h2->busy = false;
	return done;
}

bool h2_over(const struct h2 *h2)
{
	return h2->chunk_len == 0 && (h2->broken || (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session)));
}

const char *h2_error(const struct h2 *h2)
{
	return h2->error;
}

void h2_goaway(struct h2 *h2, uint32_t code)
{
	if (h2->broken || h2->leaving)
		return;
	if (code == H2_NO_ERROR) {
		(void)nghttp2_submit_shutdown_notice(h2->session);
	} else {
		h2->leaving = true;
		(void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h2->session), code, NULL, 0);
	}
	has_output(h2);
}

bool h2_takes_requests(const struct h2 *h2)
{
	return !h2->broken && !h2->goaway && h2->error[0] == '\0' && nghttp2_session_check_request_allowed(h2->session);
}

/* ---- Streams ---- */

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->h2 = h2;
	s->id = id;
	sbuf_init(&s->in, h2->config.pool);
	list_add_tail(&h2->streams, &s->node);
	return s;
}

static void free_head(struct http_head *h)
{
	if (h)
		http_head_done(h);
	free(h);
}

void h2_stream_drop(struct h2_stream *s)
{
	list_del(&s->node);
	free_head(s->gathered);
	free_head(s->trailers);
	sbuf_done(&s->in);
	free(s);
}

void h2_stream_free(struct h2_stream *s, uint32_t code)
{
	struct h2 *h2 = s->h2;

	if (!h2->broken) {
		(void)nghttp2_session_consume_connection(h2->session, s->aside ? 0 : sbuf_len(&s->in));
		(void)nghttp2_session_set_stream_user_data(h2->session, s->id, NULL);
		if (!s->closed)
			(void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id, code);
	}
	h2_stream_drop(s);
	has_output(h2);
}

static struct h2_stream *first_open(struct h2 *h2)
{
	LIST_EACH (node, &h2->streams) {
		struct h2_stream *s = CONTAINER_OF(node, struct h2_stream, node);

		if (s->ops && !s->closed)
			return s;
	}
	return NULL;
}

void h2_cut(struct h2 *h2, uint32_t code)
{
	struct h2_stream *s;

	h2->broken = true;
	while ((s = first_open(h2)) != NULL) { /* from the beginning each time: closed() may free any of them */
		s->closed = true;
		s->ops->closed(s->user, code);
	}
}

void h2_accept(struct h2_stream *s, const struct h2_stream_ops *ops, void *user)
{
	s->ops = ops;
	s->user = user;
}

/* ---- What is sent ---- */

static void send_trailers(struct h2_stream *s, const struct http_head *trailers, uint32_t *flags)
{
	char status[4];
	size_t count;
	nghttp2_nv *nv = h2_fields_of(trailers, status, &count);

	if (nv && nghttp2_submit_trailer(s->h2->session, s->id, nv, count) == 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	else
		(void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
	free(nv);
}

static ssize_t on_pull(nghttp2_session *session, int32_t id, uint8_t *dst, size_t len, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct h2_pull pull = { 0 };
	size_t n;

	(void)source;
	(void)user;
	if (!s || !s->ops)
		return NGHTTP2_ERR_DEFERRED; /* it is being reset */
	n = s->ops->pull(s->user, dst, len, &pull);
	if (n == 0 && !pull.end)
		return NGHTTP2_ERR_DEFERRED;
	if (pull.end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (pull.end && pull.trailers && pull.trailers->fields.count > 0)
		send_trailers(s, pull.trailers, flags);
	return (ssize_t)n;
}

static const nghttp2_data_provider provider = { .read_callback = on_pull };

static int failed(int r)
{
	return r >= 0 ? 0 : r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ECONNRESET;
}

int h2_request(struct h2 *h2, const struct http_head *head, bool end, const struct h2_stream_ops *ops, void *user, struct h2_stream **ret)
{
	struct h2_stream *s;
	AUTOFREE nghttp2_nv *nv = NULL;
	char status[4];
	size_t count;

	if (!h2_takes_requests(h2))
		return -ECONNRESET;
	nv = h2_fields_of(head, status, &count);
	s = nv ? h2_stream_new(h2, -1) : NULL;
	if (!s)
		return -ENOMEM;
	h2_accept(s, ops, user);
	s->id = nghttp2_submit_request(h2->session, NULL, nv, count, end ? NULL : &provider, s);
	if (s->id < 0) {
		int r = failed(s->id);

		h2_stream_drop(s);
		return r;
	}
	*ret = s;
	has_output(h2);
	return 0;
}

int h2_respond(struct h2_stream *s, const struct http_head *head, bool end)
{
	nghttp2_session *session = s->h2->session;
	AUTOFREE nghttp2_nv *nv = NULL;
	char status[4];
	size_t count;
	int r;

	if (s->closed || s->h2->broken)
		return -ECONNRESET;
	nv = h2_fields_of(head, status, &count);
	if (!nv)
		return -ENOMEM;
	if (head->status < 200)
		r = nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, s->id, NULL, nv, count, NULL);
	else
		r = nghttp2_submit_response(session, s->id, nv, count, end ? NULL : &provider);
	has_output(s->h2);
	return failed(r);
}

void h2_resume(struct h2_stream *s)
{
	if (s->closed || s->h2->broken || nghttp2_session_resume_data(s->h2->session, s->id) != 0)
		return;
	has_output(s->h2);
}

void h2_stop(struct h2_stream *s)
{
	s->stopped = true;
	if (s->sent && !s->ended && !s->closed && !s->h2->broken)
		(void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
}

/* ---- What was received ---- */

unsigned h2_peek(const struct h2_stream *s, struct iovec *iov, unsigned max, size_t *ret_len, bool *ret_end)
{
	unsigned n = sbuf_view(&s->in, s->in.head, sbuf_len(&s->in), iov, max, ret_len);

	*ret_end = s->ended && *ret_len == sbuf_len(&s->in);
	return n;
}

void h2_consume(struct h2_stream *s, size_t len)
{
	assert(len <= sbuf_len(&s->in));
	sbuf_drop(&s->in, s->in.head + len, false);
	if (s->h2->broken || len == 0)
		return;
	(void)(s->aside ? nghttp2_session_consume_stream : nghttp2_session_consume)(s->h2->session, s->id, len);
	has_output(s->h2);
}

void h2_set_aside(struct h2_stream *s)
{
	if (s->aside || s->h2->broken)
		return;
	s->aside = true;
	(void)nghttp2_session_consume_connection(s->h2->session, sbuf_len(&s->in));
	has_output(s->h2);
}

size_t h2_take(struct h2_stream *s, void *dst, size_t len, bool *ret_end)
{
	struct iovec iov[4];
	size_t there, done = 0;
	unsigned n = h2_peek(s, iov, ARRAY_LEN(iov), &there, ret_end);

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t k = MIN(iov[i].iov_len, len - done);

		memcpy((uint8_t *)dst + done, iov[i].iov_base, k);
		done += k;
	}
	*ret_end = *ret_end && done == there;
	h2_consume(s, done);
	return done;
}

bool h2_has_no_body(const struct h2_stream *s)
{
	return s->ended && sbuf_len(&s->in) == 0 && !s->trailers;
}

const struct http_head *h2_trailers(const struct h2_stream *s)
{
	return s->ended ? s->trailers : NULL;
}
