/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/control.h - questions to the host process about the VM itself, and what they are made of. */
#ifndef CLIENT_CONTROL_H
#define CLIENT_CONTROL_H

#include "client/client.h"
#include "net/addr.h"

/* Where a port of the guest is published. */
struct control_place {
	struct ip address;
	uint16_t port;
	bool udp;
};

int control_frame(struct sbx_vm *vm, const struct frame *f); /* DONE, STATS: 0 or -EPROTO */
void control_lose_all(struct sbx_vm *vm);                    /* every one ends, as the VM did */

/* policy.c: -EINVAL with words unless all are rules. */
int rules_check_texts(const char *const *rules, size_t count, struct sbx_err *err);
/* publish.c: @text, NULL for the default. -EINVAL with words. */
int publish_address(const char *text, struct ip *ret, struct sbx_err *err);
/* Listens there, for @guest_port; @udp: is bound. The descriptor is the caller's. 0 or -errno with words. */
int publish_listen(const char *address, uint16_t port, uint16_t guest_port, bool udp, struct control_place *ret, int *ret_fd, struct sbx_err *err);

#endif
