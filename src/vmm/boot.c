/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/boot.c - the 64-bit boot protocol (kernel: Documentation/arch/x86/boot.rst): long mode, the first 4 GiB mapped one to one, flat segments,
 * interrupts off, boot_params with the memory map. It serves vmlinux and bzImage alike; PVH would need 32-bit code in the kernel to do what
 * is done here by a few stores. Trusts its caller's numbers; kernel and initramfs are checked by load.c and against memory. */
#include "vmm/boot.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/rd.h"
#include "vmm/load.h"
#include "vmm/mptable.h"

#include <asm/bootparam.h>
#include <asm/e820.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

enum {
	PAGE = 4096,
	PTE_PRESENT = 1 << 0,
	PTE_WRITE = 1 << 1,
	PTE_LARGE = 1 << 7,
	DIRECTORIES = 4, /* GiB mapped */
	LOADER_UNDEFINED = 0xff,
	BOOT_VERSION = 0x20f, /* what a vmlinux would say in its setup header */
};

#define LARGE_PAGE UINT64_C(0x200000)
#define INITRD_END_MAX UINT64_C(0x38000000) /* where every kernel takes one */
#define BASE_MEMORY_END UINT64_C(0xa0000)

static_assert(sizeof(struct setup_header) <= LOAD_SETUP_LEN, "the setup header fits");
static_assert(BOOT_PML4_GPA + (2 + DIRECTORIES) * PAGE <= BOOT_CMDLINE_GPA, "the page tables end before the command line");
static_assert(BOOT_MPTABLE_GPA + MPTABLE_LEN == BASE_MEMORY_END, "the MP table is where kernels search");

int boot_memory_check(uint64_t bytes, struct sbx_err *err)
{
	struct sysinfo si;

	if (sysinfo(&si) == 0 && bytes > ((uint64_t)si.totalram + si.totalswap) * si.mem_unit)
		return err_set(err, -ENOMEM, "the VM's memory (%llu MiB) is more than the machine has (%llu MiB): give it less",
			       (unsigned long long)bytes >> 20, (unsigned long long)(si.totalram + si.totalswap) * si.mem_unit >> 20);
	return 0;
}

int boot_memory_create(uint64_t bytes, struct gmem **ret, struct sbx_err *err)
{
	struct gmem *m;
	int r = boot_memory_check(bytes, err);

	if (r < 0)
		return r;
	r = gmem_create_private(bytes, BOOT_HOLE_GPA, BOOT_RESUME_GPA, &m, err);
	if (r < 0)
		return r;
	*ret = m;
	return 0;
}

static void put_gdt(const struct gmem *mem)
{
	static const uint64_t gdt[BOOT_GDT_LEN / 8] = {
		[BOOT_CODE_SEL / 8] = 0x00af9b000000ffff,
		[BOOT_DATA_SEL / 8] = 0x00cf93000000ffff,
		[BOOT_TSS_SEL / 8] = 0x00008b000000ffff,
	};

	(void)gmem_write(mem, BOOT_GDT_GPA, gdt, sizeof(gdt));
}

static void put_page_tables(const struct gmem *mem)
{
	uint8_t page[PAGE] = { 0 };
	uint64_t pdpt = BOOT_PML4_GPA + PAGE, dir = pdpt + PAGE;

	store_le64(page, pdpt | PTE_PRESENT | PTE_WRITE);
	(void)gmem_write(mem, BOOT_PML4_GPA, page, PAGE);
	for (uint64_t i = 0; i < DIRECTORIES; i++)
		store_le64(page + 8 * i, (dir + i * PAGE) | PTE_PRESENT | PTE_WRITE);
	(void)gmem_write(mem, pdpt, page, PAGE);
	for (uint64_t i = 0; i < DIRECTORIES; i++) {
		for (uint64_t j = 0; j < PAGE / 8; j++)
			store_le64(page + 8 * j, (i * (PAGE / 8) + j) * LARGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_LARGE);
		(void)gmem_write(mem, dir + i * PAGE, page, PAGE);
	}
}

static void add_e820(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry){ .addr = start, .size = end - start, .type = type };
}

static void put_params(const struct gmem *mem, const struct boot_input *in, const struct load_plan *plan, uint64_t initrd_gpa)
{
	struct boot_params bp = { 0 };

	memcpy(&bp.hdr, plan->setup, sizeof(bp.hdr));
	if (!plan->bzimage)
		bp.hdr.version = BOOT_VERSION;
	bp.hdr.boot_flag = 0xaa55;
	bp.hdr.header = 0x53726448; /* "HdrS" */
	bp.hdr.type_of_loader = LOADER_UNDEFINED;
	bp.hdr.loadflags |= LOADED_HIGH;
	bp.hdr.cmd_line_ptr = BOOT_CMDLINE_GPA;
	bp.hdr.cmdline_size = (uint32_t)strlen(in->cmdline);
	bp.hdr.ramdisk_image = (uint32_t)initrd_gpa;
	bp.hdr.ramdisk_size = (uint32_t)in->initrd_len;
	add_e820(&bp, 0, BOOT_MPTABLE_GPA, E820_RAM);
	add_e820(&bp, BOOT_MPTABLE_GPA, BASE_MEMORY_END, E820_RESERVED);
	add_e820(&bp, LOAD_GPA_MIN, mem->region[0].len, E820_RAM);
	if (mem->count > 1)
		add_e820(&bp, mem->region[1].gpa, mem->region[1].gpa + mem->region[1].len, E820_RAM);
	(void)gmem_write(mem, BOOT_PARAMS_GPA, &bp, sizeof(bp));
}

/* The initramfs goes as high as every kernel takes it, away from the kernel. */
static int put_initrd(const struct gmem *mem, const struct boot_input *in, const struct load_plan *plan, uint64_t *ret_gpa,
		      struct sbx_err *err)
{
	uint64_t top = MIN(mem->region[0].len, INITRD_END_MAX), gpa;

	if (in->initrd_fd < 0)
		return 0;
	gpa = in->initrd_len <= top ? (top - in->initrd_len) & ~(uint64_t)(PAGE - 1) : 0;
	if (gpa < plan->end)
		return err_set(err, -ENOMEM, "kernel and initramfs do not fit into %llu MiB together: give the VM more memory",
			       (unsigned long long)mem->region[0].len >> 20);
	*ret_gpa = gpa;
	return load_file(in->initrd_fd, 0, in->initrd_len, mem, gpa, "initramfs", err);
}

int boot_fill(const struct gmem *mem, const struct boot_input *in, uint64_t *ret_entry, struct sbx_err *err)
{
	size_t cmdline_len = strlen(in->cmdline);
	uint8_t table[MPTABLE_LEN];
	struct load_plan plan;
	uint64_t initrd_gpa = 0;
	int r;

	if (cmdline_len > BOOT_CMDLINE_MAX)
		return err_set(err, -E2BIG, "the kernel command line has %zu bytes, more than %d", cmdline_len, BOOT_CMDLINE_MAX);
	if (!gmem_check(mem, 0, LOAD_GPA_MIN))
		return err_set(err, -ENOMEM, "the VM has less than 1 MiB of memory");
	r = load_kernel(in->kernel_fd, mem, &plan, err);
	if (r == 0)
		r = put_initrd(mem, in, &plan, &initrd_gpa, err);
	if (r < 0)
		return r;
	put_gdt(mem);
	put_page_tables(mem);
	put_params(mem, in, &plan, initrd_gpa);
	(void)gmem_write(mem, BOOT_CMDLINE_GPA, in->cmdline, cmdline_len + 1);
	mptable_write(table, BOOT_MPTABLE_GPA, in->cpus);
	(void)gmem_write(mem, BOOT_MPTABLE_GPA, table, sizeof(table));
	*ret_entry = plan.entry;
	return 0;
}
