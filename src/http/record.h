/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* http/record.h - what became of a request, as a line of JSON. */
#ifndef HTTP_RECORD_H
#define HTTP_RECORD_H

#include "http/proxy.h"
#include "net/flowlog.h"

/* One line with its newline, without a NUL: its length, at most FLOWLOG_LINE_MAX. What the guest wrote is escaped, and cut where it is long. No header is in it:
 * what hooks add stays out of logs. */
size_t http_record_format(const struct http_record *r, char dst[FLOWLOG_LINE_MAX]);

#endif
