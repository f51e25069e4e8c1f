/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/net_flow.c - the account of flows: what the rules say about one, its lines in the log, its place in the counters, and its end when rules are replaced. What
 * carries it (a relay, a proxy) holds the struct and counts its bytes. */
#include "net/net_flow.h"

#include "base/cleanup.h"
#include "net/network_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *end_text(enum net_end why)
{
	static const char *const text[] = {
		[NET_END_CLOSED] = "closed",
		[NET_END_GUEST] = "reset by the guest",
		[NET_END_HOST] = "reset by the other end",
		[NET_END_REFUSED] = "refused by the other end",
		[NET_END_NOBODY] = "refused by the guest",
		[NET_END_UNREACHABLE] = "the other end cannot be reached",
		[NET_END_TIMEOUT] = "no answer",
		[NET_END_NAME] = "TLS does not ask for a name that a rule admits here",
		[NET_END_PROTOCOL] = "it makes no sense",
		[NET_END_RULES] = "the rules have changed",
		[NET_END_IDLE] = "silent for long",
		[NET_END_ROOM] = "made room for another",
		[NET_END_RESTART] = "the guest restarted its network",
		[NET_END_RESOURCES] = "the host is short of memory or descriptors",
		[NET_END_STOPPED] = "the VM has ended",
	};

	static_assert(ARRAY_LEN(text) == NET_END_COUNT_, "a text for each reason");
	return text[why];
}

enum net_end net_end_of_tcp(int reason)
{
	switch (reason) {
	case 0: return NET_END_CLOSED;
	case -ECONNRESET: return NET_END_GUEST;
	case -ETIMEDOUT: return NET_END_TIMEOUT;
	case -ENETRESET: return NET_END_RESTART;
	case -ECONNREFUSED: return NET_END_NOBODY;
	default: return NET_END_RESOURCES;
	}
}

static const struct rule *rule_at(const struct network *n, int rule)
{
	return rule >= 0 ? &n->policy->rule[rule] : NULL;
}

struct policy_verdict net_flow_judge(struct network *n, const struct flow_key *k, struct policy_flow *ret, const char **names)
{
	struct policy_verdict v;

	if (k->proto == IP_PROTO_ICMP) {
		*ret = (struct policy_flow){ .dst = k->remote };
		v = policy_echo(n->policy, &k->remote);
	} else {
		*ret = network_flow(n, k->proto == IP_PROTO_TCP ? POLICY_TCP : POLICY_UDP, &k->remote, k->remote_port, names);
		v = policy_decide(n->policy, ret);
	}
	if (v.admit)
		return v;
	n->stats.denied++;
	flowlog_put(n->flowlog, &(struct flowlog_entry){ .id = ++n->last_flow, .key = k, .name = ret->name_count > 0 ? names[0] : NULL, .reason = policy_reason_text(v.reason) });
	return v;
}

int net_flow_begin(struct network *n, struct net_flow *f, const struct flow_key *key, const struct policy_verdict *v, void (*end)(struct net_flow *f))
{
	*f = (struct net_flow){ .key = key, .end = end, .n = n, .rule = v->rule, .id = ++n->last_flow, .begun_ns = loop_now_ns(n->loop) };
	f->by_name = v->name != NULL;
	f->name = v->name ? strdup(v->name) : NULL;
	if (v->name && !f->name) {
		f->n = NULL;
		return -ENOMEM;
	}
	list_add_tail(&n->flows, &f->node);
	n->stats.admitted++;
	n->stats.open++;
	flowlog_put(n->flowlog, &(struct flowlog_entry){ .id = f->id, .inbound = !end, .key = key, .name = f->name, .admit = true, .rule = rule_at(n, f->rule) });
	return 0;
}

int net_flow_rename(struct net_flow *f, const char *name)
{
	char *copy;

	if (!f->n || (f->name && strcmp(f->name, name) == 0))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(f->name);
	f->name = copy;
	return 0;
}

void net_flow_move(struct net_flow *to, struct net_flow *from, void (*end)(struct net_flow *f))
{
	*to = *from;
	to->end = end;
	list_add_tail(&to->n->flows, &to->node);
	list_del(&from->node);
	from->n = NULL;
}

void net_flow_done(struct net_flow *f, enum net_end why)
{
	struct network *n = f->n;

	if (!n)
		return;
	f->n = NULL;
	n->stats.open--;
	flowlog_put(n->flowlog, &(struct flowlog_entry){ .id = f->id,
							 .end = true,
							 .inbound = !f->end,
							 .key = f->key,
							 .name = f->name,
							 .admit = true,
							 .rule = rule_at(n, f->rule),
							 .reason = end_text(why),
							 .bytes_out = f->bytes_out,
							 .bytes_in = f->bytes_in,
							 .duration_ns = loop_now_ns(n->loop) - f->begun_ns });
	list_del(&f->node);
	free(f->name);
	f->name = NULL;
}

static void end_nothing(struct net_flow *f)
{
	(void)f;
}

void net_flow_fail(struct network *n, const struct flow_key *key, const struct policy_verdict *v, enum net_end why)
{
	struct net_flow f;

	if (net_flow_begin(n, &f, key, v, end_nothing) == 0)
		net_flow_done(&f, why);
}

/* Which of the new rules admits an open flow, or -1. A pin that has ended since does not end a flow; and a flow that asked for no name is not admitted by one
 * afterwards. */
static int rule_of(struct network *n, const struct net_flow *f)
{
	const char *names[NETWORK_NAMES_MAX], *name = f->name;
	const struct flow_key *k = f->key;
	struct policy_flow p;

	if (k->proto == IP_PROTO_ICMP)
		return policy_echo(n->policy, &k->remote).rule;
	p = network_flow(n, k->proto == IP_PROTO_TCP ? POLICY_TCP : POLICY_UDP, &k->remote, k->remote_port, names);
	p.names = &name;
	p.name_count = f->by_name;
	return policy_decide(n->policy, &p).rule;
}

void net_flow_judge_all(struct network *n)
{
	LIST_EACH (node, &n->flows) {
		struct net_flow *f = CONTAINER_OF(node, struct net_flow, node);

		if (!f->end)
			continue;
		f->rule = rule_of(n, f);
		if (f->rule < 0)
			f->end(f);
	}
}
