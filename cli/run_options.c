/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/run_options.c - the command line of `sandbox run`. Each complaint names the option, its value and the remedy. */
#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char run_help[] =
	"usage: sandbox run [OPTION...] [--] [COMMAND [ARGUMENT...]]\n"
	"\n"
	"Boots a microVM, runs COMMAND in it and exits with COMMAND's status. Without COMMAND, on a terminal: a shell.\n"
	"\n"
	"the machine:\n"
	"  --image FILE        root image (EROFS; see `sandbox image build`); default: the small one that comes along\n"
	"  --writable[=SIZE]   let the guest write to its root; what it writes stays in memory, at most SIZE (like 64M or 2G;\n"
	"                      default: half of the memory), and is gone afterwards\n"
	"  --engine E          auto (default), kvm or qemu; `sandbox doctor` says what works here\n"
	"  --cpus N            processors, 1 to 32; default 1\n"
	"  --memory MIB        memory in MiB; default 512\n"
	"  --hostname H        default: sandbox\n"
	"\n"
	"files:\n"
	"  --mount SRC:DST[:ro|rw][,cache=auto|none|always][,owner=UID:GID|host][,mask=PATH]...[,watch=on|off]\n"
	"                      show the directory SRC at DST, which must exist in the image or in an earlier mount. rw unless ro;\n"
	"                      cache: when the guest sees changes by others (auto: within a second); owner: who owns the files in\n"
	"                      the guest (host: as here; default: host for root, else the guest's root); mask: hide PATH of SRC;\n"
	"                      watch: tell the guest's inotify watchers what others change here (default: off)\n"
	"  --tmpfs DST[:SIZE]  an empty directory in the guest's memory, at most SIZE; default: half of the memory\n"
	"  --copy-in SRC:DST   copy a file or a tree of the host into the guest before the command runs, as cp -a would: into DST if that\n"
	"                      is a directory, else as DST. SRC/. is what a directory holds. It belongs to the user of --user\n"
	"  --copy-out SRC:DST  likewise out of the guest, when the command has ended, however it did; both may be repeated\n"
	"  --copy-limit SIZE   what a --copy-out may bring at most; default: 16G\n"
	"\n"
	"network (without any of these options there is no interface):\n"
	"  --net               an interface by which nothing leaves but what --allow admits, and the resolver's answers about it\n"
	"  --allow RULE        what may leave: tcp:CIDR[:PORTS], udp:CIDR[:PORTS], public[:PORTS] or host:NAME[:PORTS]; may be repeated;\n"
	"                      `sandbox policy --help` says more. tcp:127.0.0.1/32:PORT opens a port of this machine's loopback, which the\n"
	"                      guest reaches as host.sandbox.internal\n"
	"  --publish [ADDR:]PORT:GUEST-PORT[/udp]  let others connect to a TCP port of the guest (or send to one of UDP) by a port of this machine, at\n"
	"                      127.0.0.1 unless ADDR says otherwise ([::1], 0.0.0.0, ...); PORT 0 takes one that is free, and says which; may be repeated\n"
	"  --net-log FILE      write what became of each flow to FILE: lines of JSON, one a decision and one an end\n"
	"\n"
	"HTTP and HTTPS of the guest (which rules must admit; others than to these origins are not looked into):\n"
	"  --header 'ORIGIN=NAME: VALUE'  every request to ORIGIN (https://api.example.com, http://host:8080) has this header; $NAME in VALUE is a\n"
	"                      variable of this command's environment, and neither the guest nor a list of processes shows it; may be repeated\n"
	"  --secret NAME=VARIABLE@ORIGIN  the command's variable NAME holds a random placeholder; in headers to ORIGIN (Basic credentials included) the\n"
	"                      server gets the value of this command's VARIABLE for it; to other origins it is refused; may be repeated\n"
	"  --ca-file FILE      trust servers that the authorities in FILE vouch for, too (PEM)\n"
	"  --http-log FILE     write what became of each request to FILE: lines of JSON\n"
	"\n"
	"the command:\n"
	"  --env K=V           set a variable; --env K passes the caller's value on; may be repeated\n"
	"  --cwd DIR           where it starts; default: /\n"
	"  --user U[:G]        who it runs as: a name or number of the guest; default: root\n"
	"  --timeout SECONDS   kill it and all it started after that time, and exit with 124\n"
	"  -i, --interactive   pass standard input on\n"
	"  -t, --tty           give it a terminal\n"
	"\n"
	"messages:\n"
	"  -q, --quiet         only errors\n"
	"  -v, --verbose       also what the machine does and how long it takes\n"
	"  --console FILE      write everything the guest's console prints to FILE\n"
	"\n"
	"for diagnosis:\n"
	"  --boot-timeout S    give up when the guest is not ready after that time; default 60\n"
	"  --kernel FILE, --init FILE, --qemu FILE   other than those of the installation\n"
	"  --append TEXT       more for the guest kernel's command line\n"
	"  --icount            qemu: let time be the number of guest instructions\n"
	"\n"
	"INT, TERM, HUP and QUIT go to COMMAND. The third of a few seconds (but HUP), or one before COMMAND runs, ends the machine.\n"
	"\n"
	"exit status: COMMAND's; 128+N when signal N ended it; 124 after --timeout; 127 when it was not found, 126 when it cannot be\n"
	"executed; 125 when sandbox itself failed, and when COMMAND succeeded but a --copy-out did not.\n";

#define COPY_LIMIT (16ULL << 30)
#define SCRATCH_MIN (1ULL << 20)

enum { OPT_IMAGE = 256,
       OPT_WRITABLE,
       OPT_ENGINE,
       OPT_CPUS,
       OPT_MEMORY,
       OPT_HOSTNAME,
       OPT_MOUNT,
       OPT_TMPFS,
       OPT_COPY_IN,
       OPT_COPY_OUT,
       OPT_COPY_LIMIT,
       OPT_NET,
       OPT_ALLOW,
       OPT_PUBLISH,
       OPT_NET_LOG,
       OPT_HEADER,
       OPT_SECRET,
       OPT_CA_FILE,
       OPT_HTTP_LOG,
       OPT_ENV,
       OPT_CWD,
       OPT_USER,
       OPT_TIMEOUT,
       OPT_CONSOLE,
       OPT_BOOT_TIMEOUT,
       OPT_KERNEL,
       OPT_INIT,
       OPT_QEMU,
       OPT_APPEND,
       OPT_ICOUNT };

static const struct option options[] = {
	{ "image", required_argument, NULL, OPT_IMAGE },
	{ "writable", optional_argument, NULL, OPT_WRITABLE },
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "hostname", required_argument, NULL, OPT_HOSTNAME },
	{ "mount", required_argument, NULL, OPT_MOUNT },
	{ "tmpfs", required_argument, NULL, OPT_TMPFS },
	{ "copy-in", required_argument, NULL, OPT_COPY_IN },
	{ "copy-out", required_argument, NULL, OPT_COPY_OUT },
	{ "copy-limit", required_argument, NULL, OPT_COPY_LIMIT },
	{ "net", no_argument, NULL, OPT_NET },
	{ "allow", required_argument, NULL, OPT_ALLOW },
	{ "publish", required_argument, NULL, OPT_PUBLISH },
	{ "net-log", required_argument, NULL, OPT_NET_LOG },
	{ "header", required_argument, NULL, OPT_HEADER },
	{ "secret", required_argument, NULL, OPT_SECRET },
	{ "ca-file", required_argument, NULL, OPT_CA_FILE },
	{ "http-log", required_argument, NULL, OPT_HTTP_LOG },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "cwd", required_argument, NULL, OPT_CWD },
	{ "user", required_argument, NULL, OPT_USER },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "boot-timeout", required_argument, NULL, OPT_BOOT_TIMEOUT },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "init", required_argument, NULL, OPT_INIT },
	{ "qemu", required_argument, NULL, OPT_QEMU },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "icount", no_argument, NULL, OPT_ICOUNT },
	{ "interactive", no_argument, NULL, 'i' },
	{ "tty", no_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A decimal number of @min..@max. Tells what is wrong. */
static bool take_number(const char *option, const char *text, uint64_t min, uint64_t max, const char *unit, uint64_t *ret)
{
	uint64_t v = 0;
	bool good = text[0] != '\0';

	for (const char *p = text; *p && good; p++) {
		good = *p >= '0' && *p <= '9' && v <= (UINT64_MAX - 9) / 10;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	if (good && v >= min && v <= max) {
		*ret = v;
		return true;
	}
	run_error("%s %s: must be a whole number of %s from %llu to %llu", option, text, unit, (unsigned long long)min,
		  (unsigned long long)max);
	return false;
}

bool run_take_size(const char *option, const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMG";
	char digits[24];
	size_t len = strlen(text);
	unsigned shift = 0;
	const char *s = len > 1 ? strchr(suffixes, text[len - 1]) : NULL;

	if (s) {
		shift = 10 * (unsigned)(s - suffixes + 1);
		len--;
	}
	if (len == 0 || len >= sizeof(digits) || strspn(text, "0123456789") != len) {
		run_error("%s %s: not a size; write it like 64M, 2G or 1048576", option, text);
		return false;
	}
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!take_number(option, digits, 1, UINT64_MAX >> 30, "bytes, KiB (K), MiB (M) or GiB (G)", ret))
		return false;
	*ret <<= shift;
	return true;
}

static bool take_engine(struct run_options *o, const char *value)
{
	static const char *const names[] = { [SBX_ENGINE_AUTO] = "auto", [SBX_ENGINE_KVM] = "kvm", [SBX_ENGINE_QEMU] = "qemu" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			o->vm.engine = (enum sbx_engine)i;
			return true;
		}
	}
	run_error("--engine %s: must be auto, kvm or qemu", value);
	return false;
}

/* The place of the variable that @pair (or a name alone) is about, or the first free one. */
static unsigned find_env(const struct run_options *o, const char *pair)
{
	size_t len = strcspn(pair, "=");
	unsigned i = 0;

	while (i < o->env_count && (strncmp(o->env[i], pair, len) != 0 || o->env[i][len] != '='))
		i++;
	return i;
}

/* A later one replaces an earlier one: of two, programs do not agree which counts. */
static void put_env(struct run_options *o, const char *pair)
{
	unsigned i = find_env(o, pair);

	o->env[i] = pair;
	o->env_count += i == o->env_count;
}

static bool take_env(struct run_options *o, const char *value)
{
	const char *from_caller;
	char *pair;

	if (o->env_count == RUN_ENV_MAX) {
		run_error("--env %s: more than %d variables", value, RUN_ENV_MAX);
		return false;
	}
	if (value[0] == '=' || value[0] == '\0') {
		run_error("--env %s: must be NAME=VALUE, or NAME to pass the caller's value on", value);
		return false;
	}
	if (strchr(value, '=')) {
		put_env(o, value);
		return true;
	}
	from_caller = getenv(value);
	if (!from_caller) {
		run_error("--env %s: the caller has no such variable; write --env %s=VALUE", value, value);
		return false;
	}
	if (asprintf(&pair, "%s=%s", value, from_caller) < 0) {
		run_error("out of memory");
		return false;
	}
	put_env(o, pair); /* kept until the process ends */
	return true;
}

static bool take_writable(struct run_options *o, const char *value)
{
	o->vm.flags |= SBX_VM_WRITABLE;
	if (!value)
		return true;
	if (!run_take_size("--writable", value, &o->vm.scratch_bytes))
		return false;
	if (o->vm.scratch_bytes < SCRATCH_MIN) {
		run_error("--writable %s: must be at least 1M", value);
		return false;
	}
	return true;
}

static bool take_machine_option(struct run_options *o, int c, const char *value)
{
	uint64_t n = 0;

	switch (c) {
	case OPT_IMAGE:
		o->vm.image_path = value;
		return true;
	case OPT_WRITABLE:
		return take_writable(o, value);
	case OPT_ENGINE:
		return take_engine(o, value);
	case OPT_CPUS:
		if (!take_number("--cpus", value, 1, SBX_CPUS_MAX, "processors", &n))
			return false;
		o->vm.cpus = (uint32_t)n;
		return true;
	case OPT_MEMORY:
		if (!take_number("--memory", value, SBX_MEMORY_MIB_MIN, 1 << 20, "MiB", &n))
			return false;
		o->vm.memory_mib = (uint32_t)n;
		return true;
	case OPT_HOSTNAME:
		o->vm.hostname = value;
		return true;
	case OPT_BOOT_TIMEOUT:
		if (!take_number("--boot-timeout", value, 1, 86400, "seconds", &n))
			return false;
		o->vm.boot_timeout_ms = (uint32_t)n * 1000;
		return true;
	case OPT_KERNEL:
		o->vm.kernel_path = value;
		return true;
	case OPT_INIT:
		o->vm.init_path = value;
		return true;
	case OPT_QEMU:
		o->vm.qemu_path = value;
		return true;
	case OPT_APPEND:
		o->vm.cmdline = value;
		return true;
	default:
		o->vm.flags |= SBX_VM_ICOUNT;
		return true;
	}
}

static bool take_rule(struct run_options *o, const char *value)
{
	struct sbx_err err;

	if (o->vm.outbound_count == SBX_RULES_MAX) {
		run_error("--allow %s: more than %d rules", value, SBX_RULES_MAX);
		return false;
	}
	if (!cli_check_rule(value, &err)) {
		run_error("--allow '%s': %s", value, err.message);
		return false;
	}
	o->rule[o->vm.outbound_count++] = value;
	o->vm.flags |= SBX_VM_NETWORK;
	return true;
}

static bool take_option(struct run_options *o, int c, const char *value)
{
	uint64_t n = 0;

	switch (c) {
	case OPT_MOUNT:
		return run_take_mount(o, value);
	case OPT_TMPFS:
		return run_take_tmpfs(o, value);
	case OPT_COPY_IN:
	case OPT_COPY_OUT:
		return run_take_copy(o, c == OPT_COPY_OUT, value);
	case OPT_COPY_LIMIT:
		return run_take_size("--copy-limit", value, &o->copy_limit);
	case OPT_NET:
		o->vm.flags |= SBX_VM_NETWORK;
		return true;
	case OPT_ALLOW:
		return take_rule(o, value);
	case OPT_PUBLISH:
		return run_take_publish(o, value);
	case OPT_NET_LOG:
		o->net_log_path = value;
		o->vm.flags |= SBX_VM_NETWORK;
		return true;
	case OPT_HEADER:
		return run_take_header(o, value);
	case OPT_SECRET:
		return run_take_secret(o, value);
	case OPT_CA_FILE:
		return run_take_ca_file(o, value);
	case OPT_HTTP_LOG:
		o->http_log_path = value;
		return true;
	case OPT_ENV:
		return take_env(o, value);
	case OPT_CWD:
		o->exec.cwd = value;
		if (value[0] == '/')
			return true;
		run_error("--cwd %s: must be an absolute path of the guest", value);
		return false;
	case OPT_USER:
		o->exec.run_as = value;
		if (value[0] && value[0] != ':')
			return true;
		run_error("--user %s: must be a name or number, or USER:GROUP", value);
		return false;
	case OPT_TIMEOUT:
		if (!take_number("--timeout", value, 1, UINT32_MAX / 1000, "seconds", &n))
			return false;
		o->exec.timeout_ms = (uint32_t)n * 1000;
		return true;
	case OPT_CONSOLE:
		o->console_path = value;
		return true;
	case 'i':
		o->interactive = true;
		return true;
	case 't':
		o->tty = true;
		return true;
	case 'q':
		o->quiet = true;
		return true;
	case 'v':
		o->verbose = true;
		o->vm.flags |= SBX_VM_VERBOSE;
		return true;
	default:
		return take_machine_option(o, c, value);
	}
}

static int bad_option(int c, char **argv)
{
	bool known = optopt == 'i' || optopt == 't' || optopt == 'q' || optopt == 'v' || optopt >= OPT_IMAGE;
	const char *why = c == ':' ? "needs a value" : known ? "takes no value"
							     : "no such option";
	char letter[3];

	run_error("%s: %s; `sandbox run --help` lists the options", cli_refused(argv, "itqvh", letter), why);
	return RUN_FAILED + 1;
}

/* A value of its own is no value of --writable, which can do without: it would be the command. */
static bool is_stray_size(const char *before, const char *word)
{
	size_t digits = strspn(word, "0123456789");

	return strcmp(before, "--writable") == 0 && digits > 0 && (word[digits] == '\0' || (strchr("KMGkmg", word[digits]) && !word[digits + 1]));
}

/* What is left on the command line is the command; none means a shell, on a terminal. */
static bool take_command(struct run_options *o, char **argv)
{
	static const char *const shell[] = { "/bin/sh", NULL };

	if (argv[0] && is_stray_size(argv[-1], argv[0])) {
		run_error("--writable %s: write it as one word, --writable=%s", argv[0], argv[0]);
		return false;
	}
	if (argv[0]) {
		o->exec.argv = (const char *const *)argv;
		return true;
	}
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		run_error("no command: name one, as in `sandbox run -- uname -a`; a shell without one needs a terminal");
		return false;
	}
	o->exec.argv = shell;
	o->interactive = o->tty = true;
	return true;
}

static bool check_together(struct run_options *o)
{
	const char *term = getenv("TERM");

	if (o->quiet && o->verbose) {
		run_error("-q and -v contradict each other; leave one out");
		return false;
	}
	if (o->vm.scratch_bytes >> 20 > o->vm.memory_mib) {
		run_error("--writable: %llu MiB are more than the guest's memory of %u MiB, which they live in; make --memory larger or the size smaller",
			  (unsigned long long)o->vm.scratch_bytes >> 20, o->vm.memory_mib);
		return false;
	}
	if (o->tty && o->interactive && !isatty(STDIN_FILENO)) {
		run_error("-t with -i: standard input is not a terminal; leave -t out");
		return false;
	}
	if (o->tty && term && term[0] && o->env_count < RUN_ENV_MAX && find_env(o, "TERM") == o->env_count)
		return take_env(o, "TERM");
	return true;
}

const char *run_option_in(const struct run_options *o, const char *message)
{
	const struct {
		const char *begins, *option; /* NULL: it was not given, and is not to blame */
	} known[] = {
		{ "memory is ", "--memory" },
		{ "hostname is ", "--hostname" },
		{ "image ", o->vm.image_path ? "--image" : NULL },
		{ "kernel ", o->vm.kernel_path ? "--kernel" : NULL },
		{ "guest init ", o->vm.init_path ? "--init" : NULL },
		{ "counting instructions ", "--icount" },
		{ "the addition to the kernel command line ", "--append" },
		{ "the qemu engine cannot run here", o->vm.qemu_path ? "--qemu" : o->vm.engine ? "--engine" : NULL },
		{ "the kvm engine cannot run here", "--engine" },
	};
	static const char cannot[] = "cannot open ";

	if (strncmp(message, cannot, strlen(cannot)) == 0)
		message += strlen(cannot);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(message, known[i].begins, strlen(known[i].begins)) == 0)
			return known[i].option;
	return NULL;
}

int run_options_parse(int argc, char **argv, struct run_options *ret)
{
	struct run_options *o = ret;
	int c;

	*o = (struct run_options){ .vm = SBX_VM_CONFIG_INIT, .exec = SBX_EXEC_SPEC_INIT, .copy_limit = COPY_LIMIT };
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, "+:itqvh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(run_help, stdout);
			return CLI_OK + 1;
		}
		if (c == '?' || c == ':')
			return bad_option(c, argv);
		if (!take_option(o, c, optarg))
			return RUN_FAILED + 1;
	}
	if (!take_command(o, argv + optind) || !check_together(o))
		return RUN_FAILED + 1;
	o->vm.mounts = o->mount;
	o->vm.outbound_rules = o->rule;
	o->vm.http_injections = o->header;
	o->vm.http_secrets = o->secret;
	o->exec.env = o->env;
	o->exec.flags |= (o->tty ? SBX_EXEC_TTY : 0U) | (o->interactive ? SBX_EXEC_STDIN : 0U) | SBX_EXEC_MANUAL_ACK;
	return 0;
}
