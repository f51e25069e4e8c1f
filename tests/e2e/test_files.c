/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host tools beside a real guest: what either writes the other sees; while the guest boots and is paused; bindings; a guest that changes the
 * tree under the tools' hands. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#include "sbx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/vmrig.h"
#include "../test.h"

static struct sbx_err err;
static char top[] = "/tmp/sbx-files-XXXXXX"; /* holds "lent", which the guest gets, and "secret", which it does not */
static char lent[64];

#define OK(call) CHECK((call) == 0, "%s", err.message)

static struct sbx_mount mount_of(const char *path, enum sbx_fs_kind kind, const char *source, uint32_t flags)
{
	struct sbx_mount m = vmrig_mount(path, kind, source);

	m.flags = flags;
	return m;
}

static void make_lent(void)
{
	char path[80];
	int fd;

	CHECK(mkdtemp(top), "mkdtemp");
	(void)snprintf(lent, sizeof(lent), "%s/lent", top);
	CHECK(mkdir(lent, 0755) == 0, "mkdir");
	(void)snprintf(path, sizeof(path), "%s/secret", top);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, "needle", 6) == 6, "secret");
	close(fd);
}

static void remove_lent(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", top);
	CHECK(system(command) == 0, "cannot remove %s", top); /* style: system: a test's own directory */
}

static struct sbx_vm *start(struct sbx_mount *mounts, size_t count, struct sbx_mount *bindings, size_t binding_count)
{
	struct sbx_vm_config c = vmrig_config();
	struct sbx_vm *vm;

	c.mounts = mounts;
	c.mount_count = count;
	c.bindings = bindings;
	c.binding_count = binding_count;
	CHECK(sbx_vm_start(&c, &vm, &err) == 0, "%s", err.message);
	return vm;
}

static void ready(struct sbx_vm *vm)
{
	CHECK(sbx_vm_wait_ready(vm, NULL, &err) == 0, "%s\n%s", err.message, err.console);
}

static void holds(struct sbx_vm *vm, const char *mount, const char *path, const char *want)
{
	struct sbx_fs_result r;

	CHECK(sbx_fs_read(vm, mount, path, 0, 65536, &r, &err) == 0, "%s", err.message);
	CHECK(strcmp(r.data, want) == 0, "%s in %s holds '%s'", path, mount, r.data);
	sbx_fs_result_done(&r);
}

static void put(struct sbx_vm *vm, const char *mount, const char *path, const char *text)
{
	CHECK(sbx_fs_write(vm, mount, path, text, strlen(text), SBX_FS_PARENTS, &err) == 0, "%s", err.message);
}

/* Everything that both can do, on one mount. */
static void exchange(struct sbx_vm *vm, const char *mount)
{
	const struct sbx_fs_edit edits[] = { { "from the guest", 14, "from both", 9 } };
	struct sbx_fs_result r;
	char script[512], large[4096];

	put(vm, mount, "d/host.txt", "from the host\n");
	(void)snprintf(script, sizeof(script), "cd %s && cat d/host.txt && echo from the guest > d/guest.txt && ln -s %s/d/guest.txt link && mkfifo pipe", mount,
		       mount);
	vmrig_prints(vm, script, "from the host\n");
	holds(vm, mount, "link", "from the guest\n");
	CHECK(sbx_fs_read(vm, mount, "pipe", 0, 1, &r, &err) == -EINVAL, "a pipe was opened");
	OK(sbx_fs_patch(vm, mount, "d/guest.txt", edits, 1, &err));
	(void)snprintf(script, sizeof(script), "cd %s && cat d/guest.txt && ls -a d && chmod 711 d/guest.txt && seq 5000 > numbers", mount);
	vmrig_prints(vm, script, "from both\n.\n..\nguest.txt\nhost.txt\n");
	OK(sbx_fs_read_lines(vm, mount, "numbers", 4999, 10, &r, &err));
	CHECK(strcmp(r.data, "4999\n5000\n") == 0 && r.total == 5000 && r.count == 2, "'%s' of %llu", r.data, (unsigned long long)r.total);
	sbx_fs_result_done(&r);
	OK(sbx_fs_search(vm, mount, "", "^(4321|from .*)$", SBX_FS_REGEX, &r, &err));
	CHECK(r.count == 3 && strcmp(r.matches[0].path, "d/guest.txt") == 0 && strcmp(r.matches[2].text, "4321") == 0 && r.matches[2].line == 4321,
	      "%llu matches", (unsigned long long)r.count);
	sbx_fs_result_done(&r);
	OK(sbx_fs_list(vm, mount, "", &r, &err));
	CHECK(r.count == 4 && S_ISDIR(r.entries[0].attr.mode) && S_ISFIFO(r.entries[3].attr.mode), "%llu entries", (unsigned long long)r.count);
	sbx_fs_result_done(&r);
	OK(sbx_fs_rename(vm, mount, "d", "e", 0, &err));
	(void)snprintf(script, sizeof(script), "cd %s && stat -c %%a e/guest.txt && ! ls d 2>/dev/null && mkdir e/sub && echo x > e/sub/y && rm pipe", mount);
	vmrig_prints(vm, script, "711\n");
	OK(sbx_fs_remove(vm, mount, "e", SBX_FS_RECURSIVE, &err));
	memset(large, 'x', sizeof(large));
	OK(sbx_fs_write(vm, mount, "numbers", large, sizeof(large), 0, &err));
	(void)snprintf(script, sizeof(script), "cd %s && ls && wc -c < numbers", mount);
	vmrig_prints(vm, script, "link\nnumbers\n4096\n");
}

TEST(what_either_side_writes_the_other_sees)
{
	struct sbx_mount m[2];
	struct sbx_vm *vm;

	test_timeout(180);
	make_lent();
	m[0] = mount_of("/mnt", SBX_FS_MEMORY, NULL, 0);
	m[1] = mount_of("/srv", SBX_FS_HOST, lent, SBX_MOUNT_OWNER);
	m[0].cache = m[1].cache = SBX_CACHE_NONE;
	vm = start(m, 2, NULL, 0);
	ready(vm);
	exchange(vm, "/mnt");
	exchange(vm, "/srv");
	sbx_vm_free(vm);
	remove_lent();
}

TEST(a_patch_reaches_a_guest_that_remembers_the_old_file)
{
	struct sbx_mount m = mount_of("/mnt", SBX_FS_MEMORY, NULL, 0);
	const struct sbx_fs_edit edit = { "old", 3, "new", 3 };
	struct sbx_vm *vm;

	test_timeout(120);
	vm = start(&m, 1, NULL, 0);
	ready(vm);
	put(vm, "/mnt", "f", "old");
	vmrig_prints(vm, "cat /mnt/f", "old");
	OK(sbx_fs_patch(vm, "/mnt", "f", &edit, 1, &err));
	vmrig_prints(vm, "n=0; while [ $n -lt 100 ] && ! grep -q new /mnt/f; do sleep 0.1; n=$((n + 1)); done; cat /mnt/f", "new");
	sbx_vm_free(vm);
}

TEST(a_read_only_mount_is_so_for_the_tools_and_a_binding_of_the_same_is_not)
{
	struct sbx_mount b = mount_of("/store", SBX_FS_MEMORY, NULL, 0);
	struct sbx_mount m = mount_of("/mnt", SBX_FS_SAME, "/store", SBX_MOUNT_READONLY);
	struct sbx_fs_attr a;
	struct sbx_vm *vm;

	test_timeout(120);
	vm = start(&m, 1, &b, 1);
	ready(vm);
	CHECK(sbx_fs_write(vm, "/mnt", "f", "x", 1, 0, &err) == -EROFS, "%s", err.message);
	put(vm, "/store", "f", "through the binding");
	holds(vm, "/mnt", "f", "through the binding");
	vmrig_prints(vm, "cat /mnt/f; ! touch /mnt/g 2>/dev/null; ls -d /store 2>/dev/null || echo no binding here", "through the bindingno binding here\n");
	CHECK(sbx_fs_stat(vm, "/elsewhere", "", 0, &a, &err) == -ENOENT && strcmp(err.message, "host filesystem tools not found: /elsewhere") == 0, "%s",
	      err.message);
	sbx_vm_free(vm);
}

TEST(the_tools_work_while_the_guest_boots_and_while_it_is_paused)
{
	struct sbx_mount m = mount_of("/mnt", SBX_FS_MEMORY, NULL, 0);
	struct sbx_vm *vm;

	test_timeout(120);
	vm = start(&m, 1, NULL, 0);
	put(vm, "/mnt", "early/f", "before there was a guest");
	ready(vm);
	vmrig_prints(vm, "cat /mnt/early/f", "before there was a guest");
	OK(sbx_vm_pause(vm, &err));
	put(vm, "/mnt", "early/f", "while it stood still");
	holds(vm, "/mnt", "early/f", "while it stood still");
	OK(sbx_vm_resume(vm, &err));
	vmrig_prints(vm, "cat /mnt/early/f", "while it stood still");
	sbx_vm_free(vm);
}

struct seen {
	unsigned done;
	int code;
};

static void note(struct sbx_vm *vm, const struct sbx_fs_result *r, void *user)
{
	struct seen *s = user;

	(void)vm;
	s->done++;
	s->code = r->code;
}

TEST(requests_end_with_the_vm)
{
	struct sbx_mount m = mount_of("/mnt", SBX_FS_MEMORY, NULL, 0);
	struct sbx_fs_request q = SBX_FS_REQUEST_INIT;
	struct seen s[2] = { 0 };
	struct sbx_vm *vm;

	test_timeout(120);
	vm = start(&m, 1, NULL, 0);
	ready(vm);
	q.tool = SBX_TOOL_LIST;
	q.mount = "/mnt";
	q.done = note;
	q.user = &s[0];
	OK(sbx_fs_submit(vm, &q, NULL, &err));
	q.user = &s[1];
	OK(sbx_fs_submit(vm, &q, NULL, &err));
	sbx_vm_free(vm); /* at once */
	for (int i = 0; i < 2; i++)
		CHECK(s[i].done == 1 && s[i].code == -ECANCELED, "request %d: %u times, %d", i, s[i].done, s[i].code);
	vm = start(&m, 1, NULL, 0);
	ready(vm);
	OK(sbx_vm_stop(vm, 20000, &err));
	CHECK(sbx_fs_submit(vm, &q, NULL, &err) == -ENOTCONN, "a VM that has ended takes requests");
	sbx_vm_free(vm);
}

/* Ends when the host has made the file "stop". */
static const char racer[] = "cd /srv && while [ ! -e stop ]; do"
			    " mkdir -p tree/a/b; echo needle > tree/a/b/f; ln -s / tree/root; ln -s ../.. tree/a/up; ln -s ../../secret tree/out;"
			    " mv tree/a tree/c; ln -s ../../.. tree/a; rm -f tree/a; mv tree/c tree/a; rm -f tree/out; ln -s tree/a/b/f tree/f;"
			    " echo alpha > p.new; mv p.new p; done 2>/dev/null";

TEST(a_guest_that_changes_the_tree_meanwhile_leads_no_tool_out)
{
	const struct sbx_fs_edit edit = { "alpha", 5, "omega", 5 };
	struct sbx_exec_spec s = SBX_EXEC_SPEC_INIT;
	struct sbx_mount m;
	struct sbx_proc *p;
	struct sbx_vm *vm;
	unsigned patched = 0;

	test_timeout(180);
	make_lent();
	m = mount_of("/srv", SBX_FS_HOST, lent, SBX_MOUNT_OWNER);
	vm = start(&m, 1, NULL, 0);
	ready(vm);
	s.argv = (const char *const[]){ "sh", "-c", racer, NULL };
	OK(sbx_vm_exec(vm, &s, &p, &err));
	for (int i = 0; i < 150 || (patched == 0 && i < 5000); i++) {
		struct sbx_fs_result r;
		struct sbx_fs_attr a;
		int code;

		code = sbx_fs_search(vm, "/srv", "", "needle", 0, &r, &err);
		CHECK(code == 0, "%s", err.message);
		for (uint64_t k = 0; k < r.count; k++)
			CHECK(!strstr(r.matches[k].path, "secret"), "%s was searched", r.matches[k].path);
		sbx_fs_result_done(&r);
		CHECK(sbx_fs_stat(vm, "/srv", "tree/out", 0, &a, &err) < 0, "a link that leads out was followed");
		code = sbx_fs_patch(vm, "/srv", "p", &edit, 1, &err);
		CHECK(code == 0 || code == -ENOENT || code == -ESTALE || code == -ENODATA, "%s", err.message);
		patched += code == 0;
		code = sbx_fs_remove(vm, "/srv", "tree", SBX_FS_RECURSIVE, &err);
		CHECK(code == 0 || code == -ENOENT || code == -ENOTEMPTY, "%s", err.message);
	}
	put(vm, "/srv", "stop", "");
	CHECK(patched > 0, "nothing was ever patched");
	sbx_proc_free(p);
	vmrig_prints(vm, "ls -a /srv | grep sbx-patch || true", "");
	sbx_vm_free(vm);
	(void)snprintf(lent, sizeof(lent), "%s/secret", top);
	CHECK(access(lent, F_OK) == 0, "what lies outside was removed");
	remove_lent();
}

/* ---- A file system of this program's ---- */

static void on_stat(struct sbx_fs_call *call, const char *path, void *user)
{
	struct sbx_file_stat s = SBX_FILE_STAT_INIT;

	(void)user;
	s.type = strcmp(path, "/") == 0 ? SBX_FILE_DIRECTORY : SBX_FILE_REGULAR;
	s.size = 11;
	if (s.type == SBX_FILE_DIRECTORY || strcmp(path, "/f") == 0)
		(void)sbx_fs_reply_stat(call, &s);
	else
		(void)sbx_fs_reply_error(call, ENOENT);
}

static void on_list(struct sbx_fs_call *call, const char *path, void *user)
{
	struct sbx_fs_entry e = SBX_FS_ENTRY_INIT;

	(void)path;
	(void)user;
	e.name = "f";
	e.type = SBX_FILE_REGULAR;
	(void)sbx_fs_reply_entries(call, &e, 1);
}

static void on_read(struct sbx_fs_call *call, const char *path, uint64_t offset, size_t length, void *user)
{
	static const char text[] = "from inside";
	size_t left = offset < 11 ? 11 - (size_t)offset : 0;

	(void)path;
	(void)user;
	(void)sbx_fs_reply_data(call, text + (11 - left), left < length ? left : length);
}

TEST(the_tools_work_on_callbacks_that_the_same_call_dispatches)
{
	struct sbx_fs_callbacks cb = SBX_FS_CALLBACKS_INIT;
	struct sbx_mount b = mount_of("/own", SBX_FS_CALLBACKS, NULL, 0);
	struct sbx_fs_result r;
	struct sbx_vm *vm;

	test_timeout(120);
	cb.stat = on_stat;
	cb.list = on_list;
	cb.read = on_read;
	b.callbacks = &cb;
	vm = start(NULL, 0, &b, 1);
	holds(vm, "/own", "f", "from inside");
	OK(sbx_fs_list(vm, "/own", "", &r, &err));
	CHECK(r.count == 1 && strcmp(r.entries[0].name, "f") == 0 && r.entries[0].attr.size == 11, "list");
	sbx_fs_result_done(&r);
	OK(sbx_fs_search(vm, "/own", "", "inside", 0, &r, &err));
	CHECK(r.count == 1, "search");
	sbx_fs_result_done(&r);
	CHECK(sbx_fs_write(vm, "/own", "g", "x", 1, 0, &err) == -EROFS, "%s", err.message);
	sbx_vm_free(vm);
}

RUN_TESTS(T(what_either_side_writes_the_other_sees), T(a_patch_reaches_a_guest_that_remembers_the_old_file),
	  T(a_read_only_mount_is_so_for_the_tools_and_a_binding_of_the_same_is_not),
	  T(the_tools_work_while_the_guest_boots_and_while_it_is_paused), T(requests_end_with_the_vm),
	  T(a_guest_that_changes_the_tree_meanwhile_leads_no_tool_out), T(the_tools_work_on_callbacks_that_the_same_call_dispatches))
