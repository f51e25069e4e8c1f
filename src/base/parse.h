/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* base/parse.h - strict numbers from text. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* The whole of @s is a decimal number <= @max without sign, space or leading zero. @ret is written on success only. */
bool parse_u64(const char *s, uint64_t max, uint64_t *ret);

#endif
