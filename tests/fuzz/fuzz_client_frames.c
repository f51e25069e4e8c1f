/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The client's end of the socket: what a host process that has gone wrong might send, to a VM with one program, requests of host tools, questions about itself, and one file
 * system of callbacks and two hooks, which answer some calls at once, some not at all and some later, and some of them wrongly. */
#include "client/client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_output(struct sbx_proc *p, int stream, const void *bytes, size_t len, void *user)
{
	volatile uint8_t last = len ? ((const uint8_t *)bytes)[len - 1] : 0;

	(void)p;
	(void)stream;
	(void)last;
	(void)user;
}

static void on_exit_(struct sbx_proc *p, const struct sbx_exit *e, void *user)
{
	(void)e;
	(void)user;
	sbx_proc_free(p);
}

static struct sbx_fs_call *kept[8];
static unsigned calls;

/* Each call in another way. */
static void fs_act(struct sbx_fs_call *c, size_t len)
{
	static char bytes[SBX_FS_IO_MAX];
	struct sbx_file_stat s = SBX_FILE_STAT_INIT;
	struct sbx_fs_entry e = SBX_FS_ENTRY_INIT;
	unsigned slot = calls % 8;

	s.type = SBX_FILE_REGULAR;
	e.name = "name";
	e.type = SBX_FILE_REGULAR;
	e.stat = &s;
	switch (calls++ % 7) {
	case 0:
		(void)sbx_fs_reply_stat(c, &s);
		break;
	case 1:
		(void)sbx_fs_reply_data(c, bytes, len);
		break;
	case 2:
		(void)sbx_fs_reply_entries(c, &e, 1);
		break;
	case 3:
		(void)sbx_fs_reply_count(c, len);
		break;
	case 4:
		(void)sbx_fs_reply_ok(c);
		break;
	case 5:
		sbx_fs_call_keep(c);
		if (kept[slot]) {
			(void)sbx_fs_reply_error(kept[slot], 2);
			sbx_fs_call_free(kept[slot]);
		}
		kept[slot] = c;
		break;
	default:
		break;
	}
}

static void fs_path(struct sbx_fs_call *c, const char *path, void *user)
{
	(void)user;
	fs_act(c, strlen(path) + 1);
}

static void fs_mode(struct sbx_fs_call *c, const char *path, uint32_t mode, void *user)
{
	(void)user;
	fs_act(c, strlen(path) + mode % 2);
}

static void fs_read(struct sbx_fs_call *c, const char *path, uint64_t off, size_t len, void *user)
{
	(void)user;
	(void)off;
	fs_act(c, strlen(path) ? len : 0);
}

static void fs_write(struct sbx_fs_call *c, const char *path, uint64_t off, const void *data, size_t len, void *user)
{
	volatile uint8_t last = len ? ((const uint8_t *)data)[len - 1] : 0;

	(void)last;
	(void)off;
	(void)user;
	fs_act(c, strlen(path) ? len : 0);
}

static void fs_rename(struct sbx_fs_call *c, const char *from, const char *to, uint32_t flags, void *user)
{
	(void)flags;
	(void)user;
	fs_act(c, strlen(from) + strlen(to));
}

static void fs_symlink(struct sbx_fs_call *c, const char *target, const char *path, void *user)
{
	fs_rename(c, target, path, 0, user);
}

static void fs_set_attr(struct sbx_fs_call *c, const char *path, const struct sbx_fs_change *change, void *user)
{
	(void)user;
	fs_act(c, strlen(path) + change->what % 2);
}

static void fs_cancelled(struct sbx_fs_call *c, void *user)
{
	(void)user;
	(void)sbx_fs_reply_ok(c);
	for (unsigned i = 0; i < 8; i++) {
		if (kept[i] != c)
			continue;
		kept[i] = NULL;
		sbx_fs_call_free(c);
	}
}

static const struct sbx_fs_callbacks callbacks = {
	.struct_size = sizeof(callbacks),
	.stat = fs_path,
	.list = fs_path,
	.read = fs_read,
	.create = fs_mode,
	.write = fs_write,
	.mkdir = fs_mode,
	.unlink = fs_path,
	.rmdir = fs_path,
	.rename = fs_rename,
	.symlink = fs_symlink,
	.readlink = fs_path,
	.set_attr = fs_set_attr,
	.on_cancel = fs_cancelled,
};

static struct sbx_http_call *kept_request;

static void keep_request(struct sbx_http_call *c)
{
	sbx_http_call_keep(c);
	sbx_http_call_free(kept_request);
	kept_request = c;
}

/* Each request in another way; every byte of it is there. */
static void on_request(struct sbx_http_call *c, const struct sbx_http_request *q, void *user)
{
	static const struct sbx_http_header headers[] = { { "X", "y" }, { "Host", "other" } };
	size_t sum = strlen(q->protocol) + strlen(q->method) + strlen(q->url) + strlen(q->original_ip) + strlen(q->upstream_ip);
	volatile size_t all;

	(void)user;
	for (size_t i = 0; i < q->header_count; i++)
		sum += strlen(q->headers[i].name) + strlen(q->headers[i].value);
	all = sum + (q->tls_sni ? strlen(q->tls_sni) + strlen(q->tls_alpn) : 0);
	(void)all;
	switch (calls++ % 6) {
	case 0:
		(void)sbx_http_answer(c, 200, headers, 1 + sum % 2, q->method, strlen(q->method), NULL);
		break;
	case 1:
		(void)sbx_http_refuse(c, 400 + (unsigned)(sum % 250), q->url);
		break;
	case 2:
	case 3:
		keep_request(c);
		break;
	case 4:
		for (size_t i = 0; i < q->header_count; i++)
			(void)sbx_http_set_header(c, q->headers[i].name, q->headers[i].value, NULL);
		(void)sbx_http_delete_header(c, "X", NULL);
		break;
	default:
		break;
	}
}

static void request_cancelled(struct sbx_http_call *c, void *user)
{
	(void)user;
	if (kept_request == c)
		kept_request = NULL;
	sbx_http_call_free(c);
}

static void add_hooks(struct sbx_vm *vm)
{
	struct sbx_http_hook hooks[2] = { SBX_HTTP_HOOK_INIT, SBX_HTTP_HOOK_INIT };
	struct sbx_vm_config c = { .http_hooks = hooks, .http_hook_count = 2 };

	for (unsigned i = 0; i < 2; i++) {
		hooks[i].on_request = on_request;
		hooks[i].on_cancel = request_cancelled;
	}
	if (http_calls_create(vm, &c) < 0)
		abort();
}

/* Every byte of a result is there. */
static void on_done(struct sbx_vm *vm, const struct sbx_fs_result *r, void *user)
{
	size_t sum = r->len ? (unsigned char)r->data[r->len - 1] + strlen(r->data) : 0;
	volatile size_t all;

	(void)vm;
	(void)user;
	for (uint64_t i = 0; r->entries && i < r->count; i++)
		sum += strlen(r->entries[i].name) + r->entries[i].attr.mode;
	for (uint64_t i = 0; r->matches && i < r->count; i++)
		sum += strlen(r->matches[i].path) + strlen(r->matches[i].text);
	all = sum + strlen(r->message);
	(void)all;
}

static void submit_tools(struct sbx_vm *vm)
{
	static const enum sbx_fs_tool tools[] = { SBX_TOOL_STAT, SBX_TOOL_LIST, SBX_TOOL_READ, SBX_TOOL_WRITE, SBX_TOOL_SEARCH, SBX_TOOL_LIST };
	static char data[1 << 20];
	uint32_t id = 0;

	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
		struct sbx_fs_request q = SBX_FS_REQUEST_INIT;

		q.tool = tools[i];
		q.mount = "/work";
		q.path = "path";
		q.path2 = "other";
		q.length = q.tool == SBX_TOOL_LIST ? 3 * (i > 1) : 1 << 21;
		q.data = q.tool == SBX_TOOL_WRITE ? data : NULL;
		q.data_len = q.data ? sizeof(data) : 0;
		q.done = on_done;
		if (sbx_fs_submit(vm, &q, &id, NULL) < 0)
			abort();
	}
	(void)sbx_fs_cancel(vm, id);
}

static void on_io(struct loop_fd *w, uint32_t events)
{
	struct sbx_vm *vm = (struct sbx_vm *)((char *)w - offsetof(struct sbx_vm, watch));
	struct frame f;

	(void)events;
	(void)link_fill(&vm->link);
	while (!vm->ended && link_next(&vm->link, &f) > 0) {
		int r = client_frame(vm, &f);

		link_pop(&vm->link, &f);
		if (r < 0)
			break;
	}
	vm_send(vm);
}

static void on_control(struct sbx_vm *vm, const struct sbx_control_result *result, void *user)
{
	(void)vm;
	(void)user;
	if (strlen(result->message) >= sizeof(result->message))
		abort();
}

/* Questions about the VM: every kind but those that open sockets. */
static void submit_controls(struct sbx_vm *vm)
{
	struct sbx_control_request q = SBX_CONTROL_REQUEST_INIT;
	const enum sbx_control_op ops[] = { SBX_CONTROL_PAUSE, SBX_CONTROL_STATS, SBX_CONTROL_SET_RULES, SBX_CONTROL_UNPUBLISH };

	q.done = on_control;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		q.op = ops[i];
		if (sbx_control_submit(vm, &q, NULL, NULL) < 0)
			abort();
	}
}

/* The host process reads what was sent, so that the requests of several steps go on. */
static void drain(int fd)
{
	static char sink[1 << 16];

	while (read(fd, sink, sizeof(sink)) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_vm *vm = calloc(1, sizeof(*vm));
	struct sbx_proc *p;
	int pair[2];

	if (!vm || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 || loop_create(&vm->loop) < 0)
		abort();
	link_init(&vm->link, pair[0]);
	vm_tables_init(vm);
	if (loop_fd_add(vm->loop, &vm->watch, vm->link.fd, EPOLLIN, on_io) < 0)
		abort();
	vm->ready = true;
	if (fs_calls_create(vm, 1) < 0)
		abort();
	fs_calls_serve(vm, 0, &callbacks, NULL);
	add_hooks(vm);
	calls = 0;
	spec.argv = (const char *const[]){ "true", NULL };
	spec.on_output = on_output;
	spec.on_exit = on_exit_;
	(void)sbx_vm_exec(vm, &spec, &p, NULL);
	submit_tools(vm);
	submit_controls(vm);
	for (int i = 0; i < 40; i++) { /* the requests are more than the socket holds */
		drain(pair[1]);
		vm_send(vm);
	}
	for (size_t sent = 0; sent < size && !vm->ended;) {
		ssize_t n = write(pair[1], data + sent, size - sent);

		if (n <= 0)
			break;
		sent += (size_t)n;
		for (int i = 0; i < 8; i++) {
			drain(pair[1]);
			(void)loop_once(vm->loop, 0);
		}
	}
	close(pair[1]);
	sbx_vm_free(vm);
	for (unsigned i = 0; i < 8; i++) {
		sbx_fs_call_free(kept[i]); /* those that were answered */
		kept[i] = NULL;
	}
	sbx_http_call_free(kept_request);
	kept_request = NULL;
	return 0;
}
