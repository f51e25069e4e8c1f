/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/why.c - reads "#!" lines and ELF headers of files that nobody vouches for: every offset is checked against the bytes at hand. */
#include "why.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

enum { WHY_PHDRS_MAX = 64 };

static bool is_elf(const uint8_t *p, size_t len)
{
	return len >= SELFMAG && memcmp(p, ELFMAG, SELFMAG) == 0;
}

/* The PT_INTERP text of a 64-bit ELF file, or NULL. */
static const char *elf_loader(const uint8_t *p, size_t len, int *ret_len)
{
	if (!is_elf(p, len) || len < sizeof(Elf64_Ehdr) || p[EI_CLASS] != ELFCLASS64)
		return NULL;

	uint64_t off = load_le64(p + offsetof(Elf64_Ehdr, e_phoff));
	unsigned count = load_le16(p + offsetof(Elf64_Ehdr, e_phnum));

	for (unsigned i = 0; i < MIN(count, (unsigned)WHY_PHDRS_MAX); i++) {
		if (off > len || len - off < sizeof(Elf64_Phdr))
			return NULL;

		const uint8_t *ph = p + off;
		uint64_t at = load_le64(ph + offsetof(Elf64_Phdr, p_offset));
		uint64_t size = load_le64(ph + offsetof(Elf64_Phdr, p_filesz));

		off += sizeof(Elf64_Phdr);
		if (load_le32(ph + offsetof(Elf64_Phdr, p_type)) != PT_INTERP)
			continue;
		if (at > len || size > len - at || size == 0)
			return NULL;
		*ret_len = (int)strnlen((const char *)p + at, MIN(size, (uint64_t)256));
		return (const char *)p + at;
	}
	return NULL;
}

/* The interpreter of a "#!" line, or NULL. */
static const char *script_interpreter(const uint8_t *p, size_t len, int *ret_len)
{
	size_t at = 2, end;

	if (len < 2 || p[0] != '#' || p[1] != '!')
		return NULL;
	while (at < len && (p[at] == ' ' || p[at] == '\t'))
		at++;
	for (end = at; end < len && p[end] > ' '; end++)
		;
	if (end == at)
		return NULL;
	*ret_len = (int)MIN(end - at, (size_t)256);
	return (const char *)p + at;
}

bool why_missing(const uint8_t *head, size_t len, char *why, size_t size)
{
	int n = 0;
	const char *name = script_interpreter(head, len, &n);

	if (name) {
		(void)snprintf(why, size, "its interpreter '%.*s' does not exist%s", n, name,
			       n < 256 && (size_t)(name - (const char *)head) + (size_t)n < len && name[n] == '\r' ?
				       " (the line ends in CR LF)" :
				       "");
		return true;
	}
	name = elf_loader(head, len, &n);
	if (name)
		(void)snprintf(why, size, "its loader '%.*s' does not exist", n, name);
	return name != NULL;
}

bool why_is_text(const uint8_t *head, size_t len)
{
	size_t n = MIN(len, (size_t)256);

	return !is_elf(head, len) && (n == 0 || !memchr(head, 0, n));
}

void why_format(const uint8_t *head, size_t len, char *why, size_t size)
{
	const char *text = "it is neither a program nor a script";

	if (is_elf(head, len) && len > EI_CLASS && head[EI_CLASS] == ELFCLASS32)
		text = "it is a 32-bit program, which the guest kernel does not run";
	else if (is_elf(head, len) && len >= offsetof(Elf64_Ehdr, e_machine) + 2 &&
		 load_le16(head + offsetof(Elf64_Ehdr, e_machine)) != EM_X86_64)
		text = "it is a program for another kind of machine";
	else if (is_elf(head, len))
		text = "the guest kernel cannot run this kind of ELF file";
	(void)snprintf(why, size, "%s", text);
}
