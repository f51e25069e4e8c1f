/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* net/flowlog.h - what became of each flow, as lines of JSON for a descriptor of the embedder's. Loop thread. */
#ifndef NET_FLOWLOG_H
#define NET_FLOWLOG_H

#include "base/loop.h"
#include "net/flow.h"
#include "net/logline.h"
#include "net/policy.h"

enum {
	FLOWLOG_BURST = 4096,     /* lines at once, ... */
	FLOWLOG_LINES_A_S = 1000, /* ... and then so many a second; beyond that they are left out and counted */
	FLOWLOG_LINE_MAX = LOGLINE_MAX,
};

/* A decision, or the end of a flow that was admitted. */
struct flowlog_entry {
	uint64_t id; /* of the flow: its decision's and its end's */
	bool end;
	bool inbound;
	const struct flow_key *key;
	const char *name;        /* a host name that it is about, or NULL */
	bool admit;              /* the decision */
	const struct rule *rule; /* that admits; NULL: there is none, or no more */
	const char *reason;      /* of a denial or an end; plain words */
	uint64_t bytes_out, bytes_in, duration_ns; /* ends; out of the guest, into it */
};

struct flowlog;

/* Takes @fd over. 0 or -errno. */
int flowlog_create(struct loop *loop, int fd, struct flowlog **ret);
void flowlog_free(struct flowlog *l); /* writes how many lines were left out last; accepts NULL */
/* Never waits: what the descriptor does not take, and what comes too fast, is left out. @l may be NULL. */
void flowlog_put(struct flowlog *l, const struct flowlog_entry *e);
/* The same for a line of somebody else's making, with its newline, of at most FLOWLOG_LINE_MAX bytes. */
void flowlog_put_line(struct flowlog *l, const char *line, size_t len);
uint64_t flowlog_left_out(const struct flowlog *l); /* lines, so far */

/* One line with its newline, without a NUL: its length, at most FLOWLOG_LINE_MAX. */
size_t flowlog_format(const struct flowlog_entry *e, uint64_t wall_ns, char dst[FLOWLOG_LINE_MAX]);

#endif
