/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/load.c - the kernel loader: ELF vmlinux (its PT_LOAD segments at their physical addresses) and bzImage (Linux boot protocol 2.12
 * or later, Documentation/arch/x86/boot.rst). Both are entered in 64-bit mode.
 *
 * The file is the user's choice and may be anything: load_parse() is a pure function of its first page and two sizes, and what it
 * accepts is safe to carry out: segments lie in the file, in guest memory, above the first MiB, and apart from each other. Zeros after
 * a segment's bytes are not written, since fresh guest memory is zero. Nothing of the file is interpreted beyond its headers. */
#include "vmm/load.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/rd.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
	/* Offsets in a bzImage, from the boot protocol. */
	BZ_SETUP_SECTS = 0x1f1,
	BZ_BOOT_FLAG = 0x1fe,
	BZ_JUMP_LEN = 0x201, /* the header ends at 0x202 + this byte */
	BZ_MAGIC = 0x202,
	BZ_VERSION = 0x206,
	BZ_LOADFLAGS = 0x211,
	BZ_XLOADFLAGS = 0x236,
	BZ_PREF_ADDRESS = 0x258,
	BZ_INIT_SIZE = 0x260,
	BZ_HEADER_MIN = 0x264, /* up to and with init_size */

	BZ_VERSION_MIN = 0x20c,
	BZ_LOADED_HIGH = 1 << 0,
	BZ_XLF_KERNEL_64 = 1 << 0,
	BZ_ENTRY_64 = 0x200, /* from the start of the protected-mode code */
	BZ_SECTOR = 512,
	BZ_SECTS_MAX = 64,
};

static int not_whole(struct sbx_err *err)
{
	return err_set(err, -EINVAL, "the kernel file is damaged or cut short");
}

/* Takes @s into the plan if file and memory have room for it. */
static int plan_add(struct load_plan *p, const struct load_segment *s, uint64_t file_len, uint64_t mem_end, struct sbx_err *err)
{
	if (p->count == LOAD_SEGMENTS_MAX)
		return err_set(err, -EINVAL, "the kernel has more than %d segments", LOAD_SEGMENTS_MAX);
	if (s->file_off > file_len || s->file_len > file_len - s->file_off || s->file_len > s->mem_len)
		return not_whole(err);
	if (s->gpa < LOAD_GPA_MIN)
		return err_set(err, -EINVAL, "the kernel wants to be loaded at %#llx, below 1 MiB", (unsigned long long)s->gpa);
	if (s->gpa > mem_end || s->mem_len > mem_end - s->gpa)
		return err_set(err, -ENOMEM,
			       "the kernel needs guest memory from %#llx on, %llu KiB, and there is none beyond %llu MiB: give the VM more memory",
			       (unsigned long long)s->gpa, (unsigned long long)s->mem_len >> 10, (unsigned long long)mem_end >> 20);
	for (unsigned i = 0; i < p->count; i++) {
		const struct load_segment *o = &p->segment[i];

		if (s->gpa < o->gpa ? o->gpa - s->gpa < s->mem_len : s->gpa - o->gpa < o->mem_len)
			return err_set(err, -EINVAL, "segments of the kernel overlap at %#llx", (unsigned long long)MAX(s->gpa, o->gpa));
	}
	p->start = p->count ? MIN(p->start, s->gpa) : s->gpa;
	p->end = MAX(p->end, s->gpa + s->mem_len);
	p->segment[p->count++] = *s;
	return 0;
}

static bool plan_contains(const struct load_plan *p, uint64_t gpa)
{
	for (unsigned i = 0; i < p->count; i++)
		if (gpa >= p->segment[i].gpa && gpa - p->segment[i].gpa < p->segment[i].file_len)
			return true;
	return false;
}

/* One program header; those that are not loaded are passed over. */
static int parse_phdr(struct rd *r, struct load_plan *p, uint64_t file_len, uint64_t mem_end, struct sbx_err *err)
{
	struct load_segment s;
	uint32_t type = rd_le32(r);

	(void)rd_le32(r); /* p_flags */
	s.file_off = rd_le64(r);
	(void)rd_le64(r); /* p_vaddr: the kernel maps itself */
	s.gpa = rd_le64(r);
	s.file_len = rd_le64(r);
	s.mem_len = rd_le64(r);
	(void)rd_le64(r); /* p_align */
	if (r->bad)
		return not_whole(err);
	if (type != PT_LOAD || s.mem_len == 0)
		return 0;
	return plan_add(p, &s, file_len, mem_end, err);
}

static int parse_elf(const uint8_t *head, size_t head_len, uint64_t file_len, uint64_t mem_end, struct load_plan *p,
		     struct sbx_err *err)
{
	struct rd r = rd_over(head, head_len), ph;
	const uint8_t *ident = rd_take(&r, EI_NIDENT);
	uint16_t type = rd_le16(&r), machine = rd_le16(&r), phentsize, phnum;
	uint64_t phoff;

	(void)rd_le32(&r); /* e_version */
	p->entry = rd_le64(&r);
	phoff = rd_le64(&r);
	(void)rd_take(&r, 8 + 4 + 2); /* e_shoff, e_flags, e_ehsize */
	phentsize = rd_le16(&r);
	phnum = rd_le16(&r);
	if (r.bad)
		return not_whole(err);
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB || machine != EM_X86_64)
		return err_set(err, -EINVAL, "the kernel is an ELF file, but not for x86-64");
	if (type != ET_EXEC || phentsize != sizeof(Elf64_Phdr))
		return err_set(err, -EINVAL, "the kernel is an ELF file, but not an executable at fixed addresses, as vmlinux is");
	if (phoff > head_len || (uint64_t)phnum * sizeof(Elf64_Phdr) > head_len - phoff)
		return not_whole(err);
	ph = rd_over(head + phoff, head_len - phoff);
	for (unsigned i = 0; i < phnum; i++) {
		int e = parse_phdr(&ph, p, file_len, mem_end, err);

		if (e < 0)
			return e;
	}
	if (!plan_contains(p, p->entry))
		return err_set(err, -EINVAL, "the kernel's entry point %#llx lies outside of it", (unsigned long long)p->entry);
	return 0;
}

static int parse_bzimage(const uint8_t *head, size_t head_len, uint64_t file_len, uint64_t mem_end, struct load_plan *p,
			 struct sbx_err *err)
{
	struct load_segment s;
	uint64_t sects;
	size_t setup_len;
	int r;

	if (head_len < BZ_HEADER_MIN)
		return not_whole(err);
	if (load_le16(head + BZ_VERSION) < BZ_VERSION_MIN || !(load_le16(head + BZ_XLOADFLAGS) & BZ_XLF_KERNEL_64) ||
	    !(head[BZ_LOADFLAGS] & BZ_LOADED_HIGH))
		return err_set(err, -EINVAL, "the kernel is a bzImage without a 64-bit entry point: is it a 32-bit or an old kernel?");
	setup_len = BZ_MAGIC + (size_t)head[BZ_JUMP_LEN];
	sects = head[BZ_SETUP_SECTS] ? head[BZ_SETUP_SECTS] : 4; /* 0 means 4, for history's sake */
	s.file_off = (sects + 1) * BZ_SECTOR;
	if (setup_len < BZ_HEADER_MIN || setup_len > head_len || sects > BZ_SECTS_MAX || s.file_off >= file_len)
		return not_whole(err);
	s.file_len = file_len - s.file_off;
	s.gpa = load_le64(head + BZ_PREF_ADDRESS);
	s.mem_len = MAX((uint64_t)load_le32(head + BZ_INIT_SIZE), s.file_len);
	r = plan_add(p, &s, file_len, mem_end, err);
	if (r < 0)
		return r;
	p->entry = s.gpa + BZ_ENTRY_64;
	if (!plan_contains(p, p->entry))
		return not_whole(err);
	memcpy(p->setup, head + BZ_SETUP_SECTS, MIN(setup_len - BZ_SETUP_SECTS, sizeof(p->setup)));
	p->bzimage = true;
	return 0;
}

int load_parse(const uint8_t *head, size_t head_len, uint64_t file_len, uint64_t mem_end, struct load_plan *ret, struct sbx_err *err)
{
	struct load_plan p = { 0 };
	int r;

	if (head_len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		r = parse_elf(head, head_len, file_len, mem_end, &p, err);
	else if (head_len >= BZ_MAGIC + 4 && memcmp(head + BZ_MAGIC, "HdrS", 4) == 0 && load_le16(head + BZ_BOOT_FLAG) == 0xaa55)
		r = parse_bzimage(head, head_len, file_len, mem_end, &p, err);
	else
		r = err_set(err, -EINVAL, "the kernel file is neither an ELF vmlinux nor a bzImage");
	if (r == 0)
		*ret = p;
	return r;
}

int load_file(int fd, uint64_t off, uint64_t len, const struct gmem *mem, uint64_t gpa, const char *what, struct sbx_err *err)
{
	uint8_t *dst = gmem_view(mem, gpa, len);

	if (!dst)
		return err_set(err, -ENOMEM, "the guest's memory has no room for the %s", what);
	while (len > 0) {
		ssize_t n = pread(fd, dst, MIN(len, (uint64_t)1 << 30), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "cannot read the %s: %m", what);
		if (n == 0)
			return err_set(err, -EIO, "the %s became shorter while it was read", what);
		dst += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int read_head(int fd, uint8_t *head, size_t *ret_len, struct sbx_err *err)
{
	size_t len = 0;
	ssize_t n;

	while ((n = pread(fd, head + len, LOAD_HEAD_LEN - len, (off_t)len)) != 0) {
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "cannot read the kernel: %m");
		len += n > 0 ? (size_t)n : 0;
	}
	*ret_len = len;
	return 0;
}

int load_kernel(int fd, const struct gmem *mem, struct load_plan *ret, struct sbx_err *err)
{
	uint8_t head[LOAD_HEAD_LEN];
	size_t head_len = 0;
	struct load_plan p;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot examine the kernel: %m");
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "the kernel is not a regular file");
	r = read_head(fd, head, &head_len, err);
	if (r == 0)
		r = load_parse(head, head_len, (uint64_t)st.st_size, mem->region[0].len, &p, err);
	for (unsigned i = 0; r == 0 && i < p.count; i++)
		r = load_file(fd, p.segment[i].file_off, p.segment[i].file_len, mem, p.segment[i].gpa, "kernel", err);
	if (r == 0)
		*ret = p;
	return r;
}
