/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_unpack.c - the tree that an image is made of: `tar -x` behind an archive, a `tar -c` of a directory, or mmdebstrap; the layers of a
 * container image; and the directories that a guest needs. See image_build.c for owners and times.
 *
 * Trust: the archive may be hostile while we are root. GNU tar extracts below one new directory, refuses "..", and makes symbolic links
 * that lead out last, so that no later member goes through them; one run of tar per tree, therefore (image_layers.c merges those of
 * layers). The tree is in a directory of mode 0700: setuid programs in it are in nobody's reach.
 */
#include "image_build.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* When SOURCE_DATE_EPOCH is not set: the newest time in an image of debian:SUITE. Debian 12's release. */
static const char debian_epoch[] = "1686355200";

const char *build_epoch(const struct build *b)
{
	if (b->opt->epoch)
		return b->opt->epoch;
	return b->src.kind == IMAGE_DEBIAN ? debian_epoch : NULL;
}

void push(struct args *a, const char *s)
{
	assert(a->count < ARGS_MAX - 1);
	a->v[a->count++] = s;
}

void push_all(struct args *a, const char *const *list)
{
	for (; *list; list++)
		push(a, *list);
}

void push_fakeroot(const struct build *b, struct args *a)
{
	if (!b->fakeroot)
		return;
	push(a, "fakeroot");
	if (access(b->state, F_OK) == 0) {
		push(a, "-i");
		push(a, b->state);
	}
	push(a, "-s");
	push(a, b->state);
	push(a, "--");
}

/* tar -x from standard input into @dir; @option says how it is compressed, or is NULL. */
static void unpack_args(const struct build *b, struct args *a, const char *dir, const char *option)
{
	static const char *const common[] = { "tar", "--extract", "--file=-", "--same-permissions", "--delay-directory-restore",
					      "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*",
					      "--warning=no-unknown-keyword", "--warning=no-timestamp", NULL };

	push_fakeroot(b, a);
	push_all(a, common);
	push(a, b->fakeroot || geteuid() == 0 ? "--same-owner" : "--no-same-owner");
	push(a, "--directory");
	push(a, dir);
	if (option)
		push(a, option);
}

static int make_dir(const char *path)
{
	if (mkdir(path, 0755) == 0 && chmod(path, 0755) == 0)
		return 0;
	image_error("%s: %s", path, strerror(errno));
	return -EIO;
}

/* An archive ends in blocks of zeros. tar does not miss them in one that was cut short between two files. */
static bool is_whole(uint64_t len, const uint8_t *last_block)
{
	static const uint8_t zeros[IMAGE_HEAD_LEN];

	return len >= sizeof(zeros) && len % sizeof(zeros) == 0 && memcmp(last_block, zeros, sizeof(zeros)) == 0;
}

#define CUT_SHORT "the archive is cut short: the blocks of zeros at its end are missing; copy or make it again"

/* Keeps the last IMAGE_HEAD_LEN bytes of all that passes. */
static void note_last(uint8_t *last, const char *p, size_t len)
{
	size_t n = len < IMAGE_HEAD_LEN ? len : IMAGE_HEAD_LEN;

	memmove(last, last + n, IMAGE_HEAD_LEN - n);
	memcpy(last + IMAGE_HEAD_LEN - n, p + len - n, n);
}

/* What was read to find out what standard input is, then the rest of it. */
static int feed_stream(void *ctx)
{
	const struct image_source *src = ctx;
	uint8_t last[IMAGE_HEAD_LEN] = { 0 };
	uint64_t total = 0;
	char buf[65536];
	size_t len = src->head_len;

	memcpy(buf, src->head, len);
	for (;;) {
		ssize_t n;

		for (size_t at = 0; at < len; at += (size_t)n) {
			n = write(STDOUT_FILENO, buf + at, len - at);
			if (n < 0)
				return 1;
		}
		total += len;
		note_last(last, buf, len);
		n = read(STDIN_FILENO, buf, sizeof(buf));
		if (n < 0)
			return 1;
		if (n == 0)
			break;
		len = (size_t)n;
	}
	if (src->tar_option || is_whole(total, last))
		return 0;
	dprintf(STDERR_FILENO, CUT_SHORT "\n");
	return 1;
}

/* The same for a file. */
static int check_end(const struct image_source *src)
{
	uint8_t last[IMAGE_HEAD_LEN];

	if (src->tar_option || src->stream)
		return 0;
	if (src->size >= sizeof(last) && pread(src->fd, last, sizeof(last), (off_t)(src->size - sizeof(last))) == (ssize_t)sizeof(last) &&
	    is_whole(src->size, last))
		return 0;
	image_error("%s: " CUT_SHORT, src->name);
	return -EINVAL;
}

static int unpack_archive(struct build *b, struct image_source *src, const char *dir)
{
	struct args unpack = { 0 };
	struct job_step step = { .what = b->what[0], .count = 1, .stdin_fd = src->fd, .watch_fd = src->fd, .total = src->size };
	int r;

	unpack_args(b, &unpack, dir, src->tar_option);
	snprintf(b->what[0], sizeof(b->what[0]), "unpacking %s", src->name);
	step.cmd[0].argv = unpack.v;
	if (src->stream) {
		step.cmd[1] = step.cmd[0];
		step.cmd[0] = (struct job_cmd){ .run = feed_stream, .ctx = src };
		step.count = 2;
		step.watch_fd = -1;
	}
	r = job_run(&b->job, &step);
	return r < 0 ? r : check_end(src);
}

static int copy_directory(struct build *b)
{
	static const char *const common[] = { "tar", "--create", "--file=-", "--format=posix", "--sort=name", "--numeric-owner", "--acls",
					      "--xattrs", "--xattrs-include=*", "--one-file-system", "--directory", NULL };
	struct args pack = { 0 }, unpack = { 0 };
	struct job_step step = { .what = b->what[0], .count = 2, .stdin_fd = -1, .watch_fd = -1 };

	push_all(&pack, common);
	push(&pack, b->src.path);
	push(&pack, ".");
	unpack_args(b, &unpack, b->root, NULL);
	snprintf(b->what[0], sizeof(b->what[0]), "copying %s", b->src.name);
	step.cmd[0].argv = pack.v;
	step.cmd[1].argv = unpack.v;
	return job_run(&b->job, &step);
}

static int install_debian(struct build *b)
{
	const struct image_options *opt = b->opt;
	struct args install = { 0 }, unpack = { 0 };
	char include[IMAGE_LIST_LEN + 16], variant[64], epoch[64], tmpdir[PATH_MAX + 16];
	struct job_step step = { .what = b->what[0], .count = 2, .stdin_fd = -1, .talks = true, .watch_fd = -1 };
	size_t envs = 0;
	int r;

	debian_probe(b->src.suite, &b->debian);
	snprintf(b->what[0], sizeof(b->what[0]), "installing Debian %s with mmdebstrap", b->src.suite);
	snprintf(include, sizeof(include), "--include=%s", opt->include);
	snprintf(variant, sizeof(variant), "--variant=%s", opt->variant ? opt->variant : "minbase");
	push(&install, "mmdebstrap");
	push(&install, variant);
	if (opt->include[0])
		push(&install, include);
	push(&install, "--format=tar");
	/* It copies these two of the host. The name comes from the guest's configuration, and the resolver as well. */
	push(&install, "--customize-hook=rm -f \"$1\"/etc/hostname \"$1\"/etc/resolv.conf; "
		       "install -m 644 /dev/null \"$1\"/etc/resolv.conf");
	push(&install, b->src.suite);
	push(&install, "-"); /* standard output */
	for (unsigned int i = 0; i < opt->mirror_count; i++)
		push(&install, opt->mirrors[i]);
	for (unsigned int i = 0; opt->mirror_count == 0 && i < b->debian.line_count; i++)
		push(&install, b->debian.lines[i]);
	unpack_args(b, &unpack, b->root, NULL);

	step.cmd[0].argv = install.v;
	step.cmd[1].argv = unpack.v;
	snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%s", build_epoch(b));
	step.cmd[0].env[envs++] = epoch;
	/* Beside our directory, not in it: apt's downloads run as a user who may not enter there. It removes its own. */
	snprintf(tmpdir, sizeof(tmpdir), "TMPDIR=%.*s", (int)(strrchr(b->job.dir, '/') - b->job.dir), b->job.dir);
	step.cmd[0].env[envs++] = tmpdir;
	for (size_t i = 0; i < 2 && b->debian.proxy[i][0] && envs < 4; i++)
		step.cmd[0].env[envs++] = b->debian.proxy[i];
	r = job_run(&b->job, &step);
	if (r == -EIO)
		image_error("debian:%s: check the names after --include, and that %s is reachable; --mirror URL takes another archive",
			    b->src.suite, opt->mirror_count ? opt->mirrors[0] : b->debian.line_count ? "apt's archive"
												     : "Debian's public archive");
	return r;
}

/* Layer @i into a directory of its own, @dir. */
static int unpack_layer(struct build *b, const char *archive, unsigned int i, const char *dir)
{
	const char *name = b->layers.name[i];
	struct image_source src;
	int fd = layers_open(archive, name), r;

	if (fd < 0) {
		image_error("%s: its layer %s cannot be opened: %s", b->src.name, name, strerror(-fd));
		return fd;
	}
	snprintf(b->what[2], sizeof(b->what[2]), "layer %u of %u", i + 1, b->layers.count);
	r = source_from_fd(fd, b->what[2], &src);
	if (r == 0)
		r = make_dir(dir);
	if (r == 0)
		r = unpack_archive(b, &src, dir);
	source_close(&src);
	return r;
}

static int merge_layers(struct build *b, const char *archive)
{
	char lower[PATH_MAX + 32];
	unsigned int top = b->layers.count - 1;
	int r = unpack_layer(b, archive, top, b->root);

	for (unsigned int i = top; i > 0 && r == 0; i--) {
		snprintf(lower, sizeof(lower), "%s/layer-%u", b->job.dir, i);
		r = unpack_layer(b, archive, i - 1, lower);
		if (r < 0)
			break;
		r = layers_merge(b->root, lower);
		if (r < 0)
			image_error("%s: putting its layers together: %s", b->src.name, strerror(-r));
	}
	if (r < 0)
		return r;
	snprintf(lower, sizeof(lower), "%s/whiteouts", b->job.dir);
	r = make_dir(lower);
	if (r == 0)
		r = layers_finish(b->root, lower);
	if (r < 0)
		image_error("%s: removing the whiteouts of its layers: %s", b->src.name, strerror(-r));
	return r;
}

static int refuse_layers(const struct build *b, int why)
{
	image_error("%s: is a container image with layers, %s. Make a file system of it: "
		    "docker load -i %s; docker export $(docker create IMAGE) | sandbox image build - %s",
		    b->src.name,
		    why == -E2BIG    ? "and holds several images"
		    : why == -ENOENT ? "but in the OCI layout, not as docker save writes it"
				     : "but its manifest.json makes no sense",
		    b->src.name, b->opt->output);
	return -EINVAL;
}

/* If the tree is what `docker save` writes, or an OCI layout: replaces it by the file system in it. */
static int resolve_layers(struct build *b)
{
	static const char *const marks[] = { "manifest.json", "oci-layout", "usr", "bin", "etc" };
	char archive[PATH_MAX + 16], path[PATH_MAX + 64];
	bool there[5];
	struct stat st;
	int r;

	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", b->root, marks[i]);
		there[i] = lstat(path, &st) == 0;
	}
	if (!(there[0] || there[1]) || there[2] || there[3] || there[4])
		return 0;
	r = layers_read(b->root, &b->layers);
	if (r < 0)
		return refuse_layers(b, r);
	snprintf(archive, sizeof(archive), "%s/archive", b->job.dir);
	if (rename(b->root, archive) < 0) {
		image_error("%s: %s", archive, strerror(errno));
		return -EIO;
	}
	return merge_layers(b, archive);
}

int build_look(struct build *b, const char *root)
{
	int r = tree_look(root, &b->facts);

	if (r < 0)
		image_error("%s: cannot be read: %s%s", b->src.name, strerror(-r), r == -EACCES && geteuid() != 0 ? "; run this as root" : "");
	return r;
}

int build_tree(struct build *b)
{
	int r;

	if (b->src.kind == IMAGE_DIR && b->facts.complete && !b->facts.has_mounts) {
		memcpy(b->root, b->src.path, sizeof(b->src.path));
		return 0;
	}
	snprintf(b->root, sizeof(b->root), "%s/root", b->job.dir);
	r = make_dir(b->root);
	if (r == 0)
		r = b->src.kind == IMAGE_DIR ? copy_directory(b) : b->src.kind == IMAGE_TAR ? unpack_archive(b, &b->src, b->root)
											    : install_debian(b);
	if (r == 0 && b->src.kind == IMAGE_TAR)
		r = resolve_layers(b);
	if (r < 0)
		return r;
	r = tree_complete(b->root);
	if (r < 0) {
		image_error("cannot add the usual directories: %s", strerror(-r));
		return r;
	}
	return build_look(b, b->root);
}
