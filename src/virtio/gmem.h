/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/gmem.h - guest memory: the only way to it. A guest address (gpa) is a number that is checked at each use; copies
 * are bounded. Bytes in guest memory may change at any time: copy once, then check, then use the copy. */
#ifndef VIRTIO_GMEM_H
#define VIRTIO_GMEM_H

#include "sbx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { GMEM_REGIONS_MAX = 8 }; /* what vhost-user allows in one table */
#define GMEM_ALIGN UINT64_C(4096)
#define GMEM_HUGE_PAGE UINT64_C(0x200000)

/* A stretch of guest-physical memory. */
struct gmem_region {
	uint64_t gpa;
	uint64_t len;
	uint64_t fd_offset;
	int fd;             /* behind the mapping; -1: none is kept */
	uint64_t user_addr; /* vhost-user: the front end's virtual address of the region; else 0 */
	uint8_t *base;      /* our mapping; set by gmem */
};

struct gmem {
	struct gmem_region region[GMEM_REGIONS_MAX];
	unsigned count;
	bool private_memory; /* from gmem_create_private() */
};

/* A memfd of @len bytes (a multiple of GMEM_ALIGN), mapped at @gpa 0 up to @hole_gpa and, past that, from @resume_gpa on
 * (the x86 MMIO hole). Anonymous in the sense that nothing on disk backs it; pages are taken when the guest touches them. */
int gmem_create(uint64_t len, uint64_t hole_gpa, uint64_t resume_gpa, struct gmem **ret, struct sbx_err *err);
/* The same of private anonymous memory, for an engine in this process: nobody else can map it, no child inherits it, and it has huge pages where
 * the machine gives them to ordinary memory. The regions have no descriptor. */
int gmem_create_private(uint64_t len, uint64_t hole_gpa, uint64_t resume_gpa, struct gmem **ret, struct sbx_err *err);
/* The file behind shared guest memory of @len bytes, for a VMM in another process: a memfd that cannot change its size. The caller's, or -errno. */
int gmem_memfd(uint64_t len, struct sbx_err *err);
/* Puts huge pages behind [offset, offset + len) of it, both multiples of GMEM_HUGE_PAGE, with what is in the file; it may be in use meanwhile. A wish: false
 * when the kernel has none to give, or gives none to shared memory. Some 0.3 ms a huge page; on any thread. */
bool gmem_memfd_huge(int fd, uint64_t offset, uint64_t len);
/* Maps @count regions given by another VMM. Takes the descriptors over in every case. -EINVAL for overlap, wrap, lengths beyond the
 * file or anything not a multiple of GMEM_ALIGN; -EPERM unless the file is a memfd sealed against shrinking. */
int gmem_import(const struct gmem_region *regions, unsigned count, struct gmem **ret, struct sbx_err *err);
void gmem_free(struct gmem *m); /* accepts NULL */

/* How much of what gmem_create_private() made is in memory now, in bytes; 0 for other memory and for NULL. */
uint64_t gmem_private_resident(const struct gmem *m);

/* All of [gpa, gpa+len) is guest memory (of one region). True for len 0 inside one. */
bool gmem_check(const struct gmem *m, uint64_t gpa, uint64_t len);
bool gmem_read(const struct gmem *m, uint64_t gpa, void *dst, size_t len);
bool gmem_write(const struct gmem *m, uint64_t gpa, const void *src, size_t len);
/* Single accesses of ring fields: naturally aligned, one load (acquire) or store (release), little endian. */
bool gmem_load16(const struct gmem *m, uint64_t gpa, uint16_t *ret);
bool gmem_store16(const struct gmem *m, uint64_t gpa, uint16_t v);
/* A host view for readv/writev and KVM only: its bytes must never be parsed in place. NULL when out of range. */
void *gmem_view(const struct gmem *m, uint64_t gpa, size_t len);
/* Translates a vhost-user front end's address; false when no region holds it. */
bool gmem_from_user_addr(const struct gmem *m, uint64_t user_addr, uint64_t *ret_gpa);

#endif
