/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The queue walker over guest memory that the input filled in. Chains may point into the rings and tables themselves, so what is
 * written through one changes what the next one is: a guest that changes its memory under our feet. */
#include "virtio/virtq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MEMORY = 0x4000,
	DESC = 0x0000,
	AVAIL = 0x0400,
	USED = 0x0800,
	POPS_MAX = 100,
};

/* What virtq_pop() promises. */
static void check_chain(const struct vchain *c, uint16_t ring_size)
{
	size_t total[2] = { 0, 0 };
	unsigned count = (unsigned)c->nread + c->nwrite;

	assert(count <= VCHAIN_SEGS_MAX && count <= ring_size && c->head < ring_size);
	for (unsigned i = 0; i < count; i++) {
		assert(c->seg[i].len > 0 && gmem_check(c->mem, c->seg[i].gpa, c->seg[i].len));
		total[i >= c->nread] += c->seg[i].len;
	}
	assert(total[0] == vchain_readable(c) && total[1] == vchain_writable(c) && total[0] + total[1] <= UINT32_MAX);
}

static void use_chain(struct vchain *c, uint8_t how)
{
	uint8_t bytes[64];
	struct iovec iov[4];
	size_t n = how % sizeof(bytes), len, before = vchain_readable(c);

	len = vchain_read(c, bytes, n);
	assert(len <= n && vchain_readable(c) == before - len && (len == n || vchain_readable(c) == 0));
	before = vchain_writable(c);
	len = vchain_write(c, bytes, len);
	assert(vchain_writable(c) == before - len);
	for (unsigned k = vchain_read_iov(c, iov, 1 + how % 4, how * 16u, &len); k > 0; k--)
		assert(iov[k - 1].iov_base && iov[k - 1].iov_len > 0);
	for (unsigned k = vchain_write_iov(c, iov, 1 + how % 4, how * 16u, &len); k > 0; k--)
		memset(iov[k - 1].iov_base, how, MIN(iov[k - 1].iov_len, (size_t)32));
	while (vchain_read(c, NULL, 4096) > 0)
		;
	assert(vchain_readable(c) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vchain chain;
	struct gmem *mem;
	struct virtq q;
	uint8_t how;
	int r;

	if (size < 2)
		return 0;
	r = gmem_create(MEMORY, MEMORY, MEMORY, &mem, NULL);
	if (r < 0)
		return 0;
	memcpy(gmem_view(mem, 0, MEMORY), data + 2, MIN(size - 2, (size_t)MEMORY));
	how = data[1];
	r = virtq_enable(&q, mem, (uint16_t)(1u << data[0] % 6), DESC, AVAIL, USED, data[0] & 0x80);
	assert(r == 0);
	for (int n = 0; n < POPS_MAX && virtq_pop(&q, &chain) == 1; n++) {
		check_chain(&chain, q.size);
		if (how & 1)
			use_chain(&chain, how);
		if ((how & 0x0e) == 0x0e) {
			virtq_unpop(&q);
		} else {
			r = virtq_push(&q, &chain, how);
			assert(r == 0);
		}
		(void)virtq_wants_signal(&q);
		if (how & 0x40)
			virtq_poll(&q, how & 0x20);
		(void)virtq_ready(&q);
		how = (uint8_t)(how * 5 + 1);
	}
	gmem_free(mem);
	return 0;
}
