/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* vmm/initramfs.c - a newc cpio archive of three nodes and a trailer (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * The archive is written into a mapping of its final size, the program read straight into its place, and sealed, so that
 * another process (QEMU) can be given the descriptor. The init program comes from our own package, but the file may be
 * damaged or somebody else's: it is checked to be an ELF64 program, so that a mistake is told here and not by a guest
 * kernel that finds no working init. */
#include "vmm/initramfs.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { CPIO_HEADER_LEN = 110 }; /* the magic and 13 fields of 8 hexadecimal digits */

struct node {
	const char *name;
	uint32_t mode;
	uint32_t major, minor; /* of a device node */
	uint32_t len;
};

static size_t align4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Bytes from the start of a node to its data. */
static size_t node_head_len(const struct node *n)
{
	return align4(CPIO_HEADER_LEN + strlen(n->name) + 1);
}

static size_t node_len(const struct node *n)
{
	return node_head_len(n) + align4(n->len);
}

static void node_put_head(const struct node *n, uint32_t ino, uint8_t *dst)
{
	char head[CPIO_HEADER_LEN + 1];
	int len = snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ino, n->mode, 0u, 0u, 1u, 0u,
			   n->len, 0u, 0u, n->major, n->minor, (uint32_t)strlen(n->name) + 1, 0u);

	assert(len == CPIO_HEADER_LEN);
	memcpy(dst, head, CPIO_HEADER_LEN);
	memcpy(dst + CPIO_HEADER_LEN, n->name, strlen(n->name) + 1);
}

static int read_all(int fd, uint8_t *dst, size_t len, struct sbx_err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, dst + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "cannot read the init program: %m");
		if (n == 0)
			return err_set(err, -EIO, "the init program became shorter while it was read");
		done += (size_t)n;
	}
	return 0;
}

static bool is_elf64_program(const uint8_t *p, size_t len)
{
	return len >= sizeof(Elf64_Ehdr) && memcmp(p, ELFMAG, SELFMAG) == 0 && p[EI_CLASS] == ELFCLASS64 && p[EI_DATA] == ELFDATA2LSB;
}

static int fill(const struct node *node, size_t count, int init_fd, uint8_t *p, struct sbx_err *err)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t *data = p + node_head_len(&node[i]);

		node_put_head(&node[i], (uint32_t)i + 1, p);
		if (node[i].len > 0) {
			int r = read_all(init_fd, data, node[i].len, err);

			if (r < 0)
				return r;
			if (!is_elf64_program(data, node[i].len))
				return err_set(err, -EINVAL, "the init program is not a 64-bit ELF file: is it sandbox-init?");
		}
		p += node_len(&node[i]);
	}
	return 0;
}

int initramfs_create(int init_fd, int *ret_fd, uint64_t *ret_len, struct sbx_err *err)
{
	struct node nodes[] = {
		{ "dev", S_IFDIR | 0755, 0, 0, 0 },
		{ "dev/console", S_IFCHR | 0600, 5, 1, 0 },
		{ "init", S_IFREG | 0755, 0, 0, 0 },
		{ "TRAILER!!!", 0, 0, 0, 0 },
	};
	AUTOCLOSE int fd = -1;
	size_t total = 0;
	struct stat st;
	void *p;
	int r;

	if (fstat(init_fd, &st) < 0)
		return err_set(err, -errno, "cannot examine the init program: %m");
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr) || st.st_size > INITRAMFS_INIT_MAX)
		return err_set(err, -EINVAL, "the init program is not a file of at most %d MiB with an ELF header: is it sandbox-init?",
			       INITRAMFS_INIT_MAX >> 20);
	nodes[2].len = (uint32_t)st.st_size;
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
		total += node_len(&nodes[i]);

	fd = memfd_create("sbx-initramfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)total) < 0)
		return err_set(err, -errno, "cannot make an initramfs of %zu bytes: %m", total);
	p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map the initramfs: %m");
	r = fill(nodes, ARRAY_LEN(nodes), init_fd, p, err);
	(void)munmap(p, total); /* a writable mapping would refuse the seal */
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_set(err, -errno, "cannot seal the initramfs: %m");
	*ret_fd = take_fd(&fd);
	*ret_len = total;
	return 0;
}
