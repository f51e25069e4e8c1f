/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An agent's loop over a workspace that exists in memory only: the guest runs the tests, the host edits the files, until the tests are right. The model is one
 * edit here; put yours in its place.
 *
 *	cc agent.c $(pkg-config --cflags --libs sbx) -o agent */
#include <sbx.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *path, *text;
} files[] = {
	{ "add.sh", "echo $(($1 - $2))\n" },
	{ "test.sh", "[ \"$(sh add.sh 2 3)\" = 5 ] && echo right || echo wrong\n" },
};

static int start(struct sbx_vm **ret, struct sbx_err *err)
{
	struct sbx_vm_config config = SBX_VM_CONFIG_INIT;
	struct sbx_mount workspace = SBX_MOUNT_INIT;
	int r;

	workspace.path = "/workspace";
	workspace.kind = SBX_FS_MEMORY;
	workspace.cache = SBX_CACHE_NONE; /* the guest sees at once what the host writes */
	config.mounts = &workspace;
	config.mount_count = 1;
	r = sbx_vm_start(&config, ret, err);
	for (size_t i = 0; r == 0 && i < sizeof(files) / sizeof(files[0]); i++) /* the guest boots meanwhile */
		r = sbx_fs_write(*ret, "/workspace", files[i].path, files[i].text, strlen(files[i].text), 0, err);
	return r < 0 ? r : sbx_vm_wait_ready(*ret, NULL, err);
}

/* 1: the tests say "right". */
static int run_tests(struct sbx_vm *vm, struct sbx_err *err)
{
	struct sbx_exec_spec spec = SBX_EXEC_SPEC_INIT;
	struct sbx_exec_result result;
	int right;

	spec.argv = (const char *const[]){ "sh", "test.sh", NULL };
	spec.cwd = "/workspace";
	spec.timeout_ms = 10000;
	if (sbx_exec_wait(vm, &spec, NULL, 0, 1 << 20, &result, err) < 0)
		return -1;
	printf("the tests say: %s", result.out);
	right = strcmp(result.out, "right\n") == 0;
	sbx_exec_result_done(&result);
	return right;
}

static int edit(struct sbx_vm *vm, struct sbx_err *err)
{
	const struct sbx_fs_edit edit = { .old_text = "$1 - $2", .old_len = 7, .new_text = "$1 + $2", .new_len = 7 };

	return sbx_fs_patch(vm, "/workspace", "add.sh", &edit, 1, err);
}

int main(void)
{
	struct sbx_vm *vm = NULL;
	struct sbx_err err;
	int r = start(&vm, &err);

	for (int turn = 0; r == 0 && turn < 10; turn++) {
		r = run_tests(vm, &err);
		if (r == 0)
			r = edit(vm, &err);
	}
	if (r < 0)
		fprintf(stderr, "%s\n%s", err.message, err.console);
	sbx_vm_free(vm);
	return r != 1;
}
