/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/config.c - the library has checked all of this in the user's words; here only what would hurt this process is checked again. */
#include "host/config.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <string.h>

enum { CONFIG_MEMORY_MIB_MAX = 1 << 20 };

static bool config_sane(const struct msg_config *m)
{
	return m->engine <= PROTO_ENGINE_QEMU && m->cpus >= 1 && m->cpus <= SBX_CPUS_MAX && m->memory_mib >= SBX_MEMORY_MIB_MIN &&
	       m->memory_mib <= CONFIG_MEMORY_MIB_MAX && m->boot_timeout_ms > 0;
}

void vm_config_init(struct vm_config *c)
{
	*c = (struct vm_config){ .kernel_fd = -1, .init_fd = -1, .image_fd = -1, .console_fd = -1, .net_log_fd = -1, .http_log_fd = -1 };
}

static void mount_config_free(struct mount_config *m)
{
	for (unsigned i = 0; i < m->mask_count; i++)
		free(m->mask[i].path);
	close_fd(&m->dir_fd);
	free(m->path);
	free(m);
}

static bool mount_sane(const struct vm_config *c, const struct msg_mount *m)
{
	return c->mount_count < ARRAY_LEN(c->mount) && m->kind < PROTO_FS_COUNT_ && m->cache < PROTO_CACHE_COUNT_ &&
	       (m->kind != PROTO_FS_SAME || m->same_as < c->mount_count) && m->path.len > 1 && m->path.p[0] == '/';
}

static int config_add_mount(struct vm_config *c, const struct frame *f, struct link *link)
{
	struct mount_config *m;
	struct msg_mount msg;

	if (msg_mount_decode(f->body, f->len, &msg) < 0 || !mount_sane(c, &msg))
		return -EPROTO;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->dir_fd = msg.kind == PROTO_FS_HOST ? link_take_fd(link) : -1;
	m->path = slice_dup(msg.path);
	m->msg = msg;
	m->msg.path = (struct slice){ 0 };
	if (!m->path || (msg.kind == PROTO_FS_HOST && m->dir_fd < 0)) {
		int r = m->path ? -EPROTO : -ENOMEM;

		mount_config_free(m);
		return r;
	}
	c->mount[c->mount_count++] = m;
	return 0;
}

static int config_add_mask(struct vm_config *c, const struct frame *f)
{
	struct mount_config *m = c->mount_count > 0 ? c->mount[c->mount_count - 1] : NULL;
	struct msg_mask msg;
	char *path;

	if (msg_mask_decode(f->body, f->len, &msg) < 0 || !m || m->mask_count == PROTO_MASKS_MAX)
		return -EPROTO;
	if (msg.target != PROTO_MASK_HIDDEN && msg.target >= c->mount_count - 1)
		return -EPROTO;
	path = slice_dup(msg.path);
	if (!path)
		return -ENOMEM;
	m->mask[m->mask_count++] = (struct mask_config){ .path = path, .target = msg.target };
	return 0;
}

int policy_add(struct policy *p, struct slice text, struct sbx_err *err)
{
	AUTOFREE char *s = slice_dup(text);
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	if (p->count == POLICY_RULES_MAX)
		return err_set(err, -E2BIG, "more than %d rules", POLICY_RULES_MAX);
	r = rule_parse(s, &p->rule[p->count], err);
	p->count += r == 0;
	return r;
}

static int config_add_rule(struct vm_config *c, const struct frame *f)
{
	struct msg_rule msg;

	if (msg_rule_decode(f->body, f->len, &msg) < 0)
		return -EPROTO;
	if (!c->policy)
		c->policy = calloc(1, sizeof(*c->policy));
	return c->policy ? policy_add(c->policy, msg.text, NULL) : -ENOMEM;
}

static int config_add_hook(struct vm_config *c, const struct frame *f)
{
	struct hook_config *h = &c->hook[c->hook_count];
	struct msg_http_hook msg;

	if (msg_http_hook_decode(f->body, f->len, &msg) < 0 || msg.kind >= PROTO_HOOK_COUNT_ || c->hook_count == PROTO_HOOKS_MAX)
		return -EPROTO;
	*h = (struct hook_config){
		.kind = msg.kind,
		.number = msg.number,
		.timeout_ms = msg.timeout_ms,
		.origin = slice_dup(msg.origin),
		.name = slice_dup(msg.name),
		.value = slice_dup(msg.value),
	};
	c->hook_count++; /* what there is of it is freed with the rest */
	return h->origin && h->name && h->value ? 0 : -ENOMEM;
}

static int config_add_pem(struct vm_config *c, const struct frame *f)
{
	struct msg_http_pem msg;

	if (msg_http_pem_decode(f->body, f->len, &msg) < 0 || msg.kind >= PROTO_PEM_COUNT_ || c->pem[msg.kind] || memchr(msg.pem.p, 0, msg.pem.len))
		return -EPROTO;
	c->pem[msg.kind] = slice_dup(msg.pem);
	return c->pem[msg.kind] ? 0 : -ENOMEM;
}

int vm_config_add(struct vm_config *c, const struct frame *f, struct link *link)
{
	switch (f->type) {
	case PROTO_MOUNT: return config_add_mount(c, f, link);
	case PROTO_MASK: return config_add_mask(c, f);
	case PROTO_RULE: return config_add_rule(c, f);
	case PROTO_HTTP_HOOK: return config_add_hook(c, f);
	case PROTO_HTTP_PEM: return config_add_pem(c, f);
	default: return -EPROTO;
	}
}

int vm_config_read(struct vm_config *c, const struct frame *f, struct link *link, struct sbx_err *err)
{
	struct msg_config m;

	if (msg_config_decode(f->body, f->len, &m) < 0)
		return err_set(err, -EPROTO, "malformed CONFIG");
	if (m.version != PROTO_VERSION)
		return err_set(err, -EPROTO, "libsbx speaks version %u and sandbox-host version %d: install them together", m.version,
			       PROTO_VERSION);
	if (!config_sane(&m))
		return err_set(err, -EINVAL, "CONFIG is out of bounds");
	c->engine = m.engine;
	c->flags = m.flags;
	c->cpus = m.cpus;
	c->memory_mib = m.memory_mib;
	c->boot_timeout_ms = m.boot_timeout_ms;
	c->scratch_bytes = m.scratch_bytes;
	c->kernel_fd = link_take_fd(link);
	c->init_fd = link_take_fd(link);
	c->image_fd = link_take_fd(link);
	if (m.flags & PROTO_CONFIG_CONSOLE)
		c->console_fd = link_take_fd(link);
	if (m.flags & PROTO_CONFIG_NET_LOG)
		c->net_log_fd = link_take_fd(link);
	if (m.flags & PROTO_CONFIG_HTTP_LOG)
		c->http_log_fd = link_take_fd(link);
	c->hostname = slice_dup(m.hostname);
	c->qemu_path = slice_dup(m.qemu_path);
	c->cmdline = slice_dup(m.cmdline);
	if (c->image_fd < 0)
		return err_set(err, -EPROTO, "CONFIG came without its descriptors");
	if (!c->hostname || !c->qemu_path || !c->cmdline)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

/* Credentials and keys do not stay behind. */
static void free_secret(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

static void config_drop_http(struct vm_config *c)
{
	while (c->hook_count > 0) {
		struct hook_config *h = &c->hook[--c->hook_count];

		free(h->origin);
		free(h->name);
		free_secret(&h->value);
	}
	for (unsigned i = 0; i < PROTO_PEM_COUNT_; i++)
		free_secret(&c->pem[i]);
}

void vm_config_done(struct vm_config *c)
{
	config_drop_http(c);
	close_fd(&c->kernel_fd);
	close_fd(&c->init_fd);
	close_fd(&c->image_fd);
	close_fd(&c->console_fd);
	close_fd(&c->net_log_fd);
	close_fd(&c->http_log_fd);
	free(c->hostname);
	free(c->qemu_path);
	free(c->cmdline);
	c->hostname = c->qemu_path = c->cmdline = NULL;
	free(c->policy);
	c->policy = NULL;
	while (c->mount_count > 0)
		mount_config_free(c->mount[--c->mount_count]);
}
