/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/limits.c - rlimits and prctls from the start of the process. They bind QEMU too, which inherits them. The number of descriptors
 * is for the guest's open files in lent directories; a VM without any needs 1024 at most: each of 8 devices has a few, each vhost-user
 * connection up to 8 regions and 2 a queue. */
#include "host/limits.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { LIMIT_FDS = 1 << 16,
       LIMIT_STACK = 8 << 20 };

static const struct {
	int resource;
	rlim_t value;
	const char *name;
} limits[] = {
	{ RLIMIT_CORE, 0, "core" },
	{ RLIMIT_NOFILE, LIMIT_FDS, "nofile" },
	{ RLIMIT_STACK, LIMIT_STACK, "stack" },
	{ RLIMIT_MSGQUEUE, 0, "msgqueue" },
	{ RLIMIT_NICE, 0, "nice" },
	{ RLIMIT_RTPRIO, 0, "rtprio" },
};

int limits_apply(struct sbx_err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit now, want = { .rlim_cur = limits[i].value, .rlim_max = limits[i].value };

		if (getrlimit((__rlimit_resource_t)limits[i].resource, &now) < 0)
			return err_set(err, -errno, "cannot read the resource limit %s: %m", limits[i].name);
		want.rlim_max = want.rlim_cur = MIN(now.rlim_max, limits[i].value); /* lower only: raising needs privilege */
		if (setrlimit((__rlimit_resource_t)limits[i].resource, &want) < 0)
			return err_set(err, -errno, "cannot set the resource limit %s: %m", limits[i].name);
	}
	(void)umask(0); /* the guest's programs have their own: a lent directory gets the modes that they ask for */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot give up new privileges: %m");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot make the process undumpable: %m");
	return 0;
}

int limits_die_with_parent(struct sbx_err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot ask to die with the parent: %m");
	return 0; /* a parent that died before this call is noticed by the end of its socket */
}
