/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/frames.h - what the host may tell init, as checked values. Pure. */
#ifndef GUEST_FRAMES_H
#define GUEST_FRAMES_H

#include "proto/msg.h"

enum {
	FRAMES_SIGNO_MAX = 64,
	FRAMES_HOSTNAME_MAX = 64,
	FRAMES_ENTROPY_MAX = 512,
	FRAMES_PATH_MAX = 4095,
	FRAMES_CA_HASH_LEN = 8,
};

/* A frame of the control stream. */
struct control_frame {
	uint16_t type;  /* GUEST_MOUNT, GUEST_NET, GUEST_CA, GUEST_CONFIG, GUEST_CHANGED, SET_TIME, POWER_OFF, EXEC_SIGNAL, EXEC_RESIZE or EXEC_ABORT */
	uint32_t job;   /* which job, for the EXEC_ types */
	uint32_t signo; /* 1..FRAMES_SIGNO_MAX */
	uint16_t rows, cols;
	uint64_t wall_ns;
	struct msg_guest_config config; /* borrows from the frame, as */
	struct msg_guest_mount mount;   /* this does: an absolute path, a known kind */
	struct msg_guest_net net;       /* and this: PROTO_NET_BYTES of addresses, prefixes that they can have */
	struct msg_guest_ca ca;         /* and this: eight hexadecimal digits, a text that is not empty */
	struct msg_guest_changed changed; /* and this: the index of a mount, a path that is short enough */
};

/* A frame of a job's own stream. */
struct job_frame {
	uint16_t type;               /* EXEC_START, EXEC_STDIN or EXEC_STDIN_EOF */
	uint32_t job;                /* EXEC_START: what the control stream calls it */
	struct msg_exec_start start; /* borrows from the frame; at least argv[0], which is not empty */
	struct slice data;           /* at most PROTO_DATA_MAX bytes */
};

/* 0, or -EPROTO for what no host of ours sends. *ret is written on success only. */
int control_frame_decode(const struct frame *f, struct control_frame *ret);
int job_frame_decode(const struct frame *f, struct job_frame *ret);

#endif
