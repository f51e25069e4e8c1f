/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/config.h - the CONFIG message as this process uses it. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include "proto/link.h"
#include "sbx.h"

#include <stdbool.h>

struct vm_config {
	uint32_t engine; /* enum proto_engine */
	uint32_t flags;  /* enum proto_config_flags */
	uint32_t cpus, memory_mib, boot_timeout_ms;
	uint64_t scratch_bytes;
	char *hostname, *qemu_path, *cmdline; /* owned; qemu_path "" when there is none */
	int kernel_fd, init_fd, image_fd;
	int console_fd; /* -1: none */
};

/* Decodes and checks the message and takes its descriptors out of @link. */
int vm_config_read(const struct frame *f, struct link *link, struct vm_config *ret, struct sbx_err *err);
void vm_config_done(struct vm_config *c);

#endif
