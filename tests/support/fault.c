/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fault injection for FAULT_LOOP. The linker redirects the calls that the tested objects make to malloc and its like
 * and to the system calls below (-Wl,--wrap=NAME; the Makefile reads the names from the WRAP lines here) to a __wrap_
 * function, which counts and either fails or calls the real one, that is the sanitizer's. Calls from inside libc are
 * not seen.
 * One counter for all threads of a test: which thread's call fails is then a matter of timing, that one fails is not.
 */
#include "../test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>

#define PASSES_MAX 5000 /* a body that never succeeds must not loop for ever */

static atomic_bool armed;
static atomic_int pauses;  /* nested */
static atomic_uint seen;   /* calls counted in this pass */
static unsigned int target; /* the call of this pass that fails; 0 outside a loop */

void fault_loop_begin(void)
{
	target = 0;
}

bool fault_loop_next(void)
{
	bool last = target > 0 && !fault_happened();

	armed = false;
	if (last) {
		target = 0;
		return false;
	}
	target++;
	pauses = 0;
	CHECK(target <= PASSES_MAX, "still failing after %d passes", PASSES_MAX);
	seen = 0;
	armed = true;
	return true;
}

bool fault_happened(void)
{
	return target > 0 && seen >= target;
}

void fault_pause(void)
{
	pauses++;
}

void fault_resume(void)
{
	pauses--;
}

static bool fail_now(int err)
{
	if (!armed || pauses > 0 || atomic_fetch_add(&seen, 1) + 1 != target)
		return false;
	errno = err;
	return true;
}

/* WRAP(result type, value on failure, errno, name, (parameters), (arguments)) */
#define WRAP(type, bad, err, name, params, args)            \
	type __real_##name params;                          \
	type __wrap_##name params;                          \
	type __wrap_##name params                           \
	{                                                   \
		return fail_now(err) ? (bad) : __real_##name args; \
	}

WRAP(void *, NULL, ENOMEM, malloc, (size_t n), (n))
WRAP(void *, NULL, ENOMEM, calloc, (size_t n, size_t m), (n, m))
WRAP(void *, NULL, ENOMEM, realloc, (void *p, size_t n), (p, n))
WRAP(void *, NULL, ENOMEM, reallocarray, (void *p, size_t n, size_t m), (p, n, m))
WRAP(void *, NULL, ENOMEM, aligned_alloc, (size_t a, size_t n), (a, n))
WRAP(int, ENOMEM, ENOMEM, posix_memalign, (void **p, size_t a, size_t n), (p, a, n))
WRAP(char *, NULL, ENOMEM, strdup, (const char *s), (s))
WRAP(char *, NULL, ENOMEM, strndup, (const char *s, size_t n), (s, n))
WRAP(void *, MAP_FAILED, ENOMEM, mmap, (void *p, size_t n, int pr, int fl, int fd, off_t o), (p, n, pr, fl, fd, o))
WRAP(int, -1, EMFILE, memfd_create, (const char *name, unsigned int flags), (name, flags))
WRAP(int, -1, EMFILE, eventfd, (unsigned int v, int flags), (v, flags))
WRAP(int, -1, EMFILE, epoll_create1, (int flags), (flags))
WRAP(int, -1, EMFILE, timerfd_create, (int clock, int flags), (clock, flags))
WRAP(int, -1, EMFILE, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
WRAP(int, -1, EMFILE, socketpair, (int d, int t, int p, int fds[2]), (d, t, p, fds))
WRAP(int, -1, EMFILE, pipe2, (int fds[2], int flags), (fds, flags))
