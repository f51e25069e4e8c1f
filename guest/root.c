/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/root.c - mounts. The initramfs is left by moving the new root over "/" and changing root into it, as the kernel cannot pivot away
 * from its first file system; what is mounted below it for the overlay's sake is detached, and /init removed.
 *
 * The image is data of the user's choice: what is missing in it is named, with the remedy. */
#include "root.h"

#include "base/cleanup.h"
#include "resolv.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define DISK "/dev/vda"
#define IMAGE "/image"
#define SCRATCH "/scratch"
#define MERGED "/merged"
#define TRUST_STORE "/trust"

int root_mount_image(struct sbx_err *err)
{
	int r;

	(void)mkdir("/dev", 0755);
	(void)mkdir(IMAGE, 0755);
	if (mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") < 0)
		return err_set(err, -errno, "cannot mount devtmpfs: %m");
	if (mount(DISK, IMAGE, "erofs", MS_RDONLY, NULL) == 0)
		return 0;
	r = -errno;
	switch (r) {
	case -ENOENT:
	case -ENXIO:
		return err_set(err, r, "there is no root disk (" DISK "): %m");
	case -EINVAL:
		return err_set(err, r, "the root image is not an EROFS file system, or a damaged one");
	default:
		return err_set(err, r, "cannot mount the root image: %m (is it damaged?)");
	}
}

static int mount_scratch(uint64_t bytes, struct sbx_err *err)
{
	char options[64];

	if (bytes > 0)
		(void)snprintf(options, sizeof(options), "mode=0755,size=%" PRIu64, bytes);
	else
		(void)snprintf(options, sizeof(options), "mode=0755,size=50%%");
	(void)mkdir(SCRATCH, 0755);
	(void)mkdir(MERGED, 0755);
	if (mount("scratch", SCRATCH, "tmpfs", 0, options) < 0)
		return err_set(err, -errno, "cannot mount a tmpfs of %" PRIu64 " bytes for what is written to the root: %m", bytes);
	if (mkdir(SCRATCH "/upper", 0755) < 0 || mkdir(SCRATCH "/work", 0755) < 0)
		return err_set(err, -errno, "cannot prepare the writable root: %m");
	/* redirect_dir: else renaming a directory of the image fails with EXDEV, which few programs expect */
	if (mount("root", MERGED, "overlay", 0,
		  "lowerdir=" IMAGE ",upperdir=" SCRATCH "/upper,workdir=" SCRATCH "/work,redirect_dir=on") < 0)
		return err_set(err, -errno, "cannot mount the writable root: %m");
	return 0;
}

/* A mount below the new root, by a path relative to it. */
struct mount_point {
	const char *path, *type, *options;
	unsigned long flags;
	enum { MP_REQUIRED,
	       MP_OPTIONAL,
	       MP_MAKE,
	       MP_READONLY_ROOT } kind;
};

static const struct mount_point points[] = {
	{ "proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, MP_REQUIRED },
	{ "sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, MP_REQUIRED },
	{ "sys/fs/cgroup", "cgroup2", "nsdelegate,memory_recursiveprot", MS_NOSUID | MS_NODEV | MS_NOEXEC, MP_REQUIRED },
	{ "dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC, MP_MAKE },
	{ "dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, MP_MAKE },
	{ "dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, MP_MAKE },
	{ "run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV, MP_OPTIONAL },
	{ "tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, MP_READONLY_ROOT },
};

static int missing(const char *path, bool writable, struct sbx_err *err)
{
	if (writable)
		return err_set(err, -errno, "the root has no directory /%s, and it cannot be made: %m", path);
	return err_set(err, -ENOENT, "the root image has no directory /%s to mount on: add it to the image, or make the root writable", path);
}

static int mount_point(const struct mount_point *m, bool writable, struct sbx_err *err)
{
	if (m->kind == MP_READONLY_ROOT && writable)
		return 0;
	if (m->kind == MP_MAKE || writable)
		(void)mkdir(m->path, 0755);
	if (mount(m->type, m->path, m->type, m->flags, m->options) == 0)
		return 0;
	if (m->kind == MP_OPTIONAL || m->kind == MP_READONLY_ROOT) {
		say("the root image has no directory /%s: nothing can be written there", m->path);
		return 0;
	}
	if (errno == ENOENT || errno == ENOTDIR)
		return missing(m->path, writable, err);
	return err_set(err, -errno, "cannot mount /%s: %m", m->path);
}

/* What udev would do to the kernel's device nodes. */
static void furnish_dev(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "dev/fd" },
		{ "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" },
		{ "/proc/self/fd/2", "dev/stderr" },
	};

	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		(void)!symlink(links[i][0], links[i][1]);
	(void)chmod("dev/fuse", 0666);
	(void)chmod("dev/net/tun", 0666);
}

/* On a writable root /tmp is the image's. */
static void open_tmp(void)
{
	struct stat st;

	(void)mkdir("tmp", 01777);
	if (stat("tmp", &st) == 0 && (st.st_mode & 07777) != 01777)
		(void)chmod("tmp", 01777);
}

/* The current directory becomes "/". */
static int become_root(struct sbx_err *err)
{
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_set(err, -errno, "cannot change into the new root: %m");
	return 0;
}

int root_enter(const struct root_spec *s, struct sbx_err *err)
{
	const bool writable = s->writable;
	const char *root = writable ? MERGED : IMAGE;
	int r = writable ? mount_scratch(s->scratch_bytes, err) : 0;

	if (r < 0)
		return r;
	if (chdir(root) < 0)
		return err_set(err, -errno, "cannot enter the root: %m");
	if (writable)
		(void)mkdir("dev", 0755);
	if (mount("/dev", "dev", NULL, MS_MOVE, NULL) < 0)
		return missing("dev", writable, err);
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		r = mount_point(&points[i], writable, err);
		if (r < 0)
			return r;
	}
	furnish_dev();
	if (writable) {
		open_tmp();
		/* the overlay keeps its own hold of both */
		(void)umount2(SCRATCH, MNT_DETACH);
		(void)umount2(IMAGE, MNT_DETACH);
	}
	(void)unlink("/init");
	/* Before the mounts, so that nothing is written into one. */
	if (s->resolv_conf)
		resolv_provide(s->resolv_conf, writable);
	if (s->trust->pem)
		trust_provide(s->trust, TRUST_STORE, writable);
	r = guest_mounts_attach(s->mounts, err);
	return r < 0 ? r : become_root(err);
}
