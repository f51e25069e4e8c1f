/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/config.c - from the object that start() is given to a struct sbx_vm_config. Types are checked here, what the values mean by libsbx. */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	return throw_text(env, -EINVAL, "engine must be \"auto\", \"kvm\" or \"qemu\"");
}

static bool parse_kind(napi_env env, napi_value v, struct arena *a, enum sbx_fs_kind *ret)
{
	static const char *const names[] = {
		[SBX_FS_MEMORY] = "memory",
		[SBX_FS_HOST] = "host",
		[SBX_FS_CALLBACKS] = "callbacks",
		[SBX_FS_SAME] = "same",
		[SBX_FS_TMPFS] = "tmpfs",
	};
	const char *name = "";

	if (!prop_string(env, v, "kind", a, &name))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum sbx_fs_kind)i;
			return true;
		}
	}
	return throw_text(env, -EINVAL, "unknown kind of a mount");
}

static bool parse_masks(napi_env env, napi_value v, struct arena *a, struct sbx_mount *ret)
{
	const char *const *paths = NULL;
	struct sbx_mask *masks;

	if (!prop_strings(env, v, "masks", a, &paths, &ret->mask_count))
		return false;
	if (ret->mask_count == 0)
		return true;
	masks = arena_alloc(env, a, ret->mask_count * sizeof(*masks));
	for (size_t i = 0; masks && i < ret->mask_count; i++)
		masks[i].path = paths[i];
	ret->masks = masks;
	return masks != NULL;
}

static bool parse_mount(napi_env env, napi_value v, struct file_source *source, struct arena *a, struct sbx_mount *ret)
{
	struct sbx_fs_callbacks *callbacks;
	uint32_t ops = 0, cache = SBX_CACHE_AUTO;

	*ret = (struct sbx_mount)SBX_MOUNT_INIT;
	if (!prop_string(env, v, "path", a, &ret->path) || !parse_kind(env, v, a, &ret->kind) || !prop_string(env, v, "source", a, &ret->source) ||
	    !prop_flag(env, v, "readonly", SBX_MOUNT_READONLY, &ret->flags) ||
	    !prop_flag(env, v, "watch", SBX_MOUNT_WATCH, &ret->flags) || !prop_u32(env, v, "cache", &cache) || !prop_u32(env, v, "ops", &ops) ||
	    !prop_u32(env, v, "number", &source->number) || !prop_u64(env, v, "maxBytes", &ret->max_bytes) || !parse_masks(env, v, a, ret))
		return false;
	ret->cache = (enum sbx_cache)cache;
	if (ret->kind == SBX_FS_HOST && geteuid() != 0)
		ret->flags |= SBX_MOUNT_OWNER; /* root's in the guest, as files of another user are refused by Git, say, and this process cannot give them away */
	if (ret->kind != SBX_FS_CALLBACKS)
		return true;
	callbacks = arena_alloc(env, a, sizeof(*callbacks));
	if (!callbacks)
		return false;
	files_callbacks(ops, callbacks);
	ret->callbacks = callbacks;
	ret->callbacks_user = source;
	return true;
}

/* The mounts or bindings of the property @name; their sources are put at @sources. */
static bool parse_mounts(napi_env env, napi_value list, uint32_t count, struct file_source *sources, struct arena *a, const struct sbx_mount **ret)
{
	struct sbx_mount *mounts = arena_alloc(env, a, ((size_t)count + 1) * sizeof(*mounts));

	if (!mounts)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		napi_value item;

		if (!napi_good(env, napi_get_element(env, list, i, &item)) || !parse_mount(env, item, &sources[i], a, &mounts[i]))
			return false;
	}
	*ret = mounts;
	return true;
}

static bool parse_files(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret)
{
	struct sbx_vm_config *c = &ret->c;
	uint32_t mount_count, binding_count;
	napi_value mounts, bindings;

	if (!prop_list(env, v, "mounts", SBX_MOUNTS_MAX, &mounts, &mount_count) || !prop_list(env, v, "bindings", SBX_MOUNTS_MAX, &bindings, &binding_count))
		return false;
	vm->files = calloc((size_t)mount_count + binding_count + 1, sizeof(*vm->files));
	if (!vm->files)
		return throw_text(env, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < mount_count + binding_count; i++)
		vm->files[i].vm = vm;
	c->mount_count = mount_count;
	c->binding_count = binding_count;
	return parse_mounts(env, mounts, mount_count, vm->files, &ret->arena, &c->mounts) &&
	       parse_mounts(env, bindings, binding_count, vm->files + mount_count, &ret->arena, &c->bindings);
}

static bool make_pipe(napi_env env, napi_value v, const char *name, int ends[2], int *ret_fd)
{
	uint32_t wanted = 0;

	if (!prop_flag(env, v, name, 1, &wanted))
		return false;
	if (!wanted)
		return true;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return throw_text(env, -errno, "cannot create a pipe");
	*ret_fd = ends[1];
	return true;
}

bool config_parse(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret)
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
	       prop_string(env, v, "cmdline", a, &c->cmdline) && prop_strings(env, v, "rules", a, &c->outbound_rules, &c->outbound_count) && parse_files(env, v, vm, ret) &&
	       make_pipe(env, v, "console", ret->pipe[PIPE_CONSOLE], &c->console_fd) && make_pipe(env, v, "flows", ret->pipe[PIPE_FLOWS], &c->net_log_fd) &&
	       http_parse(env, v, vm, ret) && make_pipe(env, v, "requests", ret->pipe[PIPE_REQUESTS], &c->http_log_fd);
}

bool config_give_pipes(napi_env env, napi_value handle, struct vm_config *c)
{
	static const char *const names[PIPE_COUNT_] = { [PIPE_CONSOLE] = "consoleFd", [PIPE_FLOWS] = "flowsFd", [PIPE_REQUESTS] = "requestsFd" };

	for (int i = 0; i < PIPE_COUNT_; i++) {
		napi_value fd = c->pipe[i][0] >= 0 ? number_value(env, c->pipe[i][0]) : NULL;

		if (c->pipe[i][0] < 0)
			continue;
		if (!fd || !napi_good(env, napi_set_named_property(env, handle, names[i], fd)))
			return false;
		c->pipe[i][0] = -1;
	}
	return true;
}

void config_done(struct vm_config *c)
{
	for (int i = 0; i < PIPE_COUNT_; i++)
		for (int end = 0; end < 2; end++)
			if (c->pipe[i][end] >= 0)
				(void)close(c->pipe[i][end]);
	arena_free(&c->arena);
}
