/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/builtin_tar.c - trees to and from the host, as archives on the standard streams. The host is trusted with what it sends, but an archive
 * may be a stranger's that it passes on: it is unpacked as strictly as the host would. */
#include "base/cleanup.h"
#include "base/totar.h"
#include "base/untar.h"
#include "builtin_impl.h"
#include "child.h"

#include <errno.h>
#include <string.h>

int builtin_tar_out(char *const *a)
{
	static uint8_t piece[BUILTIN_PIECE];
	struct sbx_err err = { 0 };
	struct totar *t;
	ssize_t n;
	int r = totar_create(a[0], NULL, &t, &err);

	if (r < 0)
		return builtin_fail(r, "%s", err.message);
	while ((n = totar_read(t, piece, sizeof(piece), &err)) > 0) {
		r = builtin_write_all(1, piece, (size_t)n);
		if (r < 0)
			return builtin_fail(r, "cannot send: %s", strerror(-r));
	}
	totar_free(t);
	return n < 0 ? builtin_fail((int)n, "%s", err.message) : 0;
}

static int take_owner(const char *text, struct untar_config *c, char *why, size_t why_size)
{
	AUTOFREE struct child_files *files = NULL;
	struct user u;
	int r;

	if (strcmp(text, "-") == 0)
		return 0;
	if (strcmp(text, "=") == 0) {
		c->flags |= UNTAR_OWNERS;
		return 0;
	}
	files = malloc(sizeof(*files));
	if (!files)
		return -ENOMEM;
	r = child_user(slice_of(text), files, &u, why, why_size);
	if (r < 0)
		return r;
	c->flags |= UNTAR_OWNER;
	c->uid = u.uid;
	c->gid = u.gid;
	return 0;
}

int builtin_tar_in(char *const *a)
{
	static uint8_t piece[BUILTIN_PIECE];
	struct untar_config c = { .dst = a[0], .name = strcmp(a[1], "/") == 0 ? NULL : a[1], .flags = UNTAR_SPECIAL };
	struct sbx_err err = { 0 };
	struct untar *u;
	ssize_t n = 0;
	int r = take_owner(a[2], &c, err.message, sizeof(err.message));

	if (r == 0)
		r = untar_create(&c, &u, &err);
	if (r < 0)
		return builtin_fail(r, "%s", err.message);
	while (r == 0 && ((n = read(0, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR)))
		r = n > 0 ? untar_feed(u, piece, (size_t)n, &err) : 0;
	if (r == 0 && n < 0)
		r = err_set(&err, -errno, "cannot receive: %m");
	if (r == 0)
		r = untar_finish(u, NULL, &err);
	untar_free(u);
	return r < 0 ? builtin_fail(r, "%s", err.message) : 0;
}
