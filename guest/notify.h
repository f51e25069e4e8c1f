/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/notify.h - telling the guest's watchers (inotify) what the host changed in its trees. */
#ifndef GUEST_NOTIFY_H
#define GUEST_NOTIFY_H

#include "proto/msg.h"

#include <sys/types.h>

struct notify {
	int tree[PROTO_MOUNTS_MAX]; /* a mount of each of the host's trees that nobody sees, by index; -1: none */
	int fd;                     /* to the process that does it; -1: there is none yet */
};

void notify_init(struct notify *n);
void notify_add(struct notify *n, uint32_t index, int tree); /* takes @tree over; a negative one is nothing */
/* Returns at once: the change is told by another process, or not at all if that one has too much to do. */
void notify_tell(struct notify *n, const struct msg_guest_changed *m);
/* What that process does: whoever watches what is at @path in @tree, or its directory, hears IN_ATTRIB; if nothing is there any more, whoever watches
 * the directory. May wait for the host. */
void notify_change(int tree, const char *path);
/* notify_lost.c: whoever watches an object in @tree that has no name any more hears IN_ATTRIB of it. Changes the working directory. */
void notify_lost(int tree);
void notify_touch(int fd); /* for these two: whoever watches what @fd is hears of it */

#endif
