/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random operations on the callback provider. One after the other, with callbacks that a directory on a tmpfs of the machine serves by path, against a second
 * tmpfs that gets the same steps as system calls: errors, contents and the tree must be the same, open files that lost their names included. And
 * many at once, answered in any order by a model that knows paths only: whoever has a file open must only ever find his own bytes in it. RANDOM_SEED=n and
 * RANDOM_ROUNDS=n search further than the suite does. */
#include "vfs/cb.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static struct list out; /* calls that wait for an answer */

static void fake_submit(void *user, struct cb_call *c)
{
	(void)user;
	list_add_tail(&out, &c->node);
}

static void fake_cancel(void *user, struct cb_call *c)
{
	(void)user;
	list_del(&c->node);
}

static const struct cb_transport fake = { .submit = fake_submit, .cancel = fake_cancel };

static struct vfs *new_cb(void)
{
	const struct cb_config c = { .ops = (1U << CB_CODE_COUNT_) - 1, .transport = &fake };
	struct vfs *fs = NULL;

	list_init(&out);
	CHECK(cb_create(&c, &fs) == 0, "cb_create");
	return fs;
}

/* ------------------------------------------------------------------ callbacks over a directory */

static int store = -1; /* the directory */

static int error_of(int r)
{
	return r < 0 ? -errno : 0;
}

static const char *relative(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static enum cb_type type_of(mode_t mode)
{
	return S_ISDIR(mode) ? CB_TYPE_DIRECTORY : S_ISLNK(mode) ? CB_TYPE_SYMLINK
								 : CB_TYPE_REGULAR;
}

static int serve_stat(const char *path, struct cb_reply *ret)
{
	struct stat st;

	if (fstatat(store, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret = (struct cb_reply){
		.kind = CB_REPLY_STAT,
		.stat = {
			.type = type_of(st.st_mode),
			.mode = st.st_mode & 07777,
			.size = (uint64_t)st.st_size,
			.mtime_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
			.uid = st.st_uid,
			.gid = st.st_gid,
		},
	};
	return 0;
}

static struct buf packed;

static void pack(int dir, const char *name)
{
	struct stat st;
	size_t len = strlen(name);
	bool with = rnd(2);

	CHECK(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0, "%s", name);
	buf_put_u8(&packed, (uint8_t)type_of(st.st_mode));
	buf_put_u8(&packed, with);
	buf_put_le16(&packed, (uint16_t)len);
	(void)buf_put(&packed, name, len);
	if (!with)
		return;
	buf_put_le32(&packed, st.st_mode & 07777);
	buf_put_le64(&packed, (uint64_t)st.st_size);
	buf_put_le64(&packed, 0);
	buf_put_le32(&packed, st.st_uid);
	buf_put_le32(&packed, st.st_gid);
}

static int serve_list(const char *path, struct cb_reply *ret)
{
	int fd = openat(store, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *e;
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	buf_done(&packed);
	buf_init(&packed, 1 << 20);
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			pack(fd, e->d_name);
	closedir(d);
	*ret = (struct cb_reply){ .kind = CB_REPLY_ENTRIES, .data = buf_data(&packed), .len = buf_len(&packed) };
	return 0;
}

static uint8_t bytes[CB_IO_MAX];

static int serve_io(const char *path, const struct cb_request *r, struct cb_reply *ret)
{
	AUTOCLOSE int fd = openat(store, path, (r->code == CB_READ ? O_RDONLY : O_WRONLY) | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (r->code == CB_TRUNCATE)
		return error_of(ftruncate(fd, (off_t)r->len));
	if (r->code == CB_READ) {
		n = pread(fd, bytes, r->len, (off_t)r->off);
		*ret = (struct cb_reply){ .kind = CB_REPLY_DATA, .data = bytes, .len = (size_t)MAX(n, 0) };
	} else {
		CHECK(vfs_iov_get(r->data, r->data_at, bytes, r->len) == r->len, "less data than was promised");
		n = pwrite(fd, bytes, r->len, (off_t)r->off);
		*ret = (struct cb_reply){ .kind = CB_REPLY_COUNT, .count = (uint64_t)MAX(n, 0) };
	}
	return n < 0 ? -errno : 0;
}

static int serve_make(const char *path, const struct cb_request *r, struct cb_reply *ret)
{
	int e, fd;

	switch (r->code) {
	case CB_CREATE:
		fd = openat(store, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, r->mode);
		e = error_of(fd);
		close_fd(&fd);
		break;
	case CB_MKDIR:
		e = error_of(mkdirat(store, path, r->mode));
		break;
	default:
		e = error_of(symlinkat(r->path2, store, path));
		break;
	}
	return e == 0 && rnd(2) ? serve_stat(path, ret) : e;
}

static int serve_set_attr(const char *path, const struct cb_request *r)
{
	int e = 0;

	if (r->flags & (CB_CHANGE_UID | CB_CHANGE_GID))
		e = error_of(fchownat(store, path, r->flags & CB_CHANGE_UID ? r->uid : (uid_t)-1, r->flags & CB_CHANGE_GID ? r->gid : (gid_t)-1,
				      AT_SYMLINK_NOFOLLOW));
	if (e == 0 && (r->flags & CB_CHANGE_MODE))
		e = error_of(fchmodat(store, path, r->mode, 0));
	return e;
}

static int serve(const struct cb_request *r, struct cb_reply *ret)
{
	const char *path = relative(r->path);
	ssize_t n;

	switch (r->code) {
	case CB_STAT:
		return serve_stat(path, ret);
	case CB_LIST:
		return serve_list(path, ret);
	case CB_READ:
	case CB_WRITE:
	case CB_TRUNCATE:
		return serve_io(path, r, ret);
	case CB_CREATE:
	case CB_MKDIR:
	case CB_SYMLINK:
		return serve_make(path, r, ret);
	case CB_UNLINK:
		return error_of(unlinkat(store, path, 0));
	case CB_RMDIR:
		return error_of(unlinkat(store, path, AT_REMOVEDIR));
	case CB_RENAME:
		return error_of(renameat2(store, path, store, relative(r->path2), r->flags));
	case CB_READLINK:
		n = readlinkat(store, path, (char *)bytes, sizeof(bytes));
		*ret = (struct cb_reply){ .kind = CB_REPLY_DATA, .data = bytes, .len = (size_t)MAX(n, 0) };
		return n < 0 ? -errno : 0;
	case CB_SET_ATTR:
		return serve_set_attr(path, r);
	default:
		return 0;
	}
}

static void answer_all(void)
{
	while (!list_empty(&out)) {
		struct cb_call *c = CONTAINER_OF(out.next, struct cb_call, node);
		struct cb_reply reply = { .kind = CB_REPLY_ERROR };
		struct cb_request r;
		int e;

		c->describe(c, &r);
		list_del(&c->node);
		e = serve(&r, &reply);
		if (e < 0)
			reply = (struct cb_reply){ .kind = CB_REPLY_ERROR, .error = e };
		c->reply(c, &reply);
	}
}

/* The provider's operations, each followed by its answers, as the operations of vfsops.h expect to end at once. */
static const struct vfs_ops *provider;
static struct vfs_ops answering;

static void submit_and_answer(struct vfs *fs, struct vfs_op *op)
{
	provider->submit(fs, op);
	answer_all();
}

static void free_and_answer(struct vfile *f)
{
	provider->file_free(f);
	answer_all();
}

/* ------------------------------------------------------------------ one after the other */

enum { FILES = 5 };

struct both {
	struct world ours, real;
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

/* Never 0, which stands for a default. */
static uint32_t any_mode(void)
{
	return (uint32_t)rnd(01000) | (rnd(4) ? 0 : S_ISGID) | (rnd(8) ? 0 : S_ISVTX) | S_IRUSR;
}

static bool file_step(struct both *b, struct step *s)
{
	uint32_t how;

	s->f = (unsigned)rnd(FILES);
	if (!b->open[s->f])
		return false;
	how = b->flags[s->f] & O_ACCMODE;
	s->x = rnd(3) ? rnd(30000) : rnd(8) * 4096;
	s->y = rnd(20000);
	switch (rnd(8)) {
	case 0:
		s->code = S_FTRUNCATE;
		return how != O_RDONLY;
	case 1:
		s->code = S_CLOSE;
		b->open[s->f] = false;
		return true;
	case 2:
		s->code = S_FSTAT;
		return true;
	case 3:
	case 4:
		s->code = S_READ;
		return how != O_WRONLY;
	default:
		s->code = S_WRITE;
		s->z = rnd(1000);
		return how != O_RDONLY;
	}
}

static void open_step(struct both *b, struct step *s)
{
	static const uint32_t flags[] = { O_RDONLY, O_RDWR, O_RDWR, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND };
	static const uint32_t how[] = { 0, 0, O_CREAT, O_CREAT | O_EXCL, O_CREAT };

	s->code = S_OPEN;
	s->f = (unsigned)rnd(FILES);
	s->x = flags[rnd(ARRAY_LEN(flags))] | how[rnd(ARRAY_LEN(how))];
	s->y = any_mode() & ~(uint32_t)S_ISGID;
	if (b->open[s->f]) {
		s->code = S_CLOSE;
		b->open[s->f] = false;
	}
}

static void name_step(struct both *b, struct step *s)
{
	static const uint32_t how[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE };

	s->a = any_path(b->path[0]);
	switch (rnd(14)) {
	case 0:
	case 1:
		s->code = S_MKDIR;
		s->x = any_mode();
		break;
	case 2:
		s->code = S_RMDIR;
		break;
	case 3:
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
		s->code = rnd(2) ? S_SYMLINK : S_READLINK;
		s->b = any_path(b->path[1]);
		break;
	case 9:
		s->code = S_MKNOD;
		s->x = S_IFREG | any_mode();
		break;
	case 10:
		s->code = rnd(2) ? S_TRUNCATE : S_CHMOD;
		s->x = rnd(10000) | S_IRUSR;
		break;
	case 11:
		s->code = S_CHOWN;
		s->x = rnd(3) ? rnd(5) : UINT32_MAX;
		s->y = rnd(3) ? rnd(5) : UINT32_MAX;
		break;
	case 12:
		s->code = rnd(2) ? S_LIST : S_STAT;
		break;
	default:
		open_step(b, s);
		break;
	}
}

static uint32_t type_at(struct both *b, const char *path)
{
	struct step look = { .code = S_STAT, .a = path };

	return world_do(&b->real, &look) == 0 ? b->real.attr.mode & S_IFMT : 0;
}

static bool leads_into(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	return strncmp(dir, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The kernel's own decisions, which it makes before it asks a file system. */
static bool kernels_own(struct both *b, const struct step *s)
{
	uint32_t type = s->a && s->code != S_SYMLINK ? type_at(b, s->a) : 0;

	if (s->code == S_RENAME)
		return leads_into(s->a, s->b) || leads_into(s->b, s->a);
	if (s->code == S_CHMOD || s->code == S_CHOWN)
		return type == S_IFLNK || (s->code == S_CHOWN && s->x == UINT32_MAX && s->y == UINT32_MAX);
	return s->code == S_OPEN && type == S_IFDIR;
}

static void compare(struct both *b, const struct step *s)
{
	int64_t ours = world_do(&b->ours, s), real = world_do(&b->real, s);
	const struct vattr *x = &b->ours.attr, *y = &b->real.attr;

	CHECK(ours == real, "%s: %lld, tmpfs: %lld", step_text(s), (long long)ours, (long long)real);
	if (ours >= 0 && (s->code == S_READ || s->code == S_READLINK || s->code == S_LIST))
		CHECK(b->ours.out_len == b->real.out_len && memcmp(b->ours.out, b->real.out, b->ours.out_len) == 0, "%s: '%.*s', tmpfs: '%.*s'",
		      step_text(s), (int)MIN(b->ours.out_len, (size_t)200), (char *)b->ours.out, (int)MIN(b->real.out_len, (size_t)200),
		      (char *)b->real.out);
	if (ours == 0 && (s->code == S_STAT || s->code == S_FSTAT))
		CHECK(x->mode == y->mode && x->uid == y->uid && x->gid == y->gid && (S_ISDIR(x->mode) || x->size == y->size) &&
			      (S_ISDIR(x->mode) || x->nlink == y->nlink),
		      "%s: mode %o size %llu links %u, tmpfs: mode %o size %llu links %u", step_text(s), x->mode, (unsigned long long)x->size, x->nlink,
		      y->mode, (unsigned long long)y->size, y->nlink);
	if (s->code == S_OPEN && ours == 0) {
		b->open[s->f] = true;
		b->flags[s->f] = (uint32_t)s->x;
	}
}

/* A directory that holds hidden files is not empty: they go before it does. */
static void close_all(struct both *b)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct step s = { .code = S_CLOSE, .f = i };

		if (b->open[i])
			compare(b, &s);
		b->open[i] = false;
	}
}

static void random_names(unsigned rounds)
{
	static char ours[1 << 20], theirs[1 << 20];
	struct vfs *fs = new_cb();
	struct world served;
	static struct both b;

	memset(&b, 0, sizeof(b));
	provider = fs->ops;
	answering = *provider;
	answering.submit = submit_and_answer;
	answering.file_free = free_and_answer;
	fs->ops = &answering;
	world_init(&b.ours, fs);
	if (!world_init_tmpfs(&b.real, "64m", "1000") || !world_init_tmpfs(&served, "64m", "1000"))
		SKIP("no tmpfs to compare with");
	store = served.root;
	for (unsigned i = 0; i < rounds; i++) {
		struct step s = { .code = S_COUNT_ };

		if (rnd(2)) {
			if (!file_step(&b, &s))
				continue;
		} else {
			name_step(&b, &s);
		}
		if (kernels_own(&b, &s))
			continue;
		if (s.code == S_RMDIR || (s.code == S_RENAME && type_at(&b, s.b) == S_IFDIR))
			close_all(&b);
		compare(&b, &s);
		if (i % 500 != 0 && i != rounds - 1)
			continue;
		close_all(&b); /* with them go the hidden files, which the served tree would show */
		world_describe(&served, ours, sizeof(ours));
		world_describe(&b.real, theirs, sizeof(theirs));
		CHECK(strcmp(ours, theirs) == 0, "after step %u\nserved:\n%.3000s\ntmpfs:\n%.3000s", i, ours, theirs);
	}
	world_done(&b.ours);
	world_done(&b.real);
	world_done(&served);
	vfs_free(fs);
	buf_done(&packed);
}

TEST(random_operations_end_as_on_tmpfs)
{
	uint64_t seed = setting("RANDOM_SEED", 1), rounds = setting("RANDOM_ROUNDS", 6);

	if (geteuid() != 0)
		SKIP("only root may give files away");
	test_timeout((unsigned)(60 + 5 * rounds));
	(void)umask(0);
	for (uint64_t i = seed; i < seed + rounds; i++) {
		state = i * UINT64_C(0x9e3779b97f4a7c15);
		random_names(5000);
	}
}

/* ------------------------------------------------------------------ many at once */

/* The tree of the model: objects by path. */
enum { OBJECTS = 64,
       OPS = 24,
       OPENS = 6 };

struct object {
	char path[96]; /* "": none */
	bool dir;
	uint64_t word; /* a file's contents */
	bool written;
};

static struct object objects[OBJECTS];

static struct object *object_at(const char *path)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		if (objects[i].path[0] && strcmp(objects[i].path, path) == 0)
			return &objects[i];
	return NULL;
}

static struct object *object_add(const char *path, bool dir)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (objects[i].path[0])
			continue;
		objects[i] = (struct object){ .dir = dir };
		(void)snprintf(objects[i].path, sizeof(objects[i].path), "%s", path);
		return &objects[i];
	}
	return NULL;
}

static bool is_under(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool model_empty(const char *dir)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		if (is_under(objects[i].path, dir))
			return false;
	return true;
}

static void model_move(const char *from, const char *to)
{
	size_t len = strlen(from);

	for (unsigned i = 0; i < OBJECTS; i++) {
		char moved[256];

		if (strcmp(objects[i].path, from) != 0 && !is_under(objects[i].path, from))
			continue;
		(void)snprintf(moved, sizeof(moved), "%s%s", to, objects[i].path + len);
		(void)snprintf(objects[i].path, sizeof(objects[i].path), "%.95s", moved);
	}
}

static int model_rename(const char *from, const char *to)
{
	struct object *a = object_at(from), *b = object_at(to);

	if (!a)
		return -ENOENT;
	if (is_under(to, from))
		return -EINVAL;
	if (b && (a->dir != b->dir || (b->dir && !model_empty(to))))
		return b->dir ? a->dir ? -ENOTEMPTY : -EISDIR : -ENOTDIR;
	if (b)
		b->path[0] = '\0';
	model_move(from, to);
	return 0;
}

static int model_make(const char *path, bool dir)
{
	char parent[96];

	(void)snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	if (parent[0] && (!object_at(parent) || !object_at(parent)->dir))
		return -ENOENT;
	if (object_at(path))
		return -EEXIST;
	return object_add(path, dir) ? 0 : -ENOSPC;
}

static int model_serve(const struct cb_request *r, struct cb_reply *ret)
{
	struct object *o = object_at(r->path);

	switch (r->code) {
	case CB_CREATE:
	case CB_MKDIR:
		return model_make(r->path, r->code == CB_MKDIR);
	case CB_RENAME:
		return model_rename(r->path, r->path2);
	default:
		break;
	}
	if (!o)
		return -ENOENT;
	switch (r->code) {
	case CB_STAT:
		*ret = (struct cb_reply){ .kind = CB_REPLY_STAT, .stat = { .type = o->dir ? CB_TYPE_DIRECTORY : CB_TYPE_REGULAR, .size = 8 } };
		return 0;
	case CB_READ:
		*ret = (struct cb_reply){ .kind = CB_REPLY_DATA, .data = (const uint8_t *)&o->word, .len = sizeof(o->word) };
		return o->dir ? -EISDIR : 0;
	case CB_WRITE:
		(void)vfs_iov_get(r->data, r->data_at, &o->word, sizeof(o->word));
		*ret = (struct cb_reply){ .kind = CB_REPLY_COUNT, .count = sizeof(o->word) };
		return o->dir ? -EISDIR : 0;
	case CB_UNLINK:
	case CB_RMDIR:
		if (o->dir != (r->code == CB_RMDIR) || (o->dir && !model_empty(r->path)))
			return o->dir ? -ENOTEMPTY : -ENOTDIR;
		o->path[0] = '\0';
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* What was answered already, though nobody has heard of it. */
struct early {
	struct cb_call *call;
	struct cb_reply reply;
	uint64_t word;
};

static struct early early[OPS * 2];

static struct cb_reply model_answer(struct cb_call *c)
{
	struct cb_reply reply = { .kind = CB_REPLY_ERROR };
	struct cb_request r;
	int e;

	c->describe(c, &r);
	e = model_serve(&r, &reply);
	return e < 0 ? (struct cb_reply){ .kind = CB_REPLY_ERROR, .error = e } : reply;
}

/* Some calls happen when they are made, others when they are answered. */
static void model_submit(void *user, struct cb_call *c)
{
	fake_submit(user, c);
	for (unsigned i = 0; i < ARRAY_LEN(early) && rnd(2); i++) {
		if (early[i].call)
			continue;
		early[i] = (struct early){ .call = c, .reply = model_answer(c) };
		if (early[i].reply.kind == CB_REPLY_DATA) {
			memcpy(&early[i].word, early[i].reply.data, sizeof(early[i].word));
			early[i].reply.data = (const uint8_t *)&early[i].word;
		}
		break;
	}
}

static const struct cb_transport model_transport = { .submit = model_submit, .cancel = fake_cancel };

static void model_reply(struct cb_call *c)
{
	list_del(&c->node);
	for (unsigned i = 0; i < ARRAY_LEN(early); i++) {
		struct early e = early[i];

		if (e.call != c)
			continue;
		early[i].call = NULL;
		if (e.reply.kind == CB_REPLY_DATA)
			e.reply.data = (const uint8_t *)&e.word;
		c->reply(c, &e.reply);
		return;
	}
	{
		struct cb_reply reply = model_answer(c);

		c->reply(c, &reply);
	}
}

/* Answers any of the calls that are out. */
static void answer_one(void)
{
	uint64_t count = 0, which;
	struct cb_call *c = NULL;

	LIST_EACH (pos, &out)
		count++;
	if (count == 0)
		return;
	which = rnd(count);
	LIST_EACH (pos, &out)
		if (which-- == 0)
			c = CONTAINER_OF(pos, struct cb_call, node);
	model_reply(c);
}

static void answer_every_one(void)
{
	while (!list_empty(&out))
		answer_one();
}

/* An operation that is under way; the names are its own. */
struct pending {
	struct vfs_op op;
	bool live;
	unsigned owner; /* which open file it is about */
	char name[2][4];
	uint64_t word;
	struct iovec iov;
};

/* A file that somebody made and has open: nobody else writes to it. */
struct holder {
	struct vfile *file;
	bool busy;     /* an operation of his is under way */
	uint64_t word; /* what he wrote last */
};

static struct pending pending[OPS];
static struct holder holder[OPENS];
static struct vnode *dirs[3]; /* the root and two more, which are renamed too */
static uint64_t next_word;
static unsigned checked, renames;

static void pending_done(struct vfs_op *op)
{
	struct pending *p = CONTAINER_OF(op, struct pending, op);
	struct holder *h = &holder[p->owner];

	p->live = false;
	if (op->code == VFS_CREATE || op->code == VFS_WRITE || op->code == VFS_READ)
		h->busy = false;
	if (op->code == VFS_CREATE && op->error == 0) {
		h->file = op->ret_file;
		h->word = 0;
	} else if (op->code == VFS_WRITE) {
		CHECK(op->error == 0, "write: %d", op->error);
		h->word = p->word;
	} else if (op->code == VFS_READ) {
		CHECK(op->error == 0 && p->word == h->word, "read %llx with %d, wrote %llx", (unsigned long long)p->word, op->error,
		      (unsigned long long)h->word);
		checked++;
	} else if (op->code == VFS_RENAME) {
		renames += op->error == 0;
	}
	vnode_unref(op->ret_node);
	vnode_unref(op->node);
	vnode_unref(op->node2);
}

static const char *any_name(char name[4])
{
	name[0] = "abcxyz"[rnd(6)];
	name[1] = '\0';
	return name;
}

static void pending_on_file(struct pending *p, struct holder *h)
{
	p->op = (struct vfs_op){
		.code = rnd(2) ? VFS_READ : VFS_WRITE,
		.node = vnode_ref(h->file->node),
		.file = h->file,
		.iov = &p->iov,
		.iov_count = 1,
		.iov_len = sizeof(p->word),
	};
	p->word = p->op.code == VFS_WRITE ? ++next_word : UINT64_MAX;
}

static void begin_one(void)
{
	struct pending *p = &pending[rnd(OPS)];
	struct holder *h;

	if (p->live)
		return;
	p->owner = (unsigned)rnd(OPENS);
	h = &holder[p->owner];
	p->iov = (struct iovec){ &p->word, sizeof(p->word) };
	if (rnd(2)) {
		p->op = (struct vfs_op){ .code = rnd(2) ? VFS_RENAME : rnd(2) ? VFS_UNLINK
									      : VFS_LOOKUP };
		p->op.node = vnode_ref(dirs[rnd(3)]);
		p->op.name = any_name(p->name[0]);
		p->op.node2 = vnode_ref(dirs[rnd(3)]);
		p->op.name2 = any_name(p->name[1]);
	} else if (h->busy) {
		return;
	} else if (h->file) {
		pending_on_file(p, h);
		h->busy = true;
	} else {
		p->op = (struct vfs_op){ .code = VFS_CREATE, .node = vnode_ref(dirs[rnd(3)]), .name = any_name(p->name[0]), .flags = O_RDWR | O_EXCL };
		h->busy = true;
	}
	p->op.done = pending_done;
	p->live = true;
	vfs_submit(&p->op);
}

static void close_one(struct holder *h)
{
	if (h->busy || !h->file)
		return;
	vfile_free(h->file);
	h->file = NULL;
}

static void dir_done(struct vfs_op *op)
{
	op->pid = 1;
}

static struct vnode *make_dir(struct vfs *fs, const char *name)
{
	struct vfs_op op = { .code = VFS_MKDIR, .node = fs->root, .name = name, .mode = 0755, .done = dir_done };

	vfs_submit(&op);
	answer_every_one();
	CHECK(op.pid && op.error == 0, "mkdir: %d", op.error);
	return op.ret_node;
}

static void random_at_once(unsigned rounds)
{
	const struct cb_config c = { .ops = (1U << CB_CODE_COUNT_) - 1, .transport = &model_transport };
	struct vfs *fs = NULL;

	list_init(&out);
	memset(objects, 0, sizeof(objects));
	CHECK(cb_create(&c, &fs) == 0, "cb_create");
	dirs[0] = fs->root;
	dirs[1] = make_dir(fs, "x");
	dirs[2] = make_dir(fs, "y");
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t what = rnd(20);

		if (what < 9)
			begin_one();
		else if (what < 19)
			answer_one();
		else
			close_one(&holder[rnd(OPENS)]);
	}
	answer_every_one();
	for (unsigned i = 0; i < OPS; i++)
		CHECK(!pending[i].live, "%s never ended", vfs_code_name(pending[i].op.code));
	for (unsigned i = 0; i < OPENS; i++)
		close_one(&holder[i]);
	answer_every_one();
	for (unsigned i = 0; i < OBJECTS; i++)
		CHECK(!strstr(objects[i].path, ".sbx-hidden"), "%s is left", objects[i].path);
	vnode_unref(dirs[1]);
	vnode_unref(dirs[2]);
	vfs_free(fs);
}

TEST(whoever_has_a_file_open_finds_his_own_bytes_in_it)
{
	uint64_t seed = setting("RANDOM_SEED", 1), rounds = setting("RANDOM_ROUNDS", 20);

	test_timeout((unsigned)(60 + 5 * rounds));
	for (uint64_t i = seed; i < seed + rounds; i++) {
		state = i * UINT64_C(0x9e3779b97f4a7c15);
		random_at_once(20000);
	}
	CHECK(checked > 1000 && renames > 1000, "only %u reads and %u renames", checked, renames);
}

RUN_TESTS(T(random_operations_end_as_on_tmpfs), T(whoever_has_a_file_open_finds_his_own_bytes_in_it))
