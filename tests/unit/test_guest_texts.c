/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* init's pure parts: users and groups from the image's files, environments, why a file cannot be run, and when memory is exhausted. */
#include "../../guest/envp.h"
#include "../../guest/thrash.h"
#include "../../guest/users.h"
#include "../../guest/why.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/rd.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char passwd_text[] = "root:x:0:0:root:/root:/bin/sh\n"
				  "broken line\n"
				  "half:x:5\n"
				  "nan:x:abc:1:::\n"
				  ":x:77:77::/nameless:\n"
				  "ann:x:1000:100:Ann:/home/ann:/bin/sh\n"
				  "bob:x:1001:1001::relative:/bin/sh\n"
				  "1002:x:5000:5000::/digits:/bin/sh\n"
				  "last:x:4294967294:1::/end"; /* no newline */
static const char group_text[] = "root:x:0:\nusers:x:100:\nwheel:x:10:root,ann\nempty:x:11\nbad:x:zz:ann\naudio:x:29:bob,ann\nlast:x:30:annabel";

static struct slice guarded(const char *text)
{
	size_t len = strlen(text);

	return (struct slice){ guard_copy(text, len), len };
}

TEST(users_are_found_by_name_and_number_with_their_groups)
{
	static const struct {
		const char *spec;
		int want;
		uint32_t uid, gid;
		unsigned groups;
		const char *home;
	} cases[] = {
		{ "", 0, 0, 0, 1, "/root" },
		{ "root", 0, 0, 0, 1, "/root" },
		{ "ann", 0, 1000, 100, 2, "/home/ann" },
		{ "1000", 0, 1000, 100, 2, "/home/ann" },
		{ "ann:wheel", 0, 1000, 10, 0, "/home/ann" },
		{ "ann:77", 0, 1000, 77, 0, "/home/ann" },
		{ "12345", 0, 12345, 12345, 0, "/" },
		{ "12345:audio", 0, 12345, 29, 0, "/" },
		{ "bob", 0, 1001, 1001, 1, "/" },
		{ "1002", 0, 1002, 1002, 0, "/" },
		{ "last", 0, 4294967294, 1, 0, "/end" },
		{ "nan", -ENOENT, 0, 0, 0, "" },
		{ "half", -ENOENT, 0, 0, 0, "" },
		{ "nobody", -ENOENT, 0, 0, 0, "" },
		{ "ann:nogroup", -ENOENT, 0, 0, 0, "" },
		{ "4294967295", -EINVAL, 0, 0, 0, "" },
		{ "99999999999", -EINVAL, 0, 0, 0, "" },
		{ ":", -EINVAL, 0, 0, 0, "" },
		{ "ann:", -EINVAL, 0, 0, 0, "" },
		{ ":wheel", -EINVAL, 0, 0, 0, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct user u = { .uid = 4242 };
		char why[200] = "";
		int r = user_resolve(guarded(cases[i].spec), guarded(passwd_text), guarded(group_text), &u, why, sizeof(why));

		CHECK(r == cases[i].want, "'%s': got %d (%s)", cases[i].spec, r, why);
		if (r < 0) {
			CHECK(u.uid == 4242 && why[0], "'%s': output clobbered, or no words", cases[i].spec);
			continue;
		}
		CHECK(u.uid == cases[i].uid && u.gid == cases[i].gid && u.group_count == cases[i].groups, "'%s': %u:%u, %u groups", cases[i].spec,
		      u.uid, u.gid, u.group_count);
		CHECK(strcmp(u.home, cases[i].home) == 0, "'%s': home '%s'", cases[i].spec, u.home);
	}
}

TEST(users_without_files_are_numbers)
{
	struct slice none = { .p = NULL };
	struct user u;
	char why[200];

	CHECK(user_resolve(none, none, none, &u, why, sizeof(why)) == 0 && u.uid == 0 && u.gid == 0 && strcmp(u.home, "/") == 0, "root");
	CHECK(user_resolve(slice_of("5:6"), none, none, &u, why, sizeof(why)) == 0 && u.uid == 5 && u.gid == 6, "5:6");
	CHECK(user_resolve(slice_of("root"), none, none, &u, why, sizeof(why)) == -ENOENT, "a name");
}

TEST(only_so_many_groups_are_kept)
{
	struct slice none = { .p = NULL };
	static char groups[20000];
	struct user u;
	char why[200];
	size_t n = 0;

	for (int i = 0; i < 500; i++)
		n += (size_t)snprintf(groups + n, sizeof(groups) - n, "g%d:x:%d:me\n", i, i);
	CHECK(user_resolve(slice_of("me"), slice_of("me:x:1:1::/:"), slice_of(groups), &u, why, sizeof(why)) == 0, "%s", why);
	CHECK(u.group_count == USERS_GROUPS_MAX, "%u groups", u.group_count);
	(void)none;
}

/* A decoded list, as it comes out of a frame. */
static struct slices list_of(struct buf *b, uint32_t count, const char *const *array)
{
	struct msg_exec_start m;
	struct frame f;

	CHECK(msg_exec_start_put(b, 0, &(struct msg_exec_start){ .env = { .count = count, .array = array } }), "put");
	CHECK(frame_peek(buf_data(b), buf_len(b), &f) == 1 && msg_exec_start_decode(f.body, f.len, &m) == 0, "decode");
	return m.env;
}

TEST(defaults_fill_in_what_an_environment_lacks)
{
	static const char *const full[] = { "PATH=/x", "HOME=/y", "TERM=z" }, *const near[] = { "PATHS=/x", "HOM=1", "=", "" };
	char home[] = "HOME=/home/ann", path[] = "PATH=/more", file[] = "SSL_CERT_FILE=/b", *const more[] = { path, file, NULL };
	struct buf b;
	char **v;

	buf_init(&b, 4096);
	v = envp_build(list_of(&b, 3, full), home, true, NULL);
	CHECK(v && strcmp(v[0], "PATH=/x") == 0 && strcmp(v[2], "TERM=z") == 0 && !v[3], "full");
	free(v);
	buf_consume(&b, buf_len(&b));

	v = envp_build(list_of(&b, 4, near), home, true, NULL);
	CHECK(v && strcmp(v[4], "PATH=" ENVP_PATH) == 0 && strcmp(v[5], home) == 0 && strcmp(v[6], "TERM=" ENVP_TERM) == 0 && !v[7], "near");
	CHECK(strcmp(envp_get(v, "HOME"), "/home/ann") == 0 && !envp_get(v, "NOPE"), "get");
	free(v);
	buf_consume(&b, buf_len(&b));

	v = envp_build(list_of(&b, 0, NULL), home, false, NULL);
	CHECK(v && strcmp(v[1], home) == 0 && !v[2], "empty, no terminal");
	free(v);
	buf_consume(&b, buf_len(&b));

	v = envp_build(list_of(&b, 3, full), home, true, more);
	CHECK(v && strcmp(v[3], "SSL_CERT_FILE=/b") == 0 && !v[4], "what is given stays, what is not is added");
	free(v);
	buf_done(&b);
}

TEST(a_missing_interpreter_is_named)
{
	static const struct {
		const char *head, *want;
	} cases[] = {
		{ "#!/usr/bin/python3\n", "its interpreter '/usr/bin/python3' does not exist" },
		{ "#! \t/bin/x -e\n", "its interpreter '/bin/x' does not exist" },
		{ "#!/bin/sh\r\n", "its interpreter '/bin/sh' does not exist (the line ends in CR LF)" },
		{ "#!/bin/x", "its interpreter '/bin/x' does not exist" },
		{ "#!\n", NULL },
		{ "#!", NULL },
		{ "#", NULL },
		{ "", NULL },
		{ "plain text", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[600] = "";
		size_t len = strlen(cases[i].head);
		bool said = why_missing(guard_copy(cases[i].head, len), len, why, sizeof(why));

		CHECK(said == (cases[i].want != NULL), "'%s'", cases[i].head);
		CHECK(!said || strcmp(why, cases[i].want) == 0, "'%s': '%s'", cases[i].head, why);
	}
}

/* An ELF file of one program header, and the loader's name behind it. */
static size_t make_elf(uint8_t *dst, uint64_t phoff, uint64_t offset, uint64_t size)
{
	static const char loader[] = "/lib64/ld-x.so";

	memset(dst, 0, 200);
	memcpy(dst, ELFMAG, SELFMAG);
	dst[EI_CLASS] = ELFCLASS64;
	store_le16(dst + offsetof(Elf64_Ehdr, e_machine), EM_X86_64);
	store_le64(dst + offsetof(Elf64_Ehdr, e_phoff), phoff);
	store_le16(dst + offsetof(Elf64_Ehdr, e_phnum), 1);
	store_le32(dst + 64, PT_INTERP);
	store_le64(dst + 64 + offsetof(Elf64_Phdr, p_offset), offset);
	store_le64(dst + 64 + offsetof(Elf64_Phdr, p_filesz), size);
	memcpy(dst + 120, loader, sizeof(loader));
	return 120 + sizeof(loader);
}

TEST(a_missing_loader_is_named_and_wild_offsets_are_not_followed)
{
	uint8_t elf[200];
	char why[600];
	size_t len = make_elf(elf, 64, 120, 15);

	CHECK(why_missing(guard_copy(elf, len), len, why, sizeof(why)) && strcmp(why, "its loader '/lib64/ld-x.so' does not exist") == 0, "'%s'", why);
	for (size_t cut = 0; cut < len; cut++)
		(void)why_missing(guard_copy(elf, cut), cut, why, sizeof(why));
	len = make_elf(elf, UINT64_MAX - 8, 120, 15);
	CHECK(!why_missing(guard_copy(elf, len), len, why, sizeof(why)), "header outside");
	len = make_elf(elf, 64, UINT64_MAX, 15);
	CHECK(!why_missing(guard_copy(elf, len), len, why, sizeof(why)), "name outside");
	len = make_elf(elf, 64, 120, UINT64_MAX);
	CHECK(!why_missing(guard_copy(elf, len), len, why, sizeof(why)), "name too long");
}

TEST(formats_are_told_apart)
{
	uint8_t elf[200];
	char why[200];
	size_t len = make_elf(elf, 64, 120, 15);

	CHECK(why_is_text((const uint8_t *)"echo\n", 5) && why_is_text(NULL, 0), "text");
	CHECK(!why_is_text((const uint8_t *)"a\0b", 3) && !why_is_text(elf, len), "binary");
	store_le16(elf + offsetof(Elf64_Ehdr, e_machine), EM_AARCH64);
	why_format(guard_copy(elf, 20), 20, why, sizeof(why));
	CHECK(strstr(why, "another kind of machine"), "'%s'", why);
	elf[EI_CLASS] = ELFCLASS32;
	why_format(guard_copy(elf, 5), 5, why, sizeof(why));
	CHECK(strstr(why, "32-bit"), "'%s'", why);
	why_format(guard_copy(elf, 4), 4, why, sizeof(why));
	CHECK(strstr(why, "ELF"), "'%s'", why);
}

TEST(memory_is_exhausted_only_when_little_is_left_and_code_is_read_again_and_again)
{
	static const struct {
		const char *why;
		uint64_t available_kib, rate;
		bool want;
	} cases[] = {
		{ "healthy", 50000, 0, false },
		{ "a working set of files larger than the memory", 50000, 9000, false },
		{ "full, but at peace", 100, 10, false },
		{ "thrashing", 100, 6000, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct thrash t = { 0 };
		struct thrash_sample s = { .total_kib = 100000, .available_kib = cases[i].available_kib };
		int fired = 0;

		for (int period = 0; period < 7; period++) {
			s.refaults += cases[i].rate;
			fired += thrash_judge(&t, &s);
		}
		CHECK(fired == (cases[i].want ? 2 : 0), "%s: %d times in 7 periods", cases[i].why, fired);
	}
}

TEST(a_moment_of_calm_begins_the_count_anew)
{
	struct thrash t = { 0 };
	struct thrash_sample s = { .total_kib = 100000, .available_kib = 0 };

	for (int period = 0; period < 12; period++) {
		s.refaults += period % 3 == 2 ? 0 : 5000;
		CHECK(!thrash_judge(&t, &s), "period %d", period);
	}
}

TEST(the_kernels_numbers_are_found_in_its_texts)
{
	static const char meminfo[] = "MemTotal:          84092 kB\nMemFree:            1000 kB\nMemAvailable:       1684 kB\n";
	static const char vmstat[] = "nr_free_pages 77\nworkingset_refault_anon 5\nworkingset_refault_file 5853\nworkingset_activate_anon 0\n";
	struct thrash_sample s = { .total_kib = 1 };

	CHECK(!thrash_parse(meminfo, "nr_free_pages 77\n", &s) && !thrash_parse("", vmstat, &s) && !thrash_parse("MemTotal: x\n", vmstat, &s), "nonsense");
	CHECK(s.total_kib == 1, "output clobbered");
	CHECK(thrash_parse(meminfo, vmstat, &s) && s.total_kib == 84092 && s.available_kib == 1684 && s.refaults == 5853, "%lu %lu %lu", s.total_kib,
	      s.available_kib, s.refaults);
}

RUN_TESTS(T(users_are_found_by_name_and_number_with_their_groups), T(users_without_files_are_numbers), T(only_so_many_groups_are_kept),
	  T(defaults_fill_in_what_an_environment_lacks), T(a_missing_interpreter_is_named),
	  T(a_missing_loader_is_named_and_wild_offsets_are_not_followed), T(formats_are_told_apart),
	  T(memory_is_exhausted_only_when_little_is_left_and_code_is_read_again_and_again), T(a_moment_of_calm_begins_the_count_anew),
	  T(the_kernels_numbers_are_found_in_its_texts))
