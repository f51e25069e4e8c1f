/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/replies.c - see replies.h. What waits is bounded by the calls that the host process has out, and the size of an answer to each. */
#include "client/replies.h"

#include "base/cleanup.h"

#include <string.h>

/* Frames of an answer that waits for room in the link. */
struct reply {
	struct list node;
	uint32_t chan;
	struct buf frames;
};

void reply_free(struct reply *r)
{
	list_del(&r->node);
	buf_done(&r->frames);
	free(r);
}

bool replies_pump(struct sbx_vm *vm, struct list *queue)
{
	struct buf *out = link_out(&vm->link);
	bool moved = false;

	while (!list_empty(queue) && !link_congested(&vm->link)) {
		struct reply *r = CONTAINER_OF(queue->next, struct reply, node);
		struct frame f;
		uint8_t *dst;

		if (frame_peek(buf_data(&r->frames), buf_len(&r->frames), &f) <= 0) {
			reply_free(r);
			continue;
		}
		dst = buf_reserve(out, f.wire_len);
		if (!dst) {
			out->bad = false; /* nothing was lost: the next round tries again */
			break;
		}
		memcpy(dst, buf_data(&r->frames), f.wire_len);
		buf_commit(out, f.wire_len);
		buf_consume(&r->frames, f.wire_len);
		moved = true;
	}
	return moved;
}

struct buf *reply_place(struct sbx_vm *vm, struct list *queue, uint32_t chan, size_t bytes, struct reply **ret)
{
	struct reply *r;

	*ret = NULL;
	if (list_empty(queue) && !link_congested(&vm->link) && bytes <= LINK_OUT_MAX - LINK_CONGESTED_BYTES)
		return link_out(&vm->link);
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->chan = chan;
	buf_init(&r->frames, bytes);
	list_add_tail(queue, &r->node);
	*ret = r;
	return &r->frames;
}

void replies_drop(struct list *queue, uint32_t chan)
{
	LIST_EACH (pos, queue) {
		struct reply *r = CONTAINER_OF(pos, struct reply, node);

		if (chan == 0 || r->chan == chan)
			reply_free(r);
	}
}
