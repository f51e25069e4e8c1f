/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/users.c - passwd(5) and group(5) by hand: libc's functions follow nsswitch.conf and load plug-ins in some images, and cannot be
 * given a text to parse. The files belong to the image or to the workload: lines that are short, long, or not numeric where they
 * should be are passed over. */
#include "users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ID_MAX_EXCLUSIVE = UINT32_MAX }; /* (uid_t)-1 means "no change" to the kernel */

/* Cuts the part of *rest before @sep off; *rest is what is behind it. False when *rest is empty and spent. */
static bool cut(struct slice *rest, char sep, struct slice *ret)
{
	if (!rest->p)
		return false;

	const uint8_t *at = rest->len > 0 ? memchr(rest->p, sep, rest->len) : NULL;

	if (!at) {
		*ret = *rest;
		*rest = (struct slice){ .p = NULL };
		return true;
	}

	size_t n = (size_t)(at - rest->p);

	*ret = (struct slice){ .p = rest->p, .len = n };
	*rest = (struct slice){ .p = at + 1, .len = rest->len - n - 1 };
	return true;
}

/* The fields of a line "a:b:c…"; how many there are, at most @max. */
static unsigned split(struct slice line, struct slice *field, unsigned max)
{
	unsigned n = 0;

	while (n < max && cut(&line, ':', &field[n]))
		n++;
	return n;
}

static bool same(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static bool parse_id(struct slice s, uint32_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 10)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (v >= ID_MAX_EXCLUSIVE)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool all_digits(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.len > 0;
}

/* name:password:uid:gid:comment:home:shell. By @name, or by uid when @name is NULL. */
static bool find_user(struct slice passwd, const struct slice *name, uint32_t uid, struct user *u, struct slice *ret_name)
{
	struct slice line, f[7];

	while (cut(&passwd, '\n', &line)) {
		unsigned n = split(line, f, 7);
		uint32_t id, gid;

		if (n < 4 || !parse_id(f[2], &id) || !parse_id(f[3], &gid) || (name ? !same(f[0], *name) : id != uid))
			continue;
		u->uid = id;
		u->gid = gid;
		if (n >= 6 && f[5].len > 0 && f[5].p[0] == '/')
			slice_copy(f[5], u->home, sizeof(u->home));
		*ret_name = f[0];
		return true;
	}
	return false;
}

/* name:password:gid:member,member */
static bool find_group(struct slice group, struct slice name, uint32_t *ret)
{
	struct slice line, f[4];

	while (cut(&group, '\n', &line))
		if (split(line, f, 4) >= 3 && same(f[0], name) && parse_id(f[2], ret))
			return true;
	return false;
}

static bool lists(struct slice members, struct slice name)
{
	struct slice m;

	while (name.len > 0 && cut(&members, ',', &m))
		if (same(m, name))
			return true;
	return false;
}

static void add_memberships(struct slice group, struct slice name, struct user *u)
{
	struct slice line, f[4];
	uint32_t gid;

	while (u->group_count < USERS_GROUPS_MAX && cut(&group, '\n', &line))
		if (split(line, f, 4) == 4 && parse_id(f[2], &gid) && lists(f[3], name))
			u->group[u->group_count++] = gid;
}

static int bad(char *why, size_t size, int code, const char *what, struct slice s)
{
	(void)snprintf(why, size, "%s '%.*s'", what, (int)(s.len < 64 ? s.len : 64), (const char *)s.p);
	return code;
}

int user_resolve(struct slice spec, struct slice passwd, struct slice group, struct user *ret, char *why, size_t why_size)
{
	struct user u = { .home = "/" };
	struct slice who = { 0 }, of = { 0 }, rest = spec, name = { 0 };
	bool with_group;

	if (rest.len == 0)
		rest = slice_of("0");
	(void)cut(&rest, ':', &who);
	with_group = rest.p != NULL;
	of = rest;
	if (who.len == 0 || (with_group && of.len == 0))
		return bad(why, why_size, -EINVAL, "expected USER or USER:GROUP, not", spec);

	if (all_digits(who)) {
		if (!parse_id(who, &u.uid))
			return bad(why, why_size, -EINVAL, "no such user id:", who);
		u.gid = u.uid;
		(void)find_user(passwd, NULL, u.uid, &u, &name);
	} else if (!find_user(passwd, &who, 0, &u, &name)) {
		return bad(why, why_size, -ENOENT, "/etc/passwd of the guest has no user", who);
	}

	if (!with_group)
		add_memberships(group, name, &u);
	else if (all_digits(of) ? !parse_id(of, &u.gid) : !find_group(group, of, &u.gid))
		return bad(why, why_size, -ENOENT, "/etc/group of the guest has no group", of);
	*ret = u;
	return 0;
}
