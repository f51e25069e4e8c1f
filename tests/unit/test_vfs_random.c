/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random operations on the file system in memory: the bytes of files against a model that is an array, and everything else against a tmpfs of
 * the machine, which gets the same steps as system calls. RANDOM_SEED=n and RANDOM_ROUNDS=n search further than the suite does. */
#include "vfs/mem.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"
#include "vfsops.h"
#include "vfsworld.h"

static uint64_t state;

static uint64_t rnd(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

static uint64_t setting(const char *name, uint64_t standard)
{
	const char *text = getenv(name);
	uint64_t value = standard;

	if (text)
		CHECK(parse_u64(text, 1000000, &value), "%s='%s'", name, text);
	return value;
}

static struct vfs *new_mem(uint64_t bytes, uint64_t inodes)
{
	const struct mem_config c = { .max_bytes = bytes, .max_inodes = inodes, .root_mode = 0755 };
	struct vfs *fs = NULL;

	CHECK(mem_create(&c, &fs) == 0, "mem_create");
	return fs;
}

/* ------------------------------------------------------------------ bytes */

enum { MODEL = 300 << 10, LONGEST = 40 << 10, PAGE = 4096 };

/* A file and what it should hold: zeros behind its size. */
struct model {
	uint8_t byte[MODEL];
	bool data[MODEL / PAGE + 1]; /* pages that were written to since they were holes */
	bool paid[MODEL / PAGE + 1]; /* pages that take room */
	uint64_t size;
	uint64_t base; /* where in the file the model lies */
	struct vfile *f;
};

static uint64_t any_off(void)
{
	return rnd(4) ? rnd(MODEL) : rnd(MODEL / PAGE) * PAGE;
}

static uint64_t any_len(uint64_t off)
{
	uint64_t len = rnd(3) ? rnd(LONGEST) : rnd(8) * PAGE;

	return MIN(len, MODEL - off);
}

static uint64_t used_pages(struct vfs *fs)
{
	struct vfs_statfs sf;

	CHECK(vo_statfs(fs, &sf) == 0, "statfs");
	return sf.blocks - sf.bfree;
}

static void check_model(const struct model *m)
{
	static uint8_t got[MODEL];
	uint64_t off = rnd(2) ? 0 : any_off(), len = off ? any_len(off) : MODEL, want = off < m->size ? MIN(len, m->size - off) : 0;
	ssize_t n = vo_pread(m->f, got, len, m->base + off);
	struct vattr a;
	uint64_t pages = 0;

	CHECK(n == (ssize_t)want, "read %zd of %llu at %llu", n, (unsigned long long)want, (unsigned long long)off);
	for (uint64_t i = 0; memcmp(got, m->byte + off, want) != 0 && i < want; i++)
		CHECK(got[i] == m->byte[off + i], "byte %llu", (unsigned long long)(off + i));
	for (uint64_t i = 0; i < ARRAY_LEN(m->paid); i++)
		pages += m->paid[i];
	CHECK(vo_fstat(m->f, &a) == 0 && a.size == m->base + m->size && a.blocks == pages * 8, "size %llu, %llu blocks, want %llu and %llu",
	      (unsigned long long)a.size, (unsigned long long)a.blocks, (unsigned long long)(m->base + m->size), (unsigned long long)pages * 8);
}

static void check_seek(const struct model *m)
{
	uint64_t off = any_off(), page = off / PAGE;
	bool data = rnd(2);
	int64_t got = vo_lseek(m->f, m->base + off, data ? SEEK_DATA : SEEK_HOLE), want;

	while (page * PAGE < m->size && m->data[page] != data)
		page++;
	want = (int64_t)MAX(off, page * PAGE);
	if (off >= m->size || (data && (uint64_t)want >= m->size))
		want = -ENXIO;
	else
		want = (int64_t)(m->base + MIN((uint64_t)want, m->size));
	CHECK(got == want, "seek %s from %llu: %lld, want %lld", data ? "data" : "hole", (unsigned long long)off, (long long)got, (long long)want);
}

/* @n bytes at @off were written to the file. */
static void model_wrote(struct model *m, uint64_t off, const uint8_t *bytes, uint64_t n)
{
	if (n == 0)
		return;
	memcpy(m->byte + off, bytes, n);
	for (uint64_t i = off / PAGE; i <= (off + n - 1) / PAGE; i++)
		m->data[i] = m->paid[i] = true;
	m->size = MAX(m->size, off + n);
}

static void do_write(struct model *m, uint64_t off, uint64_t len)
{
	static uint8_t bytes[MODEL + sizeof(uint64_t)];
	ssize_t n;

	for (uint64_t i = 0; i < len; i += sizeof(uint64_t)) {
		const uint64_t word = rnd(UINT64_MAX) | UINT64_C(0x0101010101010101);

		memcpy(bytes + i, &word, sizeof(word)); /* no zeros: those are holes */
	}
	n = vo_pwrite(m->f, bytes, len, m->base + off);
	CHECK(n == -ENOSPC || (n >= 0 && (uint64_t)n <= len), "write: %zd", n);
	model_wrote(m, off, bytes, n > 0 ? (uint64_t)n : 0);
}

static void do_truncate(struct model *m, uint64_t size)
{
	CHECK(vo_ftruncate(m->f, m->base + size) == 0, "truncate");
	if (size <= m->size) {
		memset(m->byte + size, 0, MODEL - size);
		for (uint64_t i = (size + PAGE - 1) / PAGE; i < ARRAY_LEN(m->data); i++)
			m->data[i] = m->paid[i] = false;
	}
	m->size = size;
}

static void do_allocate(struct model *m, uint64_t off, uint64_t len)
{
	bool zero = rnd(2), keep = rnd(2);
	uint32_t mode = (zero ? FALLOC_FL_ZERO_RANGE : 0) | (keep ? FALLOC_FL_KEEP_SIZE : 0);
	int r = vo_fallocate(m->f, mode, m->base + off, len);

	if (r == -ENOSPC)
		return;
	CHECK(len ? r == 0 : r == -EINVAL, "fallocate %u: %d", mode, r);
	if (r < 0)
		return;
	for (uint64_t i = off / PAGE; i <= (off + len - 1) / PAGE; i++) {
		m->paid[i] = true;
		if (zero && i * PAGE >= off && (i + 1) * PAGE <= off + len)
			m->data[i] = false;
	}
	if (zero)
		memset(m->byte + off, 0, len);
	if (!keep)
		m->size = MAX(m->size, off + len);
}

static void model_punched(struct model *m, uint64_t off, uint64_t len)
{
	memset(m->byte + off, 0, len);
	for (uint64_t i = (off + PAGE - 1) / PAGE; (i + 1) * PAGE <= off + len; i++)
		m->data[i] = m->paid[i] = false;
}

static void do_punch(struct model *m, uint64_t off, uint64_t len)
{
	int r = vo_fallocate(m->f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, m->base + off, len);

	CHECK(len ? r == 0 : r == -EINVAL, "punch: %d", r);
	if (r == 0)
		model_punched(m, off, len);
}

/* Piece by piece, as the pages of both ends lie: holes stay holes. */
static void do_copy(struct model *from, uint64_t off, struct model *to, uint64_t off2)
{
	uint64_t wish = any_len(off), len = MIN(wish, MODEL - off2), left = off < from->size ? MIN(len, from->size - off) : 0;
	bool overlaps = from == to && off < off2 + left && off2 < off + left;
	ssize_t n = vo_copy(from->f, from->base + off, to->f, to->base + off2, len);

	if (n == -ENOSPC && left > 0)
		return;
	if (overlaps) {
		CHECK(n == -EINVAL, "overlapping copy: %zd", n);
		return;
	}
	CHECK(n >= 0 && (uint64_t)n <= left, "copy %llu: %zd", (unsigned long long)left, n);
	for (uint64_t done = 0, step; done < (uint64_t)n; done += step) {
		uint64_t a = off + done, b = off2 + done;

		step = MIN(MIN(PAGE - a % PAGE, PAGE - b % PAGE), (uint64_t)n - done);
		if (from->data[a / PAGE])
			model_wrote(to, b, from->byte + a, step);
		else
			model_punched(to, b, step);
		to->size = MAX(to->size, b + step);
	}
}

static void random_bytes(uint64_t max_bytes, uint64_t base, unsigned rounds)
{
	static struct model model[2];
	struct vfs *fs = new_mem(max_bytes, 10);
	uint64_t pages;

	for (unsigned i = 0; i < 2; i++) {
		model[i] = (struct model){ .base = base };
		CHECK(vo_create(fs, i ? "b" : "a", 0644, O_RDWR, &model[i].f) == 0, "create");
		CHECK(vo_ftruncate(model[i].f, base) == 0, "base");
	}
	for (unsigned i = 0; i < rounds; i++) {
		struct model *m = &model[rnd(2)];
		uint64_t off = any_off(), len = any_len(off);

		switch (rnd(8)) {
		case 0:
			do_truncate(m, rnd(5) ? off : 0);
			break;
		case 1:
			do_allocate(m, off, len);
			break;
		case 2:
			do_punch(m, off, len);
			break;
		case 3:
			do_copy(m, off, &model[rnd(2)], any_off());
			break;
		case 4:
			check_seek(m);
			break;
		default:
			do_write(m, off, len);
			break;
		}
		check_model(m);
	}
	pages = 0;
	for (unsigned i = 0; i < 2; i++)
		for (uint64_t k = 0; k < ARRAY_LEN(model[i].paid); k++)
			pages += model[i].paid[k];
	CHECK(used_pages(fs) == pages, "%llu pages are counted, want %llu", (unsigned long long)used_pages(fs), (unsigned long long)pages);
	vfile_free(model[0].f);
	vfile_free(model[1].f);
	vfs_free(fs);
}

TEST(files_hold_what_was_written_to_them)
{
	uint64_t seed = setting("RANDOM_SEED", 1), rounds = setting("RANDOM_ROUNDS", 6);

	test_timeout((unsigned)(60 + 2 * rounds));
	for (uint64_t i = seed; i < seed + rounds; i++) {
		state = i * UINT64_C(0x9e3779b97f4a7c15);
		random_bytes(16 << 20, 0, 3000);
		random_bytes(16 << 20, UINT64_C(5) << 30, 1500);
		random_bytes(16 << 20, (UINT64_C(1) << 62) - 8192, 1500);
		random_bytes(200 << 10, 0, 3000); /* it is often full */
	}
}

/* ------------------------------------------------------------------ names */

enum { FILES = 5 };

struct both {
	struct world ours, real;
	bool allocates; /* with fallocate(), or with SEEK_HOLE: whether what was allocated is a hole depends on tmpfs's version */
	bool open[FILES];
	uint32_t flags[FILES];
	char path[2][40];
};

static const char *any_path(char path[40])
{
	static const char *const names[] = { "a", "b", "c", "d", "ee" };
	size_t at = 0;

	for (uint64_t i = 1 + rnd(3); i > 0; i--)
		at += (size_t)snprintf(path + at, 40 - at, "%s%s", at ? "/" : "", names[rnd(ARRAY_LEN(names))]);
	return path;
}

static uint32_t any_mode(void)
{
	return (uint32_t)rnd(01000) | (rnd(4) ? 0 : S_ISGID) | (rnd(8) ? 0 : S_ISVTX);
}

/* A step that works on an open file, or closes it. Copying is not among them: the kernel writes what ours leaves a hole. */
static bool file_step(struct both *b, struct step *s)
{
	static const uint32_t modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE };

	s->f = (unsigned)rnd(FILES);
	if (!b->open[s->f])
		return false;
	s->x = rnd(3) ? rnd(30000) : rnd(8) * 4096;
	s->y = rnd(20000);
	switch (rnd(9)) {
	case 0:
		s->code = S_FTRUNCATE;
		break;
	case 1:
		s->code = S_FALLOCATE;
		s->z = modes[b->allocates ? rnd(3) : 2];
		break;
	case 2:
		s->code = b->allocates ? S_READ : S_SEEK;
		s->z = rnd(2) ? SEEK_DATA : SEEK_HOLE;
		break;
	case 3:
		s->code = S_FLINK;
		s->b = any_path(b->path[1]);
		break;
	case 4:
		s->code = S_CLOSE;
		b->open[s->f] = false;
		break;
	case 5:
		s->code = S_FSTAT;
		break;
	case 6:
		s->code = S_READ;
		break;
	default:
		s->code = S_WRITE;
		s->z = rnd(1000);
		break;
	}
	return true;
}

static void open_step(struct both *b, struct step *s)
{
	static const uint32_t flags[] = { O_RDONLY, O_RDWR, O_RDWR, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND };
	static const uint32_t how[] = { 0, 0, O_CREAT, O_CREAT | O_EXCL, O_CREAT };
	bool tmp = rnd(6) == 0;

	s->code = tmp ? S_TMPFILE : S_OPEN;
	s->f = (unsigned)rnd(FILES);
	s->x = tmp ? O_RDWR | (rnd(3) ? 0 : O_EXCL) : flags[rnd(ARRAY_LEN(flags))] | how[rnd(ARRAY_LEN(how))];
	s->y = any_mode() & ~(uint32_t)S_ISGID;
	if (b->open[s->f]) {
		s->code = S_CLOSE;
		b->open[s->f] = false;
	}
}

static bool name_step(struct both *b, struct step *s)
{
	static const uint32_t kinds[] = { S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR };
	static const uint32_t how[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE };

	s->a = any_path(b->path[0]);
	switch (rnd(16)) {
	case 0:
	case 1:
	case 2:
		s->code = S_MKDIR;
		s->x = any_mode();
		break;
	case 3:
		s->code = S_RMDIR;
		break;
	case 4:
		s->code = S_UNLINK;
		break;
	case 5:
	case 6:
	case 7:
		s->code = S_RENAME;
		s->b = any_path(b->path[1]);
		s->x = how[rnd(ARRAY_LEN(how))];
		break;
	case 8:
		s->code = S_LINK;
		s->b = any_path(b->path[1]);
		break;
	case 9:
		s->code = rnd(2) ? S_SYMLINK : S_READLINK;
		s->b = any_path(b->path[1]);
		break;
	case 10:
		s->code = S_MKNOD;
		s->x = kinds[rnd(ARRAY_LEN(kinds))] | any_mode();
		s->y = 0x103;
		break;
	case 11:
		s->code = rnd(2) ? S_TRUNCATE : S_CHMOD;
		s->x = rnd(10000);
		break;
	case 12:
		s->code = S_CHOWN;
		s->x = rnd(3) ? rnd(5) : UINT32_MAX;
		s->y = rnd(3) ? rnd(5) : UINT32_MAX;
		break;
	case 13:
		s->code = rnd(2) ? S_LIST : S_STAT;
		break;
	default:
		open_step(b, s);
		break;
	}
	return true;
}

/* The kernel's own decisions, which it makes before it asks a file system: modes of links, opening what is no file, truncating what was
 * opened to read. */
static bool kernels_own(struct both *b, const struct step *s)
{
	struct step look = { .code = S_STAT, .a = s->a };
	bool there = s->a && s->code != S_SYMLINK && world_do(&b->ours, &look) == 0;
	uint32_t type = there ? b->ours.attr.mode & S_IFMT : 0;

	if (s->code == S_FTRUNCATE)
		return (b->flags[s->f] & O_ACCMODE) == O_RDONLY;
	if (s->code == S_CHMOD)
		return type == S_IFLNK;
	if (s->code == S_CHOWN)
		return s->x == UINT32_MAX && s->y == UINT32_MAX;
	if (s->code == S_OPEN)
		return there && type != S_IFREG && type != S_IFDIR;
	return false;
}

static void compare(struct both *b, const struct step *s)
{
	int64_t ours = world_do(&b->ours, s), real = world_do(&b->real, s);

	CHECK(ours == real, "%s: %lld, tmpfs: %lld", step_text(s), (long long)ours, (long long)real);
	if (s->code != S_FTRUNCATE && s->code != S_WRITE)
		CHECK(b->ours.out_len == b->real.out_len && memcmp(b->ours.out, b->real.out, b->ours.out_len) == 0, "%s: '%.*s', tmpfs: '%.*s'",
		      step_text(s), (int)MIN(b->ours.out_len, (size_t)200), (char *)b->ours.out, (int)MIN(b->real.out_len, (size_t)200),
		      (char *)b->real.out);
	if ((s->code == S_OPEN || s->code == S_TMPFILE) && ours == 0) {
		b->open[s->f] = true;
		b->flags[s->f] = (uint32_t)s->x;
	}
}

static void random_names(unsigned rounds, const char *size, uint64_t bytes, const char *inodes, uint64_t max_inodes)
{
	static char ours[1 << 20], theirs[1 << 20];
	struct vfs *fs = new_mem(bytes, max_inodes);
	static struct both b;

	memset(&b, 0, sizeof(b));
	b.allocates = rnd(2);
	world_init(&b.ours, fs);
	if (!world_init_tmpfs(&b.real, size, inodes))
		SKIP("no tmpfs to compare with");
	for (unsigned i = 0; i < rounds; i++) {
		struct step s = { .code = S_COUNT_ };

		if (!(rnd(2) ? file_step(&b, &s) : name_step(&b, &s)))
			continue;
		if (kernels_own(&b, &s))
			continue;
		compare(&b, &s);
		if (i % 500 == 0 || i == rounds - 1) {
			world_describe(&b.ours, ours, sizeof(ours));
			world_describe(&b.real, theirs, sizeof(theirs));
			CHECK(strcmp(ours, theirs) == 0, "after step %u\nours:\n%.3000s\ntmpfs:\n%.3000s", i, ours, theirs);
		}
	}
	world_done(&b.ours);
	world_done(&b.real);
	vfs_free(fs);
}

TEST(random_operations_end_as_on_tmpfs)
{
	uint64_t seed = setting("RANDOM_SEED", 1), rounds = setting("RANDOM_ROUNDS", 10);

	if (geteuid() != 0)
		SKIP("only root may make devices and give files away");
	test_timeout((unsigned)(60 + 2 * rounds));
	for (uint64_t i = seed; i < seed + rounds; i++) {
		state = i * UINT64_C(0x9e3779b97f4a7c15);
		random_names(5000, "64m", 64 << 20, "1000", 1000);
	}
}

TEST(random_operations_on_a_full_file_system_end_as_on_tmpfs)
{
	uint64_t seed = setting("RANDOM_SEED", 1), rounds = setting("RANDOM_ROUNDS", 10);

	if (geteuid() != 0)
		SKIP("only root may make devices and give files away");
	test_timeout((unsigned)(60 + 2 * rounds));
	for (uint64_t i = seed; i < seed + rounds; i++) {
		state = i * UINT64_C(0x9e3779b97f4a7c15);
		random_names(5000, "64k", 64 << 10, "12", 12);
	}
}

RUN_TESTS(T(files_hold_what_was_written_to_them), T(random_operations_end_as_on_tmpfs),
	  T(random_operations_on_a_full_file_system_end_as_on_tmpfs))
