/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_relay.c - see h1_relay.h. The course of exchanges, and how they end; what is read and written of heads is in h1_relay_head.c.
 *
 * One request at a time: what the guest sends behind it (pipelining) stays where it is until the answer is over, and so does
 * what an upstream server sends unasked, which ends that connection. Messages pass as they came; nothing is said about a connection that the other side
 * did not say, so a "close" in either message closes both connections behind the answer.
 *
 * Ends that are not clean:
 *   the guest's head is refused          its answer, and the connection ends
 *   the guest's body is broken           400, or a reset once the answer had begun
 *   upstream fails before its answer     502; if the connection had been used before, an end without a word, which is what a client sees that speaks
 *                                        to such a server itself, and knows to try again
 *   upstream fails within its answer     a reset, behind what has come: what the guest has must not look whole
 *   upstream fails behind its answer     nothing: an answer that says its own length is whole, however slowly the guest takes it
 *   upstream answers before the body     the answer passes, and then the rest of the body; but where the guest waits for "100 Continue" the connection ends:
 *                                        whether the body will come, nobody can know */
#include "http/h1_relay.h"

#include "base/cleanup.h"
#include "http/h1_relay_impl.h"

#include <assert.h>
#include <errno.h>

static void side_init(struct h1_side *s)
{
	*s = (struct h1_side){ 0 };
	buf_init(&s->in, H1_RELAY_IN_BYTES);
	buf_init(&s->out, H1_RELAY_OUT_BYTES);
}

static void side_done(struct h1_side *s)
{
	buf_done(&s->in);
	buf_done(&s->out);
}

void h1_relay_init(struct h1_relay *r, const struct h1_relay_ops *ops, void *user)
{
	*r = (struct h1_relay){ .ops = ops, .user = user };
	side_init(&r->guest);
	side_init(&r->up);
	r->idle = true;
}

static void forget_request(struct h1_relay *r)
{
	free(r->head);
	free(r->head_bytes);
	r->head = NULL;
	r->head_bytes = NULL;
	r->x = (struct h1_relay_exchange){ 0 };
}

void h1_relay_done(struct h1_relay *r)
{
	forget_request(r);
	side_done(&r->guest);
	side_done(&r->up);
}

void h1_relay_rest(struct h1_relay *r)
{
	buf_trim(&r->guest.in);
	buf_trim(&r->guest.out);
	buf_trim(&r->up.in);
	buf_trim(&r->up.out);
}

static void forget_up(struct h1_relay *r)
{
	side_done(&r->up);
	side_init(&r->up);
	r->up_used = r->up_last = r->up_bound = r->may_repeat = false;
}

static void drop_up(struct h1_relay *r)
{
	r->drop_up = true;
	r->spare_up = false;
	forget_up(r);
}

void h1_relay_new_up(struct h1_relay *r)
{
	assert(r->state == H1_RELAY_ASKED || r->state == H1_RELAY_HEAD);
	forget_up(r);
}

/* Between exchanges, or at the end of one. */
static bool is_spare(const struct h1_relay *r)
{
	return !r->up_last && !r->up_bound && !r->up.ended && buf_len(&r->up.in) == 0 && buf_len(&r->up.out) == 0;
}

bool h1_relay_up_is_spare(const struct h1_relay *r)
{
	return r->state == H1_RELAY_HEAD && !r->drop_up && is_spare(r);
}

/* ---- How exchanges end ---- */

static void end_exchange(struct h1_relay *r, enum h1_relay_state next)
{
	r->ops->over(r->user);
	forget_request(r);
	r->answering = false;
	r->state = next;
}

static void close_behind_answer(struct h1_relay *r)
{
	drop_up(r);
	end_exchange(r, H1_RELAY_CLOSING);
}

/* The guest's connection ends, but the upstream one need not. */
static void spare_up(struct h1_relay *r)
{
	bool spare = is_spare(r);

	drop_up(r);
	r->spare_up = spare;
}

static void abort_both(struct h1_relay *r, const char *why)
{
	r->x.why = why;
	r->abort = true;
	drop_up(r);
	end_exchange(r, H1_RELAY_DONE);
}

void h1_relay_refuse(struct h1_relay *r, unsigned status, const char *why, const char *text)
{
	if (r->state == H1_RELAY_DONE || r->state == H1_RELAY_CLOSING)
		return;
	if (r->answering || r->state == H1_RELAY_TUNNEL) {
		abort_both(r, why);
		return;
	}
	r->x.why = why;
	r->x.status = status;
	if (!h1_relay_put_refusal(r, status, text))
		abort_both(r, why);
	else
		close_behind_answer(r);
}

/* The upstream connection has ended while nothing was asked of it: so does the guest's, if it does not ask either. */
static void up_ended_idle(struct h1_relay *r)
{
	drop_up(r);
	if (buf_len(&r->guest.in) == 0)
		r->state = H1_RELAY_CLOSING;
}

static bool body_over(const struct h1_side *s)
{
	return s->body.done && s->passed == 0;
}

/* The server may have ended the connection before it saw the request. Its body, if any, is gone. */
static bool may_ask_again(const struct h1_relay *r)
{
	return r->state == H1_RELAY_EXCHANGE && r->may_repeat && r->x.up == 0 && body_over(&r->guest) && !r->answering && buf_len(&r->up.in) == 0 && r->interim == 0;
}

void h1_relay_up_failed(struct h1_relay *r, const char *why)
{
	if (r->state == H1_RELAY_HEAD) {
		up_ended_idle(r);
	} else if (r->state == H1_RELAY_ASKED) {
		drop_up(r); /* the owner will see that there is none */
	} else if (may_ask_again(r)) {
		drop_up(r);
		r->state = H1_RELAY_ASKED;
		r->ops->again(r->user);
	} else if (r->state == H1_RELAY_EXCHANGE && r->answering && body_over(&r->up)) {
		r->x.why = why;
		close_behind_answer(r);
	} else if (r->state == H1_RELAY_EXCHANGE && r->up_used && !r->answering && buf_len(&r->up.in) == 0 && r->interim == 0) {
		r->x.why = why;
		close_behind_answer(r);
	} else {
		h1_relay_refuse(r, 502, why, why);
	}
}

/* ---- Bytes ---- */

static bool flush(struct h1_relay *r, struct buf *out, size_t (*send)(void *user, const void *p, size_t len))
{
	size_t n = buf_len(out) > 0 ? send(r->user, buf_data(out), buf_len(out)) : 0;

	buf_consume(out, n);
	return n > 0;
}

static size_t pass(struct h1_relay *r, struct h1_side *from, const struct buf *before, size_t (*send)(void *user, const void *p, size_t len))
{
	size_t n = from->passed > 0 && buf_len(before) == 0 ? send(r->user, buf_data(&from->in), from->passed) : 0;

	buf_consume(&from->in, n);
	from->passed -= n;
	return n;
}

/* Looks how far the body goes in what has come. -EBADMSG: it is broken. */
static int look_at_body(struct h1_side *s, struct h1_refusal *ret_why)
{
	enum h1_piece piece;

	while (!s->body.done && s->passed < buf_len(&s->in)) {
		ssize_t n = h1_framer_next(&s->body, buf_data(&s->in) + s->passed, buf_len(&s->in) - s->passed, &piece, ret_why);

		if (n < 0)
			return (int)n;
		s->passed += (size_t)n;
	}
	return 0;
}

/* ---- Requests ---- */

static void bad_request(struct h1_relay *r, const struct h1_refusal *why)
{
	free(r->head); /* half read */
	r->head = NULL;
	h1_relay_refuse(r, why->status, why->why, why->why);
}

static bool step_head(struct h1_relay *r)
{
	struct h1_refusal why = { .status = 503, .why = "out of memory" };
	struct h1_side *g = &r->guest;
	ssize_t n;

	if (r->up.ended || buf_len(&r->up.in) > 0) {
		up_ended_idle(r);
		return true;
	}
	if (buf_len(&g->out) > 0)
		return false;
	n = h1_head_end(&g->scan, buf_data(&g->in), buf_len(&g->in), &why);
	if (n == 0 && g->ended) {
		spare_up(r);
		r->state = H1_RELAY_CLOSING;
		return true;
	}
	if (n == 0)
		return false;
	if (n < 0 || h1_relay_take_request(r, (size_t)n, &why) < 0) {
		bad_request(r, &why);
		return true;
	}
	r->last = !r->head->persistent;
	r->interim = 0;
	r->state = H1_RELAY_ASKED;
	r->ops->request(r->user, r->head);
	return true;
}

int h1_relay_forward(struct h1_relay *r, const void *head, size_t len)
{
	assert(r->state == H1_RELAY_ASKED);
	if (len > buf_room(&r->up.out))
		return -E2BIG;
	if (!buf_put(&r->up.out, head ? head : r->head_bytes, head ? len : r->head_len))
		return -ENOMEM;
	r->state = H1_RELAY_EXCHANGE;
	r->up.scan = (struct h1_scan){ 0 };
	r->up_last = r->last && !(head && r->head->lasts_only);
	r->up_bound |= r->head->binds;
	return 0;
}

int h1_relay_answer(struct h1_relay *r, unsigned status, const void *bytes, size_t len, bool last)
{
	assert(r->state == H1_RELAY_ASKED);
	if (len > buf_room(&r->guest.out))
		return -E2BIG;
	if (!buf_put(&r->guest.out, bytes, len))
		return -ENOMEM;
	r->x.status = status;
	r->x.down = len;
	if (last || r->last || !body_over(&r->guest))
		close_behind_answer(r);
	else
		end_exchange(r, H1_RELAY_HEAD);
	return 0;
}

static bool step_request_body(struct h1_relay *r)
{
	struct h1_side *g = &r->guest;
	struct h1_refusal why;
	size_t n;

	if (body_over(g))
		return false;
	if (look_at_body(g, &why) < 0) {
		h1_relay_refuse(r, why.status, why.why, why.why);
		return true;
	}
	n = pass(r, g, &r->up.out, r->ops->send_up);
	r->x.up += n;
	if (g->ended && buf_len(&g->in) == 0 && !body_over(g)) {
		abort_both(r, "the guest ended in the middle of a request");
		return true;
	}
	return n > 0;
}

/* ---- Answers ---- */

static bool fitting_upgrade(const struct h1_relay *r, const struct h1_head *h)
{
	return r->head->upgrade && h->upgrade && body_over(&r->guest);
}

/* A whole head of an answer. NULL, or what is wrong with it. */
static const char *take_answer(struct h1_relay *r, const struct h1_head *h, size_t len)
{
	bool interim = h->status < 200 && h->status != 101;

	if (interim && ++r->interim > H1_INTERIM_MAX)
		return "too many interim answers";
	if (h->status == 101 && !fitting_upgrade(r, h))
		return "an upgrade that was not asked for";
	if (!interim)
		r->x.status = h->status;
	if ((!interim || r->head->minor == 1) && !h1_relay_put_answer(r, h, len))
		return "out of memory";
	h1_framer_init(&r->up.body, h->body, h->length);
	r->answering = !interim;
	if (h->status == 101)
		r->state = H1_RELAY_TUNNEL;
	r->up_bound |= h->binds;
	r->up_last |= !interim && (!h->persistent || h->minor == 0);
	if (!interim && !h->persistent)
		r->last = true;
	return NULL;
}

static bool step_answer_head(struct h1_relay *r)
{
	struct h1_refusal why = { .why = "out of memory" };
	struct h1_side *u = &r->up;
	AUTOFREE struct h1_head *h = NULL;
	const char *bad = NULL;
	ssize_t n;

	if (r->answering || buf_len(&r->guest.out) > 0)
		return false;
	n = h1_head_end(&u->scan, buf_data(&u->in), buf_len(&u->in), &why);
	if (n == 0 && !u->ended)
		return false;
	if (n == 0)
		why.why = u->broken ? u->broken : "the server ended the connection instead of an answer";
	if (n > 0)
		h = malloc(sizeof(*h));
	if (!h || h1_response_parse(buf_data(&u->in), (size_t)n, h1_text_is(r->head->method, "HEAD"), h, &why) < 0)
		bad = why.why;
	else
		bad = take_answer(r, h, (size_t)n);
	if (bad) {
		h1_relay_up_failed(r, bad);
		return true;
	}
	buf_consume(&u->in, (size_t)n);
	u->scan = (struct h1_scan){ 0 };
	return true;
}

/* The rest of the request follows its answer. */
static bool body_goes_on(const struct h1_relay *r)
{
	bool comes = !r->head->expects_continue || r->x.up > 0;

	return comes && !r->last && !r->up.ended && buf_len(&r->up.in) == 0;
}

/* False: not yet. */
static bool answer_over(struct h1_relay *r)
{
	bool clean = body_over(&r->guest) && buf_len(&r->up.out) == 0;

	r->up_used = true;
	r->may_repeat = false;
	if (!clean && body_goes_on(r))
		return false;
	if (!r->last && clean) {
		end_exchange(r, H1_RELAY_HEAD);
		return true;
	}
	if (!clean && r->up.broken)
		r->x.why = r->up.broken;
	if (clean)
		spare_up(r);
	else
		drop_up(r);
	end_exchange(r, H1_RELAY_CLOSING);
	return true;
}

/* All that came was passed on, and no more comes. */
static bool is_drained(const struct h1_side *s)
{
	return s->ended && buf_len(&s->in) == 0;
}

/* Its end may be that of what says no other. */
static bool may_have_said_all(const struct h1_side *s)
{
	return !s->broken || s->cut;
}

static bool step_answer_body(struct h1_relay *r)
{
	struct h1_side *u = &r->up;
	struct h1_refusal why;
	size_t n;

	if (!r->answering)
		return false;
	if (look_at_body(u, &why) < 0) {
		abort_both(r, why.why);
		return true;
	}
	n = pass(r, u, &r->guest.out, r->ops->send_guest);
	r->x.down += n;
	if (is_drained(u) && u->body.kind == H1_BODY_UNTIL_CLOSE && may_have_said_all(u)) {
		u->body.done = true;
		r->finish_cut = u->broken != NULL;
	}
	if (body_over(u))
		return answer_over(r) || n > 0;
	if (is_drained(u)) {
		abort_both(r, u->broken ? u->broken : "the server ended in the middle of an answer");
		return true;
	}
	return n > 0;
}

/* ---- Behind 101, and the end ---- */

static bool step_tunnel(struct h1_relay *r)
{
	size_t up, down;

	r->guest.passed = buf_len(&r->guest.in);
	r->up.passed = buf_len(&r->up.in);
	up = pass(r, &r->guest, &r->up.out, r->ops->send_up);
	down = pass(r, &r->up, &r->guest.out, r->ops->send_guest);
	r->x.up += up;
	r->x.down += down;
	r->finish_up |= is_drained(&r->guest);
	if (is_drained(&r->up) && buf_len(&r->guest.out) == 0) {
		if (!may_have_said_all(&r->up)) {
			abort_both(r, r->up.broken);
			return true;
		}
		r->finish_guest = true;
		r->finish_cut = r->up.broken != NULL;
	}
	if (r->finish_up && r->finish_guest) {
		drop_up(r);
		end_exchange(r, H1_RELAY_DONE);
	}
	return up + down > 0;
}

static bool step_closing(struct h1_relay *r)
{
	buf_consume(&r->guest.in, buf_len(&r->guest.in));
	if (buf_len(&r->guest.out) > 0)
		return false;
	r->finish_guest = true;
	if (r->guest.ended)
		r->state = H1_RELAY_DONE;
	return false;
}

static bool step(struct h1_relay *r)
{
	bool moved = flush(r, &r->guest.out, r->ops->send_guest);

	moved |= flush(r, &r->up.out, r->ops->send_up);
	switch (r->state) {
	case H1_RELAY_HEAD: return step_head(r) || moved;
	case H1_RELAY_EXCHANGE:
		moved |= step_request_body(r);
		if (r->state == H1_RELAY_EXCHANGE)
			moved |= step_answer_head(r);
		if (r->state == H1_RELAY_EXCHANGE)
			moved |= step_answer_body(r);
		return moved;
	case H1_RELAY_TUNNEL: return step_tunnel(r) || moved;
	case H1_RELAY_CLOSING: return step_closing(r) || moved;
	case H1_RELAY_ASKED:
	case H1_RELAY_DONE: break;
	}
	return moved;
}

bool h1_relay_run(struct h1_relay *r)
{
	bool moved = false;

	while (step(r))
		moved = true;
	r->idle = r->state == H1_RELAY_HEAD && buf_len(&r->guest.in) == 0 && buf_len(&r->guest.out) == 0;
	return moved;
}
