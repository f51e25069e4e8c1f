/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fuse/rules.c - the table of opcodes. It is indexed by the guest's number, which session.c checks. What is not here is answered with ENOSYS,
 * which turns it off for good: locks (they are the guest kernel's own business, and so work), IOCTL, POLL, BMAP, the DAX window, STATX. */
#include "fuse/fuse_impl.h"

#define DIR FUSE_RULE_DIR
#define REPLY(type) .reply = sizeof(struct type)
#define CREATED .reply = sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)
#define XATTR FUSE_RULE_XATTR

const struct fuse_rule fuse_rules[FUSE_OPCODE_COUNT] = {
	[FUSE_INIT] = { fuse_begin_init, .flags = FUSE_RULE_ALONE | FUSE_RULE_EARLY },
	[FUSE_DESTROY] = { fuse_begin_destroy, .flags = FUSE_RULE_ALONE },
	[FUSE_FORGET] = { fuse_begin_forget, .flags = FUSE_RULE_ALONE | FUSE_RULE_SILENT },
	[FUSE_BATCH_FORGET] = { fuse_begin_batch_forget, .args = sizeof(struct fuse_batch_forget_in),
				.flags = FUSE_RULE_ALONE | FUSE_RULE_SILENT | FUSE_RULE_PAYLOAD },
	[FUSE_INTERRUPT] = { fuse_begin_interrupt, .flags = FUSE_RULE_ALONE | FUSE_RULE_SILENT },

	[FUSE_LOOKUP] = { fuse_begin_lookup, fuse_end_lookup, REPLY(fuse_entry_out), .code = VFS_LOOKUP, .flags = DIR | FUSE_RULE_FAILS },
	[FUSE_GETATTR] = { fuse_begin_getattr, fuse_end_attr, REPLY(fuse_attr_out), .code = VFS_GETATTR },
	[FUSE_SETATTR] = { fuse_begin_setattr, fuse_end_attr, REPLY(fuse_attr_out), .code = VFS_SETATTR },
	[FUSE_READLINK] = { fuse_begin_readlink, fuse_end_data, .code = VFS_READLINK },
	[FUSE_SYMLINK] = { fuse_begin_symlink, fuse_end_entry, REPLY(fuse_entry_out), .code = VFS_SYMLINK, .flags = DIR },
	[FUSE_MKNOD] = { fuse_begin_mknod, fuse_end_entry, REPLY(fuse_entry_out), .code = VFS_MKNOD, .flags = DIR },
	[FUSE_MKDIR] = { fuse_begin_mkdir, fuse_end_entry, REPLY(fuse_entry_out), .code = VFS_MKDIR, .flags = DIR },
	[FUSE_UNLINK] = { fuse_begin_remove, .code = VFS_UNLINK, .flags = DIR },
	[FUSE_RMDIR] = { fuse_begin_remove, .code = VFS_RMDIR, .flags = DIR },
	[FUSE_RENAME] = { fuse_begin_rename, .code = VFS_RENAME, .flags = DIR },
	[FUSE_RENAME2] = { fuse_begin_rename2, .code = VFS_RENAME, .flags = DIR },
	[FUSE_LINK] = { fuse_begin_link, fuse_end_entry, REPLY(fuse_entry_out), .code = VFS_LINK, .flags = DIR },
	[FUSE_STATFS] = { fuse_begin_statfs, fuse_end_statfs, REPLY(fuse_statfs_out), .code = VFS_STATFS },
	[FUSE_ACCESS] = { fuse_begin_access, .code = VFS_ACCESS },
	[FUSE_SYNCFS] = { fuse_begin_syncfs, .code = VFS_SYNCFS },

	[FUSE_OPEN] = { fuse_begin_open, fuse_end_open, REPLY(fuse_open_out), .code = VFS_OPEN },
	[FUSE_CREATE] = { fuse_begin_create, fuse_end_create, CREATED, .code = VFS_CREATE, .flags = DIR },
	[FUSE_TMPFILE] = { fuse_begin_tmpfile, fuse_end_create, CREATED, .code = VFS_TMPFILE, .flags = DIR },
	[FUSE_READ] = { fuse_begin_read, fuse_end_read, .code = VFS_READ },
	[FUSE_WRITE] = { fuse_begin_write, fuse_end_written, REPLY(fuse_write_out), .code = VFS_WRITE,
			 .args = sizeof(struct fuse_write_in), .flags = FUSE_RULE_PAYLOAD },
	[FUSE_FLUSH] = { fuse_begin_flush, .code = VFS_FLUSH },
	[FUSE_FSYNC] = { fuse_begin_fsync, .code = VFS_FSYNC },
	[FUSE_RELEASE] = { .begin = fuse_begin_release },
	[FUSE_LSEEK] = { fuse_begin_lseek, fuse_end_lseek, REPLY(fuse_lseek_out), .code = VFS_LSEEK },
	[FUSE_FALLOCATE] = { fuse_begin_fallocate, .code = VFS_FALLOCATE },
	[FUSE_COPY_FILE_RANGE] = { fuse_begin_copy, fuse_end_written, REPLY(fuse_write_out), .code = VFS_COPY_FILE_RANGE },

	[FUSE_OPENDIR] = { fuse_begin_opendir, fuse_end_opendir, REPLY(fuse_open_out), .code = VFS_OPEN, .flags = DIR },
	[FUSE_READDIR] = { fuse_begin_readdir, fuse_end_readdir, .code = VFS_READDIR, .flags = DIR | FUSE_RULE_FAILS },
	[FUSE_READDIRPLUS] = { fuse_begin_readdirplus, fuse_end_readdir, .code = VFS_READDIR, .flags = DIR | FUSE_RULE_FAILS },
	[FUSE_RELEASEDIR] = { fuse_begin_releasedir, .flags = DIR },
	[FUSE_FSYNCDIR] = { fuse_begin_fsyncdir, .code = VFS_FSYNC, .flags = DIR },

	[FUSE_SETXATTR] = { fuse_begin_setxattr, .args = sizeof(struct fuse_setxattr_in) + VFS_NAME_MAX + 1, .code = VFS_SETXATTR,
			    .flags = XATTR | FUSE_RULE_PAYLOAD },
	[FUSE_GETXATTR] = { fuse_begin_getxattr, fuse_end_xattr, .code = VFS_GETXATTR, .flags = XATTR },
	[FUSE_LISTXATTR] = { fuse_begin_listxattr, fuse_end_xattr, .code = VFS_LISTXATTR, .flags = XATTR },
	[FUSE_REMOVEXATTR] = { fuse_begin_removexattr, .code = VFS_REMOVEXATTR, .flags = XATTR },
};
