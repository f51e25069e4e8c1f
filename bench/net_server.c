/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/net_server.c - our network as a vhost-user program of its own, so that any front end can drive it:
 *
 *	net_server SOCKET
 *
 * Serves the one front end that connects, until that goes. Its guest is 10.0.2.2, the gateway 10.0.2.1; every port of this machine's loopback is open to it. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "dev/net.h"
#include "net/network.h"
#include "serve.h"
#include "virtio/vhost_user.h"

static struct {
	struct loop *loop;
	struct network *network;
	struct vnet *vnet;
	struct vdev *dev;
} m;

static void on_started(void *user, const struct frame_caps *caps)
{
	(void)user;
	network_started(m.network, caps);
}

static void on_input(void *user, const struct frame_in *f)
{
	(void)user;
	network_input(m.network, f);
}

static void on_room(void *user)
{
	(void)user;
	network_room(m.network);
}

static bool on_send(void *user, const struct frame_out *f)
{
	(void)user;
	return vnet_send(m.vnet, f);
}

static void on_sent(void *user)
{
	(void)user;
	vnet_flush(m.vnet);
}

static void on_closed(void *user)
{
	(void)user;
	loop_stop(m.loop);
}

int main(int argc, char **argv)
{
	static const char *const rules[] = { "tcp:127.0.0.0/8", "udp:127.0.0.0/8", "tcp:::1/128", "udp:::1/128" };
	static const struct vnet_ops ops = { .started = on_started, .input = on_input, .room = on_room };
	static const struct network_link link = { .send = on_send, .sent = on_sent };
	const struct stack_config *a = network_addresses();
	struct vnet_config c = { .mtu = a->mtu };
	static struct policy policy;
	struct vhost_user *vu;
	int fd;

	if (argc != 2)
		return fprintf(stderr, "usage: net_server SOCKET\n"), 2;
	serve_raise_limit();
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rule_parse(rules[i], &policy.rule[policy.count++], NULL) < 0)
			return 1;
	memcpy(c.mac, a->guest_mac, sizeof(c.mac));
	if (loop_create(&m.loop) < 0 || network_create(m.loop, NULL, &policy, &link, &m.network) < 0 || vnet_create(m.loop, NULL, &c, &ops, NULL, &m.vnet, &m.dev) < 0)
		return 1;
	fd = serve_accept(argv[1]);
	if (fd < 0 || vhost_user_create(m.dev, fd, on_closed, NULL, &vu) < 0)
		return fprintf(stderr, "net_server: no connection at '%s'\n", argv[1]), 1;
	m.dev->one_interrupt = true; /* both front ends look at all rings: bench/net_ops, and a guest behind virtio-mmio */
	(void)loop_run(m.loop);
	vhost_user_free(vu);
	m.dev->ops->free(m.dev);
	network_free(m.network);
	loop_free(m.loop);
	return 0;
}
