/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/interleave.c - runs two commands in turn and prints the medians of their times, so that what else the machine does hits both.
 *
 *	interleave ROUNDS CMD… --- CMD…			until each ends; one that fails ends the measurement
 *	interleave --first-byte ROUNDS CMD… --- CMD…	until each prints its first byte, and is killed then
 *
 * Prints: median_ms_first median_ms_second */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
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

static bool first_byte;

static void child(char **argv, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0 && dup2(null, 0) >= 0 && dup2(out >= 0 ? out : null, 1) >= 0)
		(void)execvp(argv[0], argv);
	_exit(127);
}

static double time_command(char **argv)
{
	int out[2] = { -1, -1 };
	double start = now_ms(), end;
	int status;
	pid_t pid;
	bool good;
	char c;

	if (first_byte && pipe2(out, O_CLOEXEC) < 0)
		exit(1);
	pid = fork();
	if (pid == 0)
		child(argv, out[1]);
	if (first_byte) {
		close(out[1]);
		good = read(out[0], &c, 1) == 1;
		end = now_ms();
		close(out[0]);
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
	} else {
		good = waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
		end = now_ms();
	}
	if (!good) {
		fprintf(stderr, "interleave: %s failed\n", argv[0]);
		exit(1);
	}
	return end - start;
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
	long rounds;
	int split = 2;

	first_byte = argc > 1 && strcmp(argv[1], "--first-byte") == 0;
	argc -= first_byte;
	argv += first_byte;
	rounds = argc > 2 ? atol(argv[1]) : 0; /* style: atol: a tool of ours, called by a script of ours */
	while (split < argc && strcmp(argv[split], "---") != 0)
		split++;
	if (rounds < 1 || rounds > ROUNDS_MAX || split == 2 || split >= argc - 1) {
		fprintf(stderr, "usage: interleave [--first-byte] ROUNDS CMD... --- CMD...\n");
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
