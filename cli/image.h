/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/image.h - what the files of `sandbox image` share. */
#ifndef CLI_IMAGE_H
#define CLI_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct image_job;

enum {
	IMAGE_MIRRORS_MAX = 8,
	IMAGE_LIST_LEN = 16384, /* all --include together */
	IMAGE_LAYERS_MAX = 512,
	IMAGE_LAYER_NAME_LEN = 256,
	IMAGE_HEAD_LEN = 512, /* what tells one kind of file from another */
};

struct image_options {
	const char *source;
	const char *output;
	char include[IMAGE_LIST_LEN]; /* comma-separated package names; "" for none */
	const char *variant;          /* NULL: not given */
	const char *mirrors[IMAGE_MIRRORS_MAX];
	unsigned int mirror_count;
	const char *compress; /* "none", "lz4" or "lz4hc" */
	const char *time;     /* digits: the time of every file; NULL: their own */
	const char *epoch;    /* digits: no file is newer; NULL: not given */
	bool all_root;
	bool quiet;
};

enum image_kind {
	IMAGE_DIR,
	IMAGE_TAR,
	IMAGE_DEBIAN,
};

/* What SOURCE turned out to be. */
struct image_source {
	enum image_kind kind;
	char path[PATH_MAX];    /* DIR: absolute */
	const char *name;       /* for messages */
	const char *suite;      /* DEBIAN */
	int fd;                 /* TAR: at its start, or, when not seekable, behind @head; else -1 */
	uint64_t size;          /* TAR: 0 when not known */
	bool stream;            /* TAR: not seekable */
	const char *tar_option; /* TAR: how it is compressed, as an option of tar; NULL: it is not */
	uint8_t head[IMAGE_HEAD_LEN];
	size_t head_len;
};

/* Finds out; errors are told. Return: 0 or -errno. */
int source_open(const char *arg, struct image_source *ret);
/* The same for an open file, whose descriptor becomes @ret's. */
int source_from_fd(int fd, const char *name, struct image_source *ret);
void source_close(struct image_source *src);
/* Is there a program of this name along PATH? */
bool tool_exists(const char *name);

/* A look at a whole tree. */
struct tree_facts {
	int64_t newest;  /* modification time of the newest file that is no directory; 0 if there is none */
	bool has_mounts; /* something is mounted below it */
	bool complete;   /* every directory of image_dirs is there */
};

int tree_look(const char *root, struct tree_facts *ret);
/* Makes the usual directories that are missing. */
int tree_complete(const char *root);
/* Is @path (absolute) @dir or below it? */
bool path_inside(const char *path, const char *dir);

/* The layers of a container image, the lowest first: files below its unpacked archive. */
struct image_layers {
	unsigned int count;
	char name[IMAGE_LAYERS_MAX][IMAGE_LAYER_NAME_LEN];
};

/* From the text of a manifest.json. Return: 0, -EINVAL (makes no sense) or -E2BIG (several images). */
int layers_parse(const char *text, struct image_layers *ret);
/* From the manifest.json in @dir. Return: as above, or -errno of reading it. */
int layers_read(const char *dir, struct image_layers *ret);
/* Opens a layer of the archive unpacked in @dir. Return: a descriptor or -errno. */
int layers_open(const char *dir, const char *name);
/* Moves what @lower has and @upper neither has nor hides. Return: 0 or -errno. */
int layers_merge(const char *upper, const char *lower);
/*
 * Moves the whiteouts out of the merged tree into the directory @aside. They are not removed: fakeroot knows files by their inode, and
 * would take the next file that gets theirs for them. Return: 0 or -errno.
 */
int layers_finish(const char *root, const char *aside);

/* DEBIAN: the archives to install from, as operands of mmdebstrap, and proxies as "name=value"; both may stay empty. */
struct debian_env {
	char lines[IMAGE_MIRRORS_MAX][512];
	unsigned int line_count;
	char proxy[2][256]; /* "" for none */
};

void debian_probe(const char *suite, struct debian_env *ret);

int image_build(const struct image_options *opt);

int cmd_image_build(int argc, char **argv);
int cmd_image_inspect(int argc, char **argv);

#endif
