/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/job_io.h - between a program's descriptors and its stream. For job.c, which decides when; the calls below go the other way. */
#ifndef GUEST_JOB_IO_H
#define GUEST_JOB_IO_H

#include "job.h"

/* Something for the host still waits for room in the stream. */
bool job_congested(const struct job *j);

void job_out_watch(struct job_out *o); /* if its bytes are wanted now; else stops watching */
void job_out_pump(struct job_out *o);  /* moves one chunk */
void job_out_close(struct job_out *o);
size_t job_out_pending(const struct job_out *o); /* bytes that are in it now, or more */

/* Writes on from where it stopped. 1: all written, or nobody reads it any more; 0: the program has to read first. */
int job_in_write(struct job *j, const uint8_t *p, size_t len);
/* End of input: the same. A terminal is told by its end-of-file character, twice if a line is open; one in raw mode has no such thing. */
int job_in_finish(struct job *j);
void job_in_close(struct job *j);

/* Puts EXEC_STARTED before what is to be sent next, if it has not gone out yet. */
void job_tell_started(struct job *j);

/* What job.c does about it. */
void job_advance(struct job *j);      /* output was moved: goes as far towards the end as can be gone now */
void job_resume_input(struct job *j); /* the program has read: job_in_write() may have room */
void job_host_gone(struct job *j);    /* the stream is broken */

#endif
