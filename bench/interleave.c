/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/interleave.c - runs two commands in turn and prints the medians of their times, so that what else the machine does hits both.
 *
 *	interleave ROUNDS CMD… --- CMD…		prints: median_ms_first median_ms_second
 *
 * Output of the commands goes to /dev/null; a command that fails ends the measurement with its status on stderr. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 1000 };

static double now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static double time_command(char **argv)
{
	double start = now_ms();
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0)
			(void)execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "interleave: %s failed\n", argv[0]);
		exit(1);
	}
	return now_ms() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

int main(int argc, char **argv)
{
	static double first[ROUNDS_MAX], second[ROUNDS_MAX];
	long rounds = argc > 2 ? atol(argv[1]) : 0; /* style: atol: a tool of ours, called by a script of ours */
	int split = 2;

	while (split < argc && strcmp(argv[split], "---") != 0)
		split++;
	if (rounds < 1 || rounds > ROUNDS_MAX || split == 2 || split >= argc - 1) {
		fprintf(stderr, "usage: interleave ROUNDS CMD... --- CMD...\n");
		return 2;
	}
	argv[split] = NULL;
	(void)time_command(argv + 2); /* warm: page cache, CPU clock */
	(void)time_command(argv + split + 1);
	for (long i = 0; i < rounds; i++) {
		first[i] = time_command(argv + 2);
		second[i] = time_command(argv + split + 1);
	}
	printf("%.2f %.2f\n", median(first, (size_t)rounds), median(second, (size_t)rounds));
	return 0;
}
