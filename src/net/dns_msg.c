/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/dns_msg.c - a door on two sides: the guest asks and the network answers, and neither is believed. Nothing is passed on as bytes: what is
 * understood is decoded into structs and encoded anew, so that a malformed record never reaches the other side. Pure; no allocation.
 *
 * Compression pointers must point backwards, and each further back than the one before, so that decoding a name ends. */
#include "net/dns_msg.h"

#include "base/cleanup.h"
#include "base/rd.h"

#include <errno.h>
#include <string.h>

enum {
	FLAG_RESPONSE = 0x8000,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSE = 0x0100,
	FLAG_RECURSION_AVAILABLE = 0x0080,
	OPCODE_MASK = 0x7800,
	CLASS_IN = 1,
	POINTER = 0xc0,
	LABEL_MAX = 63,
	OPT_BYTES = 11,
	SOA_BYTES = 2 + 10 + 2 + 20, /* a pointer to the question's name; root as server and mailbox */
	CNAMES_MAX = 16,
};

bool dns_type_passes(uint16_t type)
{
	switch (type) {
	case DNS_A:
	case DNS_AAAA:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_MX:
	case DNS_TXT:
	case DNS_SRV:
		return true;
	default:
		return false;
	}
}

/* ---- Names ---- */

/* Lower case, or 0 for a byte that no name of ours has. */
static char name_byte(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? (char)c : 0;
}

/* Appends a label of @n bytes to the name of *@at bytes. */
static bool take_label(const uint8_t *label, size_t n, char *name, size_t *at)
{
	if (*at + (*at > 0) + n > DNS_NAME_MAX)
		return false;
	if (*at > 0)
		name[(*at)++] = '.';
	for (size_t i = 0; i < n; i++) {
		name[*at] = name_byte(label[i]);
		if (name[(*at)++] == 0)
			return false;
	}
	return true;
}

/* Reads a name at @r, which lies in the message @msg. False, and @r bad, when it is malformed or not one of ours. */
static bool take_name(struct rd *r, const uint8_t *msg, char name[DNS_NAME_MAX + 1])
{
	struct rd cursor = *r;
	const uint8_t *limit = cursor.p; /* pointers lead below this */
	bool jumped = false;
	size_t at = 0;

	for (;;) {
		uint8_t n = rd_u8(&cursor);

		if (n >= POINTER) {
			size_t to = (size_t)(n & ~POINTER) << 8 | rd_u8(&cursor);

			if (!jumped)
				*r = cursor;
			jumped = true;
			if (cursor.bad || to >= (size_t)(limit - msg))
				break;
			limit = msg + to;
			cursor = rd_over(limit, (size_t)(cursor.p - limit) + cursor.left);
			continue;
		}
		if (n > LABEL_MAX || cursor.bad)
			break;
		if (n == 0) {
			if (!jumped)
				*r = cursor;
			name[at] = '\0';
			return !r->bad;
		}
		const uint8_t *label = rd_take(&cursor, n);

		if (!label || !take_label(label, n, name, &at))
			break;
	}
	r->bad = true;
	return false;
}

/* ---- Questions ---- */

static void take_edns(struct rd *r, struct dns_query *q)
{
	uint16_t size;

	if (rd_u8(r) != 0 || rd_be16(r) != DNS_OPT)
		return; /* anything else in a query is ignored */
	size = rd_be16(r);
	if (r->bad)
		return;
	q->edns = true;
	q->udp_bytes = MIN(MAX(size, (uint16_t)DNS_UDP_BYTES), (uint16_t)DNS_EDNS_BYTES);
}

int dns_query_parse(const uint8_t *p, size_t len, struct dns_query *ret)
{
	struct rd r = rd_over(p, len);
	struct dns_query q = { .udp_bytes = DNS_UDP_BYTES };
	uint16_t flags, questions, class, additional;

	q.id = rd_be16(&r);
	flags = rd_be16(&r);
	questions = rd_be16(&r);
	(void)rd_be16(&r);
	(void)rd_be16(&r);
	additional = rd_be16(&r);
	if (r.bad || (flags & FLAG_RESPONSE))
		return -EBADMSG;
	q.recurse = flags & FLAG_RECURSE;
	*ret = q;
	if (flags & OPCODE_MASK)
		return DNS_NOTIMP;
	if (questions != 1 || !take_name(&r, p, q.name))
		return DNS_FORMERR;
	q.type = rd_be16(&r);
	class = rd_be16(&r);
	if (r.bad)
		return DNS_FORMERR;
	if (additional > 0)
		take_edns(&r, &q);
	*ret = q;
	return class == CLASS_IN ? 0 : DNS_NOTIMP;
}

/* ---- Answers from upstream ---- */

/* The record's data, @r at its beginning. False: not understood (it is skipped). */
static bool take_data(struct rd r, const uint8_t *msg, size_t len, struct dns_record *rec)
{
	const uint8_t *end = r.p + len, *bytes;

	switch (rec->type) {
	case DNS_A:
	case DNS_AAAA:
		rec->addr = (struct ip){ .family = rec->type == DNS_A ? 4 : 6 };
		bytes = rd_take(&r, rec->type == DNS_A ? 4 : 16);
		if (bytes)
			memcpy(rec->addr.bytes, bytes, rec->type == DNS_A ? 4 : 16);
		return r.p == end;
	case DNS_TXT:
		bytes = len <= DNS_TEXT_MAX ? rd_take(&r, len) : NULL;
		if (!bytes)
			return false;
		for (size_t at = 0; at < len; at += 1u + bytes[at])
			if (1u + bytes[at] > len - at)
				return false;
		memcpy(rec->text, bytes, len);
		rec->text_len = (uint16_t)len;
		return len > 0;
	case DNS_SRV:
		rec->priority = rd_be16(&r);
		rec->weight = rd_be16(&r);
		rec->port = rd_be16(&r);
		break;
	case DNS_MX:
		rec->priority = rd_be16(&r);
		break;
	default:
		break;
	}
	return take_name(&r, msg, rec->target) && r.p == end;
}

/* How long the absence holds: the lesser of the SOA's own time and its last field (RFC 2308, 5). */
static uint32_t soa_ttl(struct rd r, const uint8_t *msg, uint32_t ttl)
{
	char server[DNS_NAME_MAX + 1], mailbox[DNS_NAME_MAX + 1];
	uint32_t minimum;

	/* Both may hold bytes that no name of ours has: then the time is unknown. */
	if (!take_name(&r, msg, server) || !take_name(&r, msg, mailbox) || !rd_take(&r, 16))
		return 0;
	minimum = rd_be32(&r);
	return r.bad ? 0 : MIN(ttl, minimum);
}

/* Reads one record of a message; *@ret_skip: it is none for us. False when the message is malformed. */
static bool take_record(struct rd *r, const uint8_t *msg, struct dns_record *rec, bool *ret_skip, uint32_t *negative_ttl)
{
	uint16_t class, len;
	struct rd data;

	memset(rec, 0, offsetof(struct dns_record, text));
	if (!take_name(r, msg, rec->owner))
		return false;
	rec->type = rd_be16(r);
	class = rd_be16(r);
	rec->ttl = rd_be32(r);
	len = rd_be16(r);
	data = *r;
	if (!rd_take(r, len))
		return false;
	if (rec->ttl > INT32_MAX)
		rec->ttl = 0; /* RFC 2181, 8 */
	if (rec->type == DNS_SOA && class == CLASS_IN)
		*negative_ttl = soa_ttl(data, msg, rec->ttl);
	*ret_skip = class != CLASS_IN || !dns_type_passes(rec->type) || !take_data(data, msg, len, rec);
	return true;
}

/* Keeps the records that lead from @name to data of @type: in order, each owned by the name or by the target of a CNAME kept before. */
static void keep_chain(struct dns_answer *a, const char *name, uint16_t type)
{
	char wanted[CNAMES_MAX + 1][DNS_NAME_MAX + 1];
	unsigned names = 1, kept = 0;

	(void)strcpy(wanted[0], name); /* style: strcpy: both are DNS_NAME_MAX + 1 */
	for (unsigned i = 0; i < a->count; i++) {
		struct dns_record *rec = &a->record[i];
		bool ours = false;

		for (unsigned n = 0; n < names && !ours; n++)
			ours = strcmp(rec->owner, wanted[n]) == 0;
		if (!ours || (rec->type != type && rec->type != DNS_CNAME))
			continue;
		if (rec->type == DNS_CNAME && type != DNS_CNAME) {
			if (names > CNAMES_MAX)
				continue;
			memcpy(wanted[names++], rec->target, sizeof(rec->target));
		}
		if (kept != i)
			a->record[kept] = *rec;
		kept++;
	}
	a->count = kept;
}

int dns_answer_parse(const uint8_t *p, size_t len, const char *name, uint16_t type, struct dns_answer *ret)
{
	struct rd r = rd_over(p, len);
	uint16_t flags, questions, answers, authorities;
	char asked[DNS_NAME_MAX + 1];

	ret->count = 0;
	ret->negative_ttl = 0;
	(void)rd_be16(&r);
	flags = rd_be16(&r);
	questions = rd_be16(&r);
	answers = rd_be16(&r);
	authorities = rd_be16(&r);
	(void)rd_be16(&r);
	ret->rcode = (enum dns_rcode)(flags & 0xf);
	ret->truncated = flags & FLAG_TRUNCATED;
	if (r.bad || !(flags & FLAG_RESPONSE) || questions != 1 || !take_name(&r, p, asked) || strcmp(asked, name) != 0 || rd_be16(&r) != type ||
	    rd_be16(&r) != CLASS_IN)
		return -EBADMSG;
	for (unsigned i = 0; i < (unsigned)answers + authorities; i++) {
		struct dns_record spare, *rec = ret->count < DNS_RECORDS_MAX ? &ret->record[ret->count] : &spare;
		uint32_t ttl = 0;
		bool skip = true;

		if (!take_record(&r, p, rec, &skip, &ttl))
			return -EBADMSG;
		if (i >= answers)
			ret->negative_ttl = MAX(ret->negative_ttl, ttl);
		else if (!skip && rec != &spare)
			ret->count++;
	}
	keep_chain(ret, name, type);
	return 0;
}

/* ---- Answers to the guest ---- */

struct out {
	uint8_t *p;
	size_t len, max;
	bool full;
};

static void put(struct out *o, const void *p, size_t n)
{
	if (n > o->max - o->len) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->len, p, n);
	o->len += n;
}

static void put_u8(struct out *o, uint8_t v)
{
	put(o, &v, 1);
}

static void put_be16(struct out *o, uint16_t v)
{
	put(o, &(uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

static void put_be32(struct out *o, uint32_t v)
{
	put_be16(o, (uint16_t)(v >> 16));
	put_be16(o, (uint16_t)v);
}

static void put_name(struct out *o, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		put_u8(o, (uint8_t)n);
		put(o, name, n);
		name += n + (name[n] == '.');
	}
	put_u8(o, 0);
}

static void put_data(struct out *o, const struct dns_record *rec)
{
	size_t at = o->len;

	put_be16(o, 0);
	switch (rec->type) {
	case DNS_A:
	case DNS_AAAA:
		put(o, rec->addr.bytes, rec->addr.family == 4 ? 4 : 16);
		break;
	case DNS_TXT:
		put(o, rec->text, rec->text_len);
		break;
	case DNS_SRV:
		put_be16(o, rec->priority);
		put_be16(o, rec->weight);
		put_be16(o, rec->port);
		put_name(o, rec->target);
		break;
	case DNS_MX:
		put_be16(o, rec->priority);
		put_name(o, rec->target);
		break;
	default:
		put_name(o, rec->target);
		break;
	}
	if (o->full)
		return;
	o->p[at] = (uint8_t)((o->len - at - 2) >> 8);
	o->p[at + 1] = (uint8_t)(o->len - at - 2);
}

/* False, with nothing added, when it does not fit. */
static bool put_record(struct out *o, const struct dns_query *q, const struct dns_record *rec)
{
	size_t at = o->len;

	if (strcmp(rec->owner, q->name) == 0)
		put_be16(o, POINTER << 8 | DNS_HEADER_BYTES);
	else
		put_name(o, rec->owner);
	put_be16(o, rec->type);
	put_be16(o, CLASS_IN);
	put_be32(o, rec->ttl);
	put_data(o, rec);
	if (!o->full)
		return true;
	o->len = at;
	o->full = false;
	return false;
}

static void put_soa(struct out *o, uint32_t ttl)
{
	put_be16(o, POINTER << 8 | DNS_HEADER_BYTES);
	put_be16(o, DNS_SOA);
	put_be16(o, CLASS_IN);
	put_be32(o, ttl);
	put_be16(o, SOA_BYTES - 12);
	put_u8(o, 0);
	put_u8(o, 0);
	for (int i = 0; i < 4; i++)
		put_be32(o, 1); /* serial, refresh, retry, expire */
	put_be32(o, ttl);
}

static void put_opt(struct out *o)
{
	put_u8(o, 0);
	put_be16(o, DNS_OPT);
	put_be16(o, DNS_EDNS_BYTES);
	put_be32(o, 0);
	put_be16(o, 0);
}

static void store_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

size_t dns_response_build(const struct dns_query *q, const struct dns_answer *a, uint8_t *dst, size_t max)
{
	size_t tail = q->edns ? OPT_BYTES : 0; /* kept free for the end */
	bool soa = a->count == 0 && a->negative_ttl > 0 && (a->rcode == DNS_NOERROR || a->rcode == DNS_NXDOMAIN);
	struct out o = { .p = dst, .max = max > tail ? max - tail : 0 };
	unsigned flags = FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | (unsigned)a->rcode | (q->recurse ? FLAG_RECURSE : 0U);
	unsigned count = 0;

	put(&o, (uint8_t[DNS_HEADER_BYTES]){ 0 }, DNS_HEADER_BYTES);
	put_name(&o, q->name);
	put_be16(&o, q->type);
	put_be16(&o, CLASS_IN);
	if (o.full)
		return 0;
	while (count < a->count && put_record(&o, q, &a->record[count]))
		count++;
	if (count < a->count)
		flags |= FLAG_TRUNCATED;
	if (soa)
		put_soa(&o, a->negative_ttl);
	soa = soa && !o.full;
	o.max = max;
	o.full = false;
	if (q->edns)
		put_opt(&o);
	store_be16(dst, q->id);
	store_be16(dst + 2, flags);
	store_be16(dst + 4, 1);
	store_be16(dst + 6, count);
	store_be16(dst + 8, soa);
	store_be16(dst + 10, q->edns);
	return o.len;
}
