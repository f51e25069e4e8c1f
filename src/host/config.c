/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/config.c - the library has checked all of this in the user's words; here only what would hurt this process is checked again. */
#include "host/config.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>

enum { CONFIG_MEMORY_MIB_MAX = 1 << 20 };

static bool config_sane(const struct msg_config *m)
{
	return m->engine <= PROTO_ENGINE_QEMU && m->cpus >= 1 && m->cpus <= SBX_CPUS_MAX && m->memory_mib >= SBX_MEMORY_MIB_MIN &&
	       m->memory_mib <= CONFIG_MEMORY_MIB_MAX && m->boot_timeout_ms > 0;
}

int vm_config_read(const struct frame *f, struct link *link, struct vm_config *ret, struct sbx_err *err)
{
	struct vm_config c = { .console_fd = -1 };
	struct msg_config m;

	if (msg_config_decode(f->body, f->len, &m) < 0)
		return err_set(err, -EPROTO, "malformed CONFIG");
	if (m.version != PROTO_VERSION)
		return err_set(err, -EPROTO, "libsbx speaks version %u and sandbox-host version %d: install them together", m.version,
			       PROTO_VERSION);
	if (!config_sane(&m))
		return err_set(err, -EINVAL, "CONFIG is out of bounds");
	c.engine = m.engine;
	c.flags = m.flags;
	c.cpus = m.cpus;
	c.memory_mib = m.memory_mib;
	c.boot_timeout_ms = m.boot_timeout_ms;
	c.scratch_bytes = m.scratch_bytes;
	c.kernel_fd = link_take_fd(link);
	c.init_fd = link_take_fd(link);
	c.image_fd = link_take_fd(link);
	if (m.flags & PROTO_CONFIG_CONSOLE)
		c.console_fd = link_take_fd(link);
	c.hostname = slice_dup(m.hostname);
	c.qemu_path = slice_dup(m.qemu_path);
	c.cmdline = slice_dup(m.cmdline);
	if (c.image_fd < 0 || !c.hostname || !c.qemu_path || !c.cmdline) {
		int r = c.image_fd < 0 ? -EPROTO : -ENOMEM;

		vm_config_done(&c);
		return err_set(err, r, "%s", r == -EPROTO ? "CONFIG came without its descriptors" : "out of memory");
	}
	*ret = c;
	return 0;
}

void vm_config_done(struct vm_config *c)
{
	close_fd(&c->kernel_fd);
	close_fd(&c->init_fd);
	close_fd(&c->image_fd);
	close_fd(&c->console_fd);
	free(c->hostname);
	free(c->qemu_path);
	free(c->cmdline);
	c->hostname = c->qemu_path = c->cmdline = NULL;
}
