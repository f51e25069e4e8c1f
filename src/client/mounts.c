/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/mounts.c - mounts and bindings of the user's configuration: checked, their directories opened, and sent to the host process
 * before CONFIG. Bindings travel first, so that a mount may refer to any of them and to the mounts before it; the place in
 * that order is the number by which messages name a file system.
 *
 * Paths are compared without trailing and doubled slashes. Checking is quadratic in the number of mounts, which is at most 128. */
#include "base/cleanup.h"
#include "base/err.h"
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert((int)SBX_FS_MEMORY == (int)PROTO_FS_MEMORY && (int)SBX_FS_HOST == (int)PROTO_FS_HOST &&
		       (int)SBX_FS_CALLBACKS == (int)PROTO_FS_CALLBACKS && (int)SBX_FS_SAME == (int)PROTO_FS_SAME &&
		       (int)SBX_FS_TMPFS == (int)PROTO_FS_TMPFS,
	       "kinds travel as they are");
_Static_assert((int)SBX_CACHE_AUTO == (int)PROTO_CACHE_AUTO && (int)SBX_CACHE_NONE == (int)PROTO_CACHE_NONE &&
		       (int)SBX_CACHE_ALWAYS == (int)PROTO_CACHE_ALWAYS,
	       "cache policies travel as they are");

/* What an absolute path is wrong with, or NULL. */
static const char *path_problem(const char *path)
{
	if (path[0] != '/')
		return "must be absolute";
	if (strlen(path) >= PATH_MAX)
		return "is too long";
	if (path[strspn(path, "/")] == '\0')
		return "must not be root";
	for (const char *p = path; *p;) {
		size_t len;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return "must not contain '.' or '..' components";
		if (len > NAME_MAX)
			return "has a component longer than a name can be";
		p += len;
	}
	return NULL;
}

char *path_canonical(const char *path)
{
	char *copy = malloc(strlen(path) + 1);
	char *out = copy;

	for (const char *p = path; copy && *p;) {
		size_t len;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 0)
			break;
		*out++ = '/';
		memcpy(out, p, len);
		out += len;
		p += len;
	}
	if (copy)
		*out = '\0';
	return copy;
}

/* The file system that an earlier mount or binding with this path has, or -1. */
static int find_earlier(const struct launch *l, const char *path, char **ret_canonical)
{
	char *want = path_problem(path) ? NULL : path_canonical(path);
	int found = -1;

	for (unsigned i = 0; want && i < l->mount_count && found < 0; i++)
		if (strcmp(l->mount[i].path, want) == 0)
			found = (int)i;
	*ret_canonical = want;
	return found;
}

static int check_new_path(const struct launch *l, const char *kind, bool binding, const char *path, struct sbx_err *err)
{
	for (unsigned i = 0; i < l->mount_count; i++) {
		if (strcmp(l->mount[i].path, path) != 0)
			continue;
		if (l->mount[i].binding != binding)
			return err_set(err, -EINVAL, "binding path conflicts with mount path: %s", path);
		return err_set(err, -EINVAL, "duplicate %s path: %s", kind, path);
	}
	return 0;
}

static int check_kind(const char *kind, const struct sbx_mount *m, bool binding, struct sbx_err *err)
{
	if ((unsigned)m->kind >= PROTO_FS_COUNT_)
		return err_set(err, -EINVAL, "%s '%s': kind is %d; it must be one of enum sbx_fs_kind", kind, m->path, (int)m->kind);
	if ((unsigned)m->cache >= PROTO_CACHE_COUNT_)
		return err_set(err, -EINVAL, "%s '%s': cache is %d; it must be one of enum sbx_cache", kind, m->path, (int)m->cache);
	if (m->flags & ~(uint32_t)(SBX_MOUNT_READONLY | SBX_MOUNT_OWNER | SBX_MOUNT_WATCH))
		return err_set(err, -EINVAL, "%s '%s': flags is %#x; this library does not know all of its bits", kind, m->path, m->flags);
	if ((m->kind == SBX_FS_HOST || m->kind == SBX_FS_SAME) && !m->source)
		return err_set(err, -EINVAL, "%s '%s': this kind needs a source", kind, m->path);
	if (m->kind == SBX_FS_CALLBACKS && !m->callbacks)
		return err_set(err, -EINVAL, "%s '%s': this kind needs callbacks", kind, m->path);
	if ((m->flags & SBX_MOUNT_OWNER) && m->kind != SBX_FS_HOST && m->kind != SBX_FS_CALLBACKS)
		return err_set(err, -EINVAL, "%s '%s': an owner is for host directories and callbacks; elsewhere files belong to whoever makes them", kind, m->path);
	if ((m->flags & SBX_MOUNT_WATCH) && (m->kind != SBX_FS_HOST || m->cache == SBX_CACHE_ALWAYS))
		return err_set(err, -EINVAL, "%s '%s': to watch is for host directories whose cache is not 'always': others change them", kind, m->path);
	if (m->kind == SBX_FS_TMPFS && (binding || m->mask_count > 0))
		return err_set(err, -EINVAL, "%s '%s': a tmpfs is the guest's own, without bindings and masks; use memory", kind, m->path);
	if (m->mask_count > SBX_MASKS_MAX)
		return err_set(err, -EINVAL, "%s '%s': %zu masks; at most %d", kind, m->path, m->mask_count, SBX_MASKS_MAX);
	return 0;
}

static int resolve_masks(const struct launch *l, const char *kind, struct launch_mount *m, struct sbx_err *err)
{
	m->mask_target = calloc(m->user.mask_count + 1, sizeof(*m->mask_target));
	m->mask_path = calloc(m->user.mask_count + 1, sizeof(*m->mask_path));
	if (!m->mask_target || !m->mask_path)
		return err_set(err, -ENOMEM, "out of memory");
	for (; m->mask_count < m->user.mask_count; m->mask_count++) {
		const struct sbx_mask *mask = &m->user.masks[m->mask_count];
		const char *problem = path_problem(mask->path);
		AUTOFREE char *redirect = NULL;
		int target = -1;

		if (problem)
			return err_set(err, -EINVAL, "%s '%s': mask path '%s' %s", kind, m->path, mask->path, problem);
		if (mask->redirect) {
			target = find_earlier(l, mask->redirect, &redirect);
			if (target < 0 || l->mount[target].user.kind == SBX_FS_TMPFS)
				return err_set(err, -EINVAL, "%s '%s': mask '%s' redirects to '%s', which is neither a binding nor an earlier mount",
					       kind, m->path, mask->path, mask->redirect);
		}
		m->mask_path[m->mask_count] = path_canonical(mask->path);
		if (!m->mask_path[m->mask_count])
			return err_set(err, -ENOMEM, "out of memory");
		m->mask_target[m->mask_count] = target < 0 ? PROTO_MASK_HIDDEN : (uint32_t)target;
	}
	return 0;
}

static int resolve_source(const struct launch *l, const char *kind, struct launch_mount *m, struct sbx_err *err)
{
	AUTOFREE char *same = NULL;
	int i;

	if (m->user.kind == SBX_FS_HOST) {
		m->fd = open(m->user.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (m->fd < 0)
			return err_set(err, -errno, "%s '%s': cannot open the directory '%s': %m", kind, m->path, m->user.source);
	} else if (m->user.kind == SBX_FS_SAME) {
		i = find_earlier(l, m->user.source, &same);
		if (i < 0 || l->mount[i].user.kind == SBX_FS_TMPFS)
			return err_set(err, -EINVAL, "%s '%s': '%s' is neither a binding nor an earlier mount", kind, m->path, m->user.source);
		m->same_as = (uint32_t)i;
	}
	return 0;
}

static int add_mount(struct launch *l, const struct sbx_mount *user, bool binding, struct sbx_err *err)
{
	const char *kind = binding ? "binding" : "mount";
	struct launch_mount *m = &l->mount[l->mount_count];
	const char *problem;
	int r;

	*m = (struct launch_mount){ .fd = -1, .binding = binding };
	if (user->struct_size == 0 || user->struct_size > sizeof(m->user))
		return err_set(err, -EINVAL, "struct sbx_mount of %zu bytes: begin with SBX_MOUNT_INIT, and use a library as new as its header (%zu)",
			       user->struct_size, sizeof(m->user));
	memcpy(&m->user, user, user->struct_size);
	problem = m->user.path ? path_problem(m->user.path) : "must be absolute";
	if (problem)
		return err_set(err, -EINVAL, "%s.path %s: '%s'", kind, problem, m->user.path ? m->user.path : "");
	m->path = path_canonical(m->user.path);
	if (!m->path)
		return err_set(err, -ENOMEM, "out of memory");
	r = check_new_path(l, kind, binding, m->path, err);
	if (r == 0)
		r = check_kind(kind, &m->user, binding, err);
	if (r == 0 && m->user.kind == SBX_FS_CALLBACKS)
		r = fs_callbacks_check(m->user.callbacks, kind, m->path, &m->callbacks, err);
	if (r == 0)
		r = resolve_source(l, kind, m, err);
	if (r == 0)
		r = resolve_masks(l, kind, m, err);
	l->mount_count++; /* also a half-made one: launch_mounts_done() releases it */
	return r;
}

/* The size of a struct sbx_mount in the caller's array is the one it was compiled with. */
static const struct sbx_mount *nth(const struct sbx_mount *array, size_t i)
{
	return (const struct sbx_mount *)((const char *)array + i * array->struct_size);
}

int launch_mounts_prepare(const struct sbx_vm_config *c, struct launch *l, struct sbx_err *err)
{
	int r = 0;

	if (c->mount_count > SBX_MOUNTS_MAX || c->binding_count > SBX_MOUNTS_MAX)
		return err_set(err, -EINVAL, "%zu mounts and %zu bindings; a VM has at most %d of each", c->mount_count, c->binding_count, SBX_MOUNTS_MAX);
	if (c->mount_count + c->binding_count == 0)
		return 0;
	l->mount = calloc(c->mount_count + c->binding_count, sizeof(*l->mount));
	if (!l->mount)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->binding_count && r == 0; i++)
		r = add_mount(l, nth(c->bindings, i), true, err);
	for (size_t i = 0; i < c->mount_count && r == 0; i++)
		r = add_mount(l, nth(c->mounts, i), false, err);
	return r;
}

static int send_mount(struct link *link, const struct launch_mount *m, uint32_t number)
{
	struct msg_mount msg = {
		.kind = (uint32_t)m->user.kind,
		.cache = (uint32_t)m->user.cache,
		.uid = m->user.uid,
		.gid = m->user.gid,
		.same_as = m->same_as,
		.callbacks = number,
		.fs_ops = fs_callbacks_ops(&m->callbacks),
		.call_timeout_ms = m->callbacks.call_timeout_ms,
		.max_calls = m->callbacks.max_calls,
		.max_bytes = m->user.max_bytes,
		.max_inodes = m->user.max_inodes,
		.path = slice_of(m->path),
	};
	int r;

	msg.flags |= m->user.flags & SBX_MOUNT_READONLY ? PROTO_MOUNT_READONLY : 0U;
	msg.flags |= m->user.flags & SBX_MOUNT_OWNER ? PROTO_MOUNT_OWNER : 0U;
	msg.flags |= m->user.flags & SBX_MOUNT_WATCH ? PROTO_MOUNT_WATCH : 0U;
	msg.flags |= m->binding ? PROTO_MOUNT_BINDING : 0U;
	if (!msg_mount_put(link_out(link), 0, &msg))
		return -ENOMEM;
	r = link_send_all(link, &m->fd, m->fd >= 0);
	for (unsigned i = 0; i < m->mask_count && r == 0; i++) {
		struct msg_mask mask = { .target = m->mask_target[i], .path = slice_of(m->mask_path[i]) };

		r = msg_mask_put(link_out(link), 0, &mask) ? link_send_all(link, NULL, 0) : -ENOMEM;
	}
	return r;
}

int launch_mounts_send(struct link *link, const struct launch *l, struct sbx_err *err)
{
	for (unsigned i = 0; i < l->mount_count; i++) {
		int r = send_mount(link, &l->mount[i], i);

		if (r < 0)
			return err_set(err, r, "cannot send mount '%s' to sandbox-host: %s", l->mount[i].path, strerror(-r));
	}
	return 0;
}

/* Whether somebody else's mount, or a mask, shows what mount @i serves. */
static bool is_shown_elsewhere(const struct launch *l, unsigned i)
{
	for (unsigned j = 0; j < l->mount_count; j++) {
		const struct launch_mount *m = &l->mount[j];

		if (m->user.kind == SBX_FS_SAME && m->same_as == i)
			return true;
		for (unsigned k = 0; k < m->mask_count; k++)
			if (m->mask_target[k] == i)
				return true;
	}
	return false;
}

int launch_mounts_lent(const struct launch *l, struct place_lent **ret, size_t *ret_count)
{
	AUTOFREE struct place_lent *list = calloc(l->mount_count + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < l->mount_count; i++) {
		const struct launch_mount *m = &l->mount[i];
		struct stat st;

		/* One that is shown read-only here may be shown otherwise there. */
		if (m->user.kind != SBX_FS_HOST || (m->user.flags & SBX_MOUNT_READONLY && !is_shown_elsewhere(l, i)))
			continue;
		if (fstat(m->fd, &st) < 0)
			return -errno;
		list[n++] = (struct place_lent){ .dev = st.st_dev, .ino = st.st_ino };
	}
	*ret = TAKE_PTR(list);
	*ret_count = n;
	return 0;
}

void launch_mounts_done(struct launch *l)
{
	for (unsigned i = 0; i < l->mount_count; i++) {
		struct launch_mount *m = &l->mount[i];

		for (unsigned j = 0; j < m->mask_count; j++)
			free(m->mask_path[j]);
		free(m->mask_path);
		free(m->mask_target);
		free(m->path);
		close_fd(&m->fd);
	}
	free(l->mount);
	l->mount = NULL;
	l->mount_count = 0;
}
