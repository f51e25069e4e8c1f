/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What init reads of an image's certificates: the input as a PEM text, and as a key store. A store that was made or extended is one that can be extended, and
 * then holds what was added, once. */
#include "../../guest/jks.h"
#include "../../guest/pem.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { STORE_MIN = 12 + 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_store(const struct buf *b, struct slice der)
{
	const struct slice store = { .p = buf_data(b), .len = buf_len(b) }, other = { .p = (const uint8_t *)"\1\2\3\4 other", .len = 10 };
	struct buf again;

	assert(store.len >= STORE_MIN && memmem(store.p, store.len, der.p, der.len));
	buf_init(&again, JKS_BYTES_MAX);
	assert(jks_add(store, der, "again", &again) == -EEXIST && buf_len(&again) == 0);
	if (!memmem(store.p, store.len, other.p, other.len)) {
		int r = jks_add(store, other, "other", &again);

		/* The count is full only in a store that said almost so from the beginning. */
		assert(r == 0 || (r == -EINVAL && memcmp(store.p + 8, "\x7f\xff\xff\xff", 4) == 0));
		assert(r < 0 || buf_len(&again) > store.len);
	}
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct slice all = { .p = data, .len = size }, der = { .p = (const uint8_t *)"the authority", .len = 13 };
	struct slice text = all;
	size_t count = 0, len = 0;
	struct buf b;
	int r;

	for (;;) {
		AUTOFREE uint8_t *each = NULL;

		r = pem_next(&text, &each, &len);
		if (r <= 0)
			break;
		assert(len > 0 && len <= size);
		count++;
	}
	assert(r == 0);
	buf_init(&b, JKS_BYTES_MAX);
	r = jks_add_to_pem(all, der, "sandbox", &b);
	assert(r == (count > 0 ? 0 : -ENOENT) || r == -ENOENT);
	if (r == 0)
		check_store(&b, der);
	buf_done(&b);
	r = jks_add(all, der, "sandbox", &b);
	assert(r == 0 || r == -EINVAL || r == -EEXIST);
	if (r == 0)
		check_store(&b, der);
	buf_done(&b);
	return 0;
}
