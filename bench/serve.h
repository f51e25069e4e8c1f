/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/serve.h - what programs that stand where a VMM's vhost-user back ends stand have in common. */
#ifndef BENCH_SERVE_H
#define BENCH_SERVE_H

/* Waits for the one front end that connects to @path. Its socket, or -1. */
int serve_accept(const char *path);
/* As many descriptors as the machine lets a program have. */
void serve_raise_limit(void);

#endif
