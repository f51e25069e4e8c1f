/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Any head that HTTP/1.1 lets through: sent as HTTP/2 it arrives and is the same; written as HTTP/1.1 again it is understood, and as the same. The first byte says whether it is a
 * request, an answer, or one to HEAD. */
#include "http/map.h"

#include "../unit/h2rig.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct h2side client, server;
static struct h1_head h, again;

static int parse(unsigned kind, const uint8_t *p, size_t len, struct h1_head *ret)
{
	struct h1_refusal why;
	struct h1_scan scan = { 0 };
	ssize_t n = h1_head_end(&scan, p, len, &why);

	if (n <= 0)
		return -1;
	return kind == 0 ? h1_request_parse(p, (size_t)n, ret, &why) : h1_response_parse(p, (size_t)n, kind == 2, ret, &why);
}

static void map(unsigned kind, const struct h1_head *from, struct http_head *ret)
{
	int r = kind == 0 ? map_request_from_h1(from, false, h1_text_of("192.0.2.1"), ret) : map_response_from_h1(from, ret);

	assert(r == 0);
}

/* It arrives at the other end, with its fields, whose names are in lower case then. */
static void check_as_h2(const struct http_head *head)
{
	char want[H2RIG_TEXT], *got;
	struct h2end *e;

	h2rig_open(&client, false);
	h2rig_open(&server, true);
	e = h2rig_request(&client, head, 0, head);
	assert(e);
	e->stalled = true;
	h2rig_pump(&client, &server, 1 << 16);
	assert(server.count == 1 && server.faults == 0);
	h2rig_describe(head, want, sizeof(want));
	got = server.end[0].heads;
	for (size_t i = 0, k = 0; want[i] != '\0' && got[k] != '\0' && got[k + 1] != '\0'; i++, k++) {
		if (got[k] == '!' && want[i] != '!') /* short cookies and credentials become sensitive by themselves */
			k++;
		assert(tolower((unsigned char)want[i]) == tolower((unsigned char)got[k]));
	}
	h2rig_close(&client);
	h2rig_close(&server);
}

static void check_as_h1(unsigned kind, const struct http_head *head)
{
	enum h1_body body, want = h.body == H1_BODY_UNTIL_CLOSE ? H1_BODY_CHUNKED : h.body;
	struct http_head other;
	struct buf a, b;
	int r;

	buf_init(&a, MAP_HEAD_BYTES_MAX);
	buf_init(&b, MAP_HEAD_BYTES_MAX);
	r = kind == 0 ? map_request_to_h1(head, h.body == H1_BODY_NONE, &a, &body) : map_response_to_h1(head, h.body == H1_BODY_NONE, 1, kind == 2, &a, &body);
	assert(r == 0);
	if (buf_len(&a) <= H1_HEAD_BYTES_MAX && parse(kind, buf_data(&a), buf_len(&a), &again) == 0) {
		assert(body == want && again.body == body && again.length == (body == H1_BODY_LENGTH ? h.length : again.length));
		assert(again.status == h.status && again.persistent && !again.upgrade);
		if (h.has_authority)
			assert(strcmp(again.authority.name, h.authority.name) == 0 && (again.authority.port ? again.authority.port : 80) == (h.authority.port ? h.authority.port : 80));
		map(kind, &again, &other);
		r = kind == 0 ? map_request_to_h1(&other, h.body == H1_BODY_NONE, &b, &body) :
				map_response_to_h1(&other, h.body == H1_BODY_NONE, 1, kind == 2, &b, &body);
		assert(r == 0 && buf_len(&a) == buf_len(&b) && memcmp(buf_data(&a), buf_data(&b), buf_len(&a)) == 0);
		http_head_done(&other);
	} else {
		/* cookies of one line, or a few words or fields (host and the body's) more than the limit */
		assert(buf_len(&a) > H1_LINE_MAX || h.field_count + 2 > H1_HEADERS_MAX);
	}
	buf_done(&a);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned kind = size > 0 ? data[0] % 3 : 0;
	struct http_head head;

	if (size < 2 || parse(kind, data + 1, size - 1, &h) < 0)
		return 0;
	map(kind, &h, &head);
	if (kind == 0)
		check_as_h2(&head);
	check_as_h1(kind, &head);
	http_head_done(&head);
	return 0;
}
