/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/fuserig.c - see fuserig.h. */
#include "fuserig.h"

#include "base/cleanup.h"
#include "vfs/mem.h"
#include "../test.h"

#include <string.h>

void fuserig_start(struct fuserig *g)
{
	CHECK(fuse_session_create(g->mount, g->mounts, &g->s) == 0, "session");
}

void fuserig_up(struct fuserig *g, unsigned mounts)
{
	const struct mem_config c = { .max_bytes = 16 << 20, .max_inodes = 4096, .root_mode = 0755 };

	memset(g, 0, sizeof(*g));
	g->mounts = mounts;
	for (unsigned i = 0; i < mounts; i++) {
		CHECK(mem_create(&c, &g->fs[i]) == 0, "mem");
		g->mount[i].fs = g->fs[i];
	}
	fuserig_start(g);
}

void fuserig_down(struct fuserig *g)
{
	fuse_session_free(g->s);
	for (unsigned i = 0; i < RIG_MOUNTS_MAX; i++)
		vfs_free(g->fs[i]);
}

static void replied(struct fuse_req *r, size_t written)
{
	struct fusecall *c = CONTAINER_OF(r, struct fusecall, req);

	CHECK(!c->replied, "answered twice");
	c->replied = true;
	c->written = written;
}

/* Views of @len bytes at @p: @first bytes and the rest, or pieces of @chop bytes. */
static unsigned views(struct iovec *v, uint8_t *p, size_t first, size_t len, size_t chop)
{
	unsigned n = 0;

	for (size_t at = 0, step; at < len; at += step) {
		step = MIN(len - at, chop > 0 ? chop : at == 0 ? first
							       : len);
		v[n++] = (struct iovec){ p + at, step };
	}
	return n;
}

void fusecall_send(struct fuserig *g, struct fusecall *c, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len, size_t room)
{
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + in_len), .opcode = opcode, .unique = ++g->unique, .nodeid = nodeid, .uid = g->uid, .gid = g->gid, .pid = g->pid };

	fault_pause();
	memset(c, 0, sizeof(*c));
	c->in = guard_alloc(h.len);
	memcpy(c->in, &h, sizeof(h));
	if (in_len > 0)
		memcpy(c->in + sizeof(h), in, in_len);
	c->out = guard_alloc(sizeof(struct fuse_out_header) + room);
	c->req.reply = replied;
	c->req.in = c->iov;
	c->req.in_len = h.len;
	c->req.in_count = views(c->req.in, c->in, sizeof(h), h.len, g->chop);
	c->req.out = c->iov + c->req.in_count;
	c->req.out_len = sizeof(struct fuse_out_header) + room;
	c->req.out_count = views(c->req.out, c->out, sizeof(struct fuse_out_header), c->req.out_len, g->chop);
	CHECK(c->req.in_count + c->req.out_count <= ARRAY_LEN(c->iov), "the test's own request is too long");
	fault_resume();
	fuse_submit(g->s, &c->req);
}

int fusecall_result(struct fuserig *g, struct fusecall *c, void *ret, size_t room)
{
	struct fuse_out_header h;
	size_t body;

	(void)g;
	CHECK(c->replied && c->written >= sizeof(h), "no reply");
	memcpy(&h, c->out, sizeof(h));
	CHECK(h.len == c->written, "length %u of %zu bytes", h.len, c->written);
	body = h.len - sizeof(h);
	CHECK(h.error <= 0 && h.error > -512 && (h.error == 0 || body == 0), "error %d with %zu bytes of body", h.error, body);
	CHECK(body <= room, "body of %zu bytes", body);
	if (ret && body > 0)
		memcpy(ret, c->out + sizeof(h), body);
	return h.error < 0 ? h.error : (int)body;
}

int fuse_call(struct fuserig *g, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len, void *ret, size_t room)
{
	struct fuse_out_header h;
	struct fusecall *c;
	int r;

	fault_pause();
	c = malloc(sizeof(*c));
	fault_resume();
	CHECK(c, "memory");
	fusecall_send(g, c, opcode, nodeid, in, in_len, room);
	r = fusecall_result(g, c, ret, room);
	memcpy(&h, c->out, sizeof(h));
	CHECK(h.unique == g->unique, "the reply to request %llu came for %llu", (unsigned long long)g->unique, (unsigned long long)h.unique);
	free(c);
	return r;
}

void fuserig_init(struct fuserig *g)
{
	struct fuse_init_in in = { .major = 7, .minor = 41, .max_readahead = 131072, .flags = 0x7fffffff, .flags2 = UINT32_MAX };
	struct fuse_init_out out;

	CHECK(fuse_call(g, FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out)) == sizeof(out), "INIT");
}

static int done(int r, size_t want)
{
	if (r < 0)
		return r;
	CHECK((size_t)r == want, "body of %d bytes instead of %zu", r, want);
	return 0;
}

int rig_lookup(struct fuserig *g, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	return done(fuse_call(g, FUSE_LOOKUP, dir, name, strlen(name) + 1, ret, sizeof(*ret)), sizeof(*ret));
}

uint64_t rig_root(struct fuserig *g, unsigned mount)
{
	char name[2] = { (char)('0' + mount), '\0' };
	struct fuse_entry_out e;

	CHECK(rig_lookup(g, FUSE_ROOT_ID, name, &e) == 0, "no mount %u", mount);
	return e.nodeid;
}

/* A structure and a name. */
static size_t with_name(uint8_t *out, const void *in, size_t len, const char *name)
{
	memcpy(out, in, len);
	memcpy(out + len, name, strlen(name) + 1);
	return len + strlen(name) + 1;
}

int rig_create(struct fuserig *g, uint64_t dir, const char *name, uint32_t flags, struct fuse_entry_out *ret, uint64_t *ret_fh)
{
	struct fuse_create_in in = { .flags = flags, .mode = 0100644 };
	uint8_t raw[sizeof(in) + 300], both[sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)];
	struct fuse_open_out open;
	int r = done(fuse_call(g, FUSE_CREATE, dir, raw, with_name(raw, &in, sizeof(in), name), both, sizeof(both)), sizeof(both));

	if (r < 0)
		return r;
	memcpy(ret, both, sizeof(*ret));
	memcpy(&open, both + sizeof(*ret), sizeof(open));
	*ret_fh = open.fh;
	return 0;
}

int rig_mkdir(struct fuserig *g, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	struct fuse_mkdir_in in = { .mode = 0755 };
	uint8_t raw[sizeof(in) + 300];

	return done(fuse_call(g, FUSE_MKDIR, dir, raw, with_name(raw, &in, sizeof(in), name), ret, sizeof(*ret)), sizeof(*ret));
}

int rig_open(struct fuserig *g, uint64_t node, uint32_t flags, struct fuse_open_out *ret)
{
	struct fuse_open_in in = { .flags = flags };

	return done(fuse_call(g, FUSE_OPEN, node, &in, sizeof(in), ret, sizeof(*ret)), sizeof(*ret));
}

int rig_opendir(struct fuserig *g, uint64_t node, uint64_t *ret_fh)
{
	struct fuse_open_in in = { 0 };
	struct fuse_open_out out;
	int r = done(fuse_call(g, FUSE_OPENDIR, node, &in, sizeof(in), &out, sizeof(out)), sizeof(out));

	if (r == 0)
		*ret_fh = out.fh;
	return r;
}

int rig_write(struct fuserig *g, uint64_t node, uint64_t fh, uint64_t off, const void *p, uint32_t len)
{
	struct fuse_write_in in = { .fh = fh, .offset = off, .size = len };
	struct fuse_write_out out;
	uint8_t *raw = malloc(sizeof(in) + len);
	int r;

	CHECK(raw, "memory");
	memcpy(raw, &in, sizeof(in));
	if (len > 0)
		memcpy(raw + sizeof(in), p, len);
	r = done(fuse_call(g, FUSE_WRITE, node, raw, sizeof(in) + len, &out, sizeof(out)), sizeof(out));
	free(raw);
	return r < 0 ? r : (int)out.size;
}

int rig_read(struct fuserig *g, uint64_t node, uint64_t fh, uint64_t off, void *p, uint32_t len)
{
	struct fuse_read_in in = { .fh = fh, .offset = off, .size = len };

	return fuse_call(g, FUSE_READ, node, &in, sizeof(in), p, len);
}

int rig_release(struct fuserig *g, uint64_t node, uint64_t fh, bool dir)
{
	struct fuse_release_in in = { .fh = fh };

	return fuse_call(g, dir ? FUSE_RELEASEDIR : FUSE_RELEASE, node, &in, sizeof(in), NULL, 0);
}

void rig_forget(struct fuserig *g, uint64_t node, uint64_t lookups)
{
	struct fuse_forget_in in = { .nlookup = lookups };
	struct fusecall *c = malloc(sizeof(*c));

	CHECK(c, "memory");
	fusecall_send(g, c, FUSE_FORGET, node, &in, sizeof(in), 0);
	CHECK(c->replied && c->written == 0, "FORGET was answered");
	free(c);
}

int rig_getattr(struct fuserig *g, uint64_t node, struct fuse_attr *ret)
{
	struct fuse_getattr_in in = { 0 };
	struct fuse_attr_out out;
	int r = done(fuse_call(g, FUSE_GETATTR, node, &in, sizeof(in), &out, sizeof(out)), sizeof(out));

	if (r == 0)
		*ret = out.attr;
	return r;
}
