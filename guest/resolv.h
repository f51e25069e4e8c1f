/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/resolv.h - /etc/resolv.conf of the new root. */
#ifndef GUEST_RESOLV_H
#define GUEST_RESOLV_H

#include <stdbool.h>

/* Sees to it that etc/resolv.conf below the current directory, which is about to become "/", has the text @text: written where the root is writable, shown by a
 * mount over the image's file where it is not. What cannot be done is said on the console. */
void resolv_provide(const char *text, bool writable);

#endif
