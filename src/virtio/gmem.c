/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio/gmem.c - guest memory: a few regions, each a mapping: shared through a descriptor, or private. Every access looks its region up anew and
 * compares lengths, never sums, so that no address wraps. An access must lie in one region: neighbours are not joined.
 *
 * The other side of a mapping writes whenever it likes, and that is all it can do: the file behind one of ours is sealed against
 * shrinking, and imported files must be (a file cut short under a mapping would end this process by SIGBUS).
 *
 * Huge pages: a guest's start takes a few dozen page faults instead of thousands, each of them an exit from the guest. An engine in this process
 * gets private memory, because that is what most machines give them to. Shared memory has them off by default, but for whoever asks for them by
 * MADV_COLLAPSE (Linux 6.1), which replaces the pages that are there: gmem_memfd_huge(). Mappings of all kinds lie so that a huge page can be one.
 *
 * Ordering: gmem_load16() acquires and gmem_store16() releases, because the two bytes are nearly always a ring index. */
#include "virtio/gmem.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define GMEM_RESIDENT_STEP (UINT64_C(16) << 20) /* a page of answers at a time */

/* Maps at an address that is @phase modulo a huge page. MAP_FAILED with errno. */
static void *map_aligned(size_t len, uint64_t phase, int flags, int fd, uint64_t fd_offset)
{
	size_t room = len + GMEM_HUGE_PAGE, head;
	uint8_t *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int e;

	if (p == MAP_FAILED)
		return MAP_FAILED;
	head = (phase - (uintptr_t)p) % GMEM_HUGE_PAGE;
	if (mmap(p + head, len, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE | MAP_FIXED, fd, (off_t)fd_offset) == MAP_FAILED) {
		e = errno;
		(void)munmap(p, room);
		errno = e;
		return MAP_FAILED;
	}
	if (head > 0)
		(void)munmap(p, head);
	(void)munmap(p + head + len, GMEM_HUGE_PAGE - head);
	return p + head;
}

static int gmem_map(struct gmem_region *r, struct sbx_err *err)
{
	void *p = map_aligned(r->len, r->fd_offset, MAP_SHARED, r->fd, r->fd_offset);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map %llu bytes of guest memory: %m", (unsigned long long)r->len);
	(void)madvise(p, r->len, MADV_DONTDUMP); /* the guest's secrets do not belong in our core dump */
	r->base = p;
	return 0;
}

static struct gmem *gmem_new(void)
{
	struct gmem *m = calloc(1, sizeof(*m));

	for (unsigned i = 0; m && i < GMEM_REGIONS_MAX; i++)
		m->region[i].fd = -1;
	return m;
}

void gmem_free(struct gmem *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < GMEM_REGIONS_MAX; i++) {
		if (m->region[i].base)
			(void)munmap(m->region[i].base, m->region[i].len);
		close_fd(&m->region[i].fd);
	}
	free(m);
}

int gmem_memfd(uint64_t len, struct sbx_err *err)
{
	AUTOCLOSE int fd = memfd_create("sandbox-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_set(err, -errno, "cannot create guest memory: %m");
	if (ftruncate(fd, (off_t)len) < 0)
		return err_set(err, -errno, "cannot size guest memory to %llu bytes: %m", (unsigned long long)len);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_set(err, -errno, "cannot seal guest memory: %m");
	return take_fd(&fd);
}

bool gmem_memfd_huge(int fd, uint64_t offset, uint64_t len)
{
	uint8_t *p;
	int r;

	assert(offset % GMEM_HUGE_PAGE == 0 && len % GMEM_HUGE_PAGE == 0);
	p = map_aligned(len, 0, MAP_SHARED, fd, offset);
	if (p == MAP_FAILED)
		return false;
	for (uint64_t at = 0; at < len; at += GMEM_HUGE_PAGE)
		(void)*(volatile uint8_t *)(p + at); /* where no page is, there is nothing to replace */
	r = madvise(p, len, MADV_COLLAPSE);
	(void)munmap(p, len);
	return r == 0;
}

/* Describes and maps the next region of @m, which owns @fd from here on. */
static int gmem_add(struct gmem *m, uint64_t gpa, uint64_t len, uint64_t fd_offset, int fd, struct sbx_err *err)
{
	struct gmem_region *r = &m->region[m->count++];

	*r = (struct gmem_region){ .gpa = gpa, .len = len, .fd_offset = fd_offset, .fd = fd };
	if (fd < 0)
		return err_set(err, -errno, "cannot create guest memory: %m");
	return gmem_map(r, err);
}

static int gmem_check_layout(uint64_t len, uint64_t hole_gpa, uint64_t resume_gpa, struct sbx_err *err)
{
	assert(hole_gpa > 0 && hole_gpa % GMEM_ALIGN == 0 && resume_gpa % GMEM_ALIGN == 0 && resume_gpa >= hole_gpa);
	if (len == 0 || len % GMEM_ALIGN != 0 || len > (uint64_t)INT64_MAX - resume_gpa)
		return err_set(err, -EINVAL, "guest memory cannot have %llu bytes", (unsigned long long)len);
	return 0;
}

int gmem_create(uint64_t len, uint64_t hole_gpa, uint64_t resume_gpa, struct gmem **ret, struct sbx_err *err)
{
	uint64_t low = MIN(len, hole_gpa);
	struct gmem *m;
	int fd, r = gmem_check_layout(len, hole_gpa, resume_gpa, err);

	if (r < 0)
		return r;
	fd = gmem_memfd(len, err);
	if (fd < 0)
		return fd;
	m = gmem_new();
	if (!m) {
		close(fd);
		return err_set(err, -ENOMEM, "cannot create guest memory: %m");
	}
	r = gmem_add(m, 0, low, 0, fd, err);
	if (r == 0 && len > low)
		r = gmem_add(m, resume_gpa, len - low, low, fcntl(fd, F_DUPFD_CLOEXEC, 3), err);
	if (r < 0) {
		gmem_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static int gmem_map_private(struct gmem_region *r, struct sbx_err *err)
{
	void *p = map_aligned(r->len, r->gpa, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map %llu bytes of guest memory: %m", (unsigned long long)r->len);
	r->base = p;
	(void)madvise(r->base, r->len, MADV_DONTDUMP);
	(void)madvise(r->base, r->len, MADV_DONTFORK); /* a child would get copies of what the guest does */
	(void)madvise(r->base, r->len, MADV_HUGEPAGE); /* a wish: it depends on the machine's settings */
	return 0;
}

int gmem_create_private(uint64_t len, uint64_t hole_gpa, uint64_t resume_gpa, struct gmem **ret, struct sbx_err *err)
{
	uint64_t low = MIN(len, hole_gpa);
	struct gmem *m;
	int r = gmem_check_layout(len, hole_gpa, resume_gpa, err);

	if (r < 0)
		return r;
	m = gmem_new();
	if (!m)
		return err_set(err, -ENOMEM, "cannot create guest memory: %m");
	m->region[m->count++].len = low;
	if (len > low) {
		m->region[m->count].gpa = resume_gpa;
		m->region[m->count++].len = len - low;
	}
	for (unsigned i = 0; r == 0 && i < m->count; i++)
		r = gmem_map_private(&m->region[i], err);
	if (r < 0) {
		gmem_free(m);
		return r;
	}
	m->private_memory = true;
	*ret = m;
	return 0;
}

uint64_t gmem_private_resident(const struct gmem *m)
{
	uint8_t page[GMEM_RESIDENT_STEP / GMEM_ALIGN];
	uint64_t bytes = 0;

	for (unsigned i = 0; m && m->private_memory && i < m->count; i++) {
		const struct gmem_region *r = &m->region[i];

		for (uint64_t at = 0; at < r->len; at += GMEM_RESIDENT_STEP) {
			uint64_t len = MIN(r->len - at, GMEM_RESIDENT_STEP);

			if (mincore(r->base + at, len, page) < 0)
				continue;
			for (uint64_t n = 0; n < len / GMEM_ALIGN; n++)
				bytes += page[n] & 1 ? GMEM_ALIGN : 0;
		}
	}
	return bytes;
}

/* [a, a+alen) and [b, b+blen) share a byte. Neither wraps. */
static bool ranges_meet(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

static bool gmem_region_sane(const struct gmem_region *r)
{
	return r->len > 0 && r->len <= (uint64_t)INT64_MAX && r->fd_offset <= (uint64_t)INT64_MAX - r->len &&
	       r->gpa <= UINT64_MAX - r->len && r->user_addr <= UINT64_MAX - r->len &&
	       (r->gpa | r->len | r->fd_offset) % GMEM_ALIGN == 0;
}

static bool gmem_regions_sane(const struct gmem_region *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!gmem_region_sane(&r[i]))
			return false;
		for (unsigned j = 0; j < i; j++)
			if (ranges_meet(r[i].gpa, r[i].len, r[j].gpa, r[j].len) ||
			    (r[i].user_addr && ranges_meet(r[i].user_addr, r[i].len, r[j].user_addr, r[j].len)))
				return false;
	}
	return true;
}

/* What is behind the mapping exists now and for good. */
static int gmem_file_check(const struct gmem_region *r, struct sbx_err *err)
{
	struct stat st;
	int seals;

	if (fstat(r->fd, &st) < 0)
		return err_set(err, -errno, "cannot look at shared guest memory: %m");
	seals = fcntl(r->fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return err_set(err, -EPERM, "shared guest memory must be a memfd that is sealed against shrinking");
	if (st.st_size < 0 || (uint64_t)st.st_size < r->fd_offset + r->len)
		return err_set(err, -EINVAL, "shared guest memory is smaller than was announced");
	return 0;
}

static int gmem_import_all(struct gmem *m, struct sbx_err *err)
{
	int r = 0;

	if (!gmem_regions_sane(m->region, m->count))
		return err_set(err, -EINVAL, "shared guest memory regions overlap, wrap or are not aligned");
	for (unsigned i = 0; r == 0 && i < m->count; i++) {
		r = gmem_file_check(&m->region[i], err);
		if (r == 0)
			r = gmem_map(&m->region[i], err);
		if (r == 0)
			close_fd(&m->region[i].fd); /* the mapping is enough */
	}
	return r;
}

int gmem_import(const struct gmem_region *regions, unsigned count, struct gmem **ret, struct sbx_err *err)
{
	struct gmem *m = NULL;
	int r;

	if (count > 0 && count <= GMEM_REGIONS_MAX)
		m = gmem_new();
	if (!m) {
		for (unsigned i = 0; i < count; i++)
			close(regions[i].fd);
		return err_set(err, count > 0 && count <= GMEM_REGIONS_MAX ? -ENOMEM : -EINVAL, "cannot share guest memory: %m");
	}
	for (; m->count < count; m->count++) {
		m->region[m->count] = regions[m->count];
		m->region[m->count].base = NULL;
	}
	r = gmem_import_all(m, err);
	if (r < 0) {
		gmem_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void *gmem_view(const struct gmem *m, uint64_t gpa, size_t len)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct gmem_region *r = &m->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->len)
			return len <= r->len - (gpa - r->gpa) ? r->base + (gpa - r->gpa) : NULL;
	}
	return NULL;
}

bool gmem_check(const struct gmem *m, uint64_t gpa, uint64_t len)
{
	return gmem_view(m, gpa, len) != NULL;
}

bool gmem_read(const struct gmem *m, uint64_t gpa, void *dst, size_t len)
{
	const void *p = gmem_view(m, gpa, len);

	if (!p)
		return false;
	if (len > 0)
		memcpy(dst, p, len);
	return true;
}

bool gmem_write(const struct gmem *m, uint64_t gpa, const void *src, size_t len)
{
	void *p = gmem_view(m, gpa, len);

	if (!p)
		return false;
	if (len > 0)
		memcpy(p, src, len);
	return true;
}

bool gmem_load16(const struct gmem *m, uint64_t gpa, uint16_t *ret)
{
	const uint16_t *p = gmem_view(m, gpa, sizeof(*p));

	if (!p || gpa % sizeof(*p) != 0) /* mappings are page-aligned, so gpa decides */
		return false;
	*ret = le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
	return true;
}

bool gmem_store16(const struct gmem *m, uint64_t gpa, uint16_t v)
{
	uint16_t *p = gmem_view(m, gpa, sizeof(*p));

	if (!p || gpa % sizeof(*p) != 0)
		return false;
	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
	return true;
}

bool gmem_from_user_addr(const struct gmem *m, uint64_t user_addr, uint64_t *ret_gpa)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct gmem_region *r = &m->region[i];

		if (user_addr >= r->user_addr && user_addr - r->user_addr < r->len) {
			*ret_gpa = r->gpa + (user_addr - r->user_addr);
			return true;
		}
	}
	return false;
}
