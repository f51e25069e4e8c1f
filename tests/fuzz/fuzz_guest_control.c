/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* init's end of its streams, as far as it is pure: the first byte of the input chooses the control stream, a job's, or the image's texts; the
 * rest is what arrives there. */
#include "../../guest/envp.h"
#include "../../guest/frames.h"
#include "../../guest/users.h"
#include "../../guest/why.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_control(const struct frame *f)
{
	struct control_frame c;

	if (control_frame_decode(f, &c) < 0)
		return;
	assert(c.type != PROTO_EXEC_SIGNAL || (c.signo >= 1 && c.signo <= FRAMES_SIGNO_MAX));
	assert(c.type != PROTO_GUEST_MOUNT || (c.mount.path.len > 0 && c.mount.path.p[0] == '/' && c.mount.kind < PROTO_FS_COUNT_));
	assert(c.type != PROTO_GUEST_CHANGED || (c.changed.index < PROTO_MOUNTS_MAX && c.changed.path.len <= FRAMES_PATH_MAX));
	assert(c.type != PROTO_GUEST_CA || (c.ca.hash.len == FRAMES_CA_HASH_LEN && c.ca.pem.len > 0));
	assert(c.type != PROTO_GUEST_NET || c.net.addresses.len == PROTO_NET_BYTES);
	assert(c.config.hostname.len <= FRAMES_HOSTNAME_MAX && c.config.entropy.len <= FRAMES_ENTROPY_MAX);
}

static void check_vector(char **v, uint32_t least)
{
	uint32_t n = 0;

	assert(v);
	while (v[n])
		(void)strlen(v[n++]);
	assert(n >= least);
	free(v);
}

static void check_job(const struct frame *f)
{
	char home[] = "HOME=/";
	struct job_frame j;
	struct user u;
	char why[200];

	if (job_frame_decode(f, &j) < 0)
		return;
	assert(j.data.len <= PROTO_DATA_MAX);
	if (j.type != PROTO_EXEC_START)
		return;
	assert(j.start.argv.count > 0);
	check_vector(vector_of(j.start.argv, 0), j.start.argv.count);
	check_vector(envp_build(j.start.env, home, true, NULL), j.start.env.count);
	(void)user_resolve(j.start.user, j.start.cwd, j.start.cwd, &u, why, sizeof(why));
}

static void check_texts(const uint8_t *p, size_t len)
{
	size_t at = len > 0 ? p[0] % len : 0;
	struct slice spec = { p, at }, files = { p + at, len - at };
	struct user u;
	char why[400];

	(void)user_resolve(spec, files, files, &u, why, sizeof(why));
	(void)why_missing(p, len, why, sizeof(why));
	(void)why_is_text(p, len);
	why_format(p, len, why, sizeof(why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;

	if (size == 0)
		return 0;
	if (data[0] % 3 == 2) {
		check_texts(data + 1, size - 1);
		return 0;
	}
	for (size_t at = 1; frame_peek(data + at, size - at, &f) == 1; at += f.wire_len) {
		if (data[0] % 3 == 0)
			check_control(&f);
		else
			check_job(&f);
	}
	return 0;
}
