/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/hooks.h - who wants to see and change requests, by origin, and the way of a request past them: in the order of their registration, each when the one
 * before has answered, those that only add a header last. Loop thread. */
#ifndef HTTP_HOOKS_H
#define HTTP_HOOKS_H

#include "base/list.h"
#include "http/fields.h"
#include "http/origin.h"

enum {
	HTTP_HOOKS_MAX = 256,
	HTTP_ANSWER_BYTES_MAX = 768 << 10, /* body of an answer that a hook gives */
};

/* A request as hooks see it. What is pointed to stays until the run is over. */
struct http_request {
	bool http2;
	struct h1_text method, path; /* the path with its query, "*" of OPTIONS, or empty */
	const struct http_origin *origin;
	struct http_fields fields;
	struct ip original, upstream;
	uint16_t original_port, upstream_port;
	const char *sni, *alpn; /* "": none */
	bool tls;
};

enum http_verdict_kind {
	HTTP_FORWARD, /* with the run's fields */
	HTTP_ANSWER,  /* instead of the server: status, fields, body */
	HTTP_REFUSE,  /* status, why (constant) and text */
};

struct http_verdict {
	enum http_verdict_kind kind;
	unsigned status;
	const struct http_fields *fields;
	const uint8_t *body;
	size_t len;
	const char *why, *text;
};

struct http_run;

struct http_hook_ops {
	/* Looks at run->request; http_run_continue() or http_run_end() follows, possibly from inside. */
	void (*ask)(void *user, struct http_run *run);
	void (*cancel)(void *user, struct http_run *run); /* neither is to follow */
};

struct http_hook {
	struct list node, runs;
	struct http_origin origin;
	const struct http_hook_ops *ops; /* NULL: sets the header @name to @value, or (secret) replaces @name in values by @value */
	bool secret;
	void *user;
	char *name, *value;
};

struct http_hooks {
	struct list all;
	unsigned count, secrets;
};

/* The way of one request past the hooks. Embedded in whatever carries it. */
struct http_run {
	struct http_request request;
	bool changed; /* its fields are not what came */
	unsigned hooks; /* that it has met */
	void (*done)(struct http_run *run, const struct http_verdict *v);
	void *user;   /* the asked hook's */
	struct http_hooks *all; /* internal, as all below */
	struct http_hook *at;
	struct list node;
	bool waiting, running;
};

void http_hooks_init(struct http_hooks *h);
void http_hooks_done(struct http_hooks *h);
/* A hook, and one that sets a header; texts are copied. 0, -ENFILE, -ENOMEM. */
int http_hooks_add(struct http_hooks *h, const struct http_origin *o, const struct http_hook_ops *ops, void *user, struct http_hook **ret);
int http_hooks_add_header(struct http_hooks *h, const struct http_origin *o, const char *name, const char *value);
/* Where the value of a header to @o has @placeholder, also within Basic credentials, the server gets @value. A request to another origin that has it is refused. */
int http_hooks_add_secret(struct http_hooks *h, const struct http_origin *o, const char *placeholder, const char *value);
/* It is asked no more. Requests that wait for it go on as if it had let them pass. */
void http_hooks_remove(struct http_hooks *h, struct http_hook *hook);

bool http_hooks_port(const struct http_hooks *h, bool tls, uint16_t port);             /* some origin has it */
bool http_hooks_match(const struct http_hooks *h, const struct http_origin *o); /* somebody wants to see its requests */
bool http_hooks_look(const struct http_hooks *h, const struct http_origin *o);  /* or to know that it does not get a secret's placeholder */

/* @run->request is filled in; done() follows, possibly from inside. */
void http_run_start(struct http_hooks *h, struct http_run *run);
/* The same, but its fields are taken from @head. 0, or -E2BIG, -ENOMEM and nothing follows. */
int http_run_start_h1(struct http_hooks *h, struct http_run *run, const struct h1_head *head);
/* From a hook: to the next one. @run->changed is set if it has changed the fields. */
void http_run_continue(struct http_run *run);
void http_run_end(struct http_run *run, const struct http_verdict *v);
void http_run_cancel(struct http_run *run); /* done() does not follow; idempotent, also on one that is zeroed */

#endif
