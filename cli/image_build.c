/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_build.c - `sandbox image build`: from a source to an EROFS file.
 *
 * The steps: (1) a tree on disk, unless SOURCE is already one that needs no change, with the directories a guest needs (image_unpack.c);
 * (2) mkfs.erofs into a temporary file beside OUT; (3) the same check that a start makes; (4) rename.
 *
 * Owners: mkfs.erofs 1.5 reads a tree, not an archive, so the owners, modes, devices and attributes must be on disk. As root they are. As
 * somebody else, tar and mkfs.erofs run under fakeroot, which remembers what the tree should have had; --all-root does without.
 *
 * Reproducible: mkfs.erofs sorts directories; the UUID is fixed; times are the files' own, none newer than the newest file that is not a
 * directory (directories that tar or we made carry today's), or SOURCE_DATE_EPOCH. mmdebstrap gets that too.
 */
#include "image_build.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "sbx.h"

/* All images have it: the same content is the same bytes. */
static const char image_uuid[] = "5b8ea3d1-5b0c-4c1f-9e63-7a1de0f5e1e2";

/* ---- Before anything runs ---- */

/* The absolute path of OUT, whose directory must be there. */
static int resolve_output(struct build *b)
{
	char dir[PATH_MAX], absolute[PATH_MAX];
	const char *slash = strrchr(b->opt->output, '/');
	const char *name = slash ? slash + 1 : b->opt->output;
	struct stat st;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - b->opt->output) + 1 : 1, slash ? b->opt->output : ".");
	if (!realpath(dir, absolute)) {
		int e = errno;

		image_error("%s: the directory %s: %s", b->opt->output, dir, strerror(e));
		return -e;
	}
	if (name[0] == '\0' || (stat(b->opt->output, &st) == 0 && !S_ISREG(st.st_mode))) {
		image_error("%s: is not a regular file; OUT is the file to write", b->opt->output);
		return -EINVAL;
	}
	if ((size_t)snprintf(b->out, sizeof(b->out), "%s/%s", strcmp(absolute, "/") ? absolute : "", name) >= sizeof(b->out)) {
		image_error("%s: the path is too long", b->opt->output);
		return -ENAMETOOLONG;
	}
	return 0;
}

static int check_tools(const struct build *b)
{
	static const struct {
		const char *tool, *package;
	} needed[] = {
		{ "mkfs.erofs", "erofs-utils" },
		{ "tar", "tar" },
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (!tool_exists(needed[i].tool)) {
			image_error("needs %s: apt-get install %s", needed[i].tool, needed[i].package);
			return -ENOENT;
		}
	}
	if (b->fakeroot && !tool_exists("fakeroot")) {
		image_error("as a normal user, keeping the owners of files needs fakeroot: apt-get install fakeroot. "
			    "Or run this as root, or give all files to root with --all-root");
		return -ENOENT;
	}
	return 0;
}

/* The image must not try to hold itself or our temporary files. */
static int check_places(const struct build *b)
{
	if (b->src.kind != IMAGE_DIR)
		return 0;
	if (path_inside(b->out, b->src.path)) {
		image_error("%s: lies inside of %s; write it somewhere else", b->opt->output, b->opt->source);
		return -EINVAL;
	}
	if (path_inside(b->job.dir, b->src.path)) {
		image_error("%s: holds the directory for temporary files, %s; set TMPDIR to one outside of it", b->opt->source, b->job.dir);
		return -EINVAL;
	}
	return 0;
}

/* The unfinished file is there from the start, so that a directory that cannot be written is known before minutes of work. */
static int make_tmp(struct build *b)
{
	const char *slash = strrchr(b->out, '/');
	int fd;

	snprintf(b->tmp, sizeof(b->tmp), "%.*s.%.200s.XXXXXX", (int)(slash - b->out) + 1, b->out, slash + 1);
	fd = mkostemp(b->tmp, O_CLOEXEC);
	if (fd < 0) {
		int e = errno;

		image_error("%s: cannot be written: %s", b->opt->output, strerror(e));
		return -e;
	}
	close(fd);
	job_output(&b->job, b->tmp);
	return 0;
}

/* ---- The image ---- */

static int make_image(struct build *b)
{
	struct args a = { 0 };
	char compress[32], epoch[64], fixed[32];
	struct job_step step = { .what = b->what[1], .count = 1, .stdin_fd = -1, .watch_fd = -1, .growing = b->tmp };

	push_fakeroot(b, &a);
	push(&a, "mkfs.erofs");
	push(&a, "--quiet");
	push(&a, "-U");
	push(&a, image_uuid);
	if (strcmp(b->opt->compress, "none") != 0) {
		snprintf(compress, sizeof(compress), "-z%s", b->opt->compress);
		push(&a, compress);
		push(&a, "-C65536"); /* in pieces of up to 64 KiB: a seventh smaller than in pages */
	}
	if (b->opt->all_root)
		push(&a, "--all-root");
	if (b->opt->time) {
		snprintf(fixed, sizeof(fixed), "-T%s", b->opt->time);
		push(&a, fixed);
	}
	push(&a, b->tmp);
	push(&a, b->root);

	if (b->opt->time)
		snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH"); /* unset: it would win over -T */
	else if (build_epoch(b))
		snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%s", build_epoch(b));
	else
		snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%" PRId64, b->facts.newest);
	step.cmd[0].argv = a.v;
	step.cmd[0].env[0] = epoch;
	snprintf(b->what[1], sizeof(b->what[1]), "writing %s", b->opt->output);
	return job_run(&b->job, &step);
}

/* Puts the finished file in its place. */
static int publish(struct build *b)
{
	int fd = open(b->tmp, O_RDONLY | O_CLOEXEC);
	mode_t mask = umask(0);
	bool ok;

	umask(mask);
	ok = fd >= 0 && fchmod(fd, 0666 & ~mask) == 0 && fsync(fd) == 0 && rename(b->tmp, b->out) == 0;
	if (!ok)
		image_error("%s: %s", b->opt->output, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (ok)
		job_output(&b->job, NULL);
	return ok ? 0 : -EIO;
}

static int build_steps(struct build *b)
{
	struct sbx_image_info info;
	struct sbx_err err = { 0 };
	int r = make_tmp(b);

	if (r == 0)
		r = build_tree(b);
	if (r == 0)
		r = make_image(b);
	if (r < 0)
		return r;
	if (sbx_image_inspect(b->tmp, &info, &err) < 0) {
		image_error("what mkfs.erofs made is unusable: %s", err.message);
		return -EIO;
	}
	if (job_interrupted(&b->job))
		return -EINTR;
	r = publish(b);
	if (r == 0)
		job_say(&b->job, "%s: %.1f MiB, %" PRIu64 " inodes, compression %s", b->opt->output, (double)info.file_bytes / (1 << 20),
			info.inodes, b->opt->compress);
	return r;
}

/* As a normal user, a tree that we make has owners only under fakeroot. */
static bool wants_fakeroot(const struct build *b)
{
	if (geteuid() == 0)
		return false;
	if (b->src.kind == IMAGE_DIR && b->facts.complete && !b->facts.has_mounts)
		return false;
	/* --all-root needs it for device nodes only. */
	return !b->opt->all_root || tool_exists("fakeroot");
}

static int run_build(struct build *b)
{
	int r = job_begin(&b->job, b->opt->quiet), status;

	if (r < 0)
		return CLI_FAILED;
	snprintf(b->state, sizeof(b->state), "%s/owners", b->job.dir);
	r = check_places(b);
	if (r == 0 && b->src.kind == IMAGE_DIR)
		r = build_look(b, b->src.path);
	b->fakeroot = wants_fakeroot(b);
	if (r == 0)
		r = check_tools(b);
	if (r == 0)
		r = build_steps(b);
	status = job_end(&b->job, r == 0 ? CLI_OK : CLI_FAILED);
	return status;
}

int image_build(const struct image_options *opt)
{
	struct build *b = calloc(1, sizeof(*b));
	int status = CLI_FAILED;

	if (!b)
		return CLI_FAILED;
	b->opt = opt;
	b->src.fd = -1;
	if (resolve_output(b) == 0 && source_open(opt->source, &b->src) == 0)
		status = run_build(b);
	source_close(&b->src);
	free(b);
	return status;
}
