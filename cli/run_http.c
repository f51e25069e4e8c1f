/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run_http.c - the values of --header, --secret and --ca-file. A header's value may name variables of the caller's environment, so that a credential is in no command line;
 * it goes to the host process over its socket, and never to the guest. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VALUE_MAX = 16384,
       CA_FILE_MAX = 1 << 20 };

static bool is_name(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* The variable at *@p, which is behind the '$': NAME or {NAME}. NULL after a complaint. */
static const char *variable(const char *header, const char **p)
{
	bool braces = **p == '{';
	const char *from = *p + braces, *value;
	char name[256];
	size_t n = 0;

	while (is_name(from[n]))
		n++;
	*p = from + n + braces;
	if (n == 0 || n >= sizeof(name) || (braces && from[n] != '}')) {
		run_error("--header %s: write $NAME or ${NAME} for a variable, and $$ for a dollar sign", header);
		return NULL;
	}
	memcpy(name, from, n);
	name[n] = '\0';
	value = getenv(name);
	if (!value)
		run_error("--header %s: the environment has no %s", header, name);
	return value;
}

/* @text with its variables. On the heap; NULL after a complaint. */
static char *expand(const char *header, const char *text)
{
	char *value = malloc(VALUE_MAX);
	size_t len = 0;

	while (value && *text) {
		const char *piece = text, *next = text + 1;
		size_t n = 1;

		if (*text == '$' && text[1] != '$') {
			piece = variable(header, &next);
			n = piece ? strlen(piece) : VALUE_MAX;
		} else if (*text == '$') {
			next++;
		}
		if (len + n >= VALUE_MAX) {
			if (piece)
				run_error("--header %s: the value is longer than %d bytes", header, VALUE_MAX - 1);
			free(value);
			return NULL;
		}
		memcpy(value + len, piece, n);
		len += n;
		text = next;
	}
	if (value)
		value[len] = '\0';
	return value;
}

bool run_take_header(struct run_options *o, const char *value)
{
	struct sbx_http_injection *h = &o->header[o->vm.http_injection_count];
	const char *equals = strchr(value, '='), *colon = equals ? strchr(equals, ':') : NULL;

	if (!colon) {
		run_error("--header %s: write ORIGIN=NAME: VALUE, as in https://api.example.com=Authorization: Bearer $TOKEN", value);
		return false;
	}
	if (o->vm.http_injection_count == SBX_HTTP_HOOKS_MAX) {
		run_error("--header %s: more than %d headers", value, SBX_HTTP_HOOKS_MAX);
		return false;
	}
	*h = (struct sbx_http_injection)SBX_HTTP_INJECTION_INIT;
	h->origin = strndup(value, (size_t)(equals - value));
	h->name = strndup(equals + 1, (size_t)(colon - equals) - 1);
	h->value = expand(value, colon + 1 + strspn(colon + 1, " \t"));
	if (!h->value)
		return false;
	o->vm.http_injection_count++;
	o->vm.flags |= SBX_VM_NETWORK;
	return true;
}

bool run_take_secret(struct run_options *o, const char *value)
{
	struct sbx_http_secret *h = &o->secret[o->vm.http_secret_count];
	const char *equals = strchr(value, '='), *at = equals ? strchr(equals, '@') : NULL;
	char placeholder[SBX_HTTP_PLACEHOLDER_BYTES], variable[256];

	if (!at || equals == value || at == equals + 1 || (size_t)(at - equals) > sizeof(variable)) {
		run_error("--secret %s: write NAME=VARIABLE@ORIGIN, as in API_KEY=MY_KEY@https://api.example.com", value);
		return false;
	}
	if (o->vm.http_secret_count == SBX_HTTP_HOOKS_MAX || o->env_count == RUN_ENV_MAX) {
		run_error("--secret %s: too many", value);
		return false;
	}
	(void)snprintf(variable, sizeof(variable), "%.*s", (int)(at - equals) - 1, equals + 1);
	*h = (struct sbx_http_secret)SBX_HTTP_SECRET_INIT;
	h->origin = at + 1;
	h->value = getenv(variable);
	if (!h->value) {
		run_error("--secret %s: the environment has no %s", value, variable);
		return false;
	}
	if (sbx_http_placeholder(placeholder) < 0 || asprintf((char **)&o->env[o->env_count], "%.*s=%s", (int)(equals - value), value, placeholder) < 0) {
		run_error("--secret %s: no random bytes, or no memory", value);
		return false;
	}
	h->placeholder = o->env[o->env_count] + (equals - value) + 1;
	o->env_count++;
	o->vm.http_secret_count++;
	o->vm.flags |= SBX_VM_NETWORK;
	return true;
}

bool run_take_ca_file(struct run_options *o, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = malloc(CA_FILE_MAX + 1);
	ssize_t n = 0, len = 0;

	while (fd >= 0 && text && len <= CA_FILE_MAX && (n = read(fd, text + len, (size_t)(CA_FILE_MAX + 1 - len))) > 0)
		len += n;
	if (fd < 0 || n < 0 || !text)
		run_error("--ca-file %s: %s", path, strerror(errno));
	else if (len > CA_FILE_MAX)
		run_error("--ca-file %s: more than %d bytes", path, CA_FILE_MAX);
	if (fd >= 0)
		close(fd);
	if (fd < 0 || n < 0 || !text || len > CA_FILE_MAX) {
		free(text);
		return false;
	}
	text[len] = '\0';
	o->vm.http_trust_pem = text;
	return true;
}
