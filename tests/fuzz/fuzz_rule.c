/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The text of a rule, and what it then says about every address that the rest of the input holds. A rule for one prefix must not admit
 * an address outside of it, and a public one no special address. */
#include "net/policy.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	static struct policy p = { .count = 1 };
	struct policy_flow f = { .proto = POLICY_TCP, .port = 443 };
	struct sbx_err err;

	if (!nul || rule_parse((const char *)data, &p.rule[0], &err) < 0)
		return 0;
	for (const uint8_t *a = nul + 1; data + size - a >= 17; a += 17) {
		f.dst = (struct ip){ .family = a[0] & 1 ? 6 : 4 };
		memcpy(f.dst.bytes, a + 1, f.dst.family == 6 ? 16 : 4);
		if (!policy_decide(&p, &f).admit)
			continue;
		assert(p.rule[0].kind != RULE_HOST);
		assert(p.rule[0].kind != RULE_PUBLIC || addr_is_public(&f.dst));
	}
	return 0;
}
