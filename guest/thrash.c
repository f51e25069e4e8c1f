/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/thrash.c - a second opinion on memory. The criterion is both: next to nothing is available, and files are being read again at a
 * rate, THRASH_PERIODS times in a row. Either alone is healthy: a full cache, or a working set of files larger than the memory. The remedy is the kernel's own
 * OOM killer (its choice, its accounting in the cgroup of the victim), by SysRq. Init itself lives in the initramfs, of which no page is ever dropped. */
#include "thrash.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "say.h"

#include <fcntl.h>
#include <string.h>

enum {
	THRASH_PERIOD_MS = 1000,
	THRASH_PERIODS = 3,
	THRASH_REFAULTS = 250, /* pages in a period: 1 MiB */
	THRASH_TEXT_MAX = 16384,
};

/* The number on the line that begins with @key. */
static bool number_of(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	uint64_t v = 0;

	while (text && strncmp(text, key, len) != 0) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	if (!text)
		return false;
	text += len;
	text += strspn(text, " ");
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		v = v * 10 + (uint64_t)(*text - '0');
	*ret = v;
	return true;
}

bool thrash_parse(const char *meminfo, const char *vmstat, struct thrash_sample *ret)
{
	struct thrash_sample s;

	if (!number_of(meminfo, "MemTotal:", &s.total_kib) || !number_of(meminfo, "MemAvailable:", &s.available_kib) ||
	    !number_of(vmstat, "workingset_refault_file ", &s.refaults))
		return false;
	*ret = s;
	return true;
}

bool thrash_judge(struct thrash *t, const struct thrash_sample *s)
{
	uint64_t refaults = s->refaults - MIN(t->last_refaults, s->refaults);
	bool bad = t->last_refaults > 0 && refaults >= THRASH_REFAULTS && s->available_kib < s->total_kib / 32;

	t->last_refaults = MAX(s->refaults, UINT64_C(1));
	t->bad_periods = bad ? t->bad_periods + 1 : 0;
	if (t->bad_periods < THRASH_PERIODS)
		return false;
	t->bad_periods = 0;
	return true;
}

static bool read_text(const char *path, char *dst, size_t size)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n, len = 0;

	while (fd >= 0 && (n = read(fd, dst + len, size - 1 - (size_t)len)) > 0)
		len += n;
	dst[len] = '\0';
	return len > 0;
}

static void call_oom_killer(void)
{
	AUTOCLOSE int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	say("memory is exhausted: programs only reload their own code; the kernel is to kill one");
	if (fd < 0 || write(fd, "f", 1) != 1)
		say("cannot ask the kernel for it");
}

static void thrash_timer(struct loop_timer *timer)
{
	static char meminfo[THRASH_TEXT_MAX], vmstat[THRASH_TEXT_MAX];
	struct thrash *t = CONTAINER_OF(timer, struct thrash, timer);
	struct thrash_sample s;

	if (!t->busy(t->user)) {
		t->last_refaults = 0;
		t->bad_periods = 0;
		return;
	}
	if (read_text("/proc/meminfo", meminfo, sizeof(meminfo)) && read_text("/proc/vmstat", vmstat, sizeof(vmstat)) &&
	    thrash_parse(meminfo, vmstat, &s) && thrash_judge(t, &s))
		call_oom_killer();
	(void)loop_timer_set(t->loop, timer, clock_mono_ns() + THRASH_PERIOD_MS * NS_PER_MS, thrash_timer);
}

void thrash_watch(struct thrash *t, struct loop *loop, bool (*busy)(void *user), void *user)
{
	t->loop = loop;
	t->busy = busy;
	t->user = user;
	if (t->timer.heap_pos == 0)
		(void)loop_timer_set(loop, &t->timer, loop_now_ns(loop) + THRASH_PERIOD_MS * NS_PER_MS, thrash_timer);
}
