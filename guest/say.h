/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/say.h - lines on the guest's console, for whoever looks at it when something fails. */
#ifndef GUEST_SAY_H
#define GUEST_SAY_H

void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
