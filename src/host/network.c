/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/network.c - see network.h. Trusts the configuration, which is checked; everything that comes by the device is the guest's and is the stack's to check. */
#include "host/network.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "http/ca.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { PREFIX4 = 24,
       PREFIX6 = 64 };

static void on_started(void *user, const struct frame_caps *caps)
{
	struct host_network *h = user;

	network_started(h->network, caps);
}

static void on_input(void *user, const struct frame_in *f)
{
	struct host_network *h = user;

	network_input(h->network, f);
}

static void on_room(void *user)
{
	struct host_network *h = user;

	network_room(h->network);
}

static const struct vnet_ops vnet_ops = { .started = on_started, .input = on_input, .room = on_room };

static bool on_send(void *user, const struct frame_out *f)
{
	const struct host_network *h = user;

	return vnet_send(h->vnet, f);
}

static void on_sent(void *user)
{
	const struct host_network *h = user;

	vnet_flush(h->vnet);
}

int host_network_init(struct host_network *h, struct loop *loop, const struct log *log, struct ctl *ctl, struct vm_config *config, struct sbx_err *err)
{
	const struct stack_config *a = network_addresses();
	const struct network_link link = { .send = on_send, .sent = on_sent, .user = h };
	struct vnet_config c = { .mtu = a->mtu };
	struct http_proxy_config proxy;
	int r;

	if (!(config->flags & PROTO_CONFIG_NETWORK))
		return 0;
	memcpy(c.mac, a->guest_mac, sizeof(c.mac));
	r = network_create(loop, log, config->policy, &link, &h->network);
	if (r == 0 && config->net_log_fd >= 0)
		r = network_log_to(h->network, take_fd(&config->net_log_fd));
	if (r == 0)
		r = dns_service_create(loop, log, h->network, network_policy(h->network), NULL, &h->dns);
	if (r == 0)
		r = vnet_create(loop, log, &c, &vnet_ops, h, &h->vnet, &h->dev);
	if (r < 0)
		return err_set(err, r, "cannot create the network: %s", strerror(-r));
	proxy = (struct http_proxy_config){ .loop = loop, .log = log, .network = h->network, .dns = dns_service_resolver(h->dns) };
	return host_http_init(&h->http, &proxy, ctl, config, err);
}

void host_network_done(struct host_network *h)
{
	host_http_done(&h->http);
	dns_service_free(h->dns);
	network_free(h->network);
	*h = (struct host_network){ 0 };
}

int host_network_set_rules(struct host_network *h, struct slices rules, struct sbx_err *err)
{
	AUTOFREE struct policy *p = calloc(1, sizeof(*p));
	struct slice s;
	int r = 0;

	if (!h->network)
		return err_set(err, -EINVAL, "the VM has no network, so there is nothing that rules could admit; start it with SBX_VM_NETWORK");
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	while (r == 0 && slices_next(&rules, &s))
		r = policy_add(p, s, err);
	if (r == 0)
		network_set_policy(h->network, p);
	return r;
}

int host_network_publish(struct host_network *h, int fd, const struct msg_publish *m, struct sbx_err *err)
{
	AUTOCLOSE int s = fd;
	int r;

	if (!h->network)
		return err_set(err, -EINVAL, "the VM has no network, so no port of it can be published; start it with SBX_VM_NETWORK");
	if (s < 0 || m->guest_port == 0 || m->guest_port > UINT16_MAX)
		return err_set(err, -EPROTO, "malformed PUBLISH");
	r = network_publish(h->network, take_fd(&s), (uint16_t)m->guest_port);
	if (r == -EMFILE)
		return err_set(err, r, "%d ports are published already; unpublish one first", NETWORK_PUBLISHED_MAX);
	return r < 0 ? err_set(err, r, "cannot publish port %u of the guest: %s", m->guest_port, strerror(-r)) : 0;
}

int host_network_unpublish(struct host_network *h, const struct msg_unpublish *m, struct sbx_err *err)
{
	struct ip a = { .family = m->address.len == 4 ? 4 : 6 };

	if (m->address.len != 4 && m->address.len != 16)
		return err_set(err, -EPROTO, "malformed UNPUBLISH");
	memcpy(a.bytes, m->address.p, m->address.len);
	if (!h->network || network_unpublish(h->network, m->udp != 0, &a, (uint16_t)m->port) < 0)
		return err_set(err, -ENOENT, "no port is published there");
	return 0;
}

void host_network_tell(const struct host_network *h, struct buf *out)
{
	const struct stack_config *a = network_addresses();
	uint8_t bytes[PROTO_NET_BYTES];

	if (!h->dev)
		return;
	memcpy(bytes, a->guest4.bytes, 4);
	memcpy(bytes + 4, a->gateway4.bytes, 4);
	memcpy(bytes + 8, a->guest6.bytes, 16);
	memcpy(bytes + 24, a->gateway6.bytes, 16);
	(void)msg_guest_net_put(out, 0, &(struct msg_guest_net){ .prefix4 = PREFIX4, .prefix6 = PREFIX6, .addresses = { bytes, sizeof(bytes) } });
	if (h->http.ca)
		(void)msg_guest_ca_put(out, 0, &(struct msg_guest_ca){ .hash = slice_of(ca_subject_hash(h->http.ca)), .pem = slice_of(ca_certificate_pem(h->http.ca)) });
}
