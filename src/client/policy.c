/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/policy.c - rules of egress: checked here and sent to the host process in their text form, whose parser is the same; and sbx_policy_check(), whose
 * decision is, too. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "client/control.h"
#include "net/policy.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)SBX_RULES_MAX == (int)POLICY_RULES_MAX && (int)PROTO_RULES_MAX == (int)POLICY_RULES_MAX, "one limit");

/* Splits "HOST:PORT" and "[HOST]:PORT". */
static int split_destination(const char *text, const char **ret_host, size_t *ret_len, uint16_t *ret_port, struct sbx_err *err)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	uint64_t port;
	size_t len = 0;

	if (!colon || !parse_u64(colon + 1, UINT16_MAX, &port) || port == 0)
		return err_set(err, -EINVAL, "destination %s: write ADDRESS:PORT, [IPV6]:PORT or NAME:PORT, the port from 1 to 65535", text);
	len = (size_t)(colon - text);
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(host, ':', len)) {
		return err_set(err, -EINVAL, "destination %s: write an IPv6 address in brackets, as in [2001:db8::1]:443", text);
	}
	*ret_host = host;
	*ret_len = len;
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_rules(const char *const *rules, size_t count, struct policy *p, struct sbx_err *err)
{
	int r = 0;

	if (count > POLICY_RULES_MAX)
		return err_set(err, -EINVAL, "%zu rules; at most %d", count, POLICY_RULES_MAX);
	for (size_t i = 0; i < count && r == 0; i++)
		r = rule_parse(rules[i], &p->rule[p->count++], err);
	return r;
}

int rules_check_texts(const char *const *rules, size_t count, struct sbx_err *err)
{
	AUTOFREE struct policy *p = calloc(1, sizeof(*p));

	return p ? parse_rules(rules, count, p, err) : err_set(err, -ENOMEM, "out of memory");
}

int rules_check(const struct sbx_vm_config *c, struct sbx_err *err)
{
	if (c->outbound_count > 0 && !(c->flags & SBX_VM_NETWORK))
		return err_set(err, -EINVAL, "%zu outbound rules are given for a VM without a network; set SBX_VM_NETWORK or leave them out", c->outbound_count);
	if (c->net_log_fd >= 0 && !(c->flags & SBX_VM_NETWORK))
		return err_set(err, -EINVAL, "net_log_fd is given for a VM without a network; set SBX_VM_NETWORK or leave it out");
	return rules_check_texts(c->outbound_rules, c->outbound_count, err);
}

int rules_send(struct link *link, const struct sbx_vm_config *c, struct sbx_err *err)
{
	int r = 0;

	for (size_t i = 0; i < c->outbound_count && r == 0; i++) {
		struct msg_rule m = { .text = slice_of(c->outbound_rules[i]) };

		if (!msg_rule_put(link_out(link), 0, &m))
			r = -ENOMEM;
	}
	if (r == 0)
		r = link_send_all(link, NULL, 0);
	return r < 0 ? err_set(err, r, "cannot send the outbound rules to sandbox-host: %s", strerror(-r)) : 0;
}

int sbx_policy_check(const char *const *rules, size_t count, const char *proto, const char *destination, struct sbx_verdict *ret, struct sbx_err *err)
{
	AUTOFREE struct policy *p = calloc(1, sizeof(*p));
	char name[POLICY_NAME_MAX + 1];
	const char *names[] = { name };
	struct policy_flow f = { .names = names };
	struct policy_verdict v;
	const char *host = NULL;
	size_t len = 0;
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	if (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
		return err_set(err, -EINVAL, "protocol %s: must be tcp or udp", proto);
	f.proto = proto[0] == 't' ? POLICY_TCP : POLICY_UDP;
	r = parse_rules(rules, count, p, err);
	if (r == 0)
		r = split_destination(destination, &host, &len, &f.port, err);
	if (r < 0)
		return r;
	if (!ip_parse(host, len, &f.dst)) {
		f.dst = (struct ip){ 0 }; /* of no family: in no range */
		if (!host_name_normalise(host, len, name))
			return err_set(err, -EINVAL, "destination %s: neither an address nor a host name", destination);
		f.name_count = 1;
	}
	v = policy_decide(p, &f);
	*ret = (struct sbx_verdict){ .admit = v.admit, .rule = v.rule };
	(void)strncpy(ret->reason, policy_reason_text(v.reason), sizeof(ret->reason) - 1);
	return 0;
}
