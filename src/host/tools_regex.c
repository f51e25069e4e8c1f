/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/tools_regex.c - see tools_regex.h. The expression becomes a program whose jumps are relative, so that a part of it can be moved when a
 * branch is put before it; all its threads run side by side, each place once a byte. */
#include "host/tools_regex.h"

#include "base/cleanup.h"
#include "sbx.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum op { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH };

struct inst {
	enum op op;
	int to; /* SPLIT: also here; JUMP: only here; relative */
	uint64_t set[4];
};

struct regex {
	unsigned count, generation;
	unsigned now[REGEX_STATES_MAX], next[REGEX_STATES_MAX], stack[REGEX_STATES_MAX], seen[REGEX_STATES_MAX];
	struct inst code[REGEX_STATES_MAX + 1];
};

_Static_assert((int)REGEX_STATES_MAX == (int)SBX_FS_STATES_MAX && (int)REGEX_STATES_MAX == 2048, "sbx.h and the message below say so");

struct parser {
	struct regex *re;
	const char *p;
	const char *why; /* the first mistake */
	unsigned depth;
	bool nocase;
};

static void parse_alternatives(struct parser *s);

static void fail(struct parser *s, const char *why)
{
	if (!s->why)
		s->why = why;
}

/* A place for an instruction at @at, what follows moves up; the place behind the last one takes what is too much. */
static struct inst *insert(struct parser *s, unsigned at, enum op op, int to)
{
	struct regex *re = s->re;

	if (re->count >= REGEX_STATES_MAX) {
		fail(s, "it has more than 2048 states with its repetitions written out");
		return &re->code[REGEX_STATES_MAX];
	}
	memmove(&re->code[at + 1], &re->code[at], (re->count - at) * sizeof(re->code[0]));
	re->count++;
	re->code[at] = (struct inst){ .op = op, .to = to };
	return &re->code[at];
}

static void set_add(uint64_t *set, unsigned c)
{
	set[c / 64] |= UINT64_C(1) << c % 64;
}

static bool set_has(const uint64_t *set, unsigned c)
{
	return set[c / 64] >> c % 64 & 1;
}

static void emit_set(struct parser *s, uint64_t *set, bool negated)
{
	struct inst *i;

	for (unsigned c = 'a'; s->nocase && c <= 'z'; c++) {
		if (set_has(set, c) || set_has(set, c - 'a' + 'A')) {
			set_add(set, c);
			set_add(set, c - 'a' + 'A');
		}
	}
	i = insert(s, s->re->count, OP_SET, 0);
	for (unsigned n = 0; n < 4; n++)
		i->set[n] = negated ? ~set[n] : set[n];
}

static bool in_class(const char *name, size_t len, int c)
{
	static const struct {
		const char *name;
		int (*is)(int c);
	} classes[] = { { "alpha", isalpha }, { "digit", isdigit }, { "alnum", isalnum }, { "upper", isupper }, { "lower", islower }, { "space", isspace },
			{ "blank", isblank }, { "punct", ispunct }, { "print", isprint }, { "graph", isgraph }, { "cntrl", iscntrl }, { "xdigit", isxdigit } };

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (strlen(classes[i].name) == len && memcmp(classes[i].name, name, len) == 0)
			return c < 0 || (c < 128 && classes[i].is(c));
	return false;
}

/* Behind "[:". */
static void parse_class(struct parser *s, uint64_t *set)
{
	const char *end = strstr(s->p, ":]");

	if (!end || !in_class(s->p, (size_t)(end - s->p), -1)) {
		fail(s, "it names an unknown character class");
		return;
	}
	for (int c = 0; c < 128; c++)
		if (in_class(s->p, (size_t)(end - s->p), c))
			set_add(set, (unsigned)c);
	s->p = end + 2;
}

/* Behind "[". */
static void parse_bracket(struct parser *s)
{
	uint64_t set[4] = { 0 };
	bool negated = *s->p == '^';
	const char *first = s->p += negated;

	while (!s->why && (*s->p != ']' || s->p == first)) {
		unsigned from = (unsigned char)*s->p, to = from;

		if (!*s->p) {
			fail(s, "a bracket is not closed");
		} else if (*s->p == '[' && s->p[1] == ':') {
			s->p += 2;
			parse_class(s, set);
		} else if (*s->p == '[' && (s->p[1] == '.' || s->p[1] == '=')) {
			fail(s, "collating elements are not supported");
		} else {
			s->p++;
			if (*s->p == '-' && s->p[1] && s->p[1] != ']') {
				to = (unsigned char)s->p[1];
				s->p += 2;
			}
			if (to < from)
				fail(s, "a range ends before it begins");
			for (; from <= to; from++)
				set_add(set, from);
		}
	}
	s->p += *s->p == ']';
	emit_set(s, set, negated);
}

static void parse_escape(struct parser *s)
{
	uint64_t set[4] = { 0 };
	char c = *s->p;
	bool negated = c == 'W' || c == 'S';

	if (isdigit((unsigned char)c))
		fail(s, "back-references are not supported");
	else if (c == '\0' || c == '<' || c == '>' || c == '`' || c == '\'' || (isalpha((unsigned char)c) && !strchr("wWsS", c)))
		fail(s, "it has an unknown escape");
	else if (isalpha((unsigned char)c))
		for (int i = 0; i < 128; i++) {
			if (tolower(c) == 'w' ? isalnum(i) || i == '_' : isspace(i))
				set_add(set, (unsigned)i);
		}
	else
		set_add(set, (unsigned char)c);
	s->p += c != '\0';
	emit_set(s, set, negated);
}

static void parse_group(struct parser *s)
{
	if (++s->depth > REGEX_DEPTH_MAX) {
		fail(s, "its groups are nested too deeply");
		return;
	}
	(void)insert(s, s->re->count, OP_JUMP, 1); /* every repetition adds to the count, even of nothing */
	parse_alternatives(s);
	if (*s->p == ')')
		s->p++;
	else
		fail(s, "a group is not closed");
	s->depth--;
}

static void parse_atom(struct parser *s)
{
	uint64_t set[4] = { 0 };
	char c = *s->p++;

	switch (c) {
	case '(':
		parse_group(s);
		break;
	case '[':
		parse_bracket(s);
		break;
	case '\\':
		parse_escape(s);
		break;
	case '.':
		emit_set(s, set, true);
		break;
	case '^':
	case '$':
		(void)insert(s, s->re->count, c == '^' ? OP_BEGIN : OP_END, 0);
		break;
	case '*':
	case '+':
	case '?':
	case '{':
		fail(s, "a repetition has nothing before it");
		break;
	default:
		set_add(set, (unsigned char)c);
		emit_set(s, set, false);
	}
}

static unsigned number(struct parser *s, unsigned otherwise)
{
	unsigned n = 0;

	if (!isdigit((unsigned char)*s->p))
		return otherwise;
	for (; isdigit((unsigned char)*s->p); s->p++)
		n = MIN(n * 10 + (unsigned)(*s->p - '0'), (unsigned)REGEX_STATES_MAX);
	return n;
}

/* Once more what is at code[start] of @len instructions, at the end. */
static void again(struct parser *s, const struct inst *part, unsigned len)
{
	for (unsigned i = 0; i < len && !s->why; i++)
		*insert(s, s->re->count, OP_JUMP, 1) = part[i];
}

static void star(struct parser *s, unsigned start)
{
	unsigned len = s->re->count - start;

	(void)insert(s, start, OP_SPLIT, (int)len + 2);
	(void)insert(s, s->re->count, OP_JUMP, -(int)len - 1);
}

static void optional(struct parser *s, unsigned start)
{
	(void)insert(s, start, OP_SPLIT, (int)(s->re->count - start) + 1);
}

/* The atom at @start becomes @least to @most of it; UINT_MAX is without end. */
static void repeat(struct parser *s, unsigned start, unsigned least, unsigned most)
{
	unsigned len = s->re->count - start;
	struct inst *part = malloc(MAX(len, 1U) * sizeof(*part));

	if (!part) {
		fail(s, "memory");
		return;
	}
	memcpy(part, &s->re->code[start], len * sizeof(*part));
	s->re->count = start;
	(void)insert(s, start, OP_JUMP, 1); /* as in a group */
	for (unsigned i = 0; i < least && !s->why; i++)
		again(s, part, len);
	for (unsigned i = least; (most == UINT32_MAX ? i == least : i < most) && !s->why; i++) {
		unsigned at = s->re->count;

		again(s, part, len);
		if (most == UINT32_MAX)
			star(s, at);
		else
			optional(s, at);
	}
	free(part);
}

static void parse_interval(struct parser *s, unsigned start)
{
	bool digits = isdigit((unsigned char)*s->p) != 0;
	unsigned least = number(s, 0), most = least;

	if (*s->p == ',') {
		s->p++;
		most = number(s, UINT32_MAX);
	}
	if (!digits || *s->p != '}' || most < least) {
		fail(s, "a repetition in braces is not {m}, {m,} or {m,n}");
		return;
	}
	s->p++;
	repeat(s, start, least, most);
}

static void parse_branch(struct parser *s)
{
	while (!s->why && *s->p && *s->p != '|' && *s->p != ')') {
		unsigned start = s->re->count;

		parse_atom(s);
		while (!s->why && *s->p && strchr("*+?{", *s->p)) {
			char c = *s->p++;

			if (c == '*')
				star(s, start);
			else if (c == '?')
				optional(s, start);
			else if (c == '+')
				repeat(s, start, 1, UINT32_MAX);
			else
				parse_interval(s, start);
		}
	}
}

static void parse_alternatives(struct parser *s)
{
	unsigned start = s->re->count;

	parse_branch(s);
	while (!s->why && *s->p == '|') {
		unsigned len = s->re->count - start, jump;

		s->p++;
		(void)insert(s, start, OP_SPLIT, (int)len + 2);
		jump = s->re->count;
		(void)insert(s, jump, OP_JUMP, 0);
		parse_branch(s);
		s->re->code[jump].to = (int)(s->re->count - jump);
	}
}

int regex_new(const char *pattern, bool nocase, struct regex **ret, const char **ret_why)
{
	struct parser s = { .re = calloc(1, sizeof(*s.re)), .p = pattern, .nocase = nocase };

	if (!s.re)
		return -ENOMEM;
	parse_alternatives(&s);
	if (!s.why && *s.p)
		fail(&s, "a group is closed that was not opened");
	(void)insert(&s, s.re->count, OP_MATCH, 0);
	if (s.why) {
		free(s.re);
		*ret_why = s.why;
		return strcmp(s.why, "memory") == 0 ? -ENOMEM : -EINVAL;
	}
	*ret = s.re;
	return 0;
}

void regex_free(struct regex *re)
{
	free(re);
}

/* A thread at @at and where it gets to without a byte; true if that is the end. */
static bool start_thread(struct regex *re, unsigned *list, unsigned *count, unsigned at, bool begin, bool end)
{
	unsigned depth = 0;

	if (re->seen[at] == re->generation)
		return false;
	re->seen[at] = re->generation;
	re->stack[depth++] = at;
	while (depth > 0) {
		unsigned i = re->stack[--depth], to[2] = { i + 1, i }, n = 1;

		switch (re->code[i].op) {
		case OP_MATCH:
			return true;
		case OP_SET:
			list[(*count)++] = i;
			n = 0;
			break;
		case OP_BEGIN:
			n = begin;
			break;
		case OP_END:
			n = end;
			break;
		case OP_SPLIT:
			to[1] = (unsigned)((int)i + re->code[i].to);
			n = 2;
			break;
		case OP_JUMP:
			to[0] = (unsigned)((int)i + re->code[i].to);
			break;
		}
		while (n > 0) {
			unsigned t = to[--n];

			if (re->seen[t] != re->generation) {
				re->seen[t] = re->generation;
				re->stack[depth++] = t;
			}
		}
	}
	return false;
}

bool regex_match(struct regex *re, const char *line, size_t len)
{
	unsigned *now = re->now, *next = re->next, count = 0;

	memset(re->seen, 0, sizeof(re->seen));
	re->generation = 1;
	for (size_t pos = 0;; pos++) {
		unsigned *swap = now, after = 0;

		if (start_thread(re, now, &count, 0, pos == 0, pos == len))
			return true;
		if (pos == len)
			return false;
		re->generation++;
		for (unsigned i = 0; i < count; i++)
			if (set_has(re->code[now[i]].set, (unsigned char)line[pos]) &&
			    start_thread(re, next, &after, now[i] + 1, false, pos + 1 == len))
				return true;
		now = next;
		next = swap;
		count = after;
	}
}
