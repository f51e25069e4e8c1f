/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/boot.h - everything that lies in guest memory before the first instruction: kernel, initramfs, command line and the structures
 * of the 64-bit boot protocol. For an engine that enters the kernel itself. */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "virtio/gmem.h"

/* The guest-physical map. Memory is below the hole and, the rest of it, from 4 GiB on. */
#define BOOT_HOLE_GPA UINT64_C(0xc0000000)
#define BOOT_RESUME_GPA UINT64_C(0x100000000)
#define BOOT_MMIO_GPA UINT64_C(0xd0000000) /* virtio-mmio devices, one page each */

enum {
	BOOT_GDT_GPA = 0x1000,
	BOOT_PARAMS_GPA = 0x2000,
	BOOT_PML4_GPA = 0x3000, /* and the tables under it: the first 4 GiB, mapped to themselves */
	BOOT_CMDLINE_GPA = 0x10000,
	BOOT_MPTABLE_GPA = 0x9fc00, /* the last KiB of base memory */

	BOOT_CODE_SEL = 0x10, /* selectors that the boot protocol asks for */
	BOOT_DATA_SEL = 0x18,
	BOOT_TSS_SEL = 0x20,
	BOOT_GDT_LEN = 6 * 8,
	BOOT_CMDLINE_MAX = 2047, /* what the kernel takes, without the NUL */
};

struct boot_input {
	int kernel_fd;
	int initrd_fd; /* -1: none */
	uint64_t initrd_len;
	const char *cmdline;
	unsigned cpus;
};

/* -ENOMEM, with words, when the machine has less memory than that. */
int boot_memory_check(uint64_t bytes, struct sbx_err *err);
/* Guest memory of @bytes with the x86 hole; -ENOMEM, with words, when the machine has less than that. */
int boot_memory_create(uint64_t bytes, struct gmem **ret, struct sbx_err *err);

/* Fills @mem, which is fresh. *@ret_entry is where the boot CPU starts, in 64-bit mode with the GDT and page tables above, and with
 * BOOT_PARAMS_GPA in RSI. -EINVAL and -ENOMEM as load_kernel(); -E2BIG for the command line. */
int boot_fill(const struct gmem *mem, const struct boot_input *in, uint64_t *ret_entry, struct sbx_err *err);

#endif
