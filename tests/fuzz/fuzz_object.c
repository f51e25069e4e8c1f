/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Records of files, as the library reads them from the guest: what is read can be written again into the same bytes. */
#include "proto/object.h"

#include <assert.h>
#include <string.h>

#include "client/guest_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char words[64] = "";
	struct sbx_err err;
	struct object o;
	struct buf again;
	size_t used;
	int r;

	buf_init(&again, OBJECT_HEAD_BYTES + OBJECT_NAME_MAX + OBJECT_TARGET_MAX);
	for (size_t at = 0; object_next(data + at, size - at, &o, &used) == 1; at += used) {
		assert(used <= size - at && o.name.len <= OBJECT_NAME_MAX && o.target.len <= OBJECT_TARGET_MAX);
		assert(o.name.len == 0 || !memchr(o.name.p, '/', o.name.len));
		assert(object_put(&again, &o) && buf_len(&again) == used && memcmp(buf_data(&again), data + at, used) == 0);
		buf_consume(&again, used);
	}
	buf_done(&again);
	memcpy(words, data, size < sizeof(words) ? size : sizeof(words) - 1);
	r = guest_words(words, strlen(words), &err);
	assert(r < 0 && r >= -4095 && err.code == r);
	for (const char *p = err.message; *p; p++)
		assert(*p >= ' ' && *p <= 126);
	return 0;
}
