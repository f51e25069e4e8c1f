/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/sys.h - what a guest needs besides its file systems: limits, name, clock, entropy, loopback, settings. Failures that leave a
 * usable guest are said on the console, not returned. */
#ifndef GUEST_SYS_H
#define GUEST_SYS_H

#include "proto/msg.h"

#include <stdint.h>

void sys_begin(void); /* first of all: signals blocked, descriptors 0 to 2 open, limits */
void sys_hostname(struct slice name);
void sys_set_wall(uint64_t wall_ns);
void sys_entropy(struct slice seed); /* credited in full: the host's word is good */
void sys_loopback_up(void);
void sys_settings(void); /* /proc/sys; after /proc is there */
uint64_t sys_ticks(void);

#endif
