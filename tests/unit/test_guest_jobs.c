/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* init's exec service as an ordinary process: each job's stream is one end of a socketpair, the test holds the other and plays the
 * host. With cgroup v2 where this machine offers one that we may write. */
#include "../../guest/jobs.h"

#include "../test.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static struct loop *loop;
static struct jobs jobs;
static char group_base[128];
static uint32_t ooms;

/* The host's end of one job. */
struct peer {
	struct link link;
	bool hold; /* does not read */
	bool started, ended, eof;
	uint32_t pid;
	struct msg_exec_exit exit;
	char message[600];
	struct buf out, err;
};

static void on_oom(void *user, uint32_t job, uint32_t kills)
{
	(void)user;
	(void)job;
	ooms += kills;
}

static const char *make_groups(void)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		struct statfs fs;

		if (statfs(mounts[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		(void)snprintf(group_base, sizeof(group_base), "%s/sbx-test-%d", mounts[i], getpid());
		if (mkdir(group_base, 0755) == 0)
			return group_base;
		group_base[0] = '\0';
	}
	return NULL;
}

static void begin(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	CHECK(loop_create(&loop) == 0, "loop");
	CHECK(jobs_init(&jobs, loop, make_groups(), on_oom, NULL) == 0, "jobs");
}

/* Ends the service; nothing it started may survive, and no cgroup. */
static void finish(void)
{
	char path[160];
	uint64_t limit = clock_mono_ns() + 10 * NS_PER_S;

	/* A cgroup says that it is empty a moment after its last process has been reaped. */
	do {
		(void)waitpid(-1, NULL, WNOHANG);
		CHECK(loop_once(loop, 20) == 0, "loop");
	} while (!list_empty(&jobs.leftovers) && clock_mono_ns() < limit);
	CHECK(loop_once(loop, 0) == 0, "loop");
	CHECK(jobs.running == 0, "%u jobs still count as running", jobs.running);
	CHECK(list_empty(&jobs.leftovers), "a leftover remains");
	spawner_tidy(&jobs.spawner);
	CHECK(jobs.spawner.launches.next == jobs.spawner.launches.prev, "the memory of more than one child is kept");
	jobs_done(&jobs);
	if (group_base[0]) {
		(void)snprintf(path, sizeof(path), "%s/exec", group_base);
		CHECK(rmdir(path) == 0, "a job's cgroup remains: %s", strerror(errno));
		CHECK(rmdir(group_base) == 0, "%s: %s", group_base, strerror(errno));
	}
	loop_free(loop);
}

static void connect_peer(struct peer *p)
{
	int fd[2];

	memset(p, 0, sizeof(*p));
	buf_init(&p->out, 64 << 20);
	buf_init(&p->err, 1 << 20);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) == 0, "socketpair");
	link_init(&p->link, fd[0]);
	jobs_add(&jobs, fd[1]);
}

static void drop_peer(struct peer *p)
{
	link_done(&p->link);
	buf_done(&p->out);
	buf_done(&p->err);
}

static void take_frame(struct peer *p, const struct frame *f)
{
	struct msg_exec_started started;

	switch (f->type) {
	case PROTO_EXEC_STARTED:
		CHECK(!p->started && msg_exec_started_decode(f->body, f->len, &started) == 0, "STARTED");
		p->started = true;
		p->pid = started.pid;
		break;
	case PROTO_EXEC_STDOUT:
	case PROTO_EXEC_STDERR:
		CHECK(!p->ended, "output after the end");
		CHECK(f->len <= PROTO_DATA_MAX, "%zu bytes in a frame", f->len);
		CHECK(buf_put(f->type == PROTO_EXEC_STDOUT ? &p->out : &p->err, f->body, f->len), "too much output");
		break;
	case PROTO_EXEC_EXIT:
		CHECK(!p->ended && msg_exec_exit_decode(f->body, f->len, &p->exit) == 0, "EXIT");
		p->ended = true;
		slice_copy(p->exit.message, p->message, sizeof(p->message));
		break;
	default:
		CHECK(false, "frame type %u", f->type);
	}
}

static void serve(struct peer *p)
{
	struct frame f;
	int r;

	if (p->link.fd < 0)
		return;
	(void)link_flush(&p->link);
	if (p->hold)
		return;
	while ((r = link_fill(&p->link)) > 0)
		while (link_next(&p->link, &f) == 1) {
			take_frame(p, &f);
			link_pop(&p->link, &f);
		}
	p->eof = p->eof || r == 0 || r == -ECONNRESET;
}

/* Runs the service until @done says so. */
#define UNTIL(p, done)                                                                 \
	do {                                                                           \
		uint64_t limit_ = clock_mono_ns() + 30 * NS_PER_S;                     \
		while (serve(p), !(done)) {                                            \
			CHECK(clock_mono_ns() < limit_, "waited too long for " #done); \
			CHECK(loop_once(loop, 5) == 0, "loop");                        \
		}                                                                      \
	} while (0)

static void start_with(struct peer *p, uint32_t id, const struct msg_exec_start *m)
{
	connect_peer(p);
	CHECK(msg_exec_start_put(link_out(&p->link), id, m), "START");
}

static struct slices list_of(const char *const *array)
{
	struct slices s = { .array = array };

	while (array[s.count])
		s.count++;
	return s;
}

#define ARGV(...) list_of((const char *const[]){ __VA_ARGS__, NULL })

static void start_shell(struct peer *p, uint32_t id, uint32_t flags, const char *script)
{
	start_with(p, id, &(struct msg_exec_start){ .flags = flags, .argv = ARGV("/bin/sh", "-c", script) });
}

static void run_to_end(struct peer *p)
{
	UNTIL(p, p->ended);
}

static void run_shell(struct peer *p, const char *script)
{
	start_shell(p, 7, 0, script);
	run_to_end(p);
}

static bool text_is(const struct buf *b, const char *want)
{
	return buf_len(b) == strlen(want) && (buf_len(b) == 0 || memcmp(buf_data(b), want, buf_len(b)) == 0);
}

static const char *text(const struct buf *b)
{
	static char copy[2][1024];
	static int turn;
	char *dst = copy[turn ^= 1];

	slice_copy((struct slice){ .p = buf_data(b), .len = buf_len(b) }, dst, sizeof(copy[0]));
	return dst;
}

static void send_stdin(struct peer *p, const void *data, size_t len)
{
	for (size_t at = 0; at < len; at += PROTO_DATA_MAX)
		CHECK(msg_exec_stdin_put(link_out(&p->link), 0,
					 &(struct msg_exec_stdin){ .data = { (const uint8_t *)data + at, MIN(len - at, (size_t)PROTO_DATA_MAX) } }),
		      "STDIN");
}

static void send_eof(struct peer *p)
{
	CHECK(msg_exec_stdin_eof_put(link_out(&p->link), 0, &(struct msg_exec_stdin_eof){ 0 }), "EOF");
}

static bool process_lives(pid_t pid)
{
	char path[32], state = 'X';
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X';
	(void)fclose(f);
	return state != 'Z' && state != 'X';
}

/* ---- */

TEST(output_and_exit_code_of_a_program_arrive_in_this_order)
{
	struct peer p;

	begin();
	run_shell(&p, "echo out; echo err >&2; exit 7");
	CHECK(p.started && p.pid > 0, "no STARTED");
	CHECK(p.exit.reason == PROTO_EXIT_EXITED && p.exit.code == 7, "reason %u code %u", p.exit.reason, p.exit.code);
	CHECK(text_is(&p.out, "out\n") && text_is(&p.err, "err\n"), "'%s' '%s'", text(&p.out), text(&p.err));
	drop_peer(&p);
	finish();
}

TEST(death_by_a_signal_is_128_and_its_number)
{
	struct peer p;

	begin();
	run_shell(&p, "kill -TERM $$");
	CHECK(p.exit.reason == PROTO_EXIT_SIGNALED && p.exit.code == 143 && p.exit.signo == SIGTERM, "code %u", p.exit.code);
	drop_peer(&p);
	finish();
}

static uint8_t *pattern(size_t len)
{
	uint8_t *b = malloc(len);

	CHECK(b, "memory");
	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(i * 7 + (i >> 8));
	return b;
}

/* The next program on the stream of one that has ended. */
static void start_again(struct peer *p, uint32_t id, uint32_t flags, const char *script)
{
	CHECK(p->ended && !p->eof, "the stream is not free");
	p->started = p->ended = false;
	CHECK(msg_exec_start_put(link_out(&p->link), id, &(struct msg_exec_start){ .flags = flags, .argv = ARGV("/bin/sh", "-c", script) }), "START");
}

TEST(a_stream_serves_one_program_after_another)
{
	uint8_t *data = pattern(1 << 18);
	struct peer p;

	begin();
	start_shell(&p, 1, PROTO_EXECF_STDIN, "echo one; exit 1");
	send_stdin(&p, data, 1 << 18); /* never read, and still there when the next one starts */
	run_to_end(&p);
	CHECK(p.exit.code == 1 && text_is(&p.out, "one\n"), "code %u", p.exit.code);
	send_eof(&p);
	start_again(&p, 2, PROTO_EXECF_STDIN, "cat; kill -TERM $$");
	UNTIL(&p, p.started);
	CHECK(!jobs_find(&jobs, 1) && jobs_find(&jobs, 2), "the old number, or not the new one");
	send_stdin(&p, "two\n", 4);
	send_eof(&p);
	run_to_end(&p);
	CHECK(p.exit.code == 143 && text_is(&p.out, "one\ntwo\n"), "code %u '%s'", p.exit.code, text(&p.out));
	start_again(&p, 3, PROTO_EXECF_TTY, "test -t 1 && exit 3");
	run_to_end(&p);
	CHECK(p.exit.code == 3, "code %u", p.exit.code);
	start_again(&p, 4, 0, "test -t 1 || exit 4");
	run_to_end(&p);
	CHECK(p.exit.reason == PROTO_EXIT_EXITED && p.exit.code == 4, "code %u", p.exit.code);
	drop_peer(&p);
	free(data);
	finish();
}

TEST(what_cannot_start_says_why_on_stderr_and_in_its_exit)
{
	static const struct {
		const char *name, *cwd, *user, *want;
		uint32_t code;
	} cases[] = {
		{ "no-such-program", "", "", "no such program in PATH", 127 },
		{ "/no/such/program", "", "", "No such file or directory", 127 },
		{ "/tmp", "", "", "it is a directory", 126 },
		{ "/etc/passwd", "", "", "Permission denied", 126 },
		{ "true", "/no/such/place", "", "cannot enter directory '/no/such/place': No such file or directory", 127 },
		{ "true", "", "nobody-by-this-name", "/etc/passwd of the guest has no user 'nobody-by-this-name'", 127 },
		{ "true", "", "0:", "expected USER or USER:GROUP, not '0:'", 127 },
		{ "SCRIPT", "", "", "its interpreter '/no/such/interpreter' does not exist", 127 },
		{ "BINARY", "", "", "it is neither a program nor a script", 126 },
	};
	char dir[] = "/tmp/sbx-jobs-XXXXXX", script[64], binary[64];
	int fd;

	CHECK(mkdtemp(dir), "mkdtemp");
	(void)snprintf(script, sizeof(script), "%s/script", dir);
	(void)snprintf(binary, sizeof(binary), "%s/binary", dir);
	fd = open(script, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	CHECK(fd >= 0 && write(fd, "#! /no/such/interpreter -x\n", 27) == 27, "script");
	close(fd);
	fd = open(binary, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	CHECK(fd >= 0 && write(fd, "\1\0\2", 3) == 3, "binary");
	close(fd);
	begin();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *name = strcmp(cases[i].name, "SCRIPT") == 0 ? script : strcmp(cases[i].name, "BINARY") == 0 ? binary :
															  cases[i].name;
		char want[512], line[520];
		struct peer p;

		(void)snprintf(want, sizeof(want), "spawn guest command %s: %s", name, cases[i].want);
		(void)snprintf(line, sizeof(line), "%s\n", want);
		start_with(&p, 9,
			   &(struct msg_exec_start){ .cwd = slice_of(cases[i].cwd), .user = slice_of(cases[i].user), .argv = ARGV(name) });
		run_to_end(&p);
		CHECK(p.exit.reason == PROTO_EXIT_SPAWN && p.exit.code == cases[i].code, "%s: reason %u code %u", name, p.exit.reason, p.exit.code);
		CHECK(strcmp(p.message, want) == 0, "'%s'", p.message);
		CHECK(text_is(&p.err, line), "'%s'", text(&p.err));
		drop_peer(&p);
	}
	finish();
	(void)unlink(script);
	(void)unlink(binary);
	(void)rmdir(dir);
}

TEST(a_script_without_an_interpreter_line_is_run_by_the_shell)
{
	char path[] = "/tmp/sbx-jobs-XXXXXX";
	int fd = mkstemp(path);
	struct peer p;

	CHECK(fd >= 0 && write(fd, "echo \"<$1>\"\n", 12) == 12 && fchmod(fd, 0755) == 0, "script");
	close(fd);
	begin();
	start_with(&p, 9, &(struct msg_exec_start){ .argv = ARGV(path, "x y") });
	run_to_end(&p);
	CHECK(p.exit.code == 0 && text_is(&p.out, "<x y>\n"), "code %u '%s' '%s'", p.exit.code, text(&p.out), text(&p.err));
	drop_peer(&p);
	finish();
	(void)unlink(path);
}

TEST(programs_are_found_in_the_path_of_their_own_environment)
{
	struct peer p;

	begin();
	start_with(&p, 9, &(struct msg_exec_start){ .argv = ARGV("env"), .env = ARGV("A=1", "PATH=/nowhere:/usr/bin:/bin", "HOME=/h") });
	run_to_end(&p);
	CHECK(text_is(&p.out, "A=1\nPATH=/nowhere:/usr/bin:/bin\nHOME=/h\n"), "'%s'", text(&p.out));
	drop_peer(&p);
	start_with(&p, 9, &(struct msg_exec_start){ .argv = ARGV("true"), .env = ARGV("PATH=/nowhere") });
	run_to_end(&p);
	CHECK(p.exit.code == 127, "code %u", p.exit.code);
	drop_peer(&p);
	finish();
}

TEST(a_program_starts_in_the_root_with_defaults_and_nothing_of_inits)
{
	struct peer p;

	begin();
	start_with(&p, 9,
		   &(struct msg_exec_start){
			   .argv = ARGV("/bin/sh", "-c",
					"pwd; umask; echo $PATH; echo ${HOME+home} ${TERM-no}; ls /proc/self/fd | wc -l; "
					"grep -E '^Sig(Blk|Ign)' /proc/self/status | sort -u | awk '{print $2}' | sort -u; "
					"[ $(ps -o pgid= -p $$) = $$ ] && [ $(ps -o sid= -p $$) = $$ ] && echo leader") });
	run_to_end(&p);
	CHECK(text_is(&p.out, "/\n0022\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nhome no\n4\n0000000000000000\nleader\n"),
	      "'%s' '%s'", text(&p.out), text(&p.err));
	drop_peer(&p);
	finish();
}

TEST(a_user_by_number_gets_its_identity_and_may_reopen_its_output)
{
	struct peer p;

	if (getuid() != 0)
		SKIP("needs root to become another user");
	begin();
	start_with(&p, 9,
		   &(struct msg_exec_start){ .user = slice_of("12345:54321"),
					     .argv = ARGV("/bin/sh", "-c", "id -u; id -g; id -G; echo $HOME; echo again >/dev/stdout; echo no >/dev/stderr") });
	run_to_end(&p);
	CHECK(text_is(&p.out, "12345\n54321\n54321\n/\nagain\n"), "'%s'", text(&p.out));
	CHECK(text_is(&p.err, "no\n"), "'%s'", text(&p.err));
	/* The child was that user while it ran in our memory, and other programs of the user may trace what is dumpable. */
	CHECK(!SPAWN_SHARES_MEMORY || prctl(PR_GET_DUMPABLE) != 1, "a user's programs could look into init's memory");
	drop_peer(&p);
	finish();
}

TEST(input_of_many_frames_comes_back_whole)
{
	const size_t len = 3 << 20;
	uint8_t *data = pattern(len);
	struct peer p;

	begin();
	start_with(&p, 9, &(struct msg_exec_start){ .flags = PROTO_EXECF_STDIN, .argv = ARGV("cat") });
	send_stdin(&p, data, len);
	send_eof(&p);
	run_to_end(&p);
	CHECK(p.exit.code == 0 && buf_len(&p.out) == len && memcmp(buf_data(&p.out), data, len) == 0, "%zu bytes", buf_len(&p.out));
	drop_peer(&p);
	free(data);
	finish();
}

TEST(input_nobody_reads_does_not_keep_a_job_alive)
{
	uint8_t *data = pattern(1 << 20);
	struct peer p;

	begin();
	start_shell(&p, 9, PROTO_EXECF_STDIN, "exec <&-; sleep 0.1; echo done");
	send_stdin(&p, data, 1 << 20);
	send_eof(&p);
	run_to_end(&p);
	CHECK(p.exit.code == 0 && text_is(&p.out, "done\n"), "code %u", p.exit.code);
	drop_peer(&p);
	free(data);
	finish();
}

TEST(without_input_stdin_is_empty)
{
	struct peer p;

	begin();
	run_shell(&p, "cat; echo end");
	CHECK(text_is(&p.out, "end\n"), "'%s'", text(&p.out));
	drop_peer(&p);
	finish();
}

TEST(a_reader_that_stops_makes_the_program_wait_and_loses_nothing)
{
	struct peer p;
	size_t queued = 0;

	begin();
	start_shell(&p, 9, 0, "head -c 8000000 /dev/zero; echo end");
	p.hold = true;
	for (int i = 0; i < 50; i++) {
		serve(&p);
		CHECK(loop_once(loop, 10) == 0, "loop");
	}
	for (int i = 0; i < JOBS_MAX; i++)
		queued += jobs.job[i] ? buf_len(&jobs.job[i]->link.out) : 0;
	CHECK(queued <= PROTO_DATA_MAX, "init holds %zu bytes", queued);
	CHECK(jobs.running == 1, "it ended");
	p.hold = false;
	run_to_end(&p);
	CHECK(buf_len(&p.out) == 8000004, "%zu bytes", buf_len(&p.out));
	drop_peer(&p);
	finish();
}

TEST(all_output_written_before_the_end_arrives_before_it)
{
	begin();
	for (int i = 0; i < 20; i++) {
		struct peer p;

		run_shell(&p, "head -c 65536 /dev/zero");
		CHECK(buf_len(&p.out) == 65536, "%zu bytes", buf_len(&p.out));
		drop_peer(&p);
	}
	finish();
}

TEST(a_background_process_that_holds_the_pipes_delays_nothing_and_lives_on)
{
	uint64_t start = clock_mono_ns();
	char mark[] = "/tmp/sbx-jobs-XXXXXX", script[200];
	int fd = mkstemp(mark);
	struct stat st;
	struct peer p;

	begin();
	(void)snprintf(script, sizeof(script), "(sleep 1; head -c 300000 /dev/zero; echo more >%s) & echo now", mark);
	run_shell(&p, script);
	CHECK(clock_mono_ns() - start < NS_PER_S, "the exit waited for it");
	CHECK(p.exit.code == 0 && text_is(&p.out, "now\n"), "'%s'", text(&p.out));
	drop_peer(&p);
	finish();
	CHECK(fstat(fd, &st) == 0 && st.st_size == 5, "it died of SIGPIPE");
	close(fd);
	(void)unlink(mark);
}

/* Runs @script after it has printed its group's number, which is returned; $group is the directory. */
static long run_in_group(struct peer *p, const char *script)
{
	char whole[512];
	long number = -1;

	(void)snprintf(whole, sizeof(whole), "group=%s/exec/$(sed -n 's,^0::.*/exec/,,p' /proc/self/cgroup); echo ${group##*/}; %s", group_base, script);
	run_shell(p, whole);
	CHECK(sscanf(text(&p->out), "%ld", &number) == 1 && buf_len(&p->err) == 0, "'%s' '%s'", text(&p->out), text(&p->err));
	return number;
}

TEST(a_cgroup_serves_the_next_job_unless_somebody_has_changed_it)
{
	static const char *const changes[] = { "echo 3 >$group/cgroup.max.depth", "mkdir $group/inner; rmdir $group/inner", "chmod 700 $group" };
	struct peer p;
	long last;

	begin();
	if (!group_base[0]) {
		finish();
		SKIP("no writable cgroup v2 here");
	}
	last = run_in_group(&p, "true");
	drop_peer(&p);
	CHECK(run_in_group(&p, "cat $group/cgroup.max.depth >/dev/null") == last, "a new group for nothing");
	drop_peer(&p);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		long now = run_in_group(&p, changes[i]), next;

		drop_peer(&p);
		next = run_in_group(&p, "true");
		drop_peer(&p);
		CHECK(now == last && next != now, "%s: %ld, then %ld after %ld", changes[i], now, next, last);
		last = next;
	}
	CHECK(run_in_group(&p, "sleep 0.2 >/dev/null 2>&1 &") == last, "a new group for nothing");
	drop_peer(&p);
	CHECK(run_in_group(&p, "true") != last, "it is not empty yet");
	drop_peer(&p);
	finish();
}

TEST(a_timeout_kills_everything_the_program_started)
{
	struct peer p;
	int daemon = 0;

	begin();
	if (!group_base[0]) {
		finish();
		SKIP("no writable cgroup v2 here");
	}
	start_with(&p, 9,
		   &(struct msg_exec_start){ .timeout_ns = 300 * NS_PER_MS,
					     .argv = ARGV("/bin/sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; trap '' TERM; sleep 1000 & wait") });
	run_to_end(&p);
	CHECK(p.exit.reason == PROTO_EXIT_TIMEOUT && p.exit.code == 124, "reason %u code %u", p.exit.reason, p.exit.code);
	CHECK(sscanf(text(&p.out), "%d", &daemon) == 1 && !process_lives(daemon), "%d lives", daemon);
	drop_peer(&p);
	finish();
}

TEST(a_timeout_kills_at_once_although_the_reader_has_stopped)
{
	uint64_t start;
	struct peer p;

	begin();
	start_with(&p, 9, &(struct msg_exec_start){ .timeout_ns = 300 * NS_PER_MS, .argv = ARGV("/bin/sh", "-c", "cat /dev/zero") });
	UNTIL(&p, p.started);
	start = clock_mono_ns();
	p.hold = true;
	UNTIL(&p, !process_lives((pid_t)p.pid));
	CHECK(clock_mono_ns() - start < 5 * NS_PER_S, "too late");
	p.hold = false;
	run_to_end(&p);
	CHECK(p.exit.code == 124, "code %u", p.exit.code);
	drop_peer(&p);
	finish();
}

TEST(an_abort_and_a_closed_stream_kill_the_program)
{
	struct peer p, q;
	pid_t pid;

	begin();
	start_shell(&p, 9, 0, "sleep 1000 & sleep 1000");
	UNTIL(&p, p.started);
	job_abort(jobs_find(&jobs, 9));
	run_to_end(&p);
	CHECK(p.exit.reason == PROTO_EXIT_ABORTED, "reason %u", p.exit.reason);
	drop_peer(&p);

	start_shell(&q, 10, 0, "sleep 1000");
	UNTIL(&q, q.started);
	pid = (pid_t)q.pid;
	drop_peer(&q);
	q.link.fd = -1;
	UNTIL(&q, jobs.running == 0);
	CHECK(!process_lives(pid), "it lives");
	finish();
}

TEST(a_signal_reaches_the_whole_group_past_blocked_input)
{
	uint8_t *data = pattern(1 << 20);
	struct peer p;

	begin();
	start_shell(&p, 9, PROTO_EXECF_STDIN, "trap 'echo got; exit 3' TERM; sleep 1000 & sleep 0.3; echo ready; wait");
	send_stdin(&p, data, 1 << 20); /* never read */
	UNTIL(&p, text_is(&p.out, "ready\n"));
	job_signal(jobs_find(&jobs, 9), SIGTERM);
	run_to_end(&p);
	CHECK(p.exit.code == 3 && text_is(&p.out, "ready\ngot\n"), "code %u '%s'", p.exit.code, text(&p.out));
	drop_peer(&p);
	free(data);
	finish();
}

TEST(a_signal_before_the_program_has_begun_ends_it)
{
	begin();
	for (int i = 0; i < 10; i++) {
		struct peer p;

		start_shell(&p, 9, 0, "sleep 1000");
		UNTIL(&p, p.started);
		job_signal(jobs_find(&jobs, 9), SIGTERM);
		run_to_end(&p);
		CHECK(p.exit.code == 143, "code %u", p.exit.code);
		drop_peer(&p);
	}
	finish();
}

TEST(a_terminal_has_its_size_its_resize_its_interrupt_and_its_end)
{
	static const char script[] = "trap 'stty size' WINCH; test -t 0 && test -t 1 && test -t 2 && stty size; echo $TERM; read line; echo \"<$line>\"; "
				     "read line; cat";
	struct peer p;

	begin();
	start_with(&p, 9,
		   &(struct msg_exec_start){ .flags = PROTO_EXECF_TTY | PROTO_EXECF_STDIN, .rows = 33, .cols = 99, .argv = ARGV("/bin/sh", "-c", script) });
	UNTIL(&p, strstr(text(&p.out), "xterm-256color\r\n"));
	CHECK(strstr(text(&p.out), "33 99\r\n"), "'%s'", text(&p.out));
	send_stdin(&p, "abc\n", 4);
	UNTIL(&p, strstr(text(&p.out), "<abc>\r\n"));
	job_resize(jobs_find(&jobs, 9), 44, 111);
	UNTIL(&p, strstr(text(&p.out), "44 111\r\n"));
	send_stdin(&p, "\nopen line", 10);
	send_eof(&p);
	run_to_end(&p);
	CHECK(p.exit.code == 0, "code %u", p.exit.code);
	CHECK(buf_len(&p.out) > 9 && memcmp(buf_data(&p.out) + buf_len(&p.out) - 9, "open line", 9) == 0, "'%s'", text(&p.out));
	CHECK(buf_len(&p.err) == 0, "a terminal has one output");
	drop_peer(&p);

	start_with(&p, 9, &(struct msg_exec_start){ .flags = PROTO_EXECF_TTY | PROTO_EXECF_STDIN, .argv = ARGV("/bin/sh", "-c", "echo up; exec sleep 1000") });
	UNTIL(&p, strstr(text(&p.out), "up\r\n"));
	send_stdin(&p, "\3", 1);
	run_to_end(&p);
	CHECK(p.exit.code == 130, "code %u", p.exit.code);
	drop_peer(&p);
	finish();
}

TEST(a_terminals_last_output_arrives)
{
	begin();
	for (int i = 0; i < 10; i++) {
		struct peer p;

		start_with(&p, 9, &(struct msg_exec_start){ .flags = PROTO_EXECF_TTY, .argv = ARGV("/bin/sh", "-c", "head -c 20000 /dev/zero; echo; echo end") });
		run_to_end(&p);
		CHECK(buf_len(&p.out) == 20007, "%zu bytes", buf_len(&p.out));
		drop_peer(&p);
	}
	finish();
}

TEST(as_many_as_allowed_run_at_once_and_one_more_is_refused)
{
	static struct peer p[PROTO_EXECS_MAX];
	struct peer more;

	test_timeout(180);
	begin();
	for (uint32_t i = 0; i < PROTO_EXECS_MAX; i++) {
		start_with(&p[i], 1000 + i, &(struct msg_exec_start){ .flags = PROTO_EXECF_STDIN, .argv = ARGV("cat") });
		UNTIL(&p[i], p[i].started);
	}
	start_shell(&more, 9, 0, "echo no");
	run_to_end(&more);
	CHECK(more.exit.reason == PROTO_EXIT_REFUSED && strstr(more.message, "256"), "reason %u '%s'", more.exit.reason, more.message);
	drop_peer(&more);
	for (uint32_t i = 0; i < PROTO_EXECS_MAX; i++) {
		send_stdin(&p[i], &i, sizeof(i));
		send_eof(&p[i]);
	}
	for (uint32_t i = 0; i < PROTO_EXECS_MAX; i++) {
		run_to_end(&p[i]);
		CHECK(p[i].exit.code == 0 && buf_len(&p[i].out) == sizeof(i) && memcmp(buf_data(&p[i].out), &i, sizeof(i)) == 0, "job %u", i);
		drop_peer(&p[i]);
	}
	finish();
}

TEST(two_hundred_that_begin_and_end_together_all_deliver)
{
	static struct peer p[200];
	uint64_t limit = clock_mono_ns() + 50 * NS_PER_S;
	unsigned ended = 0;

	begin();
	for (uint32_t i = 0; i < ARRAY_LEN(p); i++) {
		char script[80];

		(void)snprintf(script, sizeof(script), "read x; echo $x; echo e%u >&2; exit %u", i, i % 100);
		start_shell(&p[i], 1000 + i, PROTO_EXECF_STDIN, script);
		send_stdin(&p[i], "hello\n", 6);
		send_eof(&p[i]);
		serve(&p[i]);
	}
	while (ended < ARRAY_LEN(p) && clock_mono_ns() < limit) {
		CHECK(loop_once(loop, 5) == 0, "loop");
		ended = 0;
		for (uint32_t i = 0; i < ARRAY_LEN(p); i++) {
			if (!p[i].ended)
				serve(&p[i]);
			ended += p[i].ended;
		}
	}
	for (uint32_t i = 0; i < ARRAY_LEN(p); i++) {
		CHECK(p[i].ended && p[i].exit.code == i % 100 && text_is(&p[i].out, "hello\n"), "job %u: code %u '%s'", i, p[i].exit.code, text(&p[i].out));
		drop_peer(&p[i]);
	}
	finish();
}

TEST(frames_that_make_no_sense_end_the_job)
{
	struct peer p;
	pid_t pid;

	begin();
	connect_peer(&p);
	CHECK(msg_exec_abort_put(link_out(&p.link), 0, &(struct msg_exec_abort){ 0 }), "put");
	UNTIL(&p, p.eof);
	CHECK(p.ended && p.exit.reason == PROTO_EXIT_REFUSED, "reason %u", p.exit.reason);
	drop_peer(&p);

	connect_peer(&p);
	CHECK(buf_put(link_out(&p.link), "\xff\xff\xff\xff\1\0\0\0\0\0\0\0", 12), "put");
	UNTIL(&p, p.eof);
	CHECK(p.ended && p.exit.reason == PROTO_EXIT_REFUSED, "reason %u", p.exit.reason);
	drop_peer(&p);

	start_shell(&p, 9, 0, "sleep 1000");
	UNTIL(&p, p.started);
	pid = (pid_t)p.pid;
	CHECK(msg_exec_abort_put(link_out(&p.link), 0, &(struct msg_exec_abort){ 0 }), "put");
	UNTIL(&p, jobs.running == 0);
	CHECK(!process_lives(pid), "it lives");
	drop_peer(&p);
	finish();
}

static bool no_streams(void)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (jobs.job[i])
			return false;
	return true;
}

TEST(no_descriptor_is_left_after_many_jobs)
{
	struct peer p;
	unsigned before;

	begin();
	run_shell(&p, "true");
	drop_peer(&p);
	UNTIL(&p, no_streams());
	before = test_count_fds();
	for (int i = 0; i < 10; i++) {
		run_shell(&p, "sleep 0.01 & echo x");
		drop_peer(&p);
		start_with(&p, 9, &(struct msg_exec_start){ .flags = PROTO_EXECF_TTY | PROTO_EXECF_STDIN, .argv = ARGV("true") });
		run_to_end(&p);
		drop_peer(&p);
		start_with(&p, 9, &(struct msg_exec_start){ .argv = ARGV("/nonexistent") });
		run_to_end(&p);
		drop_peer(&p);
	}
	UNTIL(&p, list_empty(&jobs.leftovers) && no_streams());
	CHECK(test_count_fds() == before, "%u descriptors more", test_count_fds() - before);
	finish();
}

TEST(jobs_survive_every_failing_allocation)
{
	begin();
	FAULT_LOOP {
		struct peer p;
		uint64_t limit = clock_mono_ns() + 10 * NS_PER_S;

		fault_pause();
		connect_peer(&p);
		CHECK(msg_exec_start_put(link_out(&p.link), 9, &(struct msg_exec_start){ .flags = PROTO_EXECF_STDIN, .argv = ARGV("true") }), "START");
		while (!p.ended && !p.eof && clock_mono_ns() < limit) {
			serve(&p);
			fault_resume();
			(void)loop_once(loop, 5);
			fault_pause();
		}
		CHECK(p.ended || p.eof, "neither an answer nor a closed stream");
		CHECK(fault_happened() || (p.ended && p.exit.code == 0), "code %u without a fault", p.exit.code);
		drop_peer(&p);
		UNTIL(&p, jobs.running == 0);
		fault_resume();
	}
	finish();
}

RUN_TESTS(T(a_stream_serves_one_program_after_another), T(output_and_exit_code_of_a_program_arrive_in_this_order), T(death_by_a_signal_is_128_and_its_number),
	  T(what_cannot_start_says_why_on_stderr_and_in_its_exit), T(a_script_without_an_interpreter_line_is_run_by_the_shell),
	  T(programs_are_found_in_the_path_of_their_own_environment), T(a_program_starts_in_the_root_with_defaults_and_nothing_of_inits),
	  T(a_user_by_number_gets_its_identity_and_may_reopen_its_output), T(input_of_many_frames_comes_back_whole),
	  T(input_nobody_reads_does_not_keep_a_job_alive), T(without_input_stdin_is_empty),
	  T(a_reader_that_stops_makes_the_program_wait_and_loses_nothing), T(all_output_written_before_the_end_arrives_before_it),
	  T(a_background_process_that_holds_the_pipes_delays_nothing_and_lives_on), T(a_cgroup_serves_the_next_job_unless_somebody_has_changed_it),
	  T(a_timeout_kills_everything_the_program_started),
	  T(a_timeout_kills_at_once_although_the_reader_has_stopped), T(an_abort_and_a_closed_stream_kill_the_program),
	  T(a_signal_reaches_the_whole_group_past_blocked_input), T(a_signal_before_the_program_has_begun_ends_it),
	  T(a_terminal_has_its_size_its_resize_its_interrupt_and_its_end), T(a_terminals_last_output_arrives),
	  T(as_many_as_allowed_run_at_once_and_one_more_is_refused), T(two_hundred_that_begin_and_end_together_all_deliver),
	  T(frames_that_make_no_sense_end_the_job),
	  T(no_descriptor_is_left_after_many_jobs), T(jobs_survive_every_failing_allocation))
