/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/guest/netload.c - requests over a network inside a guest, to a server that echoes:
 *
 *	netload crr ADDRESS PORT COUNT		connect, send 64 bytes, get them back, close, one after the other: "crr PER_SECOND"
 *	netload latency ADDRESS PORT COUNT	64 bytes to and fro on one connection: "latency P50_US P99_US"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 64,
       COUNT_MAX = 100000 };

static uint64_t took[COUNT_MAX];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void ask(int fd)
{
	char bytes[REQUEST_BYTES] = { 0 };

	if (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != (ssize_t)sizeof(bytes) || recv(fd, bytes, sizeof(bytes), MSG_WAITALL) != (ssize_t)sizeof(bytes))
		die("request");
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void crr(const struct sockaddr_in *to, unsigned count)
{
	uint64_t start = now_ns();

	for (unsigned i = 0; i < count; i++) {
		int fd = dial(to);

		ask(fd);
		close(fd);
	}
	printf("crr %llu\n", (unsigned long long)(count * UINT64_C(1000000000) / (now_ns() - start)));
}

/* The clock of a guest may have steps of milliseconds: the time-stamp counter is read, and scaled by what the clock says about all of it. */
static void latency(const struct sockaddr_in *to, unsigned count)
{
	uint64_t start_ns = now_ns(), start = __builtin_ia32_rdtsc();
	int fd = dial(to);
	double us_a_tick;

	for (unsigned i = 0; i < count; i++) {
		uint64_t before = __builtin_ia32_rdtsc();

		ask(fd);
		took[i] = __builtin_ia32_rdtsc() - before;
	}
	us_a_tick = (double)(now_ns() - start_ns) / 1000 / (double)(__builtin_ia32_rdtsc() - start);
	qsort(took, count, sizeof(took[0]), order);
	printf("latency %.0f %.0f\n", (double)took[count / 2] * us_a_tick, (double)took[count * 99 / 100] * us_a_tick);
	close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int count = argc == 5 ? atoi(argv[4]) : 0; /* style: atoi: a measuring tool */

	if (count < 1 || count > COUNT_MAX || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
		return fprintf(stderr, "usage: netload crr|latency ADDRESS PORT COUNT\n"), 2;
	to.sin_port = htons((uint16_t)atoi(argv[3])); /* style: atoi: a measuring tool */
	if (strcmp(argv[1], "crr") == 0)
		crr(&to, (unsigned)count);
	else
		latency(&to, (unsigned)count);
	return 0;
}
