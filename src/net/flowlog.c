/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/flowlog.c - the guest decides how many flows there are, so lines pass a token bucket, and a reader that does not read loses lines instead of stopping the
 * loop. Either way the next line that passes is preceded by one that says how many are missing; a timer sees to it when none follows. Names have been through
 * host_name_normalise(), so nothing in a line needs to be escaped; a name, a rule, two addresses and a reason fit into it many times. */
#include "net/flowlog.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/nowait.h"
#include "net/pkt.h"

#include <errno.h>

enum { TELL_MS = 1000 }; /* at the latest, how many lines are missing */

struct flowlog {
	struct loop *loop;
	int fd;
	uint64_t tokens_at_ns; /* when there were so many */
	uint32_t tokens;
	uint64_t left_out, untold; /* lines; of them, those that no line has told */
	struct loop_timer tell;
};

/* ---- Lines ---- */

static const char *protocol_text(uint8_t proto)
{
	switch (proto) {
	case IP_PROTO_TCP: return "tcp";
	case IP_PROTO_UDP: return "udp";
	default: return "icmp";
	}
}

size_t flowlog_format(const struct flowlog_entry *e, uint64_t wall_ns, char dst[FLOWLOG_LINE_MAX])
{
	const struct flow_key *k = e->key;
	bool icmp = k->proto == IP_PROTO_ICMP;
	struct logline l = logline_begin(dst, wall_ns);
	char rule[RULE_TEXT_MAX];

	logline_put(&l, ",\"event\":\"%s\",\"flow\":%llu,\"direction\":\"%s\",\"protocol\":\"%s\"", e->end ? "end" : "flow", (unsigned long long)e->id, e->inbound ? "in" : "out",
		    protocol_text(k->proto));
	logline_put_end(&l, "src", e->inbound ? &k->remote : &k->guest, e->inbound ? k->remote_port : k->guest_port, !icmp);
	logline_put_end(&l, "dst", e->inbound ? &k->guest : &k->remote, e->inbound ? k->guest_port : k->remote_port, !icmp);
	if (e->name)
		logline_put(&l, ",\"name\":\"%s\"", e->name);
	logline_put(&l, ",\"verdict\":\"%s\"", e->admit ? "allow" : "deny");
	if (e->rule) {
		rule_format(e->rule, rule);
		logline_put(&l, ",\"rule\":\"%s\"", rule);
	}
	if (e->end)
		logline_put(&l, ",\"bytes_out\":%llu,\"bytes_in\":%llu,\"duration_ms\":%llu", (unsigned long long)e->bytes_out, (unsigned long long)e->bytes_in,
			    (unsigned long long)(e->duration_ns / NS_PER_MS));
	if (e->reason)
		logline_put(&l, ",\"reason\":\"%s\"", e->reason);
	logline_put(&l, "}\n");
	return l.len;
}

/* ---- Output ---- */

/* True: one more line may be written. */
static bool take_token(struct flowlog *l, uint64_t now)
{
	uint64_t come = (now - l->tokens_at_ns) * FLOWLOG_LINES_A_S / NS_PER_S;

	if (come >= FLOWLOG_BURST || l->tokens + come >= FLOWLOG_BURST) {
		l->tokens = FLOWLOG_BURST;
		l->tokens_at_ns = now;
	} else if (come > 0) {
		l->tokens += (uint32_t)come;
		l->tokens_at_ns += come * NS_PER_S / FLOWLOG_LINES_A_S;
	}
	if (l->tokens == 0)
		return false;
	l->tokens--;
	return true;
}

/* A piece of at most PIPE_BUF bytes is taken whole or not at all. */
static bool write_line(struct flowlog *l, const char *p, size_t len)
{
	return nowait_write(l->fd, p, len) == len;
}

/* False: the reader does not even take this. */
static bool tell_left_out(struct flowlog *l)
{
	char text[FLOWLOG_LINE_MAX];
	struct logline line;

	if (l->untold == 0)
		return true;
	line = logline_begin(text, clock_wall_ns());
	logline_put(&line, ",\"event\":\"left_out\",\"lines\":%llu}\n", (unsigned long long)l->untold);
	if (!write_line(l, text, line.len))
		return false;
	l->untold = 0;
	return true;
}

static void tell_timer(struct loop_timer *t)
{
	struct flowlog *l = CONTAINER_OF(t, struct flowlog, tell);

	if (!tell_left_out(l))
		(void)loop_timer_set(l->loop, t, loop_now_ns(l->loop) + TELL_MS * NS_PER_MS, tell_timer);
}

static void leave_out(struct flowlog *l)
{
	l->left_out++;
	l->untold++;
	if (l->tell.heap_pos == 0)
		(void)loop_timer_set(l->loop, &l->tell, loop_now_ns(l->loop) + TELL_MS * NS_PER_MS, tell_timer);
}

void flowlog_put_line(struct flowlog *l, const char *line, size_t len)
{
	if (!take_token(l, loop_now_ns(l->loop)) || !tell_left_out(l) || !write_line(l, line, len))
		leave_out(l);
}

void flowlog_put(struct flowlog *l, const struct flowlog_entry *e)
{
	char text[FLOWLOG_LINE_MAX];

	if (l)
		flowlog_put_line(l, text, flowlog_format(e, clock_wall_ns(), text));
}

uint64_t flowlog_left_out(const struct flowlog *l)
{
	return l ? l->left_out : 0;
}

int flowlog_create(struct loop *loop, int fd, struct flowlog **ret)
{
	struct flowlog *l = malloc(sizeof(*l));

	if (!l) {
		close_fd(&fd);
		return -ENOMEM;
	}
	*l = (struct flowlog){ .loop = loop, .fd = fd, .tokens = FLOWLOG_BURST, .tokens_at_ns = clock_mono_ns() };
	*ret = l;
	return 0;
}

void flowlog_free(struct flowlog *l)
{
	if (!l)
		return;
	(void)tell_left_out(l);
	loop_timer_del(l->loop, &l->tell);
	close_fd(&l->fd);
	free(l);
}
