/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/unit/socketrig.h - the socket between libsbx and its host process, with the test at one of its ends. */
#ifndef TESTS_UNIT_SOCKETRIG_H
#define TESTS_UNIT_SOCKETRIG_H

#include "client/client.h"
#include "host/ctl.h"

/* A frame that was put into @b, which is emptied. The byte behind it cannot be read. */
struct frame socketrig_frame(struct buf *b);

/* The test is the client of a host process. */
struct hostend {
	struct loop *loop;
	struct ctl ctl;
	struct link client;
	void (*drained)(void); /* the client reads again */
};

void hostend_up(struct hostend *h, void (*drained)(void));
void hostend_down(struct hostend *h);
/* The next frame at the client, or one of type 0. It stays until link_pop(). */
struct frame hostend_peek(struct hostend *h);

/* The test is the host process of a VM that runs. */
struct clientend {
	struct sbx_vm *vm;
	struct link host;
};

void clientend_up(struct clientend *c);
void clientend_down(struct clientend *c);
/* The next frame at the host process, or one of type 0. It stays until link_pop(). */
struct frame clientend_peek(struct clientend *c);

#endif
