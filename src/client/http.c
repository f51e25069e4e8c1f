/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/http.c - interception of HTTP in the configuration: checked here, in the user's words, and sent to the host process, which reads it with the same
 * parsers. Values of headers are credentials: they are copied nowhere but into the socket's queue. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/client.h"
#include "http/fields.h"
#include "http/origin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

_Static_assert((int)SBX_HTTP_HOOKS_MAX == (int)PROTO_HOOKS_MAX && (int)SBX_HTTP_CALLS_MAX == (int)PROTO_HTTP_CALLS_MAX &&
		       (int)SBX_HTTP_BODY_MAX == (int)PROTO_HTTP_BODY_MAX,
	       "limits agree");

static struct h1_text text_of(const char *s)
{
	return (struct h1_text){ s, strlen(s) };
}

static int check_hook(const struct sbx_http_hook *h, size_t i, struct sbx_err *err)
{
	struct http_origin o;

	if (h->struct_size != sizeof(*h))
		return err_set(err, -EINVAL, "http_hooks[%zu]: struct sbx_http_hook of %zu bytes: begin with SBX_HTTP_HOOK_INIT", i, h->struct_size);
	if (!h->origin || !h->on_request)
		return err_set(err, -EINVAL, "http_hooks[%zu] has no %s", i, h->origin ? "on_request" : "origin");
	return http_origin_parse(h->origin, &o, err);
}

static int check_injection(const struct sbx_http_injection *h, size_t i, struct sbx_err *err)
{
	struct http_origin o;
	const char *problem;
	int r;

	if (h->struct_size != sizeof(*h))
		return err_set(err, -EINVAL, "http_injections[%zu]: struct sbx_http_injection of %zu bytes: begin with SBX_HTTP_INJECTION_INIT", i, h->struct_size);
	if (!h->origin || !h->name || !h->value)
		return err_set(err, -EINVAL, "http_injections[%zu] needs an origin, a name and a value", i);
	r = http_origin_parse(h->origin, &o, err);
	if (r < 0)
		return r;
	problem = http_field_problem(text_of(h->name), text_of(h->value));
	return problem ? err_set(err, -EINVAL, "the header %.64s for %s cannot be set: %s", h->name, h->origin, problem) : 0;
}

static int check_secret(const struct sbx_http_secret *h, size_t i, struct sbx_err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	struct http_origin o;
	const char *problem;
	int r;

	if (h->struct_size != sizeof(*h))
		return err_set(err, -EINVAL, "http_secrets[%zu]: struct sbx_http_secret of %zu bytes: begin with SBX_HTTP_SECRET_INIT", i, h->struct_size);
	if (!h->origin || !h->placeholder || !h->value)
		return err_set(err, -EINVAL, "http_secrets[%zu] needs an origin, a placeholder and a value", i);
	if (strlen(h->placeholder) < SBX_HTTP_PLACEHOLDER_MIN || h->placeholder[strspn(h->placeholder, allowed)])
		return err_set(err, -EINVAL, "http_secrets[%zu]: a placeholder has at least %d letters, digits, '-', '_' and '.'", i, SBX_HTTP_PLACEHOLDER_MIN);
	r = http_origin_parse(h->origin, &o, err);
	if (r < 0)
		return r;
	problem = http_field_problem(text_of("X"), text_of(h->value));
	return problem ? err_set(err, -EINVAL, "the secret for %s cannot be in a header: %s", h->origin, problem) : 0;
}

int sbx_http_placeholder(char dst[SBX_HTTP_PLACEHOLDER_BYTES])
{
	static const char prefix[] = "sbx-secret-";
	uint8_t bytes[(SBX_HTTP_PLACEHOLDER_BYTES - sizeof(prefix)) / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	memcpy(dst, prefix, sizeof(prefix));
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(dst + sizeof(prefix) - 1 + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int check_pem(const char *what, const char *pem, struct sbx_err *err)
{
	if (pem && strlen(pem) > PROTO_PEM_MAX)
		return err_set(err, -EINVAL, "%s has %zu bytes; at most %d fit", what, strlen(pem), PROTO_PEM_MAX);
	return 0;
}

static bool wants_http(const struct sbx_vm_config *c)
{
	return c->http_hook_count > 0 || c->http_injection_count > 0 || c->http_secret_count > 0;
}

static int check_rest(const struct sbx_vm_config *c, struct sbx_err *err)
{
	int r = check_pem("http_trust_pem", c->http_trust_pem, err);

	if (r == 0)
		r = check_pem("http_ca_certificate_pem", c->http_ca_certificate_pem, err);
	if (r == 0)
		r = check_pem("http_ca_private_key_pem", c->http_ca_private_key_pem, err);
	if (r < 0)
		return r;
	if (!c->http_ca_certificate_pem != !c->http_ca_private_key_pem)
		return err_set(err, -EINVAL, "a certificate authority needs its certificate and its private key; only one is given");
	if (!wants_http(c) && (c->http_trust_pem || c->http_ca_certificate_pem || c->http_log_fd >= 0))
		return err_set(err, -EINVAL, "certificates or a log for the interception of HTTP are given, but no hook or header that would have it intercepted");
	return 0;
}

int http_check(const struct sbx_vm_config *c, struct sbx_err *err)
{
	size_t count = c->http_hook_count + c->http_injection_count + c->http_secret_count;
	int r = 0;

	if (count > SBX_HTTP_HOOKS_MAX)
		return err_set(err, -EINVAL, "%zu hooks, headers and secrets; at most %d", count, SBX_HTTP_HOOKS_MAX);
	if (wants_http(c) && !(c->flags & SBX_VM_NETWORK))
		return err_set(err, -EINVAL, "hooks of HTTP requests are given for a VM without a network; set SBX_VM_NETWORK and rules that admit the origins");
	for (size_t i = 0; i < c->http_hook_count && r == 0; i++)
		r = check_hook(&c->http_hooks[i], i, err);
	for (size_t i = 0; i < c->http_injection_count && r == 0; i++)
		r = check_injection(&c->http_injections[i], i, err);
	for (size_t i = 0; i < c->http_secret_count && r == 0; i++)
		r = check_secret(&c->http_secrets[i], i, err);
	return r == 0 ? check_rest(c, err) : r;
}

static bool put_hooks(struct buf *out, const struct sbx_vm_config *c)
{
	bool fits = true;

	for (size_t i = 0; i < c->http_hook_count && fits; i++) {
		struct msg_http_hook m = {
			.kind = PROTO_HOOK_CALL,
			.number = (uint32_t)i,
			.timeout_ms = c->http_hooks[i].timeout_ms,
			.origin = slice_of(c->http_hooks[i].origin),
		};

		fits = msg_http_hook_put(out, 0, &m);
	}
	for (size_t i = 0; i < c->http_injection_count && fits; i++) {
		const struct sbx_http_injection *h = &c->http_injections[i];
		struct msg_http_hook m = {
			.kind = PROTO_HOOK_HEADER, .origin = slice_of(h->origin), .name = slice_of(h->name), .value = slice_of(h->value)
		};

		fits = msg_http_hook_put(out, 0, &m);
	}
	for (size_t i = 0; i < c->http_secret_count && fits; i++) {
		const struct sbx_http_secret *h = &c->http_secrets[i];
		struct msg_http_hook m = {
			.kind = PROTO_HOOK_SECRET, .origin = slice_of(h->origin), .name = slice_of(h->placeholder), .value = slice_of(h->value)
		};

		fits = msg_http_hook_put(out, 0, &m);
	}
	return fits;
}

int http_send(struct link *link, const struct sbx_vm_config *c, struct sbx_err *err)
{
	const char *const pem[PROTO_PEM_COUNT_] = {
		[PROTO_PEM_TRUST] = c->http_trust_pem,
		[PROTO_PEM_AUTHORITY] = c->http_ca_certificate_pem,
		[PROTO_PEM_KEY] = c->http_ca_private_key_pem,
	};
	int r = put_hooks(link_out(link), c) ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < PROTO_PEM_COUNT_ && r == 0; i++) {
		struct msg_http_pem m = { .kind = i, .pem = slice_of(pem[i]) };

		if (pem[i] && !msg_http_pem_put(link_out(link), 0, &m))
			r = -ENOMEM;
	}
	if (r == 0)
		r = link_send_all(link, NULL, 0);
	return r < 0 ? err_set(err, r, "cannot send the hooks to sandbox-host: %s", strerror(-r)) : 0;
}
