/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/http_peer.c - the ends that bench/http needs and no peer is.
 *
 *	http_peer serve PORT CERTIFICATE KEY	a server of HTTPS on the loopback that reads what it is sent to its end before it answers (nginx answers at once), and whose
 *						/events are a stream of events, each with the time at which it was written
 *	http_peer events			reads such a stream from its input, and prints how long the events took: p50 and p99 in us
 */
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	EVENTS = 1000,
	EVENT_MS = 5,
	HEAD_MAX = 16384,
	BLOCK = 1 << 16,
};

static SSL_CTX *context;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "http_peer: %s: %s\n", what, why);
	exit(1);
}

/* ---- The server ---- */

static bool send_text(SSL *s, const char *text)
{
	return SSL_write(s, text, (int)strlen(text)) > 0;
}

static void send_events(SSL *s)
{
	const struct timespec pause = { .tv_nsec = EVENT_MS * (long)NS_PER_MS };
	char event[64], chunk[96];
	bool ok = send_text(s, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");

	for (int i = 0; i < EVENTS && ok; i++) {
		int n;

		(void)nanosleep(&pause, NULL);
		n = snprintf(event, sizeof(event), "data: %" PRIu64 "\n\n", clock_mono_ns());
		(void)snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)n, event);
		ok = send_text(s, chunk);
	}
	(void)(ok && send_text(s, "0\r\n\r\n"));
}

/* Reads a head, and as much behind it as came with it. False: the connection is over. */
static bool read_head(SSL *s, char head[HEAD_MAX + 1], size_t *ret_body)
{
	size_t len = 0;
	const char *end = NULL;

	while (!end && len < HEAD_MAX) {
		int n = SSL_read(s, head + len, (int)(HEAD_MAX - len));

		if (n <= 0)
			return false;
		len += (size_t)n;
		head[len] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	*ret_body = end ? len - (size_t)(end + 4 - head) : 0;
	return end;
}

static bool read_body(SSL *s, const char *head, size_t got)
{
	static __thread char block[BLOCK];
	const char *field = strcasestr(head, "\r\ncontent-length:");
	uint64_t left = field ? strtoull(field + strlen("\r\ncontent-length:"), NULL, 10) : 0; /* style: strtoull: the client is the benchmark's */

	left -= MIN(left, got);
	while (left > 0) {
		int n = SSL_read(s, block, (int)MIN(left, (uint64_t)BLOCK));

		if (n <= 0)
			return false;
		left -= (uint64_t)n;
	}
	return true;
}

static void *serve(void *arg)
{
	AUTOCLOSE int fd = (int)(intptr_t)arg;
	char head[HEAD_MAX + 1];
	SSL *s = SSL_new(context);
	size_t got;

	if (!s || SSL_set_fd(s, fd) != 1 || SSL_accept(s) != 1) {
		SSL_free(s);
		return NULL;
	}
	while (read_head(s, head, &got)) {
		if (strncmp(head, "GET /events ", 12) == 0)
			send_events(s);
		else if (!read_body(s, head, got) || !send_text(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			break;
	}
	SSL_free(s);
	return NULL;
}

static void listen_and_serve(const char *port, const char *cert, const char *key)
{
	const struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10)), .sin_addr = { htonl(INADDR_LOOPBACK) } }; /* style: strtoul: as above */
	const int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)signal(SIGPIPE, SIG_IGN); /* a client that went away ends its own connection only */
	context = SSL_CTX_new(TLS_server_method());
	if (!context || SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM) != 1 || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die("certificate", cert);
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 64) < 0)
		die("listen", strerror(errno));
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (fd < 0)
			die("accept", strerror(errno));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) != 0)
			die("thread", "no memory");
		(void)pthread_detach(t);
	}
}

/* ---- The reader ---- */

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void read_events(void)
{
	static uint64_t took[EVENTS];
	size_t count = 0;
	char line[128];
	uint64_t at;

	while (fgets(line, sizeof(line), stdin) && count < EVENTS)
		if (sscanf(line, "data: %" SCNu64, &at) == 1)
			took[count++] = clock_mono_ns() - at;
	if (count == 0)
		die("events", "none has come");
	qsort(took, count, sizeof(*took), compare);
	printf("%" PRIu64 " %" PRIu64 "\n", took[count / 2] / 1000, took[count * 99 / 100] / 1000);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "serve") == 0)
		listen_and_serve(argv[2], argv[3], argv[4]);
	else if (argc == 2 && strcmp(argv[1], "events") == 0)
		read_events();
	else
		die("usage", "http_peer serve PORT CERTIFICATE KEY | http_peer events");
	return 0;
}
