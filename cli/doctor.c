/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* cli/doctor.c - `sandbox doctor`: what this machine can do, what would be chosen and why, and what to do about the rest. */
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"
#include "sbx.h"

static const char doctor_help[] = "usage: sandbox doctor [--qemu FILE]\n"
				  "\n"
				  "Probes both engines and the installation's files, and says which engine `sandbox run` takes, why, and what to do about\n"
				  "what does not work. Exit status: 0 when a VM can run here, 1 when none can.\n";

static void print_machine(void)
{
	struct utsname u;
	struct sysinfo si;

	printf("sandbox    %s\n", sbx_version());
	if (uname(&u) == 0)
		printf("machine    %s %s %s, %ld processors", u.sysname, u.release, u.machine, sysconf(_SC_NPROCESSORS_ONLN));
	if (sysinfo(&si) == 0)
		printf(", %llu MiB of memory", (unsigned long long)si.totalram * si.mem_unit >> 20);
	putchar('\n');
}

static bool print_artifact(const char *name, enum sbx_artifact which)
{
	char path[PATH_MAX];
	bool there;

	if (sbx_default_path(which, path, sizeof(path)) < 0)
		return false;
	there = access(path, R_OK) == 0;
	printf("%-10s %s%s\n", name, path, there ? "" : ": MISSING; build or install it, or set SANDBOX_LIBDIR to where it is");
	return there;
}

static void print_engine(const char *name, const struct sbx_engine_probe *p)
{
	printf("%-10s %s: %s\n", name, p->usable ? "usable" : "NOT usable", p->detail);
	if (p->remedy[0])
		printf("           remedy: %s\n", p->remedy);
}

static void print_choice(const struct sbx_probe *p)
{
	if (p->chosen == SBX_ENGINE_KVM)
		printf("chosen     kvm: it works, and it is the faster of the two\n");
	else if (p->chosen == SBX_ENGINE_QEMU)
		printf("chosen     qemu: kvm is not usable here (see above)\n");
	else
		printf("chosen     none: neither engine can run here\n");
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = { { "qemu", required_argument, NULL, 'Q' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	const char *qemu = NULL;
	struct sbx_probe probe;
	struct sbx_err err;
	char letter[3];
	bool files;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(doctor_help, stdout);
			return CLI_OK;
		}
		if (c != 'Q') {
			fprintf(stderr, "sandbox doctor: %s: %s\n%s", cli_refused(argv, "h", letter), c == ':' ? "needs a value" : "no such option",
				doctor_help);
			return CLI_USAGE;
		}
		qemu = optarg;
	}
	if (optind < argc) {
		fprintf(stderr, "sandbox doctor: %s: takes no arguments\n", argv[optind]);
		return CLI_USAGE;
	}
	print_machine();
	files = print_artifact("host", SBX_ARTIFACT_HOST);
	files = print_artifact("kernel", SBX_ARTIFACT_KERNEL) && files;
	files = print_artifact("init", SBX_ARTIFACT_INIT) && files;
	files = print_artifact("image", SBX_ARTIFACT_IMAGE) && files;
	if (sbx_probe(NULL, qemu, &probe, &err) < 0) {
		printf("engines    cannot be probed: %s\n", err.message);
		return CLI_FAILED;
	}
	print_engine("kvm", &probe.kvm);
	print_engine("qemu", &probe.qemu);
	print_choice(&probe);
	return files && probe.chosen != SBX_ENGINE_AUTO ? CLI_OK : CLI_FAILED;
}

int cmd_version(int argc, char **argv)
{
	if (argc > 1) {
		bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;

		fprintf(help ? stdout : stderr, "usage: sandbox version\n");
		return help ? CLI_OK : CLI_USAGE;
	}
	printf("sandbox %s\n", sbx_version());
	return CLI_OK;
}
