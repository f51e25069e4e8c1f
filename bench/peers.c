/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/peers.c - see peers.h. */
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PIECE = 1 << 16,
	BACKLOG = 4096,
	EVENTS = 256,
};

static const uint8_t zeros[PIECE];

static _Noreturn void peer_die(void)
{
	perror("cannot listen");
	exit(1);
}

static void serve_one(enum peer what, int fd)
{
	static uint8_t bytes[PIECE];
	ssize_t n = what == PEER_SOURCE ? send(fd, zeros, PIECE, MSG_DONTWAIT | MSG_NOSIGNAL) : recv(fd, bytes, PIECE, MSG_DONTWAIT);

	if (what == PEER_ECHO && n > 0)
		(void)!send(fd, bytes, (size_t)n, MSG_NOSIGNAL);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close(fd);
}

static _Noreturn void serve(enum peer what, int listener)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = { .events = EPOLLIN, .data.fd = listener }, event[EVENTS];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(ep, event, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (event[i].data.fd != listener) {
				serve_one(what, event[i].data.fd);
				continue;
			}
			for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
				e = (struct epoll_event){ .events = what == PEER_SOURCE ? EPOLLOUT : EPOLLIN, .data.fd = fd };
				(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
			}
		}
	}
}

uint16_t peer_start(enum peer what, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	pid_t child;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		peer_die();
	child = fork();
	if (child == 0)
		serve(what, fd);
	close(fd);
	return ntohs(a.sin_port);
}
