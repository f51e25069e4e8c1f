/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/load: what is accepted as a kernel, where it goes, and everything that is refused. */
#include "vmm/load.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/rd.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { FILE_LEN = 0x6000 };
#define MEM_END (UINT64_C(64) << 20)

/* A vmlinux of two segments, the second with zeros behind it. */
struct elf {
	Elf64_Ehdr h;
	Elf64_Phdr ph[3];
};

static struct elf good_elf(void)
{
	return (struct elf){
		.h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		       .e_type = ET_EXEC,
		       .e_machine = EM_X86_64,
		       .e_version = EV_CURRENT,
		       .e_entry = 0x1000010,
		       .e_phoff = sizeof(Elf64_Ehdr),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 3 },
		.ph = { { .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x1000000, .p_filesz = 0x2000, .p_memsz = 0x2000 },
			{ .p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_paddr = 0, .p_filesz = UINT64_MAX, .p_memsz = 1 },
			{ .p_type = PT_LOAD, .p_offset = 0x3000, .p_paddr = 0x1002000, .p_filesz = 0x1000, .p_memsz = 0x9000 } },
	};
}

static int parse(const void *head, size_t len, uint64_t file_len, struct load_plan *p, struct sbx_err *err)
{
	memset(p, 0x5a, sizeof(*p));
	return load_parse(guard_copy(head, len), len, file_len, MEM_END, p, err);
}

TEST(an_elf_kernel_is_understood)
{
	struct elf e = good_elf();
	struct sbx_err err = { 0 };
	struct load_plan p;

	CHECK(parse(&e, sizeof(e), FILE_LEN, &p, &err) == 0, "%s", err.message);
	CHECK(p.count == 2 && p.entry == 0x1000010 && !p.bzimage, "%u %#llx", p.count, (unsigned long long)p.entry);
	CHECK(p.start == 0x1000000 && p.end == 0x100b000, "%#llx %#llx", (unsigned long long)p.start, (unsigned long long)p.end);
	CHECK(p.segment[1].gpa == 0x1002000 && p.segment[1].file_len == 0x1000 && p.segment[1].mem_len == 0x9000, "second segment");
}

static void put_field(struct elf *e, size_t off, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		((uint8_t *)e)[off + i] = (uint8_t)(v >> (8 * i));
}

TEST(elf_kernels_that_lie_are_refused)
{
	enum { PH0 = offsetof(struct elf, ph[0]),
	       PH2 = offsetof(struct elf, ph[2]) };
	static const struct {
		const char *why;
		size_t off;
		uint64_t v;
		unsigned bytes;
		int want;
		const char *words;
	} cases[] = {
		{ "32-bit", EI_CLASS, ELFCLASS32, 1, -EINVAL, "not for x86-64" },
		{ "big endian", EI_DATA, ELFDATA2MSB, 1, -EINVAL, "not for x86-64" },
		{ "ARM", offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2, -EINVAL, "not for x86-64" },
		{ "shared object", offsetof(Elf64_Ehdr, e_type), ET_DYN, 2, -EINVAL, "fixed addresses" },
		{ "header size", offsetof(Elf64_Ehdr, e_phentsize), 32, 2, -EINVAL, "fixed addresses" },
		{ "headers far away", offsetof(Elf64_Ehdr, e_phoff), 1 << 20, 8, -EINVAL, "damaged" },
		{ "headers beyond any file", offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX, 8, -EINVAL, "damaged" },
		{ "too many headers", offsetof(Elf64_Ehdr, e_phnum), 0xffff, 2, -EINVAL, "damaged" },
		{ "no headers", offsetof(Elf64_Ehdr, e_phnum), 0, 2, -EINVAL, "entry point" },
		{ "entry outside", offsetof(Elf64_Ehdr, e_entry), 0x2000000, 8, -EINVAL, "entry point" },
		{ "entry in the zeros", offsetof(Elf64_Ehdr, e_entry), 0x1003000, 8, -EINVAL, "entry point" },
		{ "virtual entry", offsetof(Elf64_Ehdr, e_entry), 0xffffffff81000010, 8, -EINVAL, "entry point" },
		{ "segment beyond the file", PH0 + offsetof(Elf64_Phdr, p_offset), FILE_LEN + 1, 8, -EINVAL, "damaged" },
		{ "segment ends beyond it", PH0 + offsetof(Elf64_Phdr, p_filesz), FILE_LEN, 8, -EINVAL, "damaged" },
		{ "offset that wraps", PH0 + offsetof(Elf64_Phdr, p_offset), UINT64_MAX, 8, -EINVAL, "damaged" },
		{ "more bytes than memory", PH0 + offsetof(Elf64_Phdr, p_memsz), 0x1000, 8, -EINVAL, "damaged" },
		{ "below 1 MiB", PH0 + offsetof(Elf64_Phdr, p_paddr), 0xff000, 8, -EINVAL, "below 1 MiB" },
		{ "at zero", PH0 + offsetof(Elf64_Phdr, p_paddr), 0, 8, -EINVAL, "below 1 MiB" },
		{ "beyond memory", PH2 + offsetof(Elf64_Phdr, p_paddr), MEM_END, 8, -ENOMEM, "more memory" },
		{ "ends beyond memory", PH2 + offsetof(Elf64_Phdr, p_memsz), MEM_END, 8, -ENOMEM, "more memory" },
		{ "memory that wraps", PH2 + offsetof(Elf64_Phdr, p_memsz), UINT64_MAX, 8, -ENOMEM, "more memory" },
		{ "address that wraps", PH2 + offsetof(Elf64_Phdr, p_paddr), UINT64_MAX, 8, -ENOMEM, "more memory" },
		{ "overlap", PH2 + offsetof(Elf64_Phdr, p_paddr), 0x1001fff, 8, -EINVAL, "overlap" },
		{ "overlap from below", PH2 + offsetof(Elf64_Phdr, p_paddr), 0xff8000, 8, -EINVAL, "overlap" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct elf e = good_elf();
		struct sbx_err err = { 0 };
		struct load_plan p;
		int r;

		put_field(&e, cases[i].off, cases[i].v, cases[i].bytes);
		r = parse(&e, sizeof(e), FILE_LEN, &p, &err);
		CHECK(r == cases[i].want && strstr(err.message, cases[i].words), "%s: got %d '%s'", cases[i].why, r, err.message);
		CHECK(p.count == 0x5a5a5a5a, "%s: output clobbered", cases[i].why);
	}
}

TEST(elf_segments_are_bounded)
{
	uint8_t head[LOAD_HEAD_LEN] = { 0 };
	struct elf e = good_elf();
	struct sbx_err err = { 0 };
	struct load_plan p;

	e.h.e_phnum = LOAD_SEGMENTS_MAX + 1;
	memcpy(head, &e, sizeof(e));
	for (unsigned i = 0; i < e.h.e_phnum; i++) {
		Elf64_Phdr ph = { .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x1000000 + i * UINT64_C(0x1000), .p_filesz = 0x800, .p_memsz = 0x1000 };

		memcpy(head + sizeof(e.h) + i * sizeof(ph), &ph, sizeof(ph));
	}
	CHECK(parse(head, sizeof(head), FILE_LEN, &p, &err) == -EINVAL && strstr(err.message, "16 segments"), "%s", err.message);
}

TEST(a_head_cut_anywhere_is_refused)
{
	struct elf e = good_elf();

	for (size_t len = 0; len < sizeof(e); len++) {
		struct load_plan p;

		CHECK(parse(&e, len, len, &p, NULL) == -EINVAL, "%zu bytes were enough", len);
	}
}

/* The first page of a bzImage whose setup part has 4 sectors. */
static void good_bzimage(uint8_t head[LOAD_HEAD_LEN])
{
	memset(head, 0, LOAD_HEAD_LEN);
	head[0x1f1] = 4;
	store_le16(head + 0x1fe, 0xaa55);
	head[0x200] = 0xeb;
	head[0x201] = 0x6a; /* the header ends at 0x26c */
	memcpy(head + 0x202, "HdrS", 4);
	store_le16(head + 0x206, 0x20f);
	head[0x211] = 1;
	store_le16(head + 0x236, 1);
	store_le64(head + 0x258, 0x1000000);
	store_le32(head + 0x260, 0x9000);
}

TEST(a_bzimage_is_understood)
{
	uint8_t head[LOAD_HEAD_LEN];
	struct sbx_err err = { 0 };
	struct load_plan p;

	good_bzimage(head);
	CHECK(parse(head, sizeof(head), FILE_LEN, &p, &err) == 0, "%s", err.message);
	CHECK(p.bzimage && p.count == 1 && p.entry == 0x1000200, "%u %#llx", p.count, (unsigned long long)p.entry);
	CHECK(p.segment[0].file_off == 5 * 512 && p.segment[0].file_len == FILE_LEN - 5 * 512, "%llu", (unsigned long long)p.segment[0].file_off);
	CHECK(p.segment[0].mem_len == 0x9000 && p.end == 0x1009000, "%#llx", (unsigned long long)p.end);
	CHECK(p.setup[0] == 4 && load_le32(p.setup + (0x260 - 0x1f1)) == 0x9000, "setup header");

	head[0x1f1] = 0; /* 4 sectors, says history */
	store_le32(head + 0x260, 0);
	CHECK(parse(head, sizeof(head), FILE_LEN, &p, &err) == 0, "%s", err.message);
	CHECK(p.segment[0].file_off == 5 * 512 && p.segment[0].mem_len == p.segment[0].file_len, "as long as the file");
}

TEST(bzimages_that_lie_are_refused)
{
	static const struct {
		const char *why;
		size_t off;
		uint64_t v;
		unsigned bytes;
		int want;
		const char *words;
	} cases[] = {
		{ "no boot flag", 0x1fe, 0, 2, -EINVAL, "neither" },
		{ "no magic", 0x202, 0, 4, -EINVAL, "neither" },
		{ "old protocol", 0x206, 0x20b, 2, -EINVAL, "64-bit entry" },
		{ "32-bit only", 0x236, 0, 2, -EINVAL, "64-bit entry" },
		{ "zImage", 0x211, 0, 1, -EINVAL, "64-bit entry" },
		{ "short header", 0x201, 0x20, 1, -EINVAL, "damaged" },
		{ "too many sectors", 0x1f1, 65, 1, -EINVAL, "damaged" },
		{ "setup longer than the file", 0x1f1, 64, 1, -EINVAL, "damaged" },
		{ "loaded low", 0x258, 0x10000, 8, -EINVAL, "below 1 MiB" },
		{ "loaded beyond memory", 0x258, MEM_END, 8, -ENOMEM, "more memory" },
		{ "address that wraps", 0x258, UINT64_MAX, 8, -ENOMEM, "more memory" },
		{ "needs more than there is", 0x260, 0xffffffff, 4, -ENOMEM, "more memory" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t head[LOAD_HEAD_LEN];
		struct sbx_err err = { 0 };
		struct load_plan p;
		int r;

		good_bzimage(head);
		for (unsigned b = 0; b < cases[i].bytes; b++)
			head[cases[i].off + b] = (uint8_t)(cases[i].v >> (8 * b));
		r = parse(head, sizeof(head), FILE_LEN, &p, &err);
		CHECK(r == cases[i].want && strstr(err.message, cases[i].words), "%s: got %d '%s'", cases[i].why, r, err.message);
		CHECK(p.count == 0x5a5a5a5a, "%s: output clobbered", cases[i].why);
	}
}

TEST(a_bzimage_cut_anywhere_is_refused)
{
	uint8_t head[LOAD_HEAD_LEN];

	good_bzimage(head);
	for (size_t len = 0; len <= 5 * 512; len++) {
		struct load_plan p;

		CHECK(parse(head, len, len, &p, NULL) == -EINVAL, "%zu bytes were enough", len);
	}
}

static int memfd_with(const void *p, size_t len, size_t file_len)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)file_len) == 0 && pwrite(fd, p, len, 0) == (ssize_t)len, "%s", strerror(errno));
	return fd;
}

TEST(segments_come_to_their_places)
{
	struct elf e = good_elf();
	AUTOCLOSE int fd = memfd_with(&e, sizeof(e), FILE_LEN);
	struct sbx_err err = { 0 };
	struct load_plan p;
	struct gmem *m;
	char got[9] = { 0 };

	CHECK(pwrite(fd, "first", 5, 0x1000) == 5 && pwrite(fd, "second", 6, 0x3ffa) == 6 && pwrite(fd, "not mine", 8, 0x4000) == 8, "%s", strerror(errno));
	CHECK(lseek(fd, 3, SEEK_SET) == 3, "%s", strerror(errno));
	CHECK(gmem_create(MEM_END, UINT64_C(0xc0000000), UINT64_C(1) << 32, &m, &err) == 0, "%s", err.message);
	CHECK(load_kernel(fd, m, &p, &err) == 0, "%s", err.message);
	CHECK(lseek(fd, 0, SEEK_CUR) == 3, "the offset moved");
	CHECK(gmem_read(m, 0x1000000, got, 5) && memcmp(got, "first", 5) == 0, "'%s'", got);
	CHECK(gmem_read(m, 0x1002ffa, got, 8) && memcmp(got, "second\0", 8) == 0, "'%s'", got);
	gmem_free(m);
}

TEST(what_is_no_kernel_is_refused)
{
	AUTOCLOSE int empty = memfd_with("", 0, 0);
	AUTOCLOSE int script = memfd_with("#!/bin/sh\n", 10, 10);
	AUTOCLOSE int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sbx_err err = { 0 };
	struct load_plan p;
	struct gmem *m;

	CHECK(gmem_create(1 << 21, UINT64_C(0xc0000000), UINT64_C(1) << 32, &m, &err) == 0, "%s", err.message);
	CHECK(load_kernel(empty, m, &p, &err) == -EINVAL && strstr(err.message, "neither"), "%s", err.message);
	CHECK(load_kernel(script, m, &p, &err) == -EINVAL && strstr(err.message, "neither"), "%s", err.message);
	CHECK(load_kernel(dir, m, &p, &err) == -EINVAL && strstr(err.message, "regular file"), "%s", err.message);
	CHECK(load_kernel(-1, m, &p, &err) == -EBADF, "%s", err.message);
	CHECK(load_file(script, 0, 11, m, 0x1000, "thing", &err) == -EIO && strstr(err.message, "thing became shorter"), "%s", err.message);
	CHECK(load_file(script, 0, 10, m, (1 << 21) - 9, "thing", &err) == -ENOMEM && strstr(err.message, "no room for the thing"), "%s", err.message);
	CHECK(load_file(-1, 0, 10, m, 0, "thing", &err) == -EBADF, "%s", err.message);
	gmem_free(m);
}

RUN_TESTS(T(an_elf_kernel_is_understood), T(elf_kernels_that_lie_are_refused), T(elf_segments_are_bounded),
	  T(a_head_cut_anywhere_is_refused), T(a_bzimage_is_understood), T(bzimages_that_lie_are_refused),
	  T(a_bzimage_cut_anywhere_is_refused), T(segments_come_to_their_places), T(what_is_no_kernel_is_refused))
