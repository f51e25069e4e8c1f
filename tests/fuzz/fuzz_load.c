/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kernel loader: whatever the file says, what is accepted lies in file and memory, above 1 MiB and apart. The input is the file; 64 MiB
 * of guest memory, which is never touched. */
#include "vmm/load.h"

#include "base/cleanup.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEM_END (UINT64_C(64) << 20)

static void check_segment(const struct load_plan *p, unsigned i, uint64_t file_len)
{
	const struct load_segment *s = &p->segment[i];

	assert(s->file_len <= file_len && s->file_off <= file_len - s->file_len);
	assert(s->file_len <= s->mem_len && s->mem_len > 0);
	assert(s->gpa >= LOAD_GPA_MIN && s->mem_len <= MEM_END && s->gpa <= MEM_END - s->mem_len);
	assert(s->gpa >= p->start && s->gpa + s->mem_len <= p->end);
	for (unsigned j = 0; j < i; j++)
		assert(s->gpa + s->mem_len <= p->segment[j].gpa || p->segment[j].gpa + p->segment[j].mem_len <= s->gpa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head_len = MIN(size, (size_t)LOAD_HEAD_LEN);
	uint8_t *head = malloc(head_len ? head_len : 1); /* so that an access behind it is seen */
	struct sbx_err err = { 0 };
	struct load_plan p;
	bool entered = false;
	int r;

	assert(head);
	if (head_len > 0)
		memcpy(head, data, head_len);
	r = load_parse(head, head_len, size, MEM_END, &p, &err);
	assert(r <= 0 && (r == 0) == (err.code == 0));
	if (r == 0) {
		assert(p.count >= 1 && p.count <= LOAD_SEGMENTS_MAX);
		for (unsigned i = 0; i < p.count; i++) {
			check_segment(&p, i, size);
			entered |= p.entry >= p.segment[i].gpa && p.entry - p.segment[i].gpa < p.segment[i].file_len;
		}
		assert(entered);
	}
	free(head);
	return 0;
}
