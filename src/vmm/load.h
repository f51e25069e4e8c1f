/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/load.h - what the kernel file says and where it goes in guest memory. */
#ifndef VMM_LOAD_H
#define VMM_LOAD_H

#include "virtio/gmem.h"

enum {
	LOAD_HEAD_LEN = 4096, /* headers must lie in the first page of the file */
	LOAD_SEGMENTS_MAX = 16,
	LOAD_SETUP_LEN = 0x290 - 0x1f1, /* the whole setup header of the boot protocol, as in struct boot_params */
};

#define LOAD_GPA_MIN UINT64_C(0x100000) /* below are the structures that we hand over (vmm/boot.h) */

/* @file_len bytes at @file_off go to @gpa; up to @mem_len they are followed by zeros. */
struct load_segment {
	uint64_t file_off, file_len;
	uint64_t gpa, mem_len;
};

/* A kernel that has been understood. Everything in it has been checked against the file's and the memory's size. */
struct load_plan {
	uint64_t entry;      /* 64-bit entry, inside a segment */
	uint64_t start, end; /* guest memory that the kernel takes until it manages memory itself */
	unsigned count;
	struct load_segment segment[LOAD_SEGMENTS_MAX]; /* they do not overlap */
	uint8_t setup[LOAD_SETUP_LEN];                  /* a bzImage's setup header; zeros for an ELF file */
	bool bzimage;
};

/*
 * Understands the kernel whose first @head_len bytes (LOAD_HEAD_LEN, or the whole file if that is shorter) are at
 * @head: an x86-64 ELF vmlinux or a bzImage with a 64-bit entry. @mem_end is the end of guest memory that starts at 0.
 * Pure. Return: 0, -EINVAL (not a kernel, damaged or cut short) or -ENOMEM (it does not fit into the guest's memory).
 */
int load_parse(const uint8_t *head, size_t head_len, uint64_t file_len, uint64_t mem_end, struct load_plan *ret,
	       struct sbx_err *err);

/* Reads the kernel in @fd (borrowed, its offset unused) into @mem, whose pages are still zero. As load_parse(), and the errnos of reading. */
int load_kernel(int fd, const struct gmem *mem, struct load_plan *ret, struct sbx_err *err);

/* Reads @len bytes from the beginning of @fd to @gpa. -EIO when the file is shorter. @what is for the message. */
int load_file(int fd, uint64_t off, uint64_t len, const struct gmem *mem, uint64_t gpa, const char *what, struct sbx_err *err);

#endif
