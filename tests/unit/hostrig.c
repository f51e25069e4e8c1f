/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/hostrig.c - sets up and removes a lent directory. */
#include "hostrig.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "paths.h"
#include "../test.h"

static void make_base(struct rig *r, const char *path)
{
	*r = (struct rig){ 0 };
	(void)snprintf(r->path, sizeof(r->path), "%s", path);
	umask(0);
	CHECK(mkdtemp(r->path), "mkdtemp");
	CHECK(chmod(r->path, 0755) == 0, "chmod");
	r->base = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(r->base >= 0 && mkdirat(r->base, "lent", 0755) == 0 && mkdirat(r->base, "outside", 0755) == 0, "%s", r->path);
	rig_host_put(r, "outside/secret", "secret");
}

void rig_base(struct rig *r)
{
	make_base(r, "/tmp/test-hostdir-XXXXXX");
}

void rig_base_memory(struct rig *r)
{
	make_base(r, access("/dev/shm", W_OK) == 0 ? "/dev/shm/test-hostdir-XXXXXX" : "/tmp/test-hostdir-XXXXXX");
}

void rig_serve(struct rig *r, enum rig_way way, const struct hostdir_config *config)
{
	rig_serve_fd(r, way, openat(r->base, "lent", O_RDONLY | O_DIRECTORY | O_CLOEXEC), config);
}

void rig_serve_fd(struct rig *r, enum rig_way way, int dirfd, const struct hostdir_config *config)
{
	struct hostdir_config c = config ? *config : (struct hostdir_config){ 0 };
	struct sbx_err err = { 0 };
	int e;

	CHECK(loop_create(&r->loop) == 0 && work_pool_create(r->loop, 2, &r->pool) == 0, "rig");
	c.pool_only = c.pool_only || way == RIG_POOL;
	c.no_clone = c.no_clone || way == RIG_CAREFUL;
	e = hostdir_create(NULL, r->pool, dirfd, &c, &r->fs, &err);
	CHECK(e == 0, "%s", err.message);
}

void rig_up(struct rig *r, enum rig_way way, const struct hostdir_config *config)
{
	rig_base(r);
	rig_serve(r, way, config);
}

bool rig_each(struct rig *r, enum rig_way way)
{
	if (way > 0)
		rig_down(r);
	if (way < RIG_WAYS_)
		rig_up(r, way, NULL);
	return way < RIG_WAYS_;
}

void rig_stop(struct rig *r)
{
	struct hostdir_stats stats;

	if (r->fs) {
		hostdir_get_stats(r->fs, &stats);
		CHECK(stats.nodes == 1, "%u objects are left", stats.nodes);
	}
	vfs_free(r->fs);
	work_pool_free(r->pool);
	loop_free(r->loop);
	r->fs = NULL;
	r->pool = NULL;
	r->loop = NULL;
}

void rig_down(struct rig *r)
{
	rig_stop(r);
	close_fd(&r->base);
	remove_tree(AT_FDCWD, r->path);
}

void rig_host_put(const struct rig *r, const char *path, const char *text)
{
	AUTOCLOSE int fd = openat(r->base, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
}

void rig_host_get(const struct rig *r, const char *path, char *ret, size_t size)
{
	AUTOCLOSE int fd = openat(r->base, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	CHECK(n >= 0, "%s", path);
	ret[n] = '\0';
}

void rig_expect_child(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %x", status);
}

void rig_drop_rights(void)
{
	pid_t child = geteuid() == 0 ? fork() : 0;

	CHECK(child >= 0, "fork");
	if (child > 0) {
		rig_expect_child(child); /* it has told the verdict */
		_exit(0);
	}
	CHECK(geteuid() != 0 || (setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0), "setresuid");
	CHECK(prctl(PR_SET_DUMPABLE, 0) == 0, "prctl"); /* as in the host process */
}

void rig_end_without_rights(void)
{
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl"); /* for the leak check */
}
