/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/list.h - intrusive doubly linked ring. A node that is in no list points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Walks the ring; the current node may be removed, others must stay. */
#define LIST_EACH(pos, head) \
	for (struct list *pos = (head)->next, *next_##pos = pos->next; pos != (head); pos = next_##pos, next_##pos = pos->next)

#endif
