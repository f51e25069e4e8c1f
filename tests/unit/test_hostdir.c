/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A lent directory: what its operations do, in each way that they can be run. */
#include "hostrig.h"
#include "vfsops.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"

TEST(what_is_written_through_it_is_on_the_host)
{
	char text[100];
	struct rig r;

	for (enum rig_way way = 0; way < RIG_WAYS_; way++) {
		rig_up(&r, way, NULL);
		CHECK(vo_mkdir(r.fs, "d", 0755) == 0 && vo_put(r.fs, "d/f", "hello") == 0, "made");
		rig_host_get(&r, "lent/d/f", text, sizeof(text));
		CHECK(strcmp(text, "hello") == 0, "the host sees '%s'", text);
		rig_host_put(&r, "lent/d/g", "from the host");
		CHECK(vo_get(r.fs, "d/g", text, sizeof(text)) == 13 && strcmp(text, "from the host") == 0, "'%s'", text);
		CHECK(vo_list(r.fs, "d", text, sizeof(text)) == 0 && strcmp(text, "f g ") == 0, "'%s'", text);
		CHECK(vo_unlink(r.fs, "d/f") == 0 && vo_unlink(r.fs, "d/g") == 0 && vo_rmdir(r.fs, "d") == 0, "removed");
		CHECK(vo_list(r.fs, "", text, sizeof(text)) == 0 && strcmp(text, "") == 0, "'%s'", text);
		rig_down(&r);
	}
}

RUN_TESTS(T(what_is_written_through_it_is_on_the_host), )
