/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/config.h - the CONFIG message, and the MOUNTs, MASKs and RULEs before it, as this process uses them. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include "net/policy.h"
#include "proto/link.h"
#include "sbx.h"

#include <stdbool.h>

struct mask_config {
	char *path;
	uint32_t target; /* a mount's number, or PROTO_MASK_HIDDEN */
};

/* A mount or binding. Its number, by which messages name it, is its place in vm_config.mount. */
struct mount_config {
	struct msg_mount msg; /* without its path */
	char *path;
	int dir_fd; /* PROTO_FS_HOST, else -1 */
	unsigned mask_count;
	struct mask_config mask[PROTO_MASKS_MAX];
};

/* Somebody wants to see requests, or sets a header. */
struct hook_config {
	uint32_t kind, number, timeout_ms; /* enum proto_hook_kind */
	char *origin, *name, *value;
};

struct vm_config {
	unsigned mount_count;
	struct mount_config *mount[2 * PROTO_MOUNTS_MAX];
	uint32_t engine; /* enum proto_engine */
	uint32_t flags;  /* enum proto_config_flags */
	uint32_t cpus, memory_mib, boot_timeout_ms;
	uint64_t scratch_bytes;
	char *hostname, *qemu_path, *cmdline; /* owned; qemu_path "" when there is none */
	struct policy *policy; /* owned; NULL: no RULE came */
	int kernel_fd, init_fd, image_fd;
	unsigned hook_count;
	struct hook_config hook[PROTO_HOOKS_MAX];
	char *pem[PROTO_PEM_COUNT_]; /* owned; NULL: none */
	int console_fd, net_log_fd, http_log_fd; /* -1: none */
};

/* Appends a rule in its text form. -E2BIG beyond POLICY_RULES_MAX, -EINVAL, -ENOMEM. */
int policy_add(struct policy *p, struct slice text, struct sbx_err *err);

void vm_config_init(struct vm_config *c);
/* A frame before CONFIG: MOUNT (takes its descriptor out of @link), MASK, RULE, HTTP_HOOK or HTTP_PEM. 0 or -errno; -EPROTO also for a frame that is none of them. */
int vm_config_add(struct vm_config *c, const struct frame *f, struct link *link);
/* Decodes and checks CONFIG into @c and takes its descriptors out of @link. */
int vm_config_read(struct vm_config *c, const struct frame *f, struct link *link, struct sbx_err *err);
void vm_config_done(struct vm_config *c);

#endif
