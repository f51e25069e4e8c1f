/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/stdio_fds.c - pipes and terminals. Our ends never block; the program's ends are its own open files, so they do as usual. The
 * terminal's slave side is opened through the master, not by a name that the workload could have replaced. */
#include "stdio_fds.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

void stdio_close(struct stdio *s)
{
	for (int i = 0; i < 3; i++) {
		close_fd(&s->child[i]);
		close_fd(&s->ours[i]);
	}
}

static int stdio_pipe(struct stdio *s, int which)
{
	int p[2];
	int mine = which == 0 ? 1 : 0;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	s->child[which] = p[1 - mine];
	s->ours[which] = p[mine];
	return fcntl(p[mine], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int stdio_pipes(struct stdio *s, const struct msg_exec_start *m, int null_fd)
{
	int r = 0;

	if (m->flags & PROTO_EXECF_STDIN)
		r = stdio_pipe(s, 0);
	else
		r = (s->child[0] = fcntl(null_fd, F_DUPFD_CLOEXEC, 3)) < 0 ? -errno : 0;
	if (r == 0)
		r = stdio_pipe(s, 1);
	return r == 0 ? stdio_pipe(s, 2) : r;
}

static int stdio_tty(struct stdio *s, const struct msg_exec_start *m)
{
	struct winsize size = { .ws_row = (uint16_t)(m->rows ? m->rows : 24), .ws_col = (uint16_t)(m->cols ? m->cols : 80) };
	int locked = 0;

	s->ours[1] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (s->ours[1] < 0 || ioctl(s->ours[1], TIOCSPTLCK, &locked) < 0 || ioctl(s->ours[1], TIOCSWINSZ, &size) < 0)
		return -errno;
	s->child[0] = ioctl(s->ours[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->child[0] < 0)
		return -errno;
	if (m->flags & PROTO_EXECF_STDIN)
		s->ours[0] = fcntl(s->ours[1], F_DUPFD_CLOEXEC, 3);
	return m->flags & PROTO_EXECF_STDIN && s->ours[0] < 0 ? -errno : 0;
}

int stdio_open(struct stdio *s, const struct msg_exec_start *m, int null_fd)
{
	*s = (struct stdio){ .child = { -1, -1, -1 }, .ours = { -1, -1, -1 } };

	int r = m->flags & PROTO_EXECF_TTY ? stdio_tty(s, m) : stdio_pipes(s, m, null_fd);

	if (r < 0)
		stdio_close(s);
	return r;
}
