/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/qemu_memory.c - the guest's memory: a file of ours that QEMU maps.
 *
 * What QEMU makes itself has small pages, as shared memory has nearly everywhere; then a fifth of a boot's time goes into some 9,000 page faults, QEMU's
 * and the guest's. While QEMU starts, which takes it ten times as long, a thread puts huge pages where every boot of the guest's kernel touches
 * nearly every page anyway: the kernel itself and what lies around it, and the kernel's page structures at the end of memory. Nothing depends on it. */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "virtio/gmem.h"
#include "vmm/boot.h"

#include <fcntl.h>

#define MIB UINT64_C(0x100000)

enum {
	PAGE_STRUCTS = 64, /* a 64th of memory; */
	HASHES_MIB = 4,    /* and the tables of the kernel's caches */
	SMALL_MIB = 64,    /* below it huge pages for a boot would be most of the memory */
};

struct range {
	uint64_t from, to;
};

/* In the order in which they are needed. A boot leaves out a tenth of their pages. */
static void make_huge(int fd, uint64_t bytes)
{
	const uint64_t end = bytes / GMEM_HUGE_PAGE * GMEM_HUGE_PAGE;
	const uint64_t top = (bytes - bytes / PAGE_STRUCTS - HASHES_MIB * MIB) / GMEM_HUGE_PAGE * GMEM_HUGE_PAGE;
	const struct range range[] = {
		{ 16 * MIB, 28 * MIB }, /* the kernel, from its start to its uninitialised data */
		{ top, end },
		/* Where the page allocator begins, unless there is memory above 4 GiB. */
		{ 8 * MIB, 16 * MIB },
		{ 32 * MIB, 36 * MIB },
		{ 0, 2 * MIB },
	};
	const size_t count = bytes > BOOT_HOLE_GPA ? 2 : ARRAY_LEN(range);

	for (size_t i = 0; i < count; i++)
		if (!gmem_memfd_huge(fd, range[i].from, range[i].to - range[i].from))
			return;
}

static void memory_run(struct work *w)
{
	const struct qemu_memory *m = CONTAINER_OF(w, struct qemu_memory, work);

	make_huge(m->huge_fd, m->bytes);
}

static void memory_done(struct work *w)
{
	struct qemu_memory *m = CONTAINER_OF(w, struct qemu_memory, work);

	close_fd(&m->huge_fd);
}

/* Without it everything works as well. */
static void memory_improve(struct qemu_memory *m, struct loop *loop)
{
	if (m->bytes < SMALL_MIB * MIB || work_pool_create(loop, 1, &m->pool) < 0)
		return;
	m->huge_fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
	m->work = (struct work){ .run = memory_run, .done = memory_done };
	if (m->huge_fd >= 0 && work_submit(m->pool, &m->work) < 0)
		close_fd(&m->huge_fd);
}

int qemu_memory_create(struct loop *loop, uint64_t bytes, struct qemu_memory *ret, struct sbx_err *err)
{
	int r = boot_memory_check(bytes, err);

	if (r == 0)
		r = ret->fd = gmem_memfd(bytes, err);
	if (r < 0)
		return r;
	ret->bytes = bytes;
	memory_improve(ret, loop);
	return 0;
}

void qemu_memory_done(struct qemu_memory *m)
{
	if (m->huge_fd >= 0)
		work_finish(m->pool, &m->work);
	work_pool_free(m->pool);
	m->pool = NULL;
	close_fd(&m->fd);
}
