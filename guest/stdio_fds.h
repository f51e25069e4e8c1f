/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/stdio_fds.h - what connects a program to its job: pipes, or one terminal for all three. */
#ifndef GUEST_STDIO_FDS_H
#define GUEST_STDIO_FDS_H

#include "proto/msg.h"

/* By number of the program's descriptor; -1 where there is nothing. With a terminal: child[0] is the slave, ours[1] the master, ours[0] the master
 * again if there is input. */
struct stdio {
	int child[3];
	int ours[3];
};

/* As the flags and the size in @m say; without input, stdin is @null_fd. 0, or -errno with everything closed. */
int stdio_open(struct stdio *s, const struct msg_exec_start *m, int null_fd);
void stdio_close(struct stdio *s);

#endif
