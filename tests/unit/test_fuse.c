/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The FUSE server over file systems in memory: what an honest guest does, and that replies are what its kernel expects to the byte. */
#include "fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fuserig.h"
#include "proto/schema.h"
#include "../test.h"

enum { DAY = 86400 };

/* Calls whose arguments are a structure, with or without a name behind it. */
#define CALL(g, op, node, in, ret, room) fuse_call(g, op, node, &(in), sizeof(in), ret, room)

static int call_name(struct fuserig *g, uint32_t op, uint64_t node, const void *in, size_t len, const char *name, void *ret, size_t room)
{
	uint8_t raw[1024];

	memcpy(raw, in, len);
	memcpy(raw + len, name, strlen(name) + 1);
	return fuse_call(g, op, node, raw, len + strlen(name) + 1, ret, room);
}

static int unlink_name(struct fuserig *g, uint64_t dir, const char *name)
{
	return fuse_call(g, FUSE_UNLINK, dir, name, strlen(name) + 1, NULL, 0);
}

static uint32_t nodes_of(struct fuserig *g)
{
	struct fuse_stats st;

	fuse_get_stats(g->s, &st);
	return st.nodes;
}

/* ---- INIT ---- */

static int init(struct fuserig *g, uint32_t major, uint32_t minor, uint32_t flags, uint32_t flags2, struct fuse_init_out *ret)
{
	struct fuse_init_in in = { .major = major, .minor = minor, .max_readahead = 131072, .flags = flags, .flags2 = flags2 };

	return CALL(g, FUSE_INIT, 0, in, ret, sizeof(*ret));
}

TEST(init_agrees_on_what_serves_all_mounts)
{
	const uint32_t always = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
				FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 |
				FUSE_SETXATTR_EXT | FUSE_INIT_EXT;
	struct fuse_init_out out;
	struct fuserig g;

	fuserig_up(&g, 2);
	CHECK(init(&g, 7, 41, 0x7fffffff, UINT32_MAX, &out) == sizeof(out), "INIT");
	CHECK(out.major == 7 && out.minor == FUSE_KERNEL_MINOR_VERSION && out.max_readahead == 131072, "%u.%u", out.major, out.minor);
	CHECK(out.flags == (always | FUSE_AUTO_INVAL_DATA) && out.flags2 == 1 << 4, "flags %x, %x", out.flags, out.flags2);
	CHECK(out.max_write == 1 << 20 && out.max_pages == 256 && out.time_gran == 1 && out.max_background > 0, "limits");
	CHECK(init(&g, 7, 31, FUSE_ASYNC_READ, UINT32_MAX, &out) == sizeof(out) && out.minor == 31, "an older kernel");
	CHECK(out.flags == FUSE_ASYNC_READ && out.flags2 == 0, "what was not offered: %x, %x", out.flags, out.flags2);
	CHECK(init(&g, 7, 30, 0, 0, &out) == -EPROTO && init(&g, 6, 99, 0, 0, &out) == -EPROTO, "too old");
	CHECK(init(&g, 8, 0, 0, 0, &out) == sizeof(out) && out.major == 7 && out.flags == 0, "too new: it asks again");
	fuserig_down(&g);
}

TEST(only_private_mounts_get_a_cache_that_writes_back)
{
	const uint32_t private = FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS;
	struct fuse_init_out out;
	struct fuserig g;

	fuserig_up(&g, 2);
	fuse_session_free(g.s);
	g.mount[0].cache = FUSE_CACHE_ALWAYS;
	fuserig_start(&g);
	CHECK(init(&g, 7, 41, 0x7fffffff, 0, &out) > 0 && !(out.flags & private) && (out.flags & FUSE_AUTO_INVAL_DATA), "one of two");
	fuse_session_free(g.s);
	g.mount[1].cache = FUSE_CACHE_ALWAYS;
	fuserig_start(&g);
	CHECK(init(&g, 7, 41, 0x7fffffff, 0, &out) > 0 && (out.flags & private) == private && !(out.flags & FUSE_AUTO_INVAL_DATA), "both");
	fuserig_down(&g);
}

TEST(a_cache_that_writes_back_reads_what_it_writes_and_knows_the_end)
{
	struct fuse_entry_out e;
	struct fuserig g;
	uint64_t fh;
	char c;

	fuserig_up(&g, 1);
	fuse_session_free(g.s);
	g.mount[0].cache = FUSE_CACHE_ALWAYS;
	fuserig_start(&g);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_WRONLY | O_APPEND, &e, &fh) == 0 && rig_write(&g, e.nodeid, fh, 0, "abc", 3) == 3, "create");
	CHECK(rig_write(&g, e.nodeid, fh, 1, "x", 1) == 1 && rig_read(&g, e.nodeid, fh, 1, &c, 1) == 1 && c == 'x', "got %c", c);
	fuserig_down(&g);
}

TEST(nothing_is_served_before_init)
{
	struct fuserig g;
	struct fuse_entry_out e;

	fuserig_up(&g, 1);
	CHECK(rig_lookup(&g, FUSE_ROOT_ID, "0", &e) == -EIO, "lookup");
	fuserig_init(&g);
	CHECK(rig_lookup(&g, FUSE_ROOT_ID, "0", &e) == 0, "lookup");
	CHECK(fuse_call(&g, FUSE_DESTROY, 0, NULL, 0, NULL, 0) == 0 && rig_lookup(&g, FUSE_ROOT_ID, "0", &e) == -EIO, "after DESTROY");
	fuserig_down(&g);
}

/* ---- Node 1 ---- */

TEST(the_root_has_an_entry_for_each_mount_and_takes_no_other)
{
	struct fuse_read_in list = { .size = 4096 };
	struct fuse_getattr_in get = { 0 };
	struct fuse_statfs_out st;
	struct fuse_attr_out attr;
	struct fuse_entry_out e;
	struct fuserig g;
	uint8_t raw[4096];
	uint64_t fh;

	fuserig_up(&g, 3);
	fuserig_init(&g);
	CHECK(CALL(&g, FUSE_GETATTR, FUSE_ROOT_ID, get, &attr, sizeof(attr)) == sizeof(attr) && attr.attr.mode == (S_IFDIR | 0555) && attr.attr.nlink == 5 && attr.attr.ino == 1, "attributes");
	for (unsigned i = 0; i < 3; i++)
		CHECK(rig_root(&g, i) > 1, "mount %u", i);
	CHECK(rig_lookup(&g, FUSE_ROOT_ID, "2", &e) == 0 && e.attr.flags == FUSE_ATTR_SUBMOUNT && e.entry_valid == DAY && S_ISDIR(e.attr.mode), "a mount");
	CHECK(rig_lookup(&g, FUSE_ROOT_ID, "3", &e) == -ENOENT && rig_lookup(&g, FUSE_ROOT_ID, "00", &e) == -ENOENT && rig_lookup(&g, FUSE_ROOT_ID, "x", &e) == -ENOENT, "no mount");
	CHECK(rig_opendir(&g, FUSE_ROOT_ID, &fh) == 0, "opendir");
	CHECK(CALL(&g, FUSE_READDIR, FUSE_ROOT_ID, list, raw, sizeof(raw)) == 5 * 32, "readdir");
	for (unsigned i = 0; i < 5; i++) {
		static const char *const names[] = { ".", "..", "0", "1", "2" };
		struct fuse_dirent d;

		memcpy(&d, raw + 32ul * i, FUSE_NAME_OFFSET);
		CHECK(d.off == i + 1 && d.type == 4 && d.namelen == strlen(names[i]) && memcmp(raw + 32ul * i + 24, names[i], d.namelen) == 0, "entry %u", i);
	}
	list.offset = 4;
	CHECK(CALL(&g, FUSE_READDIRPLUS, FUSE_ROOT_ID, list, raw, sizeof(raw)) == 128 + 32 && raw[0] == 0, "the last, without a node");
	list.offset = 5;
	CHECK(CALL(&g, FUSE_READDIR, FUSE_ROOT_ID, list, raw, sizeof(raw)) == 0, "the end");
	CHECK(rig_release(&g, FUSE_ROOT_ID, fh, true) == 0, "releasedir");
	CHECK(CALL(&g, FUSE_STATFS, FUSE_ROOT_ID, get, &st, sizeof(st)) == sizeof(st) && st.st.namelen == 255, "statfs");
	CHECK(rig_mkdir(&g, FUSE_ROOT_ID, "x", &e) == -EROFS && rig_create(&g, FUSE_ROOT_ID, "x", O_RDWR, &e, &fh) == -EROFS && unlink_name(&g, FUSE_ROOT_ID, "0") == -EROFS, "read-only");
	rig_forget(&g, FUSE_ROOT_ID, 100);
	rig_forget(&g, rig_root(&g, 0), 2);
	CHECK(rig_lookup(&g, FUSE_ROOT_ID, "0", &e) == 0 && nodes_of(&g) == 4, "mounts stay");
	fuserig_down(&g);
}

TEST(without_submounts_the_roots_of_mounts_are_ordinary_directories)
{
	struct fuse_init_out out;
	struct fuse_entry_out e;
	struct fuserig g;

	fuserig_up(&g, 1);
	CHECK(init(&g, 7, 41, 0x7fffffff & ~(uint32_t)FUSE_SUBMOUNTS, 0, &out) > 0, "INIT");
	CHECK(rig_lookup(&g, FUSE_ROOT_ID, "0", &e) == 0 && e.attr.flags == 0 && rig_mkdir(&g, e.nodeid, "x", &e) == 0, "lookup");
	fuserig_down(&g);
}

/* ---- Names and objects ---- */

TEST(a_file_is_created_written_read_and_found_again)
{
	struct fuse_entry_out e, again;
	struct fuse_open_out open;
	char text[6] = "";
	uint64_t root, fh;
	struct fuserig g;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	g.uid = 1000;
	g.gid = 100;
	root = rig_root(&g, 0);
	CHECK(rig_create(&g, root, "file", O_RDWR | O_EXCL, &e, &fh) == 0, "create");
	CHECK(e.attr.mode == (S_IFREG | 0644) && e.attr.nlink == 1 && e.attr.size == 0 && e.nodeid != root && e.attr.uid == 1000 && e.attr.gid == 100, "mode %o", e.attr.mode);
	CHECK(rig_create(&g, root, "file", O_RDWR | O_EXCL, &again, &fh) == -EEXIST, "exclusively");
	CHECK(rig_write(&g, e.nodeid, fh, 0, "hello", 5) == 5, "write");
	CHECK(rig_read(&g, e.nodeid, fh, 0, text, 5) == 5 && strcmp(text, "hello") == 0, "read '%s'", text);
	CHECK(rig_read(&g, e.nodeid, fh, 3, text, 5) == 2 && memcmp(text, "lo", 2) == 0, "the end");
	CHECK(rig_read(&g, e.nodeid, fh, 5, text, 5) == 0, "behind the end");
	CHECK(rig_release(&g, e.nodeid, fh, false) == 0, "release");
	CHECK(rig_lookup(&g, root, "file", &again) == 0 && again.nodeid == e.nodeid && again.attr.size == 5 && again.attr.ino == e.attr.ino, "lookup");
	CHECK(rig_open(&g, e.nodeid, O_RDONLY, &open) == 0 && rig_read(&g, e.nodeid, open.fh, 0, text, 5) == 5, "open");
	CHECK(rig_write(&g, e.nodeid, open.fh, 0, "x", 1) == -EBADF, "writing to what is open for reading");
	CHECK(rig_open(&g, e.nodeid, O_WRONLY | O_TRUNC, &open) == 0 && rig_read(&g, e.nodeid, open.fh, 0, text, 5) == -EBADF, "reading what is open for writing");
	CHECK(rig_getattr(&g, e.nodeid, &again.attr) == 0 && again.attr.size == 0, "truncated");
	fuserig_down(&g);
}

TEST(hard_links_and_repeated_lookups_are_one_node)
{
	struct fuse_link_in link = { 0 };
	struct fuse_entry_out e, l;
	uint64_t root, fh;
	struct fuserig g;

	fuserig_up(&g, 2);
	fuserig_init(&g);
	root = rig_root(&g, 0);
	CHECK(rig_create(&g, root, "file", O_RDWR, &e, &fh) == 0, "create");
	link.oldnodeid = e.nodeid;
	CHECK(call_name(&g, FUSE_LINK, root, &link, sizeof(link), "second", &l, sizeof(l)) == sizeof(l) && l.nodeid == e.nodeid && l.attr.nlink == 2, "link");
	CHECK(rig_lookup(&g, root, "file", &l) == 0 && l.nodeid == e.nodeid, "lookup");
	CHECK(call_name(&g, FUSE_LINK, rig_root(&g, 1), &link, sizeof(link), "x", &l, sizeof(l)) == -EXDEV, "link to another mount");
	link.oldnodeid = root;
	CHECK(call_name(&g, FUSE_LINK, root, &link, sizeof(link), "x", &l, sizeof(l)) == -EPERM, "link to a directory");
	link.oldnodeid = FUSE_ROOT_ID;
	CHECK(call_name(&g, FUSE_LINK, root, &link, sizeof(link), "x", &l, sizeof(l)) == -EXDEV, "link to the root");
	/* Three lookups: create, link, lookup. */
	rig_forget(&g, e.nodeid, 2);
	CHECK(rig_getattr(&g, e.nodeid, &l.attr) == 0, "still known");
	rig_forget(&g, e.nodeid, 1);
	CHECK(rig_getattr(&g, e.nodeid, &l.attr) == -ESTALE, "forgotten");
	CHECK(rig_lookup(&g, root, "second", &l) == 0 && l.nodeid != e.nodeid, "a new life has a new number");
	fuserig_down(&g);
}

TEST(every_kind_of_object_can_be_made)
{
	char target[VFS_PATH_MAX + 2] = "dir/../x", got[4096];
	struct fuse_mknod_in mk = { .mode = S_IFIFO | 0600 };
	uint8_t raw[sizeof(target) + 8] = "link";
	struct fuse_entry_out e;
	struct fuserig g;
	uint64_t root;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	root = rig_root(&g, 0);
	CHECK(rig_mkdir(&g, root, "dir", &e) == 0 && e.attr.mode == (S_IFDIR | 0755) && e.attr.nlink == 2, "mkdir");
	CHECK(call_name(&g, FUSE_MKNOD, root, &mk, sizeof(mk), "fifo", &e, sizeof(e)) == sizeof(e) && e.attr.mode == (S_IFIFO | 0600), "fifo");
	mk = (struct fuse_mknod_in){ .mode = S_IFCHR | 0666, .rdev = 0x103 };
	CHECK(call_name(&g, FUSE_MKNOD, root, &mk, sizeof(mk), "null", &e, sizeof(e)) == sizeof(e) && e.attr.rdev == 0x103, "device");
	mk.mode = S_IFREG | 0600;
	CHECK(call_name(&g, FUSE_MKNOD, root, &mk, sizeof(mk), "file", &e, sizeof(e)) == sizeof(e) && S_ISREG(e.attr.mode), "file");
	mk.mode = S_IFDIR | 0700;
	CHECK(call_name(&g, FUSE_MKNOD, root, &mk, sizeof(mk), "no", &e, sizeof(e)) == -EINVAL, "a directory by MKNOD");
	memset(target, 't', VFS_PATH_MAX);
	memcpy(raw + 5, target, VFS_PATH_MAX + 1);
	CHECK(fuse_call(&g, FUSE_SYMLINK, root, raw, 5 + VFS_PATH_MAX + 1, &e, sizeof(e)) == sizeof(e) && S_ISLNK(e.attr.mode) && e.attr.size == VFS_PATH_MAX, "symlink");
	CHECK(fuse_call(&g, FUSE_READLINK, e.nodeid, NULL, 0, got, 4095) == VFS_PATH_MAX && memcmp(got, target, VFS_PATH_MAX) == 0, "readlink");
	CHECK(fuse_call(&g, FUSE_READLINK, root, NULL, 0, got, 4095) == -EINVAL, "readlink of a directory");
	raw[5 + VFS_PATH_MAX] = 't';
	CHECK(fuse_call(&g, FUSE_SYMLINK, root, raw, 5 + VFS_PATH_MAX + 2, &e, sizeof(e)) < 0, "a target that is too long");
	fuserig_down(&g);
}

TEST(names_are_removed_and_moved)
{
	struct fuse_rename2_in re = { 0 };
	struct fuse_rename_in old = { 0 };
	struct fuse_entry_out d, a, b, e;
	uint8_t raw[64];
	struct fuserig g;
	uint64_t root, fh;

	fuserig_up(&g, 2);
	fuserig_init(&g);
	root = rig_root(&g, 0);
	CHECK(rig_mkdir(&g, root, "d", &d) == 0 && rig_create(&g, d.nodeid, "a", O_RDWR, &a, &fh) == 0 && rig_create(&g, root, "b", O_RDWR, &b, &fh) == 0, "set up");
	CHECK(fuse_call(&g, FUSE_RMDIR, root, "d", 2, NULL, 0) == -ENOTEMPTY && unlink_name(&g, root, "d") == -EISDIR && fuse_call(&g, FUSE_RMDIR, root, "b", 2, NULL, 0) == -ENOTDIR, "errors");
	/* b and d/a change places */
	re = (struct fuse_rename2_in){ .newdir = d.nodeid, .flags = RENAME_EXCHANGE };
	memcpy(raw, &re, sizeof(re));
	memcpy(raw + sizeof(re), "b\0a", 4);
	CHECK(fuse_call(&g, FUSE_RENAME2, root, raw, sizeof(re) + 4, NULL, 0) == 0, "exchange");
	CHECK(rig_lookup(&g, root, "b", &e) == 0 && e.nodeid == a.nodeid && rig_lookup(&g, d.nodeid, "a", &e) == 0 && e.nodeid == b.nodeid, "exchanged");
	re.flags = RENAME_NOREPLACE;
	memcpy(raw, &re, sizeof(re));
	CHECK(fuse_call(&g, FUSE_RENAME2, root, raw, sizeof(re) + 4, NULL, 0) == -EEXIST, "noreplace");
	for (uint32_t flags = 3; flags < 16; flags++) {
		re.flags = flags;
		memcpy(raw, &re, sizeof(re));
		CHECK(fuse_call(&g, FUSE_RENAME2, root, raw, sizeof(re) + 4, NULL, 0) == -EINVAL, "flags %u", flags);
	}
	old.newdir = d.nodeid;
	memcpy(raw, &old, sizeof(old));
	memcpy(raw + sizeof(old), "b\0a", 4);
	CHECK(fuse_call(&g, FUSE_RENAME, root, raw, sizeof(old) + 4, NULL, 0) == 0 && rig_lookup(&g, root, "b", &e) == 0 && e.nodeid == 0, "rename");
	CHECK(rig_lookup(&g, d.nodeid, "a", &e) == 0 && e.nodeid == a.nodeid, "moved");
	old.newdir = rig_root(&g, 1);
	memcpy(raw, &old, sizeof(old));
	memcpy(raw + sizeof(old), "d\0d", 4);
	CHECK(fuse_call(&g, FUSE_RENAME, root, raw, sizeof(old) + 4, NULL, 0) == -EXDEV, "to another mount");
	CHECK(unlink_name(&g, d.nodeid, "a") == 0 && fuse_call(&g, FUSE_RMDIR, root, "d", 2, NULL, 0) == 0, "remove");
	CHECK(rig_read(&g, b.nodeid, fh, 0, raw, 1) == 0, "an open file without a name");
	fuserig_down(&g);
}

TEST(attributes_are_set_one_by_one)
{
	struct fuse_setattr_in set = { .valid = FATTR_MODE, .mode = S_IFREG | 04711 };
	struct fuse_attr_out out;
	struct fuse_entry_out e;
	struct fuserig g;
	uint64_t fh;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &e, &fh) == 0, "create");
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) == sizeof(out) && out.attr.mode == (S_IFREG | 04711) && out.attr_valid == 1, "mode %o", out.attr.mode);
	set = (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_GID, .uid = 5, .gid = 6 };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) > 0 && out.attr.uid == 5 && out.attr.gid == 6, "owner");
	set = (struct fuse_setattr_in){ .valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = UINT64_C(5) << 30 };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) > 0 && out.attr.size == UINT64_C(5) << 30, "size");
	set = (struct fuse_setattr_in){ .valid = FATTR_ATIME | FATTR_MTIME, .atime = 7, .atimensec = 8, .mtime = (uint64_t)-9, .mtimensec = 999999999 };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) > 0 && out.attr.atime == 7 && out.attr.atimensec == 8 && out.attr.mtime == (uint64_t)-9 && out.attr.mtimensec == 999999999, "times");
	set = (struct fuse_setattr_in){ .valid = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW, .atime = 1 };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) > 0 && out.attr.atime > 1000000000, "now is now");
	set = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtimensec = 1000000000 };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) == -EINVAL, "a second of nanoseconds");
	set = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = UINT64_C(1) << 63 };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) == -EINVAL, "a negative size");
	set = (struct fuse_setattr_in){ .valid = FATTR_SIZE };
	CHECK(CALL(&g, FUSE_SETATTR, rig_root(&g, 0), set, &out, sizeof(out)) == -EISDIR, "the size of a directory");
	set = (struct fuse_setattr_in){ .valid = FATTR_CTIME | FATTR_LOCKOWNER };
	CHECK(CALL(&g, FUSE_SETATTR, e.nodeid, set, &out, sizeof(out)) == sizeof(out), "what means nothing to us");
	fuserig_down(&g);
}

/* ---- Files ---- */

TEST(appending_is_the_providers_but_pages_go_where_they_belong)
{
	struct fuse_write_in page = { .offset = 0, .size = 1, .write_flags = FUSE_WRITE_CACHE };
	uint8_t raw[sizeof(page) + 1], text[8];
	struct fuse_write_out out;
	struct fuse_entry_out e;
	struct fuserig g;
	uint64_t fh;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "log", O_RDWR | O_APPEND, &e, &fh) == 0, "create");
	CHECK(rig_write(&g, e.nodeid, fh, 0, "one", 3) == 3 && rig_write(&g, e.nodeid, fh, 0, "two", 3) == 3, "append");
	page.fh = fh;
	memcpy(raw, &page, sizeof(page));
	raw[sizeof(page)] = 'O';
	for (int i = 0; i < 2; i++)
		CHECK(CALL(&g, FUSE_WRITE, e.nodeid, raw, &out, sizeof(out)) == sizeof(out) && out.size == 1, "a mapped page");
	CHECK(rig_read(&g, e.nodeid, fh, 0, text, 8) == 6 && memcmp(text, "Onetwo", 6) == 0, "got %.6s", text);
	CHECK(rig_release(&g, e.nodeid, fh, false) == 0, "release");
	fuserig_down(&g);
}

TEST(a_file_without_a_name_works_and_is_gone_when_it_is_closed)
{
	struct fuse_create_in in = { .flags = O_RDWR, .mode = 0100600 };
	uint8_t both[sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)];
	struct fuse_open_out open;
	struct fuse_entry_out e;
	struct fuserig g;
	char c;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	CHECK(call_name(&g, FUSE_TMPFILE, rig_root(&g, 0), &in, sizeof(in), "/", both, sizeof(both)) == sizeof(both), "tmpfile");
	memcpy(&e, both, sizeof(e));
	memcpy(&open, both + sizeof(e), sizeof(open));
	CHECK(e.attr.nlink == 0 && rig_write(&g, e.nodeid, open.fh, 0, "x", 1) == 1 && rig_read(&g, e.nodeid, open.fh, 0, &c, 1) == 1, "use");
	CHECK(rig_release(&g, e.nodeid, open.fh, false) == 0, "release");
	rig_forget(&g, e.nodeid, 1);
	CHECK(nodes_of(&g) == 2, "%u nodes", nodes_of(&g));
	fuserig_down(&g);
}

TEST(holes_are_found_and_made_and_ranges_copied)
{
	struct fuse_fallocate_in fa = { .offset = 0, .length = 1 << 20 };
	struct fuse_lseek_in seek = { .whence = SEEK_DATA };
	struct fuse_copy_file_range_in copy = { .len = 4096, .off_out = 8192 };
	struct fuse_lseek_out at;
	struct fuse_write_out copied;
	struct fuse_entry_out e, other;
	struct fuserig g;
	uint64_t fh, fh2;
	char c;

	fuserig_up(&g, 2);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &e, &fh) == 0 && rig_create(&g, rig_root(&g, 1), "file", O_RDWR, &other, &fh2) == 0, "create");
	CHECK(rig_write(&g, e.nodeid, fh, 65536, "x", 1) == 1, "write");
	seek.fh = fa.fh = copy.fh_in = copy.fh_out = fh;
	copy.nodeid_out = e.nodeid;
	copy.off_in = 65536 - 100;
	CHECK(CALL(&g, FUSE_LSEEK, e.nodeid, seek, &at, sizeof(at)) == sizeof(at) && at.offset == 65536, "data at %llu", (unsigned long long)at.offset);
	seek.whence = SEEK_HOLE;
	CHECK(CALL(&g, FUSE_LSEEK, e.nodeid, seek, &at, sizeof(at)) == sizeof(at) && at.offset == 0, "hole");
	seek.whence = SEEK_SET;
	CHECK(CALL(&g, FUSE_LSEEK, e.nodeid, seek, &at, sizeof(at)) == -EINVAL, "seeking is the guest kernel's");
	CHECK(CALL(&g, FUSE_COPY_FILE_RANGE, e.nodeid, copy, &copied, sizeof(copied)) == sizeof(copied) && copied.size == 101, "copied %u", copied.size);
	CHECK(rig_read(&g, e.nodeid, fh, 8192 + 100, &c, 1) == 1 && c == 'x', "copied");
	copy.fh_out = fh2;
	copy.nodeid_out = other.nodeid;
	CHECK(CALL(&g, FUSE_COPY_FILE_RANGE, e.nodeid, copy, &copied, sizeof(copied)) == -EXDEV, "to another mount");
	fa.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	CHECK(CALL(&g, FUSE_FALLOCATE, e.nodeid, fa, NULL, 0) == 0 && rig_read(&g, e.nodeid, fh, 65536, &c, 1) == 1 && c == 0, "punch");
	fa.mode = FALLOC_FL_COLLAPSE_RANGE;
	CHECK(CALL(&g, FUSE_FALLOCATE, e.nodeid, fa, NULL, 0) == -EOPNOTSUPP, "collapse");
	fa = (struct fuse_fallocate_in){ .fh = fh, .offset = INT64_MAX, .length = 1 };
	CHECK(CALL(&g, FUSE_FALLOCATE, e.nodeid, fa, NULL, 0) == -EFBIG, "beyond the largest file");
	fuserig_down(&g);
}

TEST(flushing_and_syncing_answer)
{
	struct fuse_flush_in flush = { 0 };
	struct fuse_fsync_in sync = { .fsync_flags = FUSE_FSYNC_FDATASYNC };
	struct fuse_syncfs_in all = { 0 };
	struct fuse_access_in access = { .mask = R_OK | W_OK };
	struct fuse_entry_out e;
	struct fuse_statfs_out st;
	struct fuserig g;
	uint64_t root, fh, dir;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	root = rig_root(&g, 0);
	CHECK(rig_create(&g, root, "file", O_RDWR, &e, &fh) == 0 && rig_opendir(&g, root, &dir) == 0, "create");
	flush.fh = sync.fh = fh;
	CHECK(CALL(&g, FUSE_FLUSH, e.nodeid, flush, NULL, 0) == 0 && CALL(&g, FUSE_FSYNC, e.nodeid, sync, NULL, 0) == 0, "file");
	sync.fh = dir;
	CHECK(CALL(&g, FUSE_FSYNCDIR, root, sync, NULL, 0) == 0 && CALL(&g, FUSE_FSYNC, root, sync, NULL, 0) == -EBADF, "directory");
	CHECK(CALL(&g, FUSE_SYNCFS, root, all, NULL, 0) == 0 && CALL(&g, FUSE_SYNCFS, FUSE_ROOT_ID, all, NULL, 0) == 0, "syncfs");
	CHECK(CALL(&g, FUSE_ACCESS, e.nodeid, access, NULL, 0) == 0, "access");
	access.mask = 8;
	CHECK(CALL(&g, FUSE_ACCESS, e.nodeid, access, NULL, 0) == -EINVAL, "a mask that is none");
	CHECK(fuse_call(&g, FUSE_STATFS, root, NULL, 0, &st, sizeof(st)) == sizeof(st) && st.st.blocks * st.st.bsize == 16 << 20 && st.st.frsize == st.st.bsize && st.st.namelen == 255, "statfs");
	CHECK(rig_release(&g, root, dir, true) == 0, "releasedir");
	fuserig_down(&g);
}

/* ---- Directories ---- */

/* Reads a directory to its end; counts names "n0", "n1", ... in @seen; forgets what it looked up. */
static unsigned list(struct fuserig *g, uint64_t dir, bool plus, uint32_t size, uint8_t *seen, unsigned max)
{
	struct fuse_read_in in = { .size = size };
	unsigned count = 0;
	uint8_t raw[4096];
	int len;

	CHECK(rig_opendir(g, dir, &in.fh) == 0, "opendir");
	while ((len = CALL(g, plus ? FUSE_READDIRPLUS : FUSE_READDIR, dir, in, raw, size)) > 0) {
		for (size_t at = 0; at < (size_t)len; count++) {
			size_t front = plus ? sizeof(struct fuse_entry_out) : 0;
			struct fuse_entry_out e = { 0 };
			struct fuse_dirent d;
			char name[256];

			memcpy(&e, raw + at, front);
			memcpy(&d, raw + at + front, FUSE_NAME_OFFSET);
			CHECK(d.namelen > 0 && d.namelen < sizeof(name), "a name of %u bytes", d.namelen);
			memcpy(name, raw + at + front + FUSE_NAME_OFFSET, d.namelen);
			name[d.namelen] = '\0';
			in.offset = d.off;
			at += front + FUSE_DIRENT_SIZE(&d);
			if (name[0] == '.') {
				CHECK(e.nodeid == 0, "'%s' has a node", name);
				continue;
			}
			CHECK(d.type == 8 && (!plus || (e.nodeid != 0 && e.attr.ino == d.ino && S_ISREG(e.attr.mode))), "'%s': type %u", name, d.type);
			for (unsigned i = 0; i < max; i++) {
				char want[16];

				(void)snprintf(want, sizeof(want), "n%u", i);
				if (strcmp(want, name) == 0)
					seen[i]++;
			}
			if (plus)
				rig_forget(g, e.nodeid, 1);
		}
	}
	CHECK(len == 0 && rig_release(g, dir, in.fh, true) == 0, "end %d", len);
	return count;
}

TEST(listing_shows_every_name_once_and_counts_its_lookups)
{
	enum { FILES = 200 };
	struct fuse_entry_out e;
	struct fuserig g;
	uint64_t root, fh;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	root = rig_root(&g, 0);
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "n%u", i);
		CHECK(rig_create(&g, root, name, O_RDWR, &e, &fh) == 0 && rig_release(&g, e.nodeid, fh, false) == 0, "create");
		rig_forget(&g, e.nodeid, 1);
	}
	for (int plus = 0; plus < 2; plus++) {
		static const uint32_t sizes[] = { 4096, 1000, 160 };

		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			uint8_t seen[FILES] = { 0 };

			CHECK(list(&g, root, plus, sizes[s], seen, FILES) == FILES + 2, "entries");
			for (unsigned i = 0; i < FILES; i++)
				CHECK(seen[i] == 1, "n%u %u times", i, seen[i]);
			CHECK(nodes_of(&g) == 2, "%u nodes are left", nodes_of(&g));
		}
	}
	fuserig_down(&g);
}

/* ---- Extended attributes ---- */

static int setxattr(struct fuserig *g, uint64_t node, const char *name, const void *value, uint32_t len, uint32_t flags)
{
	struct fuse_setxattr_in in = { .size = len, .flags = flags };
	uint8_t *raw = malloc(sizeof(in) + strlen(name) + 1 + len);
	int r;

	CHECK(raw, "memory");
	memcpy(raw, &in, sizeof(in));
	memcpy(raw + sizeof(in), name, strlen(name) + 1);
	memcpy(raw + sizeof(in) + strlen(name) + 1, value, len);
	r = fuse_call(g, FUSE_SETXATTR, node, raw, sizeof(in) + strlen(name) + 1 + len, NULL, 0);
	free(raw);
	return r;
}

static int getxattr(struct fuserig *g, uint64_t node, const char *name, void *value, uint32_t size)
{
	struct fuse_getxattr_in in = { .size = size };

	return call_name(g, FUSE_GETXATTR, node, &in, sizeof(in), name, value, size);
}

TEST(extended_attributes_are_set_read_listed_and_removed)
{
	static uint8_t big[VFS_XATTR_MAX], back[VFS_XATTR_MAX];
	struct fuse_getxattr_in ask = { 0 };
	struct fuse_getxattr_out len;
	struct fuse_entry_out e;
	char names[64];
	struct fuserig g;
	uint64_t fh;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &e, &fh) == 0, "create");
	memset(big, 'v', sizeof(big));
	CHECK(setxattr(&g, e.nodeid, "user.a", "value", 5, 0) == 0 && setxattr(&g, e.nodeid, "user.empty", "", 0, 0) == 0, "set");
	CHECK(setxattr(&g, e.nodeid, "user.a", "v", 1, 1) == -EEXIST && setxattr(&g, e.nodeid, "user.b", "v", 1, 2) == -ENODATA, "create and replace");
	CHECK(getxattr(&g, e.nodeid, "user.a", back, 100) == 5 && memcmp(back, "value", 5) == 0, "get");
	CHECK(getxattr(&g, e.nodeid, "user.a", back, 4) == -ERANGE && getxattr(&g, e.nodeid, "user.b", back, 4) == -ENODATA, "errors");
	CHECK(call_name(&g, FUSE_GETXATTR, e.nodeid, &ask, sizeof(ask), "user.a", &len, sizeof(len)) == sizeof(len) && len.size == 5, "length");
	CHECK(setxattr(&g, e.nodeid, "user.big", big, sizeof(big), 0) == 0 && getxattr(&g, e.nodeid, "user.big", back, sizeof(back)) == sizeof(back) && memcmp(big, back, sizeof(big)) == 0, "64 KiB");
	CHECK(fuse_call(&g, FUSE_REMOVEXATTR, e.nodeid, "user.big", 9, NULL, 0) == 0, "remove");
	CHECK(CALL(&g, FUSE_LISTXATTR, e.nodeid, ask, &len, sizeof(len)) == sizeof(len) && len.size == 18, "the list has %u bytes", len.size);
	ask.size = sizeof(names);
	CHECK(CALL(&g, FUSE_LISTXATTR, e.nodeid, ask, names, sizeof(names)) == 18, "list");
	CHECK(setxattr(&g, e.nodeid, "system.posix_acl_access", "x", 1, 0) == -EOPNOTSUPP && getxattr(&g, e.nodeid, "system.posix_acl_default", back, 9) == -EOPNOTSUPP, "no ACLs");
	CHECK(setxattr(&g, e.nodeid, "user.c", "x", 1, 4) == -EINVAL, "flags");
	CHECK(setxattr(&g, e.nodeid, PROTO_FS_CHANGED_XATTR, "", 0, 0) == 0 && getxattr(&g, e.nodeid, PROTO_FS_CHANGED_XATTR, back, 9) == -ENODATA, "what only tells watchers");
	fuserig_down(&g);
}

/* ---- Mounts ---- */

TEST(each_mount_has_its_rule_for_caching)
{
	static const struct {
		enum fuse_cache cache;
		uint64_t seconds;
		uint32_t flags, dir_flags;
	} rules[] = {
		{ FUSE_CACHE_AUTO, 1, FOPEN_NOFLUSH, 0 },
		{ FUSE_CACHE_NONE, 0, FOPEN_NOFLUSH | FOPEN_DIRECT_IO, 0 },
		{ FUSE_CACHE_ALWAYS, DAY, FOPEN_NOFLUSH | FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR },
	};
	struct fuserig g;

	fuserig_up(&g, 4);
	fuse_session_free(g.s);
	for (unsigned i = 0; i < 3; i++)
		g.mount[i].cache = rules[i].cache;
	g.mount[3].flush = true;
	fuserig_start(&g);
	fuserig_init(&g);
	for (unsigned i = 0; i < 3; i++) {
		struct fuse_open_in in = { 0 };
		struct fuse_open_out open;
		struct fuse_entry_out e;
		uint64_t root = rig_root(&g, i), fh;
		int r;

		CHECK(rig_create(&g, root, "file", O_RDWR, &e, &fh) == 0 && e.entry_valid == rules[i].seconds && e.attr_valid == rules[i].seconds, "mount %u: %llu s", i, (unsigned long long)e.entry_valid);
		CHECK(rig_open(&g, e.nodeid, O_RDONLY, &open) == 0 && open.open_flags == rules[i].flags, "mount %u: %x", i, open.open_flags);
		CHECK(CALL(&g, FUSE_OPENDIR, root, in, &open, sizeof(open)) > 0 && open.open_flags == rules[i].dir_flags, "mount %u: %x", i, open.open_flags);
		r = rig_lookup(&g, root, "absent", &e);
		CHECK(rules[i].seconds == 0 ? r == -ENOENT : r == 0 && e.nodeid == 0 && e.entry_valid == rules[i].seconds, "mount %u: absent names", i);
		CHECK(rig_lookup(&g, FUSE_ROOT_ID, (char[]){ (char)('0' + i), 0 }, &e) == 0 && e.attr_valid == rules[i].seconds && e.entry_valid == DAY, "its root");
	}
	{
		struct fuse_entry_out e;
		struct fuse_open_out open;
		uint64_t fh;

		CHECK(rig_create(&g, rig_root(&g, 3), "file", O_RDWR, &e, &fh) == 0 && rig_open(&g, e.nodeid, O_RDONLY, &open) == 0 && open.open_flags == 0, "a provider that wants to hear of close()");
	}
	fuserig_down(&g);
}

TEST(a_file_system_that_is_mounted_twice_has_nodes_in_both)
{
	struct fuse_entry_out a, b;
	struct fuse_attr attr;
	struct fuserig g;
	uint64_t fh;

	fuserig_up(&g, 2);
	fuse_session_free(g.s);
	vfs_free(g.fs[1]);
	g.fs[1] = vfs_ref(g.fs[0]);
	g.mount[1] = (struct fuse_mount){ .fs = g.fs[1], .cache = FUSE_CACHE_NONE, .readonly = true };
	fuserig_start(&g);
	fuserig_init(&g);
	CHECK(rig_root(&g, 0) != rig_root(&g, 1), "roots");
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &a, &fh) == 0 && rig_lookup(&g, rig_root(&g, 1), "file", &b) == 0, "lookup");
	CHECK(a.nodeid != b.nodeid && a.attr.ino == b.attr.ino && a.attr_valid == 1 && b.attr_valid == 0, "one file, two nodes, two rules");
	CHECK(rig_create(&g, rig_root(&g, 1), "x", O_RDWR, &b, &fh) == -EROFS, "one is read-only");
	CHECK(rig_lookup(&g, rig_root(&g, 1), "file", &b) == 0, "lookup");
	rig_forget(&g, a.nodeid, 1);
	CHECK(rig_getattr(&g, a.nodeid, &attr) == -ESTALE && rig_getattr(&g, b.nodeid, &attr) == 0, "the other stays");
	CHECK(rig_lookup(&g, rig_root(&g, 0), "file", &a) == 0 && a.nodeid != b.nodeid, "again");
	rig_forget(&g, b.nodeid, 2);
	CHECK(rig_getattr(&g, b.nodeid, &attr) == -ESTALE && rig_getattr(&g, a.nodeid, &attr) == 0, "the first stays");
	fuserig_down(&g);
}

TEST(a_read_only_mount_refuses_what_writes)
{
	struct fuse_setattr_in set = { .valid = FATTR_MODE };
	struct fuse_access_in access = { .mask = W_OK };
	struct fuse_attr_out attr;
	struct fuse_open_out open;
	struct fuse_entry_out e;
	struct fuserig g;
	uint64_t root, fh;

	fuserig_up(&g, 1);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &e, &fh) == 0, "create");
	fuse_session_free(g.s);
	g.mount[0].readonly = true;
	fuserig_start(&g);
	fuserig_init(&g);
	root = rig_root(&g, 0);
	CHECK(rig_lookup(&g, root, "file", &e) == 0 && rig_open(&g, e.nodeid, O_RDONLY, &open) == 0, "reading");
	CHECK(rig_open(&g, e.nodeid, O_RDWR, &open) == -EROFS && rig_open(&g, e.nodeid, O_RDONLY | O_TRUNC, &open) == -EROFS, "open");
	CHECK(rig_mkdir(&g, root, "d", &e) == -EROFS && rig_create(&g, root, "f", O_RDONLY, &e, &fh) == -EROFS && unlink_name(&g, root, "file") == -EROFS, "names");
	CHECK(CALL(&g, FUSE_SETATTR, root, set, &attr, sizeof(attr)) == -EROFS && setxattr(&g, root, "user.a", "", 0, 0) == -EROFS && setxattr(&g, root, PROTO_FS_CHANGED_XATTR, "", 0, 0) == 0 && CALL(&g, FUSE_ACCESS, root, access, NULL, 0) == -EROFS, "attributes");
	fuserig_down(&g);
}

TEST(extended_attributes_are_off_for_a_mount_or_for_all)
{
	struct fuserig g;
	uint64_t root;
	char v[8];

	fuserig_up(&g, 2);
	fuse_session_free(g.s);
	g.mount[1].no_xattrs = true;
	fuserig_start(&g);
	fuserig_init(&g);
	root = rig_root(&g, 1);
	CHECK(setxattr(&g, rig_root(&g, 0), "user.a", "v", 1, 0) == 0, "the mount that has them");
	CHECK(setxattr(&g, root, "user.a", "v", 1, 0) == -EOPNOTSUPP && getxattr(&g, root, "security.capability", v, sizeof(v)) == -EOPNOTSUPP, "the one that has not");
	fuse_session_free(g.s);
	g.mount[0].no_xattrs = true;
	fuserig_start(&g);
	fuserig_init(&g);
	CHECK(getxattr(&g, rig_root(&g, 0), "user.a", v, sizeof(v)) == -ENOSYS && getxattr(&g, FUSE_ROOT_ID, "user.a", v, sizeof(v)) == -ENOSYS, "none");
	fuserig_down(&g);
}

/* ---- Everything again ---- */

TEST(how_the_guest_lays_out_its_memory_does_not_matter)
{
	static const unsigned chops[] = { 1, 3, 7, 15, 16, 17, 40, 56, 80, 100 };

	for (size_t i = 0; i < ARRAY_LEN(chops); i++) {
		struct fuse_entry_out e;
		uint8_t seen[1] = { 0 };
		char text[12] = "";
		struct fuserig g;
		uint64_t root, fh;

		fuserig_up(&g, 1);
		g.chop = chops[i];
		fuserig_init(&g);
		root = rig_root(&g, 0);
		CHECK(rig_create(&g, root, "n0", O_RDWR, &e, &fh) == 0 && rig_write(&g, e.nodeid, fh, 0, "hello world", 11) == 11, "chop %u: write", g.chop);
		CHECK(rig_read(&g, e.nodeid, fh, 0, text, 11) == 11 && strcmp(text, "hello world") == 0, "chop %u: read '%s'", g.chop, text);
		CHECK(rig_read(&g, e.nodeid, fh, 6, text, 11) == 5 && memcmp(text, "world", 5) == 0, "chop %u: short", g.chop);
		CHECK(list(&g, root, true, 400, seen, 1) == 3 && seen[0] == 1, "chop %u: list", g.chop);
		CHECK(setxattr(&g, e.nodeid, "user.a", "value", 5, 0) == 0 && getxattr(&g, e.nodeid, "user.a", text, 10) == 5 && memcmp(text, "value", 5) == 0, "chop %u: xattr", g.chop);
		fuserig_down(&g);
	}
}

TEST(statistics_count_what_happened)
{
	struct fuse_entry_out e;
	struct fuse_stats st;
	struct fuserig g;
	uint64_t fh;
	char c[4];

	fuserig_up(&g, 1);
	fuserig_init(&g);
	CHECK(rig_create(&g, rig_root(&g, 0), "file", O_RDWR, &e, &fh) == 0 && rig_write(&g, e.nodeid, fh, 0, "abc", 3) == 3 && rig_read(&g, e.nodeid, fh, 1, c, 4) == 2, "use");
	CHECK(rig_open(&g, 77, 0, (struct fuse_open_out[1]){ 0 }) == -ESTALE, "an error");
	fuse_get_stats(g.s, &st);
	CHECK(st.requests == 6 && st.errors == 1 && st.read_bytes == 2 && st.written_bytes == 3 && st.nodes == 3 && st.handles == 1 && st.inflight == 0, "%llu requests, %llu errors", (unsigned long long)st.requests, (unsigned long long)st.errors);
	fuserig_down(&g);
}

RUN_TESTS(T(init_agrees_on_what_serves_all_mounts), T(only_private_mounts_get_a_cache_that_writes_back),
	  T(a_cache_that_writes_back_reads_what_it_writes_and_knows_the_end), T(nothing_is_served_before_init),
	  T(the_root_has_an_entry_for_each_mount_and_takes_no_other), T(without_submounts_the_roots_of_mounts_are_ordinary_directories),
	  T(a_file_is_created_written_read_and_found_again), T(hard_links_and_repeated_lookups_are_one_node),
	  T(every_kind_of_object_can_be_made), T(names_are_removed_and_moved), T(attributes_are_set_one_by_one),
	  T(appending_is_the_providers_but_pages_go_where_they_belong), T(a_file_without_a_name_works_and_is_gone_when_it_is_closed),
	  T(holes_are_found_and_made_and_ranges_copied), T(flushing_and_syncing_answer),
	  T(listing_shows_every_name_once_and_counts_its_lookups), T(extended_attributes_are_set_read_listed_and_removed),
	  T(each_mount_has_its_rule_for_caching), T(a_file_system_that_is_mounted_twice_has_nodes_in_both),
	  T(a_read_only_mount_refuses_what_writes), T(extended_attributes_are_off_for_a_mount_or_for_all),
	  T(how_the_guest_lays_out_its_memory_does_not_matter),
	  T(statistics_count_what_happened))
