/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/image.c - `sandbox image`: its sub-commands and the options of `build`. Nothing here does the work. */
#include "image.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "image_job.h"

static const char image_help[] =
	"usage: sandbox image build SOURCE OUT.erofs [OPTION...]   make a root image\n"
	"       sandbox image inspect FILE [--json]                say what an image is\n"
	"\n"
	"`sandbox image build --help` and `sandbox image inspect --help` explain each.\n";

static const char build_help[] =
	"usage: sandbox image build SOURCE OUT.erofs [OPTION...]\n"
	"\n"
	"Makes a read-only root image (EROFS) for `sandbox run --image OUT.erofs`.\n"
	"\n"
	"SOURCE is one of\n"
	"  DIR             a directory that holds a root file system\n"
	"  FILE.tar        an archive of one, also .gz, .bz2, .xz or .zst: what `docker export` or `docker save`\n"
	"                  writes; - reads it from standard input\n"
	"  debian:SUITE    a fresh Debian, by mmdebstrap: debian:bookworm\n"
	"\n"
	"options:\n"
	"  --include A,B   debian: further packages; may be repeated\n"
	"  --variant V     debian: how much else: essential, apt, minbase (default), buildd, important, standard\n"
	"  --mirror M      debian: archive to install from: a URL or a sources.list file; may be repeated. Default:\n"
	"                  the one this machine's apt uses for SUITE, else Debian's public archive\n"
	"  --compress C    none (default), lz4, lz4hc: smaller files, slower to read in the guest\n"
	"  --all-root      every file belongs to root, whoever owns it in SOURCE\n"
	"  --time SECONDS  every file's time; default: their own, none newer than SOURCE_DATE_EPOCH if that is set\n"
	"  -q, --quiet     no progress\n"
	"\n"
	"The same SOURCE gives the same bytes. The directories that a guest needs (/proc /sys /dev /run /tmp /mnt\n"
	"/workspace) are added when they are missing. Temporary files go to TMPDIR (default /var/tmp).\n";

static int usage_error(const char *command)
{
	fprintf(stderr, "`sandbox image %s --help` explains it\n", command);
	return CLI_USAGE;
}

static bool one_of(const char *value, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(value, *list) == 0)
			return true;
	return false;
}

static bool is_seconds(const char *s)
{
	return s[0] != '\0' && strlen(s) <= 11 && strspn(s, "0123456789") == strlen(s);
}

static bool add_packages(struct image_options *opt, const char *list)
{
	size_t len = strlen(opt->include);
	const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:=~_,";

	if (list[0] == '\0' || list[0] == '-' || strspn(list, allowed) != strlen(list)) {
		image_error("--include %s: not a list of package names; write them like --include git,python3", list);
		return false;
	}
	if (len + strlen(list) + 2 > sizeof(opt->include)) {
		image_error("--include: more than %zu bytes of package names", sizeof(opt->include) - 1);
		return false;
	}
	snprintf(opt->include + len, sizeof(opt->include) - len, "%s%s", len ? "," : "", list);
	return true;
}

enum { OPT_INCLUDE = 256,
       OPT_VARIANT,
       OPT_MIRROR,
       OPT_COMPRESS,
       OPT_ALL_ROOT,
       OPT_TIME };

/* One option. Return: false when its value is wrong, which has been told. */
static bool take_option(struct image_options *opt, int c, const char *value)
{
	static const char *const variants[] = { "essential", "apt", "required", "minbase", "buildd",
						"important", "debootstrap", "standard", NULL };
	static const char *const compressors[] = { "none", "lz4", "lz4hc", NULL };

	switch (c) {
	case OPT_INCLUDE: return add_packages(opt, value);
	case OPT_VARIANT:
		opt->variant = value;
		if (one_of(value, variants))
			return true;
		image_error("--variant %s: not one of essential, apt, minbase, buildd, important, standard", value);
		return false;
	case OPT_MIRROR:
		if (opt->mirror_count == IMAGE_MIRRORS_MAX || value[0] == '-') {
			image_error("--mirror %s: %s", value, value[0] == '-' ? "not a URL or a file" : "too many of them");
			return false;
		}
		opt->mirrors[opt->mirror_count++] = value;
		return true;
	case OPT_COMPRESS:
		opt->compress = value;
		if (one_of(value, compressors))
			return true;
		image_error("--compress %s: not one of none, lz4, lz4hc", value);
		return false;
	case OPT_TIME:
		opt->time = value;
		if (is_seconds(value))
			return true;
		image_error("--time %s: not a number of seconds since 1970, like --time 1700000000", value);
		return false;
	case OPT_ALL_ROOT: opt->all_root = true; return true;
	default: opt->quiet = true; return true;
	}
}

static bool check_environment(struct image_options *opt)
{
	opt->epoch = getenv("SOURCE_DATE_EPOCH");
	if (opt->epoch && opt->epoch[0] == '\0')
		opt->epoch = NULL;
	if (!opt->epoch || is_seconds(opt->epoch))
		return true;
	image_error("SOURCE_DATE_EPOCH=%s: not a number of seconds since 1970; correct it or unset it", opt->epoch);
	return false;
}

/* Options that say something about packages make sense with debian: only. */
static bool check_combination(const struct image_options *opt)
{
	const char *misplaced = opt->include[0]     ? "--include"
				: opt->variant      ? "--variant"
				: opt->mirror_count ? "--mirror"
						    : NULL;

	if (misplaced && strncmp(opt->source, "debian:", 7) != 0) {
		image_error("%s: only for a SOURCE like debian:bookworm, not for '%s'", misplaced, opt->source);
		return false;
	}
	return true;
}

static int tell_bad_option(int c, char **argv)
{
	const char *why = c == ':' ? "needs a value" : optopt >= OPT_INCLUDE || optopt == 'q' ? "takes no value"
											      : "no such option";
	char letter[3];

	image_error("%s: %s", cli_refused(argv, "qh", letter), why);
	return usage_error("build");
}

int cmd_image_build(int argc, char **argv)
{
	static const struct option options[] = {
		{ "include", required_argument, NULL, OPT_INCLUDE },
		{ "variant", required_argument, NULL, OPT_VARIANT },
		{ "mirror", required_argument, NULL, OPT_MIRROR },
		{ "compress", required_argument, NULL, OPT_COMPRESS },
		{ "all-root", no_argument, NULL, OPT_ALL_ROOT },
		{ "time", required_argument, NULL, OPT_TIME },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct image_options opt = { .compress = "none" };
	int c;

	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, ":qh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(build_help, stdout);
			return CLI_OK;
		}
		if (c == '?' || c == ':')
			return tell_bad_option(c, argv);
		if (!take_option(&opt, c, optarg))
			return CLI_USAGE;
	}
	if (argc - optind != 2) {
		image_error(argc - optind < 2 ? "needs a SOURCE and an OUT.erofs" : "one SOURCE and one OUT.erofs, not more");
		return usage_error("build");
	}
	opt.source = argv[optind];
	opt.output = argv[optind + 1];
	if (!check_environment(&opt) || !check_combination(&opt))
		return CLI_USAGE;
	return image_build(&opt);
}

int cmd_image(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{ "build", cmd_image_build },
		{ "inspect", cmd_image_inspect },
	};

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(image_help, stdout);
		return CLI_OK;
	}
	for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (argc >= 2)
		fprintf(stderr, "sandbox image: no sub-command '%s'\n", argv[1]);
	fputs(image_help, stderr);
	return CLI_USAGE;
}
