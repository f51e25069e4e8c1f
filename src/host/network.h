/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/network.h - the network of a VM: its device, its stack with the policy of the configuration, and its resolver, wired together. */
#ifndef HOST_NETWORK_H
#define HOST_NETWORK_H

#include "dev/net.h"
#include "host/config.h"
#include "host/http.h"
#include "net/dns_service.h"

struct host_network {
	struct network *network;
	struct dns_service *dns;
	struct vnet *vnet;
	struct host_http http;
	struct vdev *dev; /* NULL: the VM has no network; the VM's, which frees it before host_network_done() */
};

/* Takes the logs' descriptors out of @config. On failure host_network_done() releases what there is. */
int host_network_init(struct host_network *h, struct loop *loop, const struct log *log, struct ctl *ctl, struct vm_config *config, struct sbx_err *err);
void host_network_done(struct host_network *h);
/* Replaces the rules of egress: all of them, or none with the reason. */
int host_network_set_rules(struct host_network *h, struct slices rules, struct sbx_err *err);
/* Ports of the host's that lead to the guest's: see network_publish(). @fd is taken over; -1: none came. */
int host_network_publish(struct host_network *h, int fd, const struct msg_publish *m, struct sbx_err *err);
int host_network_unpublish(struct host_network *h, const struct msg_unpublish *m, struct sbx_err *err);
/* Tells init its addresses, and whom to trust. */
void host_network_tell(const struct host_network *h, struct buf *out);

#endif
