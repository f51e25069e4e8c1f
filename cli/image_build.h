/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/image_build.h - one run of `sandbox image build`, as image_build.c and image_unpack.c see it. */
#ifndef CLI_IMAGE_BUILD_H
#define CLI_IMAGE_BUILD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "image.h"
#include "image_job.h"

struct build {
	struct image_job job;
	const struct image_options *opt;
	struct image_source src;
	struct debian_env debian;
	char root[PATH_MAX + 16];  /* the tree: image_unpack.c makes it, or it is the source itself */
	char state[PATH_MAX + 16]; /* fakeroot's memory */
	char out[PATH_MAX];        /* absolute */
	char tmp[PATH_MAX + 16];   /* the unfinished image, beside it */
	char what[3][PATH_MAX + 64];
	bool fakeroot;
	struct tree_facts facts;
	struct image_layers layers;
};

enum { ARGS_MAX = 64 };

struct args {
	const char *v[ARGS_MAX];
	size_t count;
};

void push(struct args *a, const char *s);
void push_all(struct args *a, const char *const *list);
/* What tools that make or read the tree run under: fakeroot, as somebody else than root. It remembers in b->state. */
void push_fakeroot(const struct build *b, struct args *a);

/* The newest time in the image where one is set from outside: SOURCE_DATE_EPOCH, or for debian:SUITE a fixed one. NULL: none is. */
const char *build_epoch(const struct build *b);

/* b->facts of the tree at @root; errors are told, here and below. */
int build_look(struct build *b, const char *root);
/* Makes the tree of b->root, complete, whatever the source is. Return: 0 or -errno. */
int build_tree(struct build *b);

#endif
