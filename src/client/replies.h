/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/replies.h - answers to calls of the host process. They go into the socket's queue at once, unless that is congested: then they wait as encoded
 * frames in a list, of which vm_send() moves what fits. */
#ifndef CLIENT_REPLIES_H
#define CLIENT_REPLIES_H

#include "client/client.h"

struct reply;

/* Where to encode an answer of about @bytes: the link, or (@ret is not NULL then) a place in @queue. NULL: out of memory. */
struct buf *reply_place(struct sbx_vm *vm, struct list *queue, uint32_t chan, size_t bytes, struct reply **ret);
void reply_free(struct reply *r);
bool replies_pump(struct sbx_vm *vm, struct list *queue);    /* true if there is something to send now */
void replies_drop(struct list *queue, uint32_t chan); /* those of a cancelled call; 0: all */

#endif
