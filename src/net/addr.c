/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/addr.c - no libc parser: inet_aton() takes octal and short forms, strtoul() signs and prefixes, and each difference between what is
 * checked and what is dialled is a hole. Pure. */
#include "net/addr.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { V6_GROUPS = 8 };

/* A decimal number up to @max without leading zeros, moving *@p; false if there is none. */
static bool take_decimal(const char **p, const char *end, unsigned max, unsigned *ret)
{
	const char *s = *p;
	unsigned v = 0;

	while (*p < end && **p >= '0' && **p <= '9' && *p - s < 4)
		v = v * 10 + (unsigned)(*(*p)++ - '0');
	if (*p == s || v > max || (*s == '0' && *p - s > 1))
		return false;
	*ret = v;
	return true;
}

static bool parse_v4(const char *s, const char *end, uint8_t dst[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned v;

		if (i > 0 && (s == end || *s++ != '.'))
			return false;
		if (!take_decimal(&s, end, 255, &v))
			return false;
		dst[i] = (uint8_t)v;
	}
	return s == end;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool take_group(const char **p, const char *end, uint8_t dst[2])
{
	unsigned v = 0;
	int digits = 0;

	for (; *p < end && hex_value(**p) >= 0; (*p)++, digits++)
		v = v << 4 | (unsigned)hex_value(**p);
	if (digits < 1 || digits > 4)
		return false;
	dst[0] = (uint8_t)(v >> 8);
	dst[1] = (uint8_t)v;
	return true;
}

/* A dotted quad begins here and is the rest? */
static bool is_dotted(const char *s, const char *end)
{
	return memchr(s, '.', (size_t)(end - s)) && !memchr(s, ':', (size_t)(end - s));
}

static bool parse_v6(const char *s, const char *end, uint8_t dst[16])
{
	uint8_t groups[16] = { 0 };
	size_t at = 0, gap = SIZE_MAX;

	if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end) {
		if (at <= 12 && is_dotted(s, end)) {
			if (!parse_v4(s, end, groups + at))
				return false;
			at += 4;
			break;
		}
		if (at > 14 || !take_group(&s, end, groups + at))
			return false;
		at += 2;
		if (s == end)
			break;
		if (*s++ != ':' || s == end)
			return false; /* something else, or a colon at the end */
		if (*s == ':') {
			if (gap != SIZE_MAX)
				return false;
			gap = at;
			s++;
		}
	}
	if (gap == SIZE_MAX ? at != 16 : at > 14)
		return false; /* "::" stands for one group at least */
	memset(dst, 0, 16);
	if (gap == SIZE_MAX)
		gap = at;
	memcpy(dst, groups, gap);
	memcpy(dst + 16 - (at - gap), groups + gap, at - gap);
	return true;
}

bool ip_parse(const char *s, size_t len, struct ip *ret)
{
	struct ip a = { .family = memchr(s, ':', len) ? 6 : 4 };

	if (len >= IP_TEXT_MAX || !(a.family == 6 ? parse_v6(s, s + len, a.bytes) : parse_v4(s, s + len, a.bytes)))
		return false;
	*ret = a;
	return true;
}

static unsigned group_of(const struct ip *a, size_t i)
{
	return (unsigned)a->bytes[2 * i] << 8 | a->bytes[2 * i + 1];
}

/* The longest run of two or more zero groups, the first of equals; its length. */
static unsigned zero_run(const struct ip *a, unsigned *ret_start)
{
	unsigned best = 1;

	for (unsigned i = 0; i < V6_GROUPS;) {
		unsigned n = 0;

		while (i + n < V6_GROUPS && group_of(a, i + n) == 0)
			n++;
		if (n > best) {
			best = n;
			*ret_start = i;
		}
		i += n + 1;
	}
	return best > 1 ? best : 0;
}

void ip_format(const struct ip *a, char dst[IP_TEXT_MAX])
{
	struct ip v4 = ip_unmap(a);
	unsigned start = V6_GROUPS, run;
	int n = 0;

	if (v4.family == 4) {
		(void)snprintf(dst, IP_TEXT_MAX, "%s%u.%u.%u.%u", a->family == 6 ? "::ffff:" : "", v4.bytes[0], v4.bytes[1], v4.bytes[2], v4.bytes[3]);
		return;
	}
	run = zero_run(a, &start);
	for (unsigned i = 0; i < V6_GROUPS; i++) {
		if (run > 0 && i == start) {
			n += snprintf(dst + n, (size_t)(IP_TEXT_MAX - n), "::");
			i += run - 1;
			continue;
		}
		n += snprintf(dst + n, (size_t)(IP_TEXT_MAX - n), "%s%x", i > 0 && i != start + run ? ":" : "", group_of(a, i));
	}
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct ip ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct ip){ .family = 4, .bytes = { a, b, c, d } };
}

struct ip ip_unmap(const struct ip *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family != 6 || memcmp(a->bytes, mapped, sizeof(mapped)) != 0)
		return *a;
	return ip_v4(a->bytes[12], a->bytes[13], a->bytes[14], a->bytes[15]);
}

/* Clears the bits below @prefix. */
static struct ip masked(const struct ip *a, unsigned prefix)
{
	struct ip m = *a;

	for (unsigned i = 0; i < sizeof(m.bytes); i++) {
		unsigned keep = prefix > 8 * i ? prefix - 8 * i : 0;

		m.bytes[i] = (uint8_t)(m.bytes[i] & (keep >= 8 ? 0xff : 0xff00u >> keep));
	}
	return m;
}

int cidr_parse(const char *s, size_t len, struct cidr *ret, struct sbx_err *err)
{
	const char *slash = memchr(s, '/', len), *p;
	char text[IP_TEXT_MAX];
	struct cidr c;
	unsigned prefix;

	if (!slash)
		return err_set(err, -EINVAL, "invalid CIDR range: %.*s%s (write ADDRESS/PREFIX)", (int)len, s, len == 0 ? "there is none" : "");
	if (slash == s || slash + 1 == s + len)
		return err_set(err, -EINVAL, "invalid CIDR %s: there is none in %.*s (write ADDRESS/PREFIX)", slash == s ? "address" : "prefix", (int)len, s);
	if (!ip_parse(s, (size_t)(slash - s), &c.base))
		return err_set(err, -EINVAL, "invalid CIDR address: %.*s", (int)(slash - s), s);
	p = slash + 1;
	if (!take_decimal(&p, s + len, c.base.family == 4 ? 32 : 128, &prefix) || p != s + len)
		return err_set(err, -EINVAL, "invalid CIDR prefix: %.*s", (int)(s + len - slash - 1), slash + 1);
	c.prefix = (uint8_t)prefix;
	struct ip base = masked(&c.base, prefix);

	if (!ip_equal(&base, &c.base)) {
		ip_format(&base, text);
		return err_set(err, -EINVAL, "invalid CIDR range: %.*s has bits below its prefix; did you mean %s/%u?", (int)len, s, text, prefix);
	}
	*ret = c;
	return 0;
}

bool cidr_contains(const struct cidr *c, const struct ip *a)
{
	struct ip m = masked(a, c->prefix);

	return ip_equal(&m, &c->base);
}
