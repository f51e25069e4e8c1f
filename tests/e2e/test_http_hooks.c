/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hooks of this program's in front of a real guest and a real server: they change headers, answer, refuse, hang, are removed, and outlive the VM. SBX_BUILD and
 * SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/vmmem.h"
#include "../support/vmrig.h"
#include "../test.h"

#define CREDENTIAL "Bearer s3cret-7b02"

enum { HEAD_MAX = 8192,
       TLS_HANDSHAKE = 22, /* the first byte of a client's: it is answered with something else, as this is no server of TLS */
       MEMORY_MIB = 128 };

/* What the hook saw, and how it behaves. */
struct hook {
	unsigned calls, cancels;
	const char *mode;
	struct sbx_http_call *kept;
	char method[16], url[128], protocol[16], original[64], upstream[64];
	bool host_was_there, secret_was_there, placeholder_was_there;
	char error[256];
};

struct site {
	pid_t server;
	uint16_t port;
	char origin[64], rule[64];
};

/* A server that answers with the head of each request, but to "/quiet" with dots. */
static void serve(int listener)
{
	for (;;) {
		char head[HEAD_MAX + 1], line[128];
		size_t len = 0;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		while (len < HEAD_MAX && (n = recv(fd, head + len, HEAD_MAX - len, 0)) > 0) {
			head[len += (size_t)n] = '\0';
			if (strstr(head, "\r\n\r\n") || head[0] == TLS_HANDSHAKE)
				break;
		}
		(void)snprintf(line, sizeof(line), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", len);
		if (strncmp(head, "GET /quiet ", 11) == 0)
			memset(head, '.', len);
		(void)!write(fd, line, strlen(line));
		(void)!write(fd, head, len);
		close(fd);
	}
}

static void site_up(struct site *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 16) == 0, "listen: %s", strerror(errno));
	CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0, "port");
	s->port = ntohs(a.sin_port);
	(void)snprintf(s->origin, sizeof(s->origin), "http://10.0.2.1:%u", s->port);
	(void)snprintf(s->rule, sizeof(s->rule), "tcp:127.0.0.1/32:%u", s->port);
	s->server = fork();
	if (s->server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)signal(SIGPIPE, SIG_IGN);
		serve(fd);
	}
	close(fd);
}

static void site_down(struct site *s)
{
	(void)kill(s->server, SIGKILL);
	(void)waitpid(s->server, NULL, 0);
}

static void on_request(struct sbx_http_call *call, const struct sbx_http_request *q, void *user)
{
	struct hook *h = user;
	struct sbx_err err = { 0 };

	h->calls++;
	(void)snprintf(h->method, sizeof(h->method), "%s", q->method);
	(void)snprintf(h->url, sizeof(h->url), "%s", q->url);
	(void)snprintf(h->protocol, sizeof(h->protocol), "%s", q->protocol);
	(void)snprintf(h->original, sizeof(h->original), "%s:%u", q->original_ip, q->original_port);
	(void)snprintf(h->upstream, sizeof(h->upstream), "%s:%u", q->upstream_ip, q->upstream_port);
	for (size_t i = 0; i < q->header_count; i++) {
		h->host_was_there |= strcmp(q->headers[i].name, "Host") == 0;
		h->secret_was_there |= strcmp(q->headers[i].name, "X-Secret") == 0 || strstr(q->headers[i].value, "k3y-9e1f");
		h->placeholder_was_there |= strncmp(q->headers[i].value, "sbx-secret-", 11) == 0;
	}
	if (strcmp(h->mode, "credential") == 0) {
		CHECK(sbx_http_set_header(call, "Authorization", CREDENTIAL, &err) == 0, "%s", err.message);
	} else if (strcmp(h->mode, "change") == 0) {
		CHECK(sbx_http_set_header(call, "user-agent", "changed", &err) == 0, "%s", err.message);
		CHECK(sbx_http_append_header(call, "X-Added", "one two", &err) == 0, "%s", err.message);
		CHECK(sbx_http_delete_header(call, "X-Gone", &err) == 0, "%s", err.message);
		CHECK(sbx_http_set_header(call, "Host", "other", &err) == -EINVAL, "Host is not to be changed");
		CHECK(sbx_http_append_header(call, "X", "a\r\nY: b", &err) == -EINVAL, "a header is one line");
		(void)snprintf(h->error, sizeof(h->error), "%.200s", err.message);
	} else if (strcmp(h->mode, "answer") == 0) {
		static const struct sbx_http_header headers[] = { { "X-Mock", "yes" } };

		CHECK(sbx_http_answer(call, 99, NULL, 0, NULL, 0, &err) == -EINVAL, "a status");
		CHECK(sbx_http_answer(call, 200, headers, 1, "mocked", 6, &err) == 0, "%s", err.message);
		CHECK(sbx_http_forward(call) == -EALREADY, "once");
	} else if (strcmp(h->mode, "refuse") == 0) {
		CHECK(sbx_http_refuse(call, 451, "not today") == 0, "refuse");
	} else if (strcmp(h->mode, "keep") == 0) {
		sbx_http_call_keep(call);
		h->kept = call;
	}
}

static void on_cancel(struct sbx_http_call *call, void *user)
{
	struct hook *h = user;

	CHECK(call == h->kept, "another call");
	h->cancels++;
}

static struct sbx_vm *start_with(struct site *s, struct hook *h, uint32_t timeout_ms, const struct sbx_http_secret *secret)
{
	const char *const rules[] = { s->rule };
	struct sbx_http_hook hook = SBX_HTTP_HOOK_INIT;
	struct sbx_http_injection header = SBX_HTTP_INJECTION_INIT;
	struct sbx_vm_config c = vmrig_config();

	hook.origin = header.origin = s->origin;
	hook.on_request = on_request;
	hook.on_cancel = on_cancel;
	hook.user = h;
	hook.timeout_ms = timeout_ms;
	header.name = "X-Secret";
	header.value = "hidden";
	c.flags = SBX_VM_NETWORK;
	c.outbound_rules = rules;
	c.outbound_count = 1;
	c.http_hooks = &hook;
	c.http_hook_count = 1;
	c.http_injections = &header;
	c.http_injection_count = 1;
	c.memory_mib = MEMORY_MIB;
	c.http_secrets = secret;
	c.http_secret_count = secret != NULL;
	return vmrig_start_with(&c);
}

static struct sbx_vm *start(struct site *s, struct hook *h, uint32_t timeout_ms)
{
	return start_with(s, h, timeout_ms, NULL);
}

/* What a command in the guest prints. */
static void run(struct sbx_vm *vm, const char *script, char *dst, size_t size)
{
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct sbx_exec_result r;
	struct sbx_err err;

	spec.argv = argv;
	spec.timeout_ms = 60000;
	CHECK(sbx_exec_wait(vm, &spec, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	(void)snprintf(dst, size, "%.*s", (int)r.out_len, (const char *)r.out);
	sbx_exec_result_done(&r);
}

static void fetch(struct sbx_vm *vm, const struct site *s, char *dst, size_t size)
{
	char script[512];

	(void)snprintf(script, sizeof(script), "wget -S -q -O - --header 'X-Gone: here' %s/path?q 2>&1", s->origin);
	run(vm, script, dst, size);
}

TEST(a_hook_sees_a_request_and_changes_its_headers)
{
	struct hook h = { .mode = "change" };
	char out[HEAD_MAX], want[128];
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	vm = start(&s, &h, 30000);
	fetch(vm, &s, out, sizeof(out));
	(void)snprintf(want, sizeof(want), "%s/path?q", s.origin);
	CHECK(h.calls == 1 && strcmp(h.method, "GET") == 0 && strcmp(h.url, want) == 0 && strcmp(h.protocol, "http/1.1") == 0, "%s %s", h.method, h.url);
	(void)snprintf(want, sizeof(want), "10.0.2.1:%u", s.port);
	CHECK(strcmp(h.original, want) == 0 && strcmp(h.upstream, want) == 0, "%s, %s", h.original, h.upstream);
	CHECK(h.host_was_there && !h.secret_was_there, "what others only set is not shown");
	CHECK(strstr(out, "user-agent: changed\r\n") && strstr(out, "X-Added: one two\r\n") && !strstr(out, "X-Gone") && !strstr(out, "User-Agent"), "%s", out);
	CHECK(strstr(out, "X-Secret: hidden\r\n"), "%s", out);
	CHECK(strstr(h.error, "'X'"), "the error names the header: %s", h.error);
	h.mode = "nothing";
	fetch(vm, &s, out, sizeof(out));
	CHECK(h.calls == 2 && strstr(out, "X-Gone: here\r\n"), "%s", out);
	sbx_vm_free(vm);
	site_down(&s);
}

TEST(a_placeholder_becomes_its_secret_behind_the_hooks_and_goes_nowhere_else)
{
	struct sbx_http_secret secret = SBX_HTTP_SECRET_INIT;
	char placeholder[SBX_HTTP_PLACEHOLDER_BYTES], again[SBX_HTTP_PLACEHOLDER_BYTES], script[512], out[HEAD_MAX];
	struct hook h = { .mode = "nothing" };
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	CHECK(sbx_http_placeholder(placeholder) == 0 && sbx_http_placeholder(again) == 0 && strcmp(placeholder, again) != 0, "random");
	secret.origin = s.origin;
	secret.placeholder = placeholder;
	secret.value = "k3y-9e1f";
	vm = start_with(&s, &h, 30000, &secret);
	(void)snprintf(script, sizeof(script), "wget -q -O - --header 'X-Key: %s' %s/", placeholder, s.origin);
	run(vm, script, out, sizeof(out));
	CHECK(strstr(out, "X-Key: k3y-9e1f\r\n") && !strstr(out, placeholder), "%s", out);
	CHECK(h.calls == 1 && h.placeholder_was_there && !h.secret_was_there, "the hook must not see it");
	(void)snprintf(script, sizeof(script), "wget -q -O - --header 'X-Key: %s' --header 'Host: host.sandbox.internal:%u' %s/ 2>&1", placeholder, s.port, s.origin);
	run(vm, script, out, sizeof(out));
	CHECK(strstr(out, "403") && h.calls == 1, "to another origin: %s", out);
	sbx_vm_free(vm);
	site_down(&s);
}

TEST(what_a_hook_sets_is_nowhere_in_the_memory_of_the_guest)
{
	struct hook h = { .mode = "credential" };
	char script[256], out[HEAD_MAX];
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	vm = start(&s, &h, 30000);
	(void)snprintf(script, sizeof(script), "wget -S -q -O - --header 'X-Mine: q9-is-there' %s/quiet 2>&1", s.origin);
	for (unsigned i = 0; i < 3; i++)
		run(vm, script, out, sizeof(out));
	CHECK(h.calls == 3 && strstr(out, "......"), "%s", out);
	CHECK(vmmem_has(VMMEM_GUEST, "q9-is-there", 11), "it is not the guest's memory that was looked at");
	CHECK(!vmmem_has(VMMEM_GUEST, CREDENTIAL, strlen(CREDENTIAL)), "what the hook has set is in the guest's memory");
	CHECK(!vmmem_has(VMMEM_GUEST, "X-Secret: hidden", 16), "what is set without a callback is in the guest's memory");
	(void)snprintf(script, sizeof(script), "wget -q -O - %s/", s.origin);
	run(vm, script, out, sizeof(out));
	CHECK(strstr(out, "Authorization: " CREDENTIAL "\r\n") && strstr(out, "X-Secret: hidden\r\n"), "the server did not get them: %s", out);
	CHECK(vmmem_has(VMMEM_GUEST, CREDENTIAL, strlen(CREDENTIAL)), "now that a server has told the guest it must be found");
	sbx_vm_free(vm);
	site_down(&s);
}

/* An authority of the test's: its certificate and its key, as they are given to the VM; and the key's number, of which all of it is made. */
struct authority {
	char certificate[4096], key[4096];
	uint8_t number[32];
};

static size_t read_file(const char *dir, const char *name, void *dst, size_t size)
{
	char path[128];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	CHECK(f, "%s: %s", path, strerror(errno));
	n = fread(dst, 1, size - 1, f);
	((char *)dst)[n] = '\0';
	(void)fclose(f);
	CHECK(unlink(path) == 0, "%s: %s", path, strerror(errno));
	return n;
}

static void make_authority(struct authority *a)
{
	static const uint8_t before[] = { 2, 1, 1, 4, 32 }; /* RFC 5915, 3: version 1, then the number as 32 bytes */
	char dir[] = "/tmp/sbx-authority-XXXXXX", der[4096];
	const uint8_t *at;
	int status = -1;
	size_t n;
	pid_t pid;

	CHECK(mkdtemp(dir), "mkdtemp: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		if (chdir(dir) == 0)
			(void)execlp("sh", "sh", "-ec",
				     "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ours -keyout key -out certificate 2>log\n"
				     "openssl pkcs8 -topk8 -nocrypt -outform DER -in key -out der", (char *)NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "openssl: %#x", (unsigned)status);
	(void)read_file(dir, "log", der, sizeof(der));
	n = read_file(dir, "der", der, sizeof(der));
	(void)read_file(dir, "certificate", a->certificate, sizeof(a->certificate));
	(void)read_file(dir, "key", a->key, sizeof(a->key));
	CHECK(rmdir(dir) == 0, "%s: %s", dir, strerror(errno));
	at = memmem(der, n, before, sizeof(before));
	CHECK(at && n - (size_t)(at - (const uint8_t *)der) >= sizeof(before) + sizeof(a->number), "the key is in another format");
	memcpy(a->number, at + sizeof(before), sizeof(a->number));
}

/* The text of a PEM file, but for its first line, which others have, too. */
static const char *second_line(const char *pem)
{
	return strchr(strchr(pem, '\n') + 1, '\n') + 1;
}

TEST(the_key_of_the_authority_is_in_the_host_process_and_nowhere_in_the_guest)
{
	struct sbx_http_injection header = SBX_HTTP_INJECTION_INIT;
	struct sbx_vm_config c = vmrig_config();
	uint8_t reversed[32]; /* as a processor of this kind has numbers */
	struct authority a;
	char origin[64], script[256], out[HEAD_MAX];
	struct sbx_vm *vm;
	struct site s;

	make_authority(&a);
	for (size_t i = 0; i < sizeof(reversed); i++)
		reversed[i] = a.number[sizeof(reversed) - 1 - i];
	site_up(&s);
	(void)snprintf(origin, sizeof(origin), "https://host.sandbox.internal:%u", s.port);
	header.origin = origin;
	header.name = "X";
	header.value = "y";
	c.memory_mib = MEMORY_MIB;
	c.flags = SBX_VM_NETWORK | SBX_VM_WRITABLE;
	c.outbound_rules = (const char *const[]){ s.rule, "tcp:::1/128" };
	c.outbound_count = 2;
	c.http_injections = &header;
	c.http_injection_count = 1;
	c.http_ca_certificate_pem = a.certificate;
	c.http_ca_private_key_pem = a.key;
	vm = vmrig_start_with(&c);
	/* The server speaks no TLS, so the answer is a 502; but it comes in TLS, with a certificate that the key has signed. */
	(void)snprintf(script, sizeof(script), "cat /run/sandbox/ca.pem >/tmp/copy; wget -q -O - %s/ 2>&1", origin);
	run(vm, script, out, sizeof(out));
	CHECK(strstr(out, "502"), "%s", out);
	CHECK(vmmem_has(VMMEM_HOST, reversed, sizeof(reversed)), "the number is not found where it must be");
	CHECK(vmmem_has(VMMEM_GUEST, second_line(a.certificate), 64), "the certificate is not found where it must be");
	CHECK(!vmmem_has(VMMEM_GUEST, reversed, sizeof(reversed)), "the number of the key is in the guest's memory");
	CHECK(!vmmem_has(VMMEM_GUEST, a.number, sizeof(a.number)), "the key in DER is in the guest's memory");
	CHECK(!vmmem_has(VMMEM_GUEST, second_line(a.key), 64), "the key in PEM is in the guest's memory");
	sbx_vm_free(vm);
	site_down(&s);
}

TEST(a_hook_answers_and_refuses)
{
	struct hook h = { .mode = "answer" };
	char out[HEAD_MAX];
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	vm = start(&s, &h, 30000);
	fetch(vm, &s, out, sizeof(out));
	CHECK(strstr(out, "X-Mock: yes") && strstr(out, "mocked") && !strstr(out, "GET /path"), "%s", out);
	h.mode = "refuse";
	fetch(vm, &s, out, sizeof(out));
	CHECK(strstr(out, "451"), "%s", out);
	sbx_vm_free(vm);
	site_down(&s);
}

TEST(a_hook_that_hangs_costs_its_time_and_no_more)
{
	struct hook h = { .mode = "keep" };
	char out[HEAD_MAX];
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	vm = start(&s, &h, 200);
	fetch(vm, &s, out, sizeof(out));
	CHECK(strstr(out, "502") && h.cancels == 1, "%s", out);
	CHECK(sbx_http_forward(h.kept) == -EALREADY, "it is too late");
	sbx_http_call_free(h.kept);
	sbx_vm_free(vm);
	site_down(&s);
}

TEST(a_hook_that_is_removed_is_inactive_at_once)
{
	struct hook h = { .mode = "refuse" };
	char out[HEAD_MAX];
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	vm = start(&s, &h, 30000);
	CHECK(sbx_http_hook_remove(vm, 1) == -ENOENT && sbx_http_hook_remove(vm, 0) == 0 && sbx_http_hook_remove(vm, 0) == -ENOENT, "remove");
	fetch(vm, &s, out, sizeof(out));
	CHECK(h.calls == 0 && strstr(out, "X-Secret: hidden\r\n"), "%s", out);
	sbx_vm_free(vm);
	site_down(&s);
}

TEST(a_call_outlives_its_vm)
{
	struct hook h = { .mode = "keep" };
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_proc *proc;
	struct sbx_err err;
	char script[128];
	struct sbx_vm *vm;
	struct site s;

	site_up(&s);
	vm = start(&s, &h, 30000);
	(void)snprintf(script, sizeof(script), "wget -q -O - %s/", s.origin);
	spec.argv = (const char *const[]){ "sh", "-c", script, NULL };
	CHECK(sbx_vm_exec(vm, &spec, &proc, &err) == 0, "%s", err.message);
	while (h.calls == 0)
		CHECK(sbx_vm_dispatch(vm) == 0, "dispatch");
	sbx_proc_free(proc);
	sbx_vm_free(vm);
	CHECK(h.cancels == 1 && sbx_http_forward(h.kept) == -EALREADY && sbx_http_set_header(h.kept, "A", "b", &err) == -EALREADY, "it has ended");
	sbx_http_call_free(h.kept);
	site_down(&s);
}

TEST(what_makes_no_sense_is_told_before_anything_starts)
{
	static const struct {
		const char *origin;
		bool network, half_ca;
		const char *want;
	} cases[] = {
		{ "api.example.com", true, false, "api.example.com" },
		{ "https://api.example.com/path", true, false, "path" },
		{ "https://api.example.com", false, false, "SBX_VM_NETWORK" },
		{ "https://api.example.com", true, true, "private key" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sbx_http_hook hook = SBX_HTTP_HOOK_INIT;
		struct sbx_vm_config c = vmrig_config();
		struct sbx_err err;
		struct sbx_vm *vm;

		hook.origin = cases[i].origin;
		hook.on_request = on_request;
		c.http_hooks = &hook;
		c.http_hook_count = 1;
		c.flags = cases[i].network ? SBX_VM_NETWORK : 0;
		c.http_ca_certificate_pem = cases[i].half_ca ? "x" : NULL;
		CHECK(sbx_vm_start(&c, &vm, &err) == -EINVAL && strstr(err.message, cases[i].want), "%s", err.message);
	}
}

static void refused(const struct sbx_vm_config *c, const char *want)
{
	struct sbx_err err;
	struct sbx_vm *vm;

	CHECK(sbx_vm_start(c, &vm, &err) == -EINVAL && strstr(err.message, want), "%s: %s", want, err.message);
}

TEST(hooks_headers_and_secrets_are_each_checked_and_named)
{
	static char pem[1 << 20];
	static struct sbx_http_hook hooks[SBX_HTTP_HOOKS_MAX];
	struct sbx_http_injection header = SBX_HTTP_INJECTION_INIT;
	struct sbx_http_secret secret = SBX_HTTP_SECRET_INIT;
	struct sbx_vm_config c = vmrig_config(), with_header, with_secret;

	c.flags = SBX_VM_NETWORK;
	with_header = with_secret = c;
	for (size_t i = 0; i < SBX_HTTP_HOOKS_MAX; i++) {
		hooks[i] = (struct sbx_http_hook)SBX_HTTP_HOOK_INIT;
		hooks[i].origin = "https://a.example";
		hooks[i].on_request = on_request;
	}
	header.origin = secret.origin = "https://a.example";
	header.name = "X";
	header.value = "y";
	secret.placeholder = "sbx-secret-0123456789";
	secret.value = "y";
	with_header.http_injections = &header;
	with_secret.http_secrets = &secret;
	with_header.http_injection_count = with_secret.http_secret_count = 1;

	c = with_header;
	c.http_hooks = hooks;
	c.http_hook_count = SBX_HTTP_HOOKS_MAX;
	refused(&c, "257 hooks");
	c.http_hook_count = 8;
	hooks[7].on_request = NULL;
	refused(&c, "http_hooks[7] has no on_request");
	hooks[6].origin = NULL;
	refused(&c, "http_hooks[6] has no origin");
	hooks[5].struct_size++;
	refused(&c, "http_hooks[5]");

	header.name = "Host";
	refused(&with_header, "Host");
	header.name = "X";
	header.value = "a\r\nY: b";
	refused(&with_header, "X for https://a.example");
	header.value = NULL;
	refused(&with_header, "http_injections[0]");
	header.value = "y";
	header.struct_size = 0;
	refused(&with_header, "http_injections[0]");

	secret.placeholder = "short";
	refused(&with_secret, "http_secrets[0]: a placeholder");
	secret.placeholder = "with a space in it";
	refused(&with_secret, "http_secrets[0]: a placeholder");
	secret.placeholder = "sbx-secret-0123456789";
	secret.value = "a\nb";
	refused(&with_secret, "the secret for https://a.example");
	secret.value = "y";
	memset(pem, 'x', sizeof(pem) - 1);
	with_secret.http_trust_pem = pem;
	refused(&with_secret, "http_trust_pem");
}

RUN_TESTS(T(a_hook_sees_a_request_and_changes_its_headers), T(a_placeholder_becomes_its_secret_behind_the_hooks_and_goes_nowhere_else),
	  T(what_a_hook_sets_is_nowhere_in_the_memory_of_the_guest), T(the_key_of_the_authority_is_in_the_host_process_and_nowhere_in_the_guest),
	  T(a_hook_answers_and_refuses), T(a_hook_that_hangs_costs_its_time_and_no_more),
	  T(a_hook_that_is_removed_is_inactive_at_once), T(a_call_outlives_its_vm), T(what_makes_no_sense_is_told_before_anything_starts),
	  T(hooks_headers_and_secrets_are_each_checked_and_named))
