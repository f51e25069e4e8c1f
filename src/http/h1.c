/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1.c - a door: heads of HTTP/1.1, of the guest's and of servers'. Nothing is repaired. RFC 9112 lets a recipient be lenient in places (a bare LF, a
 * folded line, a list of equal lengths, spaces in odd places), and every such place is one where two programs on the way can come to disagree where a
 * message ends. Here they are refused, so that whatever is passed on has one meaning.
 *
 * h1_head_end() checks bytes and lines as they come, once; the parser then sees a whole head. Lines end in CRLF, which the scan has proved. */
#include "http/h1.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static int refuse(struct h1_refusal *ret, unsigned status, const char *why)
{
	*ret = (struct h1_refusal){ .status = status, .why = why };
	return -EBADMSG;
}

/* ---- Bytes ---- */

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool is_token_byte(uint8_t c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

bool h1_is_token(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_token_byte((uint8_t)p[i]))
			return false;
	return len > 0;
}

bool h1_is_value(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (is_control((uint8_t)p[i]))
			return false;
	return len == 0 || (!is_space((uint8_t)p[0]) && !is_space((uint8_t)p[len - 1]));
}

bool h1_text_is(struct h1_text t, const char *s)
{
	return strlen(s) == t.len && strncasecmp(t.p, s, t.len) == 0;
}

struct h1_text h1_text_trimmed(struct h1_text t)
{
	while (t.len > 0 && is_space((uint8_t)t.p[0]))
		t = (struct h1_text){ t.p + 1, t.len - 1 };
	while (t.len > 0 && is_space((uint8_t)t.p[t.len - 1]))
		t.len--;
	return t;
}

static bool mentions(struct h1_text t, const char *word)
{
	size_t len = strlen(word);

	for (size_t at = 0; at + len <= t.len; at++)
		if (strncasecmp(t.p + at, word, len) == 0)
			return true;
	return false;
}

/* A list of challenges has its schemes anywhere, so to be mentioned is enough. */
bool h1_field_binds(const struct h1_field *f)
{
	static const char *const names[] = { "Authorization", "WWW-Authenticate", "Proxy-Authorization", "Proxy-Authenticate" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (h1_text_is(f->name, names[i]))
			return mentions(f->value, "NTLM") || mentions(f->value, "Negotiate");
	return false;
}

const struct h1_field *h1_field_find(const struct h1_head *h, const char *name)
{
	for (unsigned i = 0; i < h->field_count; i++)
		if (h1_text_is(h->field[i].name, name))
			return &h->field[i];
	return NULL;
}

/* ---- Where the head ends ---- */

/* A line is whole: @len bytes without its end. 1: it was the empty one. */
static int scan_line(struct h1_scan *s, size_t len, struct h1_refusal *ret_why)
{
	if (len == 0)
		return s->lines > 0 ? 1 : refuse(ret_why, 400, "an empty line before the first");
	if (len > H1_LINE_MAX)
		return refuse(ret_why, 431, "a line is too long");
	if (s->lines > H1_HEADERS_MAX)
		return refuse(ret_why, 431, "too many header fields");
	s->lines++;
	return 0;
}

ssize_t h1_head_end(struct h1_scan *s, const uint8_t *p, size_t len, struct h1_refusal *ret_why)
{
	for (; s->at < len; s->at++) {
		uint8_t c = p[s->at];
		bool after_cr = s->at > s->line && p[s->at - 1] == '\r';
		int r;

		if (s->at >= H1_HEAD_BYTES_MAX)
			return refuse(ret_why, 431, "the head is too large");
		if (after_cr != (c == '\n'))
			return refuse(ret_why, 400, after_cr ? "a CR without LF" : "a LF without CR");
		if (is_control(c) && c != '\r' && c != '\n')
			return refuse(ret_why, 400, "a control character in the head");
		if (s->at - s->line > H1_LINE_MAX + 1)
			return refuse(ret_why, 431, "a line is too long");
		if (c != '\n')
			continue;
		r = scan_line(s, s->at - 1 - s->line, ret_why);
		if (r < 0)
			return r;
		s->line = s->at + 1;
		if (r > 0)
			return (ssize_t)s->line;
	}
	return 0;
}

/* ---- Who is asked ---- */

static bool parse_port(const char *p, size_t len, uint16_t *ret)
{
	uint32_t v = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(p[i] - '0');
	}
	*ret = (uint16_t)v;
	return v > 0 && v <= UINT16_MAX && p[0] != '0';
}

static bool parse_host(const char *p, size_t len, struct h1_authority *a)
{
	bool bracketed = len >= 2 && p[0] == '[' && p[len - 1] == ']';

	a->is_address = ip_parse(bracketed ? p + 1 : p, bracketed ? len - 2 : len, &a->address);
	if (a->is_address ? (a->address.family == 6) != bracketed : bracketed)
		return false;
	if (!a->is_address)
		return host_name_normalise(p, len, a->name);
	ip_format(&a->address, a->name);
	return true;
}

bool h1_authority_parse(const char *p, size_t len, struct h1_authority *ret)
{
	const char *bracket = memrchr(p, ']', len);
	size_t from = bracket ? (size_t)(bracket - p) + 1 : 0;
	const char *colon = memchr(p + from, ':', len - from);
	size_t host = colon ? (size_t)(colon - p) : len;

	*ret = (struct h1_authority){ 0 };
	if (colon && !parse_port(colon + 1, len - host - 1, &ret->port))
		return false;
	return parse_host(p, host, ret);
}

static bool authority_equal(const struct h1_authority *a, const struct h1_authority *b, uint16_t port)
{
	return strcmp(a->name, b->name) == 0 && a->is_address == b->is_address && (a->port ? a->port : port) == (b->port ? b->port : port);
}

/* ---- Lines ---- */

struct lines {
	const char *p;
	size_t left;
};

/* The next line without its end; false: that was all. */
static bool next_line(struct lines *l, struct h1_text *ret)
{
	const char *end = memchr(l->p, '\n', l->left);
	size_t n = end ? (size_t)(end - l->p) : 0;

	if (!end || n == 0)
		return false;
	*ret = (struct h1_text){ l->p, n - 1 };
	l->p += n + 1;
	l->left -= n + 1;
	return ret->len > 0;
}

static int parse_version(struct h1_text t, struct h1_head *h, struct h1_refusal *why)
{
	if (t.len != 8 || memcmp(t.p, "HTTP/", 5) != 0)
		return refuse(why, 400, "not HTTP");
	if (memcmp(t.p, "HTTP/1.", 7) != 0 || (t.p[7] != '0' && t.p[7] != '1'))
		return refuse(why, 505, "neither HTTP/1.0 nor HTTP/1.1");
	h->minor = t.p[7] == '1';
	return 0;
}

/* Printable ASCII that a URL may have, and what is written raw all the same; not what some servers read as something else. */
static bool is_target(struct h1_text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.p[i] <= 0x20 || t.p[i] >= 0x7f || strchr("#\"<>\\`", t.p[i]))
			return false;
	return t.len > 0;
}

bool h1_is_method(struct h1_text t)
{
	static const char *const framing[] = { "CONNECT", "HEAD", "OPTIONS" };

	for (size_t i = 0; i < ARRAY_LEN(framing); i++)
		if (h1_text_is(t, framing[i]))
			return memcmp(t.p, framing[i], t.len) == 0;
	return h1_is_token(t.p, t.len) && t.len <= H1_METHOD_MAX;
}

static bool has_path_form(struct h1_text path, struct h1_text method)
{
	return path.len > 0 && (path.p[0] == '/' || (h1_text_is(path, "*") && h1_text_is(method, "OPTIONS")));
}

bool h1_is_path(struct h1_text path, struct h1_text method)
{
	return is_target(path) && has_path_form(path, method);
}

static int parse_target(struct h1_head *h, struct h1_refusal *why)
{
	struct h1_text t = h->target;
	size_t n;

	if (!is_target(t))
		return refuse(why, 400, "a bad character in the target");
	if (has_path_form(t, h->method)) {
		h->path = t;
		return 0;
	}
	if (t.len < 7 || strncasecmp(t.p, "http://", 7) != 0)
		return refuse(why, 400, "the target is neither a path nor an http:// URL");
	for (n = 7; n < t.len && t.p[n] != '/' && t.p[n] != '?'; n++)
		;
	if (!h1_authority_parse(t.p + 7, n - 7, &h->authority))
		return refuse(why, 400, "the target's host is none");
	h->has_authority = true;
	h->path = (struct h1_text){ t.p + n, t.len - n };
	return 0;
}

static int parse_request_line(struct h1_text t, struct h1_head *h, struct h1_refusal *why)
{
	const char *first = memchr(t.p, ' ', t.len), *last = memrchr(t.p, ' ', t.len);
	int r;

	if (!first || first == last)
		return refuse(why, 400, "the request line has not three parts");
	h->method = (struct h1_text){ t.p, (size_t)(first - t.p) };
	h->target = (struct h1_text){ first + 1, (size_t)(last - first) - 1 };
	if (!h1_is_method(h->method))
		return refuse(why, 400, "the method is none");
	r = parse_version((struct h1_text){ last + 1, t.len - (size_t)(last - t.p) - 1 }, h, why);
	if (r < 0)
		return r;
	if (h1_text_is(h->method, "CONNECT"))
		return refuse(why, 405, "CONNECT is not served");
	return parse_target(h, why);
}

static int parse_status_line(struct h1_text t, struct h1_head *h, struct h1_refusal *why)
{
	int r = parse_version((struct h1_text){ t.p, MIN(t.len, (size_t)8) }, h, why);

	if (r < 0)
		return r;
	if (t.len < 12 || t.p[8] != ' ' || (t.len > 12 && t.p[12] != ' '))
		return refuse(why, 502, "a bad status line");
	for (size_t i = 9; i < 12; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return refuse(why, 502, "a bad status");
		h->status = h->status * 10 + (unsigned)(t.p[i] - '0');
	}
	return h->status >= 100 && h->status <= 599 ? 0 : refuse(why, 502, "a bad status");
}

static int parse_field(struct h1_text t, struct h1_head *h, struct h1_refusal *why)
{
	const char *colon = memchr(t.p, ':', t.len);
	struct h1_field f = { .name = { t.p, colon ? (size_t)(colon - t.p) : 0 } };

	if (is_space((uint8_t)t.p[0]))
		return refuse(why, 400, "a folded header line");
	if (!colon)
		return refuse(why, 400, "a header line without a colon");
	if (f.name.len > 0 && is_space((uint8_t)colon[-1]))
		return refuse(why, 400, "a space before the colon of a header");
	if (!h1_is_token(f.name.p, f.name.len))
		return refuse(why, 400, "a bad character in the name of a header");
	if (h->field_count == H1_HEADERS_MAX)
		return refuse(why, 431, "too many header fields");
	f.value = h1_text_trimmed((struct h1_text){ colon + 1, t.len - f.name.len - 1 });
	h->field[h->field_count++] = f;
	return 0;
}

/* ---- What the fields mean ---- */

/* What is gathered before it is judged. */
struct meaning {
	unsigned hosts, lengths, codings;
	bool close, keep_alive, names_upgrade, names_others, has_upgrade;
};

bool h1_length_parse(struct h1_text t, uint64_t *ret)
{
	uint64_t v = 0;

	if (t.len == 0 || t.len > 18 || (t.len > 1 && t.p[0] == '0'))
		return false;
	for (size_t i = 0; i < t.len; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(t.p[i] - '0');
	}
	*ret = v;
	return true;
}

static int mean_length(struct h1_text v, struct h1_head *h, struct h1_refusal *why)
{
	return h1_length_parse(v, &h->length) ? 0 : refuse(why, 400, "a bad Content-Length");
}

static int mean_host(struct h1_text v, struct h1_head *h, struct h1_refusal *why)
{
	struct h1_authority a;

	if (!h1_authority_parse(v.p, v.len, &a))
		return refuse(why, 400, "a bad Host");
	if (h->has_authority && !authority_equal(&a, &h->authority, 80))
		return refuse(why, 400, "the target and Host contradict each other");
	h->authority = a;
	h->has_authority = true;
	return 0;
}

/* One option of a Connection field. To name a field there is to have the next hop drop it; those that say where the message ends or goes stay. */
static int mean_option(struct h1_text o, struct meaning *m, struct h1_refusal *why)
{
	static const char *const kept[] = { "Host", "Content-Length", "Transfer-Encoding", "Authorization", "Cookie" };

	if (!h1_is_token(o.p, o.len))
		return refuse(why, 400, "a bad Connection");
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (h1_text_is(o, kept[i]))
			return refuse(why, 400, "Connection names a field that must not be dropped");
	m->close |= h1_text_is(o, "close");
	m->keep_alive |= h1_text_is(o, "keep-alive");
	m->names_upgrade |= h1_text_is(o, "upgrade");
	m->names_others |= !h1_text_is(o, "close") && !h1_text_is(o, "keep-alive");
	return 0;
}

static int mean_connection(struct h1_text v, struct meaning *m, struct h1_refusal *why)
{
	int r = 0;

	while (v.len > 0 && r == 0) {
		const char *comma = memchr(v.p, ',', v.len);
		size_t n = comma ? (size_t)(comma - v.p) : v.len;
		struct h1_text o = h1_text_trimmed((struct h1_text){ v.p, n });

		if (o.len > 0) /* empty ones are allowed in lists, and mean nothing */
			r = mean_option(o, m, why);
		n += comma != NULL;
		v = (struct h1_text){ v.p + n, v.len - n };
	}
	return r;
}

static int mean_field(const struct h1_field *f, struct meaning *m, struct h1_head *h, struct h1_refusal *why)
{
	bool request = h->status == 0;

	if (h1_text_is(f->name, "Host") && request)
		return m->hosts++ == 0 ? mean_host(f->value, h, why) : refuse(why, 400, "several Hosts");
	if (h1_text_is(f->name, "Content-Length"))
		return m->lengths++ == 0 ? mean_length(f->value, h, why) : refuse(why, 400, "several Content-Lengths");
	if (h1_text_is(f->name, "Transfer-Encoding")) {
		if (m->codings++ > 0)
			return refuse(why, 400, "several Transfer-Encodings");
		return h1_text_is(f->value, "chunked") ? 0 : refuse(why, 501, "a Transfer-Encoding that is not just chunked");
	}
	if (h1_text_is(f->name, "Connection"))
		return mean_connection(f->value, m, why);
	m->has_upgrade |= h1_text_is(f->name, "Upgrade");
	h->binds |= h1_field_binds(f);
	if (!h1_text_is(f->name, "Expect") || !request)
		return 0;
	h->expects_continue = h1_text_is(f->value, "100-continue");
	return h->expects_continue ? 0 : refuse(why, 417, "an unknown Expect");
}

static int mean_framing(const struct meaning *m, struct h1_head *h, struct h1_refusal *why)
{
	if (m->lengths && m->codings)
		return refuse(why, 400, "both Content-Length and Transfer-Encoding");
	if (m->codings && h->minor == 0)
		return refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
	h->body = m->codings ? H1_BODY_CHUNKED : m->lengths && h->length > 0 ? H1_BODY_LENGTH : H1_BODY_NONE;
	h->persistent = !m->close && (h->minor == 1 || m->keep_alive);
	h->lasts_only = h->minor == 1 && !m->names_others;
	h->upgrade = h->minor == 1 && m->has_upgrade && m->names_upgrade;
	return 0;
}

static int parse_fields(struct lines *l, struct meaning *m, struct h1_head *h, struct h1_refusal *why)
{
	struct h1_text line;
	int r = 0;

	while (r == 0 && next_line(l, &line)) {
		r = parse_field(line, h, why);
		if (r == 0)
			r = mean_field(&h->field[h->field_count - 1], m, h, why);
	}
	return r < 0 ? r : mean_framing(m, h, why);
}

int h1_request_parse(const uint8_t *p, size_t len, struct h1_head *ret, struct h1_refusal *ret_why)
{
	struct lines l = { (const char *)p, len };
	struct h1_text line = { 0 };
	struct meaning m = { 0 };
	int r;

	memset(ret, 0, sizeof(*ret));
	r = next_line(&l, &line) ? parse_request_line(line, ret, ret_why) : refuse(ret_why, 400, "no request line");
	if (r == 0)
		r = parse_fields(&l, &m, ret, ret_why);
	if (r == 0 && m.hosts == 0 && ret->minor == 1)
		return refuse(ret_why, 400, "no Host");
	return r;
}

/* What a response's status says about its body comes before what its fields say. */
static int response_body(const struct meaning *m, bool to_head, struct h1_head *h, struct h1_refusal *why)
{
	bool never = h->status < 200 || h->status == 204;

	if (never && (m->codings || h->length > 0))
		return refuse(why, 502, "a body where the status allows none");
	if (never || to_head || h->status == 304)
		h->body = H1_BODY_NONE;
	else if (!m->codings && !m->lengths)
		h->body = H1_BODY_UNTIL_CLOSE;
	if (h->body == H1_BODY_UNTIL_CLOSE)
		h->persistent = false;
	return 0;
}

int h1_response_parse(const uint8_t *p, size_t len, bool to_head, struct h1_head *ret, struct h1_refusal *ret_why)
{
	struct lines l = { (const char *)p, len };
	struct h1_text line = { 0 };
	struct meaning m = { 0 };
	int r;

	memset(ret, 0, sizeof(*ret));
	r = next_line(&l, &line) ? parse_status_line(line, ret, ret_why) : refuse(ret_why, 502, "no status line");
	if (r == 0)
		r = parse_fields(&l, &m, ret, ret_why);
	return r < 0 ? r : response_body(&m, to_head, ret, ret_why);
}
