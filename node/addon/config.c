/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/config.c - from the object that start() is given to a struct sbx_vm_config. Types are checked here, what the values mean by libsbx. */
#include "addon.h"

#include <string.h>

static bool parse_engine(napi_env env, napi_value v, struct vm_config *ret)
{
	static const char *const names[] = { [SBX_ENGINE_AUTO] = "auto", [SBX_ENGINE_KVM] = "kvm", [SBX_ENGINE_QEMU] = "qemu" };
	const char *name = "auto";

	if (!prop_string(env, v, "engine", &ret->arena, &name))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			ret->c.engine = (enum sbx_engine)i;
			return true;
		}
	}
	(void)napi_throw_type_error(env, NULL, "engine must be \"auto\", \"kvm\" or \"qemu\"");
	return false;
}

bool config_parse(napi_env env, napi_value v, struct vm_config *ret)
{
	struct arena *a = &ret->arena;
	struct sbx_vm_config *c = &ret->c;

	*c = (struct sbx_vm_config)SBX_VM_CONFIG_INIT;
	return prop_string(env, v, "hostPath", a, &c->host_path) && prop_string(env, v, "kernelPath", a, &c->kernel_path) &&
	       prop_string(env, v, "initPath", a, &c->init_path) && prop_string(env, v, "imagePath", a, &c->image_path) && parse_engine(env, v, ret) &&
	       prop_flag(env, v, "writable", SBX_VM_WRITABLE, &c->flags) && prop_flag(env, v, "verbose", SBX_VM_VERBOSE, &c->flags) &&
	       prop_flag(env, v, "network", SBX_VM_NETWORK, &c->flags) && prop_u32(env, v, "cpus", &c->cpus) &&
	       prop_u32(env, v, "memoryMib", &c->memory_mib) && prop_u64(env, v, "scratchBytes", &c->scratch_bytes) &&
	       prop_u32(env, v, "bootTimeoutMs", &c->boot_timeout_ms) && prop_string(env, v, "hostname", a, &c->hostname) &&
	       prop_string(env, v, "cmdline", a, &c->cmdline) && prop_strings(env, v, "rules", a, &c->outbound_rules, &c->outbound_count);
}

void config_done(struct vm_config *c)
{
	arena_free(&c->arena);
}
