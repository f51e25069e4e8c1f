/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/proxyrig.h - the proxy in a netguest: connections of the guest's to the gateway reach sockets of the test's on the host's loopback. */
#ifndef TESTS_PROXYRIG_H
#define TESTS_PROXYRIG_H

#include "http/proxy.h"
#include "netguest.h"

enum { PROXYRIG_TEXT_MAX = 1024 };

struct proxyrig {
	struct nguest g;
	struct policy rules;
	struct http_hooks hooks;
	struct http_proxy *proxy;
	struct dns *dns;
	struct tls_context *tls; /* the test's, before proxyrig_up(); NULL: none */
	int listener;            /* of proxyrig_up_server() */
	uint16_t port;
	bool dns_silent;         /* what this machine does not know itself is never answered */
	struct ip dns_answer;    /* else: the address that it has; family 0: there is no name server */
	/* The last record. */
	struct {
		unsigned count, status, hooks;
		uint64_t up, down;
		char method[16], path[64], why[128], origin[HTTP_ORIGIN_TEXT_MAX];
		bool changed, http2;
	} last;
};

extern struct proxyrig rig;
extern const struct ip proxyrig_gateway, proxyrig_loopback;

void proxyrig_up(const char *const *rules, unsigned count);
/* The guest speaks to @remote instead, which nothing answers for. */
void proxyrig_up_to(const struct ip *remote, const char *const *rules, unsigned count);
void proxyrig_down(void);
/* With a server on the loopback, which the guest may reach at the gateway's address. */
void proxyrig_up_server(void);
void proxyrig_down_server(struct nguest_end *e); /* ends the guest's connection, which may be NULL, and frees it, too */
/* A header is set in requests to @host ("10.0.2.1" is the server itself) at the server's port; @scheme is "http" or "https". */
struct http_origin proxyrig_header(const char *scheme, const char *host, const char *name, const char *value);
struct http_origin proxyrig_origin(const char *host, uint16_t port);
struct nguest_end *proxyrig_dial(uint16_t port); /* a connection of the guest's to the gateway's @port; to be freed */
bool proxyrig_calls(int listener);               /* somebody is connecting to it */
int proxyrig_take(int listener);                 /* accepts a connection without stopping the loop */
size_t proxyrig_text(const char *text, uint16_t port, char dst[PROXYRIG_TEXT_MAX]); /* with @port for each '@'; how long it is */
void proxyrig_say(struct nguest_end *e, const char *text, uint16_t port); /* the guest, with @port for each '@' */
const char *proxyrig_head(int fd);                                       /* what the server has got, up to the end of a head */
void proxyrig_serve(int fd, const char *text);
bool proxyrig_has(const struct nguest_end *e, const char *text); /* the guest has got it */

#endif
