/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both ends of network tests: `netpeer serve` on the host, the others in the guest. Every stream is the same sequence of bytes, so that each end checks what it
 * gets. Exit status 0 when all was as it should be; else what was not is on stderr.
 *
 *	netpeer serve                      on 127.0.0.1 and ::1, TCP and UDP, all the same port; prints it; ends with its standard input
 *	netpeer download ADDR PORT BYTES   the server sends so many, and closes
 *	netpeer upload ADDR PORT BYTES     we send so many and shut down; the server answers how many it got
 *	netpeer echo ADDR PORT BYTES       at once, both ways
 *	netpeer reset ADDR PORT            the server resets
 *	netpeer refused ADDR PORT          connecting is refused
 *	netpeer udp ADDR PORT BYTES        a datagram, and back
 *	netpeer udp-denied ADDR PORT       a datagram is answered: administratively prohibited
 *	netpeer echo-udp PORT              says "up", and sends back what comes, for ever
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 1 << 16,
       TIMEOUT_MS = 60000 };

static uint8_t chunk[CHUNK];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "netpeer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 2654435761u >> 13 ^ i);
}

static void fill(uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		chunk[i] = byte_at(at + i);
}

static void check(uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (chunk[i] != byte_at(at + i)) {
			fprintf(stderr, "netpeer: byte %llu is %02x\n", (unsigned long long)(at + i), chunk[i]);
			exit(1);
		}
	}
}

static void send_stream(int fd, uint64_t count)
{
	for (uint64_t at = 0; at < count;) {
		size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;
		ssize_t got;

		fill(at, n);
		for (size_t off = 0; off < n; off += (size_t)got) {
			got = send(fd, chunk + off, n - off, MSG_NOSIGNAL);
			if (got < 0)
				fail("send");
		}
		at += n;
	}
}

/* To the end of the stream. */
static uint64_t receive_stream(int fd)
{
	uint64_t at = 0;
	ssize_t n;

	while ((n = recv(fd, chunk, CHUNK, 0)) > 0) {
		check(at, (size_t)n);
		at += (uint64_t)n;
	}
	if (n < 0)
		fail("receive");
	return at;
}

/* ---- The server ---- */

static size_t read_line(int fd, char *dst, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && recv(fd, dst + n, 1, 0) == 1 && dst[n] != '\n')
		n++;
	dst[n] = '\0';
	return n;
}

static void serve_echo(int fd)
{
	static uint8_t held[CHUNK];
	ssize_t n;

	while ((n = recv(fd, held, CHUNK, 0)) > 0)
		if (send(fd, held, (size_t)n, MSG_NOSIGNAL) != n)
			fail("echo");
}

static _Noreturn void serve_one(int fd)
{
	const struct linger l = { .l_onoff = 1, .l_linger = 0 };
	char line[64];

	(void)read_line(fd, line, sizeof(line));
	if (strncmp(line, "download ", 9) == 0)
		send_stream(fd, strtoull(line + 9, NULL, 10));
	else if (strcmp(line, "upload") == 0)
		dprintf(fd, "%llu", (unsigned long long)receive_stream(fd));
	else if (strcmp(line, "echo") == 0)
		serve_echo(fd);
	else if (strcmp(line, "reset") == 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
	exit(0);
}

static void serve_datagram(int fd)
{
	static uint8_t held[CHUNK];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, held, CHUNK, 0, (struct sockaddr *)&from, &len);

	if (n >= 0)
		(void)sendto(fd, held, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static int bound(int family, int type, uint16_t *port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(*port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in4) : sizeof(in6);
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, a, len) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0))
		return -1;
	if (*port == 0) {
		if (getsockname(fd, (struct sockaddr *)&in4, &len) < 0)
			fail("getsockname");
		*port = ntohs(in4.sin_port);
	}
	return fd;
}

static int serve(void)
{
	struct pollfd p[5] = { { .fd = STDIN_FILENO, .events = POLLIN } };
	uint16_t port = 0;

	p[1].fd = bound(AF_INET, SOCK_STREAM, &port);
	p[2].fd = bound(AF_INET, SOCK_DGRAM, &port);
	if (p[1].fd < 0 || p[2].fd < 0)
		fail("bind");
	p[3].fd = bound(AF_INET6, SOCK_STREAM, &port); /* a machine may have no IPv6 */
	p[4].fd = bound(AF_INET6, SOCK_DGRAM, &port);
	printf("%u\n", port);
	fflush(stdout);
	(void)signal(SIGCHLD, SIG_IGN);
	for (int i = 1; i < 5; i++)
		p[i].events = POLLIN;
	while (poll(p, 5, -1) > 0 && p[0].revents == 0) {
		for (int i = 2; i < 5; i += 2)
			if (p[i].revents)
				serve_datagram(p[i].fd);
		for (int i = 1; i < 5; i += 2) {
			int fd = p[i].revents ? accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;

			if (fd >= 0 && fork() == 0)
				serve_one(fd);
			close(fd);
		}
	}
	return 0;
}

/* ---- The clients ---- */

static int connected(int type, const char *addr, const char *port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = in4.sin_port };
	int v4 = inet_pton(AF_INET, addr, &in4.sin_addr) == 1, fd;

	if (!v4 && inet_pton(AF_INET6, addr, &in6.sin6_addr) != 1)
		fail("address");
	fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket");
	if (connect(fd, v4 ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6, v4 ? sizeof(in4) : sizeof(in6)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int must_connect(int type, char **argv)
{
	int fd = connected(type, argv[2], argv[3]);

	if (fd < 0)
		fail("connect");
	return fd;
}

static int client_download(char **argv)
{
	uint64_t want = strtoull(argv[4], NULL, 10), got;
	int fd = must_connect(SOCK_STREAM, argv);

	dprintf(fd, "download %s\n", argv[4]);
	got = receive_stream(fd);
	if (got != want)
		fprintf(stderr, "netpeer: %llu bytes of %llu\n", (unsigned long long)got, (unsigned long long)want);
	return got != want;
}

static int client_upload(char **argv)
{
	int fd = must_connect(SOCK_STREAM, argv);
	char answer[32] = "";
	ssize_t n;

	dprintf(fd, "upload\n");
	send_stream(fd, strtoull(argv[4], NULL, 10));
	(void)shutdown(fd, SHUT_WR);
	for (size_t at = 0; (n = recv(fd, answer + at, sizeof(answer) - 1 - at, 0)) > 0; at += (size_t)n)
		;
	if (n < 0)
		fail("answer");
	if (strcmp(answer, argv[4]) != 0)
		fprintf(stderr, "netpeer: the server got '%s' bytes of %s\n", answer, argv[4]);
	return strcmp(answer, argv[4]) != 0;
}

static int client_echo(char **argv)
{
	uint64_t want = strtoull(argv[4], NULL, 10), got;
	int fd = must_connect(SOCK_STREAM, argv), status = 1;
	pid_t child;

	dprintf(fd, "echo\n");
	child = fork();
	if (child == 0) {
		send_stream(fd, want);
		(void)shutdown(fd, SHUT_WR);
		exit(0);
	}
	got = receive_stream(fd);
	(void)waitpid(child, &status, 0);
	if (got != want)
		fprintf(stderr, "netpeer: %llu bytes of %llu\n", (unsigned long long)got, (unsigned long long)want);
	return got != want || status != 0;
}

static int client_reset(char **argv)
{
	int fd = must_connect(SOCK_STREAM, argv);

	dprintf(fd, "reset\n");
	if (recv(fd, chunk, CHUNK, 0) >= 0 || errno != ECONNRESET)
		fail("not reset");
	return 0;
}

static int client_refused(char **argv)
{
	if (connected(SOCK_STREAM, argv[2], argv[3]) >= 0 || errno != ECONNREFUSED)
		fail("not refused");
	return 0;
}

static ssize_t receive_datagram(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, TIMEOUT_MS) <= 0)
		fail("nothing came");
	return recv(fd, chunk, CHUNK, 0);
}

static int client_udp(char **argv)
{
	size_t len = (size_t)atoi(argv[4]);
	int fd = must_connect(SOCK_DGRAM, argv);

	fill(0, len);
	if (send(fd, chunk, len, 0) != (ssize_t)len)
		fail("send");
	memset(chunk, 0, len);
	if (receive_datagram(fd) != (ssize_t)len)
		fail("receive");
	check(0, len);
	return 0;
}

static int client_udp_denied(char **argv)
{
	int fd = must_connect(SOCK_DGRAM, argv), on = 1;

	/* so that the kernel tells more than fatal errors */
	(void)setsockopt(fd, SOL_IP, IP_RECVERR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_IPV6, IPV6_RECVERR, &on, sizeof(on));
	if (send(fd, "x", 1, 0) != 1)
		fail("send");
	if (receive_datagram(fd) >= 0 || (errno != EHOSTUNREACH && errno != EACCES))
		fail("not denied");
	return 0;
}

static int client_echo_udp(char **argv)
{
	const struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		fail("bind");
	puts("up");
	fflush(stdout);
	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, chunk, CHUNK, 0, (struct sockaddr *)&from, &len);

		if (n < 0 || sendto(fd, chunk, (size_t)n, 0, (struct sockaddr *)&from, len) != n)
			fail("answer");
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int argc;
		int (*fn)(char **argv);
	} clients[] = {
		{ "download", 5, client_download },
		{ "upload", 5, client_upload },
		{ "echo", 5, client_echo },
		{ "reset", 4, client_reset },
		{ "refused", 4, client_refused },
		{ "udp", 5, client_udp },
		{ "udp-denied", 4, client_udp_denied },
		{ "echo-udp", 3, client_echo_udp },
	};

	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		return serve();
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		if (argc == clients[i].argc && strcmp(argv[1], clients[i].name) == 0)
			return clients[i].fn(argv);
	fprintf(stderr, "netpeer: see the comment in its source\n");
	return 2;
}
