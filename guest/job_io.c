/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/job_io.c - bytes from a program's pipes or terminal to its stream, and back.
 *
 * Out: a chunk is read from a pipe only when everything before it has been taken by the stream to the host. When that is full the pipes are
 * not watched, they fill, and the program waits; nothing is stored here but the rest of one chunk.
 * In: an EXEC_STDIN frame stays in the receive buffer until the program's pipe has taken it; meanwhile the stream is not read, and its credit
 * holds the host back. */
#include "job_io.h"

#include "base/cleanup.h"
#include "jobs.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

enum { JOB_TTY_DRAIN_BYTES = 1 << 17 }; /* more than a terminal holds */

/* ---- Output ---- */

bool job_congested(const struct job *j)
{
	return !j->host_gone && buf_len(&j->link.out) > 0;
}

void job_out_close(struct job_out *o)
{
	loop_fd_del(o->job->all->loop, &o->watch);
	close_fd(&o->fd);
	o->left = 0;
}

size_t job_out_pending(const struct job_out *o)
{
	int n = 0;

	if (o->fd < 0)
		return 0;
	if (o->job->tty)
		return JOB_TTY_DRAIN_BYTES;
	return ioctl(o->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

void job_tell_started(struct job *j)
{
	if (!j->started_owed)
		return;
	j->started_owed = false;
	loop_timer_del(j->all->loop, &j->started_timer);
	(void)msg_exec_started_put(link_out(&j->link), 0, &(struct msg_exec_started){ .pid = (uint32_t)j->pid });
}

/* The first output: EXEC_STARTED travels in its packet. */
static void job_send_first(struct job *j, const uint8_t *p, size_t len)
{
	job_tell_started(j);
	if (!buf_put(link_out(&j->link), p, len) || link_flush(&j->link) < 0)
		job_host_gone(j);
}

/* The stream is empty of ours: what it does not take now is the rest of one chunk. */
static void job_send(struct job *j, const uint8_t *p, size_t len)
{
	ssize_t n;

	do
		n = send(j->link.fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN) {
		job_host_gone(j);
		return;
	}
	n = MAX(n, 0);
	if ((size_t)n < len && !buf_put(link_out(&j->link), p + n, len - (size_t)n))
		job_host_gone(j); /* out of memory: a stream with a hole in it is worse than none */
}

void job_out_pump(struct job_out *o)
{
	struct job *j = o->job;
	uint8_t *p = j->all->chunk;
	size_t want = j->phase == JOB_ENDING ? MIN(o->left, (size_t)JOBS_CHUNK_BYTES) : JOBS_CHUNK_BYTES;
	ssize_t n = read(o->fd, p + PROTO_HEADER_BYTES, want);

	if (n < 0 && errno == EINTR)
		return;
	if (n < 0 && errno == EAGAIN) {
		o->left = 0;
		return;
	}
	if (n <= 0) { /* the end; a terminal says EIO */
		job_out_close(o);
		return;
	}
	o->left -= MIN(o->left, (size_t)n);
	frame_header(p, o->type, 0, (uint32_t)n);
	if (j->host_gone)
		return;
	if (j->started_owed)
		job_send_first(j, p, (size_t)n + PROTO_HEADER_BYTES);
	else
		job_send(j, p, (size_t)n + PROTO_HEADER_BYTES);
}

static void out_event(struct loop_fd *w, uint32_t events)
{
	struct job_out *o = CONTAINER_OF(w, struct job_out, watch);

	(void)events;
	job_out_pump(o);
	job_advance(o->job);
}

void job_out_watch(struct job_out *o)
{
	struct job *j = o->job;
	bool want = o->fd >= 0 && !job_congested(j) && (j->phase == JOB_RUNNING || (j->phase == JOB_ENDING && o->left > 0));

	/* A hang-up is reported whether asked for or not, so "not now" is not to be watched at all. */
	if (!want)
		loop_fd_del(j->all->loop, &o->watch);
	else if (!o->watch.fn && loop_fd_add(j->all->loop, &o->watch, o->fd, EPOLLIN, out_event) < 0)
		job_out_close(o);
}

/* ---- Input ---- */

void job_in_close(struct job *j)
{
	loop_fd_del(j->all->loop, &j->in_watch);
	close_fd(&j->in_fd);
}

static void in_event(struct loop_fd *w, uint32_t events)
{
	struct job *j = CONTAINER_OF(w, struct job, in_watch);

	(void)events;
	loop_fd_del(j->all->loop, &j->in_watch);
	job_resume_input(j);
}

int job_in_write(struct job *j, const uint8_t *p, size_t len)
{
	while (j->in_fd >= 0 && j->in_done < len) {
		ssize_t n = write(j->in_fd, p + j->in_done, len - j->in_done);

		if (n >= 0)
			j->in_done += (size_t)n;
		else if (errno == EAGAIN && loop_fd_add(j->all->loop, &j->in_watch, j->in_fd, EPOLLOUT, in_event) == 0)
			return 0;
		else if (errno != EINTR)
			job_in_close(j);
	}
	j->in_done = 0;
	if (len > 0)
		j->in_open_line = p[len - 1] != '\n';
	return 1;
}

int job_in_finish(struct job *j)
{
	struct termios t;
	uint8_t eof[2];

	if (j->tty && j->in_fd >= 0 && tcgetattr(j->in_fd, &t) == 0 && t.c_lflag & ICANON) {
		bool open_line = j->in_open_line;

		eof[0] = eof[1] = t.c_cc[VEOF];
		if (job_in_write(j, eof, open_line ? 2 : 1) == 0) {
			j->in_open_line = open_line;
			return 0;
		}
	}
	job_in_close(j);
	return 1;
}
