/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cli/image_inspect.c - `sandbox image inspect`: the superblock for people, and as JSON for programs. The label comes from the file
 * and may be anything: what could steer a terminal or break the JSON is escaped.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "image.h"
#include "sbx.h"

static const char inspect_help[] =
	"usage: sandbox image inspect FILE [--json]\n"
	"\n"
	"Reads the superblock of an EROFS image and checks that the file is whole and that the guest can read it.\n"
	"Exit status: 0 when `sandbox run --image FILE` can use it, 1 when not (the reason is told), 2 for a wrong use.\n";

static const char *compression_name(uint32_t bits)
{
	switch (bits) {
	case 0: return "none";
	case SBX_IMAGE_LZ4: return "lz4";
	case SBX_IMAGE_ZSTD: return "zstd";
	default: return "lz4,zstd";
	}
}

/* "2023-06-10T00:00:00Z", or the seconds where the calendar ends. */
static void format_time(uint64_t seconds, char *ret, size_t size)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (seconds > INT32_MAX * UINT64_C(64) || !gmtime_r(&t, &tm) || strftime(ret, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(ret, size, "%" PRIu64, seconds);
}

static void format_uuid(const uint8_t *u, char *ret, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < 16; i++)
		at += (size_t)snprintf(ret + at, size - at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
}

/* A JSON string with quotes. Unless it is @text, bytes outside of ASCII need not be UTF-8 and become U+FFFD. */
static void print_json_string(const char *s, bool text)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\u%04x", c);
		else if (c > 0x7f && !text)
			fputs("\\ufffd", stdout);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_text_string(const char *s)
{
	for (; *s; s++)
		putchar(*s >= 0x20 && *s < 0x7f ? *s : '?');
}

static void print_json(const char *path, const struct sbx_image_info *info, const char *built, const char *uuid)
{
	fputs("{\"file\":", stdout);
	print_json_string(path, true);
	printf(",\"format\":\"erofs\",\"file_bytes\":%" PRIu64 ",\"image_bytes\":%" PRIu64 ",\"block_bytes\":%" PRIu32
	       ",\"blocks\":%" PRIu64 ",\"inodes\":%" PRIu64 ",\"root_inode\":%" PRIu32 ",\"compression\":\"%s\""
	       ",\"build_time\":\"%s\",\"build_time_unix\":%" PRIu64 ",\"uuid\":\"%s\",\"label\":",
	       info->file_bytes, info->blocks * info->block_bytes, info->block_bytes, info->blocks, info->inodes,
	       info->root_inode, compression_name(info->compression), built, info->build_time, uuid);
	print_json_string(info->label, false);
	fputs("}\n", stdout);
}

static void print_text(const char *path, const struct sbx_image_info *info, const char *built, const char *uuid)
{
	printf("%s: EROFS root image\n", path);
	printf("  size         %" PRIu64 " bytes (%.1f MiB)\n", info->file_bytes, (double)info->file_bytes / (1 << 20));
	printf("  blocks       %" PRIu64 " of %" PRIu32 " bytes\n", info->blocks, info->block_bytes);
	printf("  inodes       %" PRIu64 " (root: %" PRIu32 ")\n", info->inodes, info->root_inode);
	printf("  compression  %s\n", compression_name(info->compression));
	printf("  build time   %s\n", built);
	printf("  uuid         %s\n", uuid);
	fputs("  label        ", stdout);
	print_text_string(info->label[0] ? info->label : "(none)");
	putchar('\n');
}

int cmd_image_inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct sbx_image_info info;
	struct sbx_err err = { 0 };
	char built[32], uuid[40], letter[3];
	int json = 0, c;

	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(inspect_help, stdout);
			return CLI_OK;
		}
		if (c != 'j') {
			fprintf(stderr, "sandbox image inspect: %s: no such option; there is --json\n", cli_refused(argv, "h", letter));
			return CLI_USAGE;
		}
		json = 1;
	}
	if (argc - optind != 1) {
		fputs("sandbox image inspect: needs one FILE\n", stderr);
		return CLI_USAGE;
	}
	if (sbx_image_inspect(argv[optind], &info, &err) < 0) {
		fprintf(stderr, "sandbox image inspect: %s\n", err.message);
		return CLI_FAILED;
	}
	format_time(info.build_time, built, sizeof(built));
	format_uuid(info.uuid, uuid, sizeof(uuid));
	(json ? print_json : print_text)(argv[optind], &info, built, uuid);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
