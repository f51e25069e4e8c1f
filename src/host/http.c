/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/http.c - see http.h. The authority is limited to the hosts of the https:// origins, which are known before the guest starts: nobody who gets hold of its key
 * (which never leaves this process) could be another host to this guest. */
#include "host/http.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/ca.h"
#include "http/record.h"
#include "http/roots.h"
#include "http/tls.h"

#include <errno.h>
#include <string.h>

static void on_record(void *user, const struct http_record *r)
{
	struct host_http *h = user;
	char line[FLOWLOG_LINE_MAX];

	flowlog_put_line(h->log, line, http_record_format(r, line));
}

static int add_hooks(struct host_http *h, const struct vm_config *c, struct http_origin *origins, struct sbx_err *err)
{
	int r = 0;

	for (unsigned i = 0; i < c->hook_count && r == 0; i++) {
		const struct hook_config *k = &c->hook[i];

		r = http_origin_parse(k->origin, &origins[i], err);
		if (r < 0)
			return r;
		if (k->kind == PROTO_HOOK_CALL)
			r = httpcalls_add(&h->calls, &h->hooks, &origins[i], k->number, k->timeout_ms);
		else if (k->kind == PROTO_HOOK_HEADER)
			r = http_hooks_add_header(&h->hooks, &origins[i], k->name, k->value);
		else
			r = http_hooks_add_secret(&h->hooks, &origins[i], k->name, k->value);
	}
	return r < 0 ? err_set(err, r, "cannot add the hooks: %s", strerror(-r)) : 0;
}

static int make_authority(struct host_http *h, const struct vm_config *c, const struct http_origin *origins, struct sbx_err *err)
{
	const char *names[HTTP_HOOKS_MAX];
	struct ca_config config = { .certificate_pem = c->pem[PROTO_PEM_AUTHORITY], .private_key_pem = c->pem[PROTO_PEM_KEY], .names = names };

	for (unsigned i = 0; i < c->hook_count; i++)
		if (origins[i].tls)
			names[config.name_count++] = origins[i].host;
	return config.name_count > 0 ? ca_create(&config, clock_wall_ns() / NS_PER_S, &h->ca, err) : 0;
}

static int make_roots(struct host_http *h, const struct vm_config *c, struct sbx_err *err)
{
	const char *pem = c->pem[PROTO_PEM_TRUST];
	int r = roots_create(&h->roots);

	if (r < 0)
		return err_set(err, r, "out of memory");
	r = roots_add_system(h->roots, err);
	if (r == -ENOENT)
		r = 0; /* whoever has none trusts what was given, or nobody */
	if (r == 0 && pem)
		r = roots_add_pem(h->roots, pem, strlen(pem), "the certificates to trust", err);
	return r;
}

static int make_tls(struct host_http *h, const struct vm_config *c, const struct http_origin *origins, struct sbx_err *err)
{
	int r = make_authority(h, c, origins, err);

	if (r < 0 || !h->ca)
		return r;
	r = make_roots(h, c, err);
	if (r == 0)
		r = tls_context_create(&(struct tls_config){ .ca = h->ca, .roots = h->roots }, &h->tls, err);
	return r;
}

int host_http_init(struct host_http *h, const struct http_proxy_config *base, struct ctl *ctl, struct vm_config *config, struct sbx_err *err)
{
	AUTOFREE struct http_origin *origins = NULL;
	struct http_proxy_config c = *base;
	int r;

	if (config->hook_count == 0)
		return 0;
	origins = calloc(config->hook_count, sizeof(*origins));
	if (!origins)
		return err_set(err, -ENOMEM, "out of memory");
	http_hooks_init(&h->hooks);
	httpcalls_init(&h->calls, ctl);
	r = add_hooks(h, config, origins, err);
	if (r == 0)
		r = make_tls(h, config, origins, err);
	if (r < 0)
		return r;
	if (config->http_log_fd >= 0)
		r = flowlog_create(c.loop, take_fd(&config->http_log_fd), &h->log);
	c.tls = h->tls;
	c.record = h->log ? on_record : NULL;
	c.user = h;
	if (r == 0)
		r = http_proxy_create(&c, &h->hooks, &h->proxy);
	return r < 0 ? err_set(err, r, "out of memory") : 0;
}

void host_http_done(struct host_http *h)
{
	if (!h->calls.ctl)
		return;
	http_proxy_free(h->proxy);
	httpcalls_done(&h->calls);
	http_hooks_done(&h->hooks);
	tls_context_free(h->tls);
	roots_free(h->roots);
	ca_free(h->ca);
	flowlog_free(h->log);
	*h = (struct host_http){ 0 };
}

int host_http_frame(struct host_http *h, const struct frame *f)
{
	return httpcalls_frame(&h->calls, &h->hooks, f);
}
