/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/h1_relay_impl.h - what the files of the relay share. */
#ifndef HTTP_H1_RELAY_IMPL_H
#define HTTP_H1_RELAY_IMPL_H

#include "http/h1_relay.h"

/* h1_relay_head.c */
/* A head of @len bytes has come: it is the relay's request now. 0, -EBADMSG with @ret_why, or -ENOMEM. */
int h1_relay_take_request(struct h1_relay *r, size_t len, struct h1_refusal *ret_why);
/* The head of @len bytes that up.in begins with, for the guest. False: no memory. */
bool h1_relay_put_answer(struct h1_relay *r, const struct h1_head *h, size_t len);
bool h1_relay_put_refusal(struct h1_relay *r, unsigned status, const char *text); /* false: no memory */

#endif
