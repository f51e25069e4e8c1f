/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/initramfs: the archive says what the kernel shall find, and what is no program is refused. */
#include "vmm/initramfs.h"

#include "../test.h"
#include "base/cleanup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A descriptor with @len bytes in it, the first of which are an ELF header. */
static int elf_file(size_t len)
{
	Elf64_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT } };
	int fd = memfd_create("elf", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)len) == 0, "%s", strerror(errno));
	CHECK(pwrite(fd, &h, MIN(sizeof(h), len), 0) >= 0, "%s", strerror(errno));
	if (len > sizeof(h))
		CHECK(pwrite(fd, "end", 1, (off_t)len - 1) == 1, "%s", strerror(errno));
	return fd;
}

static uint32_t hex8(const uint8_t *p)
{
	char text[9] = { 0 };
	unsigned v;

	memcpy(text, p, 8);
	CHECK(sscanf(text, "%8x", &v) == 1, "'%s'", text);
	return v;
}

struct entry {
	char name[32];
	uint32_t ino, mode, uid, gid, nlink, len, major, minor;
	const uint8_t *data;
};

/* Reads the newc entry at *@off, strictly. */
static struct entry next_entry(const uint8_t *p, size_t total, size_t *off)
{
	struct entry e = { 0 };
	const uint8_t *h = p + *off;
	uint32_t name_len;
	size_t data;

	CHECK(*off % 4 == 0 && total - *off >= 110, "at %zu of %zu", *off, total);
	CHECK(memcmp(h, "070701", 6) == 0, "at %zu", *off);
	e.ino = hex8(h + 6);
	e.mode = hex8(h + 14);
	e.uid = hex8(h + 22);
	e.gid = hex8(h + 30);
	e.nlink = hex8(h + 38);
	e.len = hex8(h + 54);
	e.major = hex8(h + 78);
	e.minor = hex8(h + 86);
	name_len = hex8(h + 94);
	CHECK(name_len >= 1 && name_len <= sizeof(e.name) && h[110 + name_len - 1] == 0, "%u", name_len);
	memcpy(e.name, h + 110, name_len);
	data = (*off + 110 + name_len + 3) & ~(size_t)3;
	e.data = p + data;
	*off = (data + e.len + 3) & ~(size_t)3;
	CHECK(*off <= total, "%zu of %zu", *off, total);
	return e;
}

static void check_archive(size_t init_len)
{
	AUTOCLOSE int init = elf_file(init_len);
	AUTOCLOSE int fd = -1;
	struct sbx_err err = { 0 };
	uint64_t len = 0;
	size_t off = 0;
	struct entry e;
	uint8_t *p;

	CHECK(lseek(init, 5, SEEK_SET) == 5, "%s", strerror(errno));
	CHECK(initramfs_create(init, &fd, &len, &err) == 0, "%s", err.message);
	CHECK(lseek(init, 0, SEEK_CUR) == 5, "the offset moved");
	p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED, "%s", strerror(errno));

	e = next_entry(p, len, &off);
	CHECK(strcmp(e.name, "dev") == 0 && e.mode == (S_IFDIR | 0755) && e.len == 0, "%s %o %u", e.name, e.mode, e.len);
	e = next_entry(p, len, &off);
	CHECK(strcmp(e.name, "dev/console") == 0 && e.mode == (S_IFCHR | 0600), "%s %o", e.name, e.mode);
	CHECK(e.major == 5 && e.minor == 1 && e.len == 0, "%u:%u", e.major, e.minor);
	e = next_entry(p, len, &off);
	CHECK(strcmp(e.name, "init") == 0 && e.mode == (S_IFREG | 0755), "%s %o", e.name, e.mode);
	CHECK(e.uid == 0 && e.gid == 0 && e.nlink == 1, "%u %u %u", e.uid, e.gid, e.nlink);
	CHECK(e.len == init_len && memcmp(e.data, ELFMAG, SELFMAG) == 0, "%u", e.len);
	CHECK(init_len == sizeof(Elf64_Ehdr) || e.data[init_len - 1] == 'e', "the last byte is missing");
	e = next_entry(p, len, &off);
	CHECK(strcmp(e.name, "TRAILER!!!") == 0 && e.len == 0, "%s", e.name);
	CHECK(off == len, "%zu of %zu", off, (size_t)len);
	(void)munmap(p, len);
}

TEST(the_archive_holds_init_and_a_console)
{
	for (size_t extra = 0; extra < 5; extra++)
		check_archive(sizeof(Elf64_Ehdr) + extra);
	check_archive(150 * 1024 + 1);
}

TEST(the_archive_cannot_be_changed_any_more)
{
	AUTOCLOSE int init = elf_file(5000);
	AUTOCLOSE int fd = -1;
	uint64_t len;

	CHECK(initramfs_create(init, &fd, &len, NULL) == 0, "failed");
	CHECK(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM, "%s", strerror(errno));
	CHECK(ftruncate(fd, 0) < 0 && errno == EPERM, "%s", strerror(errno));
}

static void check_refused(int init, int want, const char *words)
{
	struct sbx_err err = { 0 };
	uint64_t len = 7;
	int fd = -7;
	int r = initramfs_create(init, &fd, &len, &err);

	CHECK(r == want, "got %d, %s", r, err.message);
	CHECK(err.code == want && strstr(err.message, words), "'%s'", err.message);
	CHECK(fd == -7 && len == 7, "output clobbered");
}

TEST(what_is_no_program_is_refused)
{
	AUTOCLOSE int empty = elf_file(0);
	AUTOCLOSE int cut = elf_file(sizeof(Elf64_Ehdr) - 1);
	AUTOCLOSE int large = elf_file(INITRAMFS_INIT_MAX + 1);
	AUTOCLOSE int script = elf_file(4096);
	AUTOCLOSE int elf32 = elf_file(4096);
	AUTOCLOSE int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(pwrite(script, "#!/bin/sh\n", 10, 0) == 10, "%s", strerror(errno));
	CHECK(pwrite(elf32, &(char){ ELFCLASS32 }, 1, EI_CLASS) == 1, "%s", strerror(errno));
	check_refused(empty, -EINVAL, "sandbox-init");
	check_refused(cut, -EINVAL, "sandbox-init");
	check_refused(large, -EINVAL, "16 MiB");
	check_refused(script, -EINVAL, "not a 64-bit ELF");
	check_refused(elf32, -EINVAL, "not a 64-bit ELF");
	check_refused(dir, -EINVAL, "not a file");
	check_refused(-1, -EBADF, "cannot examine");
}

TEST(every_failure_is_clean)
{
	AUTOCLOSE int init = elf_file(4096);

	FAULT_LOOP
	{
		uint64_t len;
		int fd = -1;
		int r = initramfs_create(init, &fd, &len, NULL);

		CHECK((r == 0) == !fault_happened() && (r == 0) == (fd >= 0), "got %d", r);
		close_fd(&fd);
	}
}

RUN_TESTS(T(the_archive_holds_init_and_a_console), T(the_archive_cannot_be_changed_any_more), T(what_is_no_program_is_refused),
	  T(every_failure_is_clean))
