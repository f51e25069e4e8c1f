/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See vmrig.h. */
#include "vmrig.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../test.h"

struct sbx_vm_config vmrig_config(void)
{
	static const char *const names[] = { "sandbox-host", "vmlinux", "sandbox-init", "default.erofs" };
	static char paths[4][4096];
	const char *build = getenv("SBX_BUILD"), *engine = getenv("SBX_ENGINE");
	struct sbx_vm_config c = SBX_VM_CONFIG_INIT;

	CHECK(build && engine, "SBX_BUILD and SBX_ENGINE must be set");
	for (size_t i = 0; i < 4; i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", build, names[i]);
	c.host_path = paths[0];
	c.kernel_path = paths[1];
	c.init_path = paths[2];
	c.image_path = paths[3];
	c.engine = strcmp(engine, "kvm") == 0 ? SBX_ENGINE_KVM : SBX_ENGINE_QEMU;
	return c;
}

struct sbx_mount vmrig_mount(const char *path, enum sbx_fs_kind kind, const char *source)
{
	struct sbx_mount m = SBX_MOUNT_INIT;

	m.path = path;
	m.kind = kind;
	m.source = source;
	return m;
}

struct sbx_vm *vmrig_start_with(const struct sbx_vm_config *c)
{
	struct sbx_vm *vm;
	struct sbx_err err;

	CHECK(sbx_vm_start(c, &vm, &err) == 0, "%s", err.message);
	CHECK(sbx_vm_wait_ready(vm, NULL, &err) == 0, "%s\n%s", err.message, err.console);
	return vm;
}

struct sbx_vm *vmrig_start(const struct sbx_mount *mounts, size_t count)
{
	struct sbx_vm_config c = vmrig_config();

	c.mounts = mounts;
	c.mount_count = count;
	return vmrig_start_with(&c);
}

void vmrig_turn(struct sbx_vm *vm)
{
	struct pollfd p = { .fd = sbx_vm_fd(vm), .events = POLLIN };

	(void)poll(&p, 1, 10000);
	(void)sbx_vm_dispatch(vm);
}

void vmrig_prints(struct sbx_vm *vm, const char *script, const char *want)
{
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result r;
	struct sbx_err err;

	s.argv = (const char *const[]){ "sh", "-c", script, NULL };
	CHECK(sbx_exec_wait(vm, &s, NULL, 0, 0, &r, &err) == 0, "%s", err.message);
	CHECK(r.code == 0 && strcmp(r.out, want) == 0, "%s\n# code %d, printed:\n%s\n# and:\n%s", script, r.code, r.out, r.err);
	sbx_exec_result_done(&r);
}
