/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/publish.c - ports of this machine that lead to the guest. They are bound here, with the rights of the embedding program and errors in its words; the host
 * process is given sockets that listen, or are bound. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/control.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { BACKLOG = 128 };

union address {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

int publish_address(const char *text, struct ip *ret, struct sbx_err *err)
{
	if (!text)
		text = "127.0.0.1";
	if (!ip_parse(text, strlen(text), ret))
		return err_set(err, -EINVAL, "cannot publish at '%s': it must be an IPv4 or IPv6 address of this machine, 0.0.0.0 or ::", text);
	return 0;
}

static socklen_t fill(const struct ip *a, uint16_t port, union address *ret)
{
	*ret = (union address){ 0 };
	if (a->family == 4) {
		ret->in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&ret->in4.sin_addr, a->bytes, 4);
		return sizeof(ret->in4);
	}
	ret->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
	memcpy(&ret->in6.sin6_addr, a->bytes, 16);
	return sizeof(ret->in6);
}

static int listen_error(const struct ip *a, uint16_t port, int e, struct sbx_err *err)
{
	char text[IP_TEXT_MAX];

	ip_format(a, text);
	switch (e) {
	case EADDRINUSE:
		return err_set(err, -e, "cannot publish port %u of %s: it is in use; choose another, or 0 for one that is free", port, text);
	case EADDRNOTAVAIL:
		return err_set(err, -e, "cannot publish at %s: this machine does not have that address", text);
	case EACCES:
		return err_set(err, -e, "cannot publish port %u of %s: ports below 1024 need rights that this program does not have; choose a higher one", port, text);
	default:
		return err_set(err, -e, "cannot publish port %u of %s: %s", port, text, strerror(e));
	}
}

static int listen_at(const struct ip *a, uint16_t port, bool udp, int *ret_fd, uint16_t *ret_port, struct sbx_err *err)
{
	union address addr;
	socklen_t len = fill(a, port, &addr);
	AUTOCLOSE int fd = socket(addr.sa.sa_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;

	if (fd < 0)
		return listen_error(a, port, errno, err);
	if (!udp) /* where it would let others take the port, too */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->family == 6) /* :: is every IPv6 address, and leaves 0.0.0.0 to who wants it */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &addr.sa, len) < 0 || (!udp && listen(fd, BACKLOG) < 0) || getsockname(fd, &addr.sa, &len) < 0)
		return listen_error(a, port, errno, err);
	*ret_port = ntohs(a->family == 4 ? addr.in4.sin_port : addr.in6.sin6_port);
	*ret_fd = take_fd(&fd);
	return 0;
}

int publish_listen(const char *address, uint16_t port, uint16_t guest_port, bool udp, struct control_place *ret, int *ret_fd, struct sbx_err *err)
{
	struct control_place place = { .udp = udp };
	int r = publish_address(address, &place.address, err);

	if (r < 0)
		return r;
	if (guest_port == 0)
		return err_set(err, -EINVAL, "cannot publish port 0 of the guest; its ports are 1 to 65535");
	r = listen_at(&place.address, port, udp, ret_fd, &place.port, err);
	if (r == 0)
		*ret = place;
	return r;
}
