/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/boot: what lies in guest memory before the first instruction. */
#include "vmm/boot.h"

#include "../support/kvmvm.h"
#include "../test.h"
#include "base/cleanup.h"

#include <asm/bootparam.h>
#include <asm/e820.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { KERNEL_GPA = 0x1000000,
       INITRD_LEN = 5000 };

static struct boot_input input(const char *cmdline)
{
	static const uint8_t code[] = { 0xf4 };
	struct boot_input in = { .kernel_fd = kvmvm_elf(code, sizeof(code), KERNEL_GPA), .initrd_len = INITRD_LEN, .cmdline = cmdline, .cpus = 2 };

	in.initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	CHECK(in.initrd_fd >= 0 && ftruncate(in.initrd_fd, INITRD_LEN) == 0 && pwrite(in.initrd_fd, "cpio", 4, 0) == 4, "%s", strerror(errno));
	return in;
}

static void input_done(struct boot_input *in)
{
	close_fd(&in->kernel_fd);
	close_fd(&in->initrd_fd);
}

static struct boot_params filled(uint64_t bytes, struct gmem **ret)
{
	struct boot_input in = input("hello guest");
	struct boot_params bp;
	struct sbx_err err = { 0 };
	uint64_t entry = 0;

	CHECK(boot_memory_create(bytes, ret, &err) == 0, "%s", err.message);
	CHECK(boot_fill(*ret, &in, &entry, &err) == 0, "%s", err.message);
	CHECK(entry == KERNEL_GPA, "%#llx", (unsigned long long)entry);
	CHECK(gmem_read(*ret, BOOT_PARAMS_GPA, &bp, sizeof(bp)), "no boot_params");
	input_done(&in);
	return bp;
}

TEST(boot_params_describe_the_machine)
{
	struct gmem *m;
	struct boot_params bp = filled(64 << 20, &m);
	char text[12] = { 0 };

	CHECK(bp.hdr.header == 0x53726448 && bp.hdr.boot_flag == 0xaa55 && bp.hdr.type_of_loader == 0xff && bp.sentinel == 0, "header");
	CHECK(gmem_read(m, bp.hdr.cmd_line_ptr, text, 12) && strcmp(text, "hello guest") == 0, "'%s'", text);
	CHECK(bp.hdr.ramdisk_size == INITRD_LEN && bp.hdr.ramdisk_image % 4096 == 0, "%u", bp.hdr.ramdisk_size);
	CHECK(bp.hdr.ramdisk_image + INITRD_LEN <= 64 << 20 && bp.hdr.ramdisk_image > KERNEL_GPA, "%#x", bp.hdr.ramdisk_image);
	CHECK(gmem_read(m, bp.hdr.ramdisk_image, text, 4) && memcmp(text, "cpio", 4) == 0, "'%s'", text);
	CHECK(bp.e820_entries == 3, "%u", bp.e820_entries);
	CHECK(bp.e820_table[1].type == E820_RESERVED && bp.e820_table[1].addr == BOOT_MPTABLE_GPA, "the MP table is not reserved");
	CHECK(bp.e820_table[2].addr == 0x100000 && bp.e820_table[2].size == (64 << 20) - 0x100000, "memory");
	CHECK(gmem_read(m, BOOT_MPTABLE_GPA, text, 4) && memcmp(text, "_MP_", 4) == 0, "no MP table");
	gmem_free(m);
}

TEST(memory_beyond_the_hole_goes_above_4_gib)
{
	struct gmem *m;
	struct boot_params bp = filled(UINT64_C(4) << 30, &m);

	CHECK(bp.e820_entries == 4, "%u", bp.e820_entries);
	CHECK(bp.e820_table[2].addr + bp.e820_table[2].size == BOOT_HOLE_GPA, "low memory");
	CHECK(bp.e820_table[3].addr == BOOT_RESUME_GPA && bp.e820_table[3].size == UINT64_C(1) << 30, "high memory");
	gmem_free(m);
}

/* What the processor makes of @va with our tables. */
static bool walk(const struct gmem *m, uint64_t va, uint64_t *ret)
{
	uint64_t table = BOOT_PML4_GPA, e = 0;

	for (int shift = 39; shift >= 21; shift -= 9) {
		if (!gmem_read(m, table + 8 * (va >> shift & 511), &e, 8) || !(e & 1))
			return false;
		table = e & ~UINT64_C(0xfff);
	}
	*ret = (e & ~UINT64_C(0x1fffff)) + (va & 0x1fffff);
	return e & 0x80;
}

TEST(the_first_4_gib_are_mapped_to_themselves)
{
	struct gmem *m;
	uint64_t gpa;

	(void)filled(64 << 20, &m);
	for (uint64_t va = 0; va < UINT64_C(4) << 30; va += 0x1ff123)
		CHECK(walk(m, va, &gpa) && gpa == va, "%#llx is at %#llx", (unsigned long long)va, (unsigned long long)gpa);
	CHECK(!walk(m, UINT64_C(4) << 30, &gpa), "more is mapped");
	gmem_free(m);
}

static void check_refused(const struct gmem *m, struct boot_input in, int want, const char *words)
{
	struct sbx_err err = { 0 };
	uint64_t entry = 7;
	int r = boot_fill(m, &in, &entry, &err);

	CHECK(r == want && strstr(err.message, words), "got %d '%s'", r, err.message);
	CHECK(entry == 7, "output clobbered");
	input_done(&in);
}

TEST(what_does_not_fit_is_refused)
{
	char long_cmdline[BOOT_CMDLINE_MAX + 2];
	struct boot_input in;
	struct sbx_err err = { 0 };
	struct gmem *m;

	memset(long_cmdline, 'x', sizeof(long_cmdline) - 1);
	long_cmdline[sizeof(long_cmdline) - 1] = 0;
	CHECK(boot_memory_create(17 << 20, &m, &err) == 0, "%s", err.message);
	check_refused(m, input(long_cmdline), -E2BIG, "2048 bytes");
	in = input("");
	in.initrd_len = 17 << 20;
	check_refused(m, in, -ENOMEM, "kernel and initramfs");
	in = input("");
	in.initrd_len = INITRD_LEN + 1;
	check_refused(m, in, -EIO, "initramfs became shorter");
	gmem_free(m);
	CHECK(boot_memory_create(1 << 19, &m, &err) == 0, "%s", err.message);
	check_refused(m, input(""), -ENOMEM, "less than 1 MiB");
	gmem_free(m);
	CHECK(boot_memory_create(UINT64_C(1) << 48, &m, &err) == -ENOMEM && strstr(err.message, "more than the machine has"), "%s", err.message);
}

RUN_TESTS(T(boot_params_describe_the_machine), T(memory_beyond_the_hole_goes_above_4_gib), T(the_first_4_gib_are_mapped_to_themselves),
	  T(what_does_not_fit_is_refused))
