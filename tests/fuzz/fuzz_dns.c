/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DNS messages from both sides. The first byte chooses: a query of the guest's, or an upstream's answer to it. What was understood is built
 * into an answer for the guest, which must fit and must read back as the same records. */
#include "net/dns_msg.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_answer a, b;
	static uint8_t out[DNS_MESSAGE_MAX];
	struct dns_query q = { .name = "api.example.com", .type = DNS_A };
	size_t max, len;

	if (size < 2)
		return 0;
	max = data[0] & 1 ? sizeof(out) : 64 + (data[0] & 0xfe) * 4u;
	if (data[1] & 1) {
		if (dns_query_parse(data + 2, size - 2, &q) != 0)
			return 0;
		a.count = 0;
		a.rcode = DNS_NXDOMAIN;
		a.negative_ttl = 1;
	} else {
		q.type = data[1] >> 1;
		if (dns_answer_parse(data + 2, size - 2, q.name, q.type, &a) < 0)
			return 0;
	}
	assert(a.count <= DNS_RECORDS_MAX && strlen(q.name) <= DNS_NAME_MAX);
	len = dns_response_build(&q, &a, out, max);
	assert(len <= max);
	if (len == 0)
		return 0;
	assert(dns_answer_parse(out, len, q.name, q.type, &b) == 0);
	assert(b.count <= a.count && (b.truncated || b.count == a.count) && (int)b.rcode == (int)a.rcode);
	for (unsigned i = 0; i < b.count; i++)
		assert(b.record[i].type == a.record[i].type && strcmp(b.record[i].owner, a.record[i].owner) == 0 &&
		       strcmp(b.record[i].target, a.record[i].target) == 0);
	return 0;
}
