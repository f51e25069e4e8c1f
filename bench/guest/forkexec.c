/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/guest/forkexec.c - in the guest: forkexec COUNT PROGRAM runs PROGRAM COUNT times by fork, exec and wait, and prints the
 * microseconds of each. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[1]) : 0; /* style: atol: called by bench/exec.c */

	for (long i = 0; i < count; i++) {
		double start = now_us();
		pid_t pid = fork();

		if (pid == 0) {
			(void)execl(argv[2], argv[2], (char *)NULL);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			return 1;
		printf("%.0f\n", now_us() - start);
	}
	return count <= 0;
}
