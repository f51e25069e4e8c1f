/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* client/image.h - looking at a root image before a VM is started with it. */
#ifndef CLIENT_IMAGE_H
#define CLIENT_IMAGE_H

struct sbx_err;
struct sbx_image_info;

/*
 * sbx_image_inspect() of the open file @fd, which is called @name in messages. Reads from the start of the file without moving its
 * position. @ret is written on success only and may be NULL when only the check is wanted.
 */
int image_inspect_fd(int fd, const char *name, struct sbx_image_info *ret, struct sbx_err *err);

#endif
