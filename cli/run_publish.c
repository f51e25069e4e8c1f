/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run_publish.c - the values of --publish: [ADDRESS:]PORT:GUEST-PORT[/tcp|/udp], an IPv6 address in brackets. */
#include "run.h"

#include <stdio.h>
#include <string.h>

/* A whole number up to 65535 in @text[@len]. */
static bool take_port(const char *text, size_t len, uint16_t min, uint16_t *ret)
{
	unsigned v = 0;

	if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
		return false;
	for (size_t i = 0; i < len; i++)
		v = v * 10 + (unsigned)(text[i] - '0');
	*ret = (uint16_t)v;
	return v >= min && v <= UINT16_MAX;
}

static bool take_address(const char *text, size_t len, struct run_publish *p)
{
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return false;
	}
	if (len == 0 || len >= sizeof(p->address))
		return false;
	memcpy(p->address, text, len);
	p->address[len] = '\0';
	return true;
}

/* Where the transport begins that @value ends with, or its end. False: it ends with something else. */
static bool take_transport(const char *value, struct run_publish *p, size_t *ret_len)
{
	const char *slash = strchr(value, '/');

	*ret_len = slash ? (size_t)(slash - value) : strlen(value);
	p->udp = slash && strcmp(slash, "/udp") == 0;
	return !slash || p->udp || strcmp(slash, "/tcp") == 0;
}

static bool parse(const char *value, struct run_publish *p)
{
	const char *guest, *port;
	size_t len;

	if (!take_transport(value, p, &len))
		return false;
	guest = memrchr(value, ':', len);
	if (!guest)
		return false;
	port = guest;
	while (port > value && port[-1] != ':')
		port--;
	if (!take_port(guest + 1, (size_t)(value + len - guest - 1), 1, &p->guest_port) || !take_port(port, (size_t)(guest - port), 0, &p->port))
		return false;
	return port == value || take_address(value, (size_t)(port - value - 1), p);
}

bool run_take_publish(struct run_options *o, const char *value)
{
	struct run_publish *p = &o->publish[o->publish_count];

	if (o->publish_count == SBX_PUBLISHED_MAX) {
		run_error("--publish %s: more than %d ports", value, SBX_PUBLISHED_MAX);
		return false;
	}
	*p = (struct run_publish){ .value = value };
	if (strncmp(value, "udp:", 4) == 0 || !parse(value, p)) { /* as rules are written */
		run_error("--publish %s: write [ADDRESS:]PORT:GUEST-PORT, as in 8080:80, 0.0.0.0:8080:80 or [::1]:8080:80, for UDP 5353:53/udp; ports are up to 65535, and "
			  "PORT may be 0 for one that is free",
			  value);
		return false;
	}
	o->publish_count++;
	o->vm.flags |= SBX_VM_NETWORK;
	return true;
}

bool run_publish(const struct run_options *o, struct sbx_vm *vm)
{
	for (unsigned i = 0; i < o->publish_count; i++) {
		const struct run_publish *p = &o->publish[i];
		const char *address = p->address[0] ? p->address : NULL;
		uint16_t port;
		struct sbx_err err;

		if ((p->udp ? sbx_vm_publish_udp : sbx_vm_publish)(vm, address, p->port, p->guest_port, &port, &err) < 0) {
			run_error("--publish %s: %s", p->value, err.message);
			return false;
		}
		if (p->port == 0 && !o->quiet)
			fprintf(stderr, "sandbox: port %u of %s is %sport %u of the guest\n", port, address ? address : "127.0.0.1", p->udp ? "UDP " : "", p->guest_port);
	}
	return true;
}
