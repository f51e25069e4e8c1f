/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/fs_ops.c - what a guest's file system driver asks for, against a vhost-user server at native speed, one request after the other:
 *
 *	fs_ops SOCKET
 *
 * The served directory is empty at the beginning and at the end. Prints a line an experiment: NAME OPERATIONS_PER_SECOND P50_US P99_US for
 * files, NAME MB_PER_SECOND for streams. An operation is all requests that one system call costs the kernel when nothing is cached. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front.h"

enum {
	FILES = 2000,
	SMALL = 1024,
	STREAM_BYTES = 256 << 20,
	RANDOM_READS = 20000,
};

struct file {
	uint64_t nodeid, fh;
};

static struct front f;
static uint64_t root = FUSE_ROOT_ID;
static uint64_t took[RANDOM_READS];

/* Appends a string to arguments; returns their length. */
static size_t with_name(void *args, size_t len, const char *name)
{
	memcpy((uint8_t *)args + len, name, strlen(name) + 1);
	return len + strlen(name) + 1;
}

static void expect(const char *what, ssize_t r, bool good)
{
	if (!good)
		vhost_die("%s: %zd (%s)", what, r, r < 0 ? strerror((int)-r) : "short");
}

static int lookup(const char *name, struct file *ret)
{
	uint8_t args[64];
	struct fuse_entry_out e;
	ssize_t r = front_call(&f, FUSE_LOOKUP, root, args, with_name(args, 0, name), 0, &e, sizeof(e), 0);

	if (r == -ENOENT || (r >= 0 && e.nodeid == 0))
		return -ENOENT;
	expect("LOOKUP", r, r == (ssize_t)sizeof(e));
	ret->nodeid = e.nodeid;
	return 0;
}

static void create_file(const char *name, struct file *ret)
{
	struct {
		struct fuse_create_in in;
		char name[64];
	} args = { .in = { .flags = O_RDWR | O_CREAT | O_EXCL, .mode = S_IFREG | 0644 } };
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out;
	ssize_t r = front_call(&f, FUSE_CREATE, root, &args, with_name(&args, sizeof(args.in), name), 0, &out, sizeof(out), 0);

	expect("CREATE", r, r == (ssize_t)sizeof(out));
	*ret = (struct file){ .nodeid = out.e.nodeid, .fh = out.o.fh };
}

static void open_file(struct file *o, uint32_t flags, uint32_t opcode)
{
	const struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	ssize_t r = front_call(&f, opcode, o->nodeid, &in, sizeof(in), 0, &out, sizeof(out), 0);

	expect("OPEN", r, r == (ssize_t)sizeof(out));
	o->fh = out.fh;
}

static void close_file(const struct file *o, uint32_t opcode)
{
	const struct fuse_flush_in flush = { .fh = o->fh };
	const struct fuse_release_in in = { .fh = o->fh };
	ssize_t r;

	if (opcode == FUSE_RELEASE) {
		r = front_call(&f, FUSE_FLUSH, o->nodeid, &flush, sizeof(flush), 0, NULL, 0, 0);
		expect("FLUSH", r, r == 0 || r == -ENOSYS);
	}
	r = front_call(&f, opcode, o->nodeid, &in, sizeof(in), 0, NULL, 0, 0);
	expect("RELEASE", r, r == 0);
}

static void write_at(const struct file *o, uint64_t off, uint32_t len)
{
	const struct fuse_write_in in = { .fh = o->fh, .offset = off, .size = len };
	struct fuse_write_out out;
	ssize_t r = front_call(&f, FUSE_WRITE, o->nodeid, &in, sizeof(in), len, &out, sizeof(out), 0);

	expect("WRITE", r, r == (ssize_t)sizeof(out) && out.size == len);
}

static void read_at(const struct file *o, uint64_t off, uint32_t len, uint32_t want)
{
	const struct fuse_read_in in = { .fh = o->fh, .offset = off, .size = len };
	ssize_t r = front_call(&f, FUSE_READ, o->nodeid, &in, sizeof(in), 0, NULL, 0, len);

	expect("READ", r, r == (ssize_t)want);
}

static void get_attributes(const struct file *o)
{
	const struct fuse_getattr_in in = { 0 };
	struct fuse_attr_out out;
	ssize_t r = front_call(&f, FUSE_GETATTR, o->nodeid, &in, sizeof(in), 0, &out, sizeof(out), 0);

	expect("GETATTR", r, r == (ssize_t)sizeof(out));
}

/* ---- Experiments on many small files: one operation on file @i ---- */

static void small_create(const char *name)
{
	struct file o;

	expect("LOOKUP of what is not there", 0, lookup(name, &o) == -ENOENT);
	create_file(name, &o);
	write_at(&o, 0, SMALL);
	close_file(&o, FUSE_RELEASE);
	front_forget(&f, o.nodeid);
}

static void small_stat(const char *name)
{
	struct file o;

	expect("LOOKUP", 0, lookup(name, &o) == 0);
	get_attributes(&o);
	front_forget(&f, o.nodeid);
}

static void small_read(const char *name)
{
	struct file o;

	expect("LOOKUP", 0, lookup(name, &o) == 0);
	open_file(&o, O_RDONLY, FUSE_OPEN);
	read_at(&o, 0, FRONT_PAGE, SMALL);
	close_file(&o, FUSE_RELEASE);
	front_forget(&f, o.nodeid);
}

static void small_delete(const char *name)
{
	uint8_t args[64];
	struct file o;
	ssize_t r;

	expect("LOOKUP", 0, lookup(name, &o) == 0);
	r = front_call(&f, FUSE_UNLINK, root, args, with_name(args, 0, name), 0, NULL, 0, 0);
	expect("UNLINK", r, r == 0);
	front_forget(&f, o.nodeid);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *name, unsigned count, uint64_t ns)
{
	qsort(took, count, sizeof(took[0]), by_value);
	printf("%s %.0f %.1f %.1f\n", name, count * 1e9 / (double)ns, (double)took[count / 2] / 1e3, (double)took[count * 99ull / 100] / 1e3);
}

static void small_files(const char *name, void (*operation)(const char *name))
{
	uint64_t start = vhost_now_ns(), t = start;
	char file[32];

	for (unsigned i = 0; i < FILES; i++) {
		uint64_t begun = t;

		(void)snprintf(file, sizeof(file), "file-%06u", i);
		operation(file);
		t = vhost_now_ns();
		took[i] = t - begun;
	}
	report(name, FILES, t - start);
}

/* ---- A directory ---- */

static void list_once(void)
{
	struct file dir = { .nodeid = root };
	struct fuse_read_in in = { .size = 32 << 10 };
	unsigned entries = 0;
	ssize_t r;

	open_file(&dir, O_RDONLY | O_DIRECTORY, FUSE_OPENDIR);
	in.fh = dir.fh;
	while ((r = front_call(&f, FUSE_READDIRPLUS, root, &in, sizeof(in), 0, NULL, 0, in.size)) > 0) {
		for (size_t at = 0; at + sizeof(struct fuse_direntplus) <= (size_t)r;) {
			struct fuse_direntplus *e = (struct fuse_direntplus *)(f.data + at);

			at += FUSE_DIRENTPLUS_SIZE(e);
			in.offset = e->dirent.off;
			entries++;
		}
	}
	expect("READDIRPLUS", r, r == 0 && entries >= FILES);
	close_file(&dir, FUSE_RELEASEDIR);
}

static void listing(void)
{
	enum { TIMES = 20 };
	uint64_t start = vhost_now_ns(), t = start;

	for (unsigned i = 0; i < TIMES; i++) {
		uint64_t begun = t;

		list_once();
		t = vhost_now_ns();
		took[i] = t - begun;
	}
	report("list", TIMES, t - start);
}

/* ---- One large file ---- */

static void stream(const char *name, const struct file *o, bool out)
{
	uint64_t start = vhost_now_ns();

	for (uint64_t at = 0; at < STREAM_BYTES; at += FRONT_DATA_BYTES) {
		if (out)
			write_at(o, at, FRONT_DATA_BYTES);
		else
			read_at(o, at, FRONT_DATA_BYTES, FRONT_DATA_BYTES);
	}
	printf("%s %.0f\n", name, STREAM_BYTES * 1e3 / (double)(vhost_now_ns() - start));
}

static void random_reads(const struct file *o)
{
	uint64_t start = vhost_now_ns(), t = start, x = 88172645463325252u;

	for (unsigned i = 0; i < RANDOM_READS; i++) {
		uint64_t begun = t;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		read_at(o, x % (STREAM_BYTES / FRONT_PAGE) * FRONT_PAGE, FRONT_PAGE, FRONT_PAGE);
		t = vhost_now_ns();
		took[i] = t - begun;
	}
	report("random_read", RANDOM_READS, t - start);
}

static void large_file(void)
{
	struct file o;

	expect("LOOKUP of what is not there", 0, lookup("large", &o) == -ENOENT);
	create_file("large", &o);
	stream("write", &o, true);
	stream("read", &o, false);
	random_reads(&o);
	close_file(&o, FUSE_RELEASE);
	small_delete("large");
}

/* Our device shows its mounts as the directories "0", "1", ... of its root; virtiofsd has its one mount there. */
static void find_root(void)
{
	struct file first;

	if (lookup("0", &first) == 0)
		root = first.nodeid;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: fs_ops SOCKET\n");
		return 2;
	}
	front_open(&f, argv[1]);
	find_root();
	small_files("create", small_create);
	small_files("stat", small_stat);
	small_files("read_small", small_read);
	listing();
	small_files("delete", small_delete);
	large_file();
	front_close(&f);
	return 0;
}
