/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host's authority in roots laid out as distributions do it, written and mounted over, in a mount namespace of the test's own. */
#include "../../guest/trust.h"
#include "../../guest/jks.h"

#include "../test.h"
#include "base/cleanup.h"
#include "http/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { TEXT_MAX = 1 << 20 };

static char base[] = "/tmp/sbx-trust-XXXXXX";
static char store[64];
static struct trust guest_trust;

/* What an image has: a directory (ends in '/'), a link (target), or a file (content). */
struct item {
	const char *path, *target, *content;
};

#define BUNDLE "# the image's own\n-----BEGIN CERTIFICATE-----\nQUJDREVG\n-----END CERTIFICATE-----"

static void make_parents(const char *path)
{
	char part[128];

	for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		CHECK(mkdir(part, 0755) == 0 || errno == EEXIST, "mkdir %s: %s", part, strerror(errno));
	}
}

static void put(const char *path, const void *content, size_t len)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, content, len) == (ssize_t)len, "%s: %s", path, strerror(errno));
}

static void make(const struct item *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		make_parents(items[i].path);
		if (items[i].target)
			CHECK(symlink(items[i].target, items[i].path) == 0, "%s: %s", items[i].path, strerror(errno));
		else if (items[i].content)
			put(items[i].path, items[i].content, strlen(items[i].content));
	}
}

/* A namespace with a root, which is the current directory and has /proc and /run. */
static void begin(const struct item *items, size_t count)
{
	static struct ca *authority;
	struct msg_guest_ca m;

	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		SKIP("no mount namespaces: %s", strerror(errno));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private: %s", strerror(errno));
	CHECK(mkdtemp(base), "mkdtemp: %s", strerror(errno));
	if (mount("base", base, "tmpfs", 0, NULL) < 0)
		SKIP("no mounts: %s", strerror(errno));
	CHECK(chdir(base) == 0 && mkdir("root", 0755) == 0 && mount("root", "root", "tmpfs", 0, NULL) == 0 && chdir("root") == 0, "root: %s", strerror(errno));
	(void)snprintf(store, sizeof(store), "%s/store", base);
	make(items, count);
	CHECK(mkdir("proc", 0755) == 0 && mount("/proc", "proc", NULL, MS_BIND | MS_REC, NULL) == 0, "proc: %s", strerror(errno));
	CHECK(mkdir("run", 0755) == 0 && mount("run", "run", "tmpfs", 0, NULL) == 0, "run: %s", strerror(errno));
	CHECK(ca_create(&(struct ca_config){ 0 }, 1800000000, &authority, NULL) == 0, "no authority");
	m = (struct msg_guest_ca){ .hash = slice_of("0123abcd"), .pem = slice_of(ca_certificate_pem(authority)) };
	CHECK(trust_set(&guest_trust, &m) == 0, "no memory");
	ca_free(authority);
}

static void provide(bool writable)
{
	if (!writable)
		CHECK(mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0, "read-only: %s", strerror(errno));
	trust_provide(&guest_trust, store, writable);
}

static void finish(void)
{
	trust_done(&guest_trust);
	CHECK(chdir("/") == 0 && umount2(base, MNT_DETACH) == 0 && rmdir(base) == 0, "cannot clean up: %s", strerror(errno));
	memcpy(base + strlen(base) - 6, "XXXXXX", 6);
}

/* The file as a program sees it: links of the image lead from its root. */
static size_t see(const char *path, uint8_t *dst)
{
	int pid_root = open("/", O_PATH | O_CLOEXEC), here = open(".", O_PATH | O_CLOEXEC), fd;
	ssize_t n;

	CHECK(chroot(".") == 0, "chroot: %s", strerror(errno));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, dst, TEXT_MAX - 1) : -1;
	CHECK(fchdir(pid_root) == 0 && chroot(".") == 0 && fchdir(here) == 0, "back: %s", strerror(errno));
	close_fd(&fd);
	close(pid_root);
	close(here);
	CHECK(n >= 0, "%s is not there", path);
	dst[n] = '\0';
	return (size_t)n;
}

static bool there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void check_bundle(const char *path)
{
	static uint8_t text[TEXT_MAX];
	char want[4096];

	(void)see(path, text);
	(void)snprintf(want, sizeof(want), "%s\n%s", BUNDLE, guest_trust.pem);
	CHECK(strcmp((const char *)text, want) == 0, "%s says: %.300s", path, (const char *)text);
}

static void check_alone(const char *path)
{
	static uint8_t text[TEXT_MAX];

	(void)see(path, text);
	CHECK(strcmp((const char *)text, guest_trust.pem) == 0, "%s says: %.300s", path, (const char *)text);
}

static void check_env(const char *bundle, const char *node)
{
	static const char *const names[] = { "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char want[128];

		(void)snprintf(want, sizeof(want), "%s=%s", names[i], i < 4 ? bundle : node);
		CHECK(guest_trust.env[i] && strcmp(guest_trust.env[i], want) == 0, "%s and not %s", guest_trust.env[i] ? guest_trust.env[i] : "nothing", want);
	}
}

static const struct item debian[] = {
	{ "etc/debian_version", NULL, "12" },
	{ "etc/ssl/certs/ca-certificates.crt", NULL, BUNDLE },
	{ "etc/ssl/certs/5678abcd.0", "Some_Root.pem", NULL },
	{ "usr/lib/ssl/certs", "/etc/ssl/certs", NULL },
};
static const struct item alpine[] = {
	{ "etc/alpine-release", NULL, "3.20" },
	{ "etc/ssl/certs/ca-certificates.crt", NULL, BUNDLE },
	{ "etc/ssl/cert.pem", "certs/ca-certificates.crt", NULL },
};
static const struct item fedora[] = {
	{ "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", NULL, BUNDLE },
	{ "etc/pki/ca-trust/extracted/openssl/ca-bundle.trust.crt", NULL, BUNDLE },
	{ "etc/pki/ca-trust/source/anchors/", NULL, NULL },
	{ "etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", NULL },
	{ "etc/pki/tls/cert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", NULL },
	{ "etc/ssl/certs", "../pki/tls/certs", NULL },
	{ "etc/pki/ca-trust/extracted/pem/directory-hash/5678abcd.0", NULL, "another" },
};

TEST(debians_layout_is_extended)
{
	for (int writable = 0; writable < 2; writable++) {
		begin(debian, ARRAY_LEN(debian));
		provide(writable);
		check_bundle("/etc/ssl/certs/ca-certificates.crt");
		check_alone("/etc/ssl/certs/0123abcd.0");
		check_alone("/usr/lib/ssl/certs/0123abcd.0");
		check_alone("/run/sandbox/ca.pem");
		CHECK(there("etc/ssl/certs/5678abcd.0") && !there("etc/ssl/certs/0123abcd.1"), "the directory");
		CHECK(there("usr/local/share/ca-certificates/sandbox-ca.crt") == writable, "what packages make the bundle from");
		check_env("/etc/ssl/certs/ca-certificates.crt", "/run/sandbox/ca.pem");
		finish();
	}
}

TEST(alpines_layout_is_extended)
{
	for (int writable = 0; writable < 2; writable++) {
		begin(alpine, ARRAY_LEN(alpine));
		provide(writable);
		check_bundle("/etc/ssl/certs/ca-certificates.crt");
		check_bundle("/etc/ssl/cert.pem");
		check_alone("/etc/ssl/certs/0123abcd.0");
		check_env("/etc/ssl/certs/ca-certificates.crt", "/run/sandbox/ca.pem");
		finish();
	}
}

TEST(fedoras_layout_is_extended)
{
	for (int writable = 0; writable < 2; writable++) {
		begin(fedora, ARRAY_LEN(fedora));
		provide(writable);
		check_bundle("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem");
		check_bundle("/etc/pki/ca-trust/extracted/openssl/ca-bundle.trust.crt");
		check_bundle("/etc/pki/tls/certs/ca-bundle.crt");
		check_bundle("/etc/pki/tls/cert.pem");
		check_alone("/etc/pki/ca-trust/source/anchors/sandbox-ca.pem");
		check_alone("/etc/pki/tls/certs/0123abcd.0");
		check_alone("/etc/pki/ca-trust/extracted/pem/directory-hash/0123abcd.0");
		check_alone("/etc/ssl/certs/0123abcd.0");
		check_env("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/run/sandbox/ca.pem");
		finish();
	}
}

TEST(a_read_only_root_keeps_its_own_files_below)
{
	uint8_t text[sizeof(BUNDLE) + 1];
	AUTOCLOSE int fd = -1;

	begin(debian, ARRAY_LEN(debian));
	fd = open("etc/ssl/certs/ca-certificates.crt", O_RDONLY | O_CLOEXEC);
	provide(false);
	check_bundle("/etc/ssl/certs/ca-certificates.crt");
	CHECK(pread(fd, text, sizeof(text), 0) == sizeof(BUNDLE) - 1, "the image's file has changed");
	CHECK(open("etc/ssl/certs/ca-certificates.crt", O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS, "a file of a read-only root can be written");
	CHECK(open("etc/ssl/certs/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0 && errno == EROFS, "a file can be made there");
	finish();
}

TEST(a_root_without_any_gets_a_bundle_of_the_authority_alone)
{
	static const struct item nothing[] = { { "etc/passwd", NULL, "root" } };

	begin(nothing, 1);
	provide(false);
	check_alone("/run/sandbox/ca.pem");
	CHECK(!there("etc/ssl"), "something was made in a read-only root");
	check_env("/run/sandbox/ca.pem", "/run/sandbox/ca.pem");
	finish();

	begin(nothing, 1);
	provide(true);
	check_alone("/etc/ssl/certs/ca-certificates.crt");
	check_alone("/etc/ssl/certs/0123abcd.0");
	check_env("/etc/ssl/certs/ca-certificates.crt", "/run/sandbox/ca.pem");
	finish();
}

TEST(names_that_are_taken_are_not)
{
	static const struct item taken[] = {
		{ "etc/ssl/certs/0123abcd.0", NULL, "another" }, { "etc/ssl/certs/0123abcd.1", "nowhere", NULL }, { "etc/ssl/certs/ca-certificates.crt", NULL, BUNDLE }
	};
	static uint8_t text[TEXT_MAX];

	for (int writable = 0; writable < 2; writable++) {
		begin(taken, ARRAY_LEN(taken));
		provide(writable);
		CHECK(see("/etc/ssl/certs/0123abcd.0", text) == 7, "the image's file has changed");
		check_alone("/etc/ssl/certs/0123abcd.2");
		finish();
	}
}

TEST(again_is_nothing)
{
	begin(debian, ARRAY_LEN(debian));
	provide(true);
	for (size_t i = 0; i < TRUST_ENV_COUNT; i++) {
		free(guest_trust.env[i]);
		guest_trust.env[i] = NULL;
	}
	provide(true); /* a root that was written to before */
	check_bundle("/etc/ssl/certs/ca-certificates.crt");
	CHECK(!there("etc/ssl/certs/0123abcd.1"), "it is there twice");
	finish();
}

TEST(what_an_image_has_in_odd_kinds_is_left)
{
	static const struct item odd[] = {
		{ "etc/ssl/certs/ca-certificates.crt/", NULL, NULL },
		{ "etc/ssl/cert.pem", "/proc/self/mem", NULL },
		{ "etc/pki/tls/certs", "loop", NULL },
		{ "etc/pki/tls/loop", "certs", NULL },
		{ "etc/ssl/certs/java/cacerts", NULL, "neither" },
		{ "etc/ssl/ca-bundle.pem", NULL, BUNDLE },
	};
	static uint8_t text[TEXT_MAX];

	for (int writable = 0; writable < 2; writable++) {
		begin(odd, ARRAY_LEN(odd));
		CHECK(mkfifo("etc/pki/tls/cert.pem", 0644) == 0, "fifo");
		provide(writable);
		check_bundle("/etc/ssl/ca-bundle.pem");
		check_env("/etc/ssl/ca-bundle.pem", "/run/sandbox/ca.pem");
		/* what is no key store is replaced by one that says what the bundle says */
		CHECK(see("/etc/ssl/certs/java/cacerts", text) > 100 && memcmp(text, "\xfe\xed\xfe\xed", 4) == 0, "the key store");
		finish();
	}
}

/* A store that is a JKS is at @path, and @link leads to it. */
static void check_java(const struct item *layout, size_t count, const char *path, const char *link)
{
	const struct slice one = slice_of(BUNDLE), other = slice_of("another certificate");
	static uint8_t text[TEXT_MAX];

	for (int writable = 0; writable < 2; writable++) {
		struct buf b;
		size_t len;

		begin(layout, count);
		buf_init(&b, JKS_BYTES_MAX);
		CHECK(jks_add_to_pem(one, other, "other", &b) == 0, "make");
		put(path, buf_data(&b), buf_len(&b));
		provide(writable);
		len = see(path, text);
		CHECK(len > buf_len(&b) && text[11] == 3 && memmem(text, len, "another certificate", 19) && memmem(text, len, "\0\7sandbox", 9), "%s: not extended", path);
		CHECK(see(link, text) == len && text[11] == 3, "%s: not the same", link);
		buf_done(&b);
		finish();
	}
}

TEST(javas_key_stores_are_extended_where_each_distribution_has_them)
{
	static const struct item of_alpine[] = {
		{ "etc/alpine-release", NULL, "3.20" },
		{ "etc/ssl/certs/ca-certificates.crt", NULL, BUNDLE },
		{ "etc/ssl/certs/java/", NULL, NULL },
		{ "usr/lib/jvm/java-17-openjdk/lib/security/cacerts", "/etc/ssl/certs/java/cacerts", NULL },
		{ "usr/lib/jvm/default-jvm", "java-17-openjdk", NULL },
	};
	static const struct item of_fedora[] = {
		{ "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", NULL, BUNDLE },
		{ "etc/pki/ca-trust/extracted/java/", NULL, NULL },
		{ "etc/pki/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts", NULL },
		{ "usr/lib/jvm/java-21-openjdk-21.0.4.0.7-2.fc40.x86_64/lib/security/cacerts", "../../../../../../etc/pki/java/cacerts", NULL },
		{ "usr/lib/jvm/jre", "/etc/alternatives/jre", NULL },
	};

	check_java(of_alpine, ARRAY_LEN(of_alpine), "etc/ssl/certs/java/cacerts", "/usr/lib/jvm/default-jvm/lib/security/cacerts");
	check_java(of_fedora, ARRAY_LEN(of_fedora), "etc/pki/ca-trust/extracted/java/cacerts",
		   "/usr/lib/jvm/java-21-openjdk-21.0.4.0.7-2.fc40.x86_64/lib/security/cacerts");
	check_java(of_fedora, ARRAY_LEN(of_fedora), "etc/pki/ca-trust/extracted/java/cacerts", "/etc/pki/java/cacerts");
}

TEST(javas_key_stores_are_extended)
{
	static const struct item java[] = {
		{ "etc/ssl/certs/ca-certificates.crt", NULL, BUNDLE },
		{ "usr/lib/jvm/java-17/lib/security/cacerts", "/etc/ssl/certs/java/cacerts", NULL },
		{ "etc/ssl/certs/java/", NULL, NULL },
		{ "usr/local/openjdk-21/lib/security/cacerts", NULL, "0\202 in PKCS #12" },
		{ "usr/local/share/lib/security/cacerts", NULL, "nobody's" },
	};
	const struct slice one = slice_of(BUNDLE), other = slice_of("another certificate");
	static uint8_t text[TEXT_MAX];
	struct buf b;

	for (int writable = 0; writable < 2; writable++) {
		size_t len;

		begin(java, ARRAY_LEN(java));
		buf_init(&b, JKS_BYTES_MAX);
		CHECK(jks_add_to_pem(one, other, "other", &b) == 0, "make");
		put("etc/ssl/certs/java/cacerts", buf_data(&b), buf_len(&b));
		provide(writable);
		len = see("/usr/lib/jvm/java-17/lib/security/cacerts", text);
		CHECK(len > buf_len(&b) && text[11] == 3 && memmem(text, len, "another certificate", 19) && memmem(text, len, "\0\7sandbox", 9), "not extended");
		len = see("/usr/local/openjdk-21/lib/security/cacerts", text);
		CHECK(memcmp(text, "\xfe\xed\xfe\xed", 4) == 0 && text[11] == 2 && memmem(text, len, "\0\7sandbox", 9), "not replaced");
		CHECK(see("/usr/local/share/lib/security/cacerts", text) == 8, "what is none was touched");
		buf_done(&b);
		finish();
	}
}

RUN_TESTS(T(debians_layout_is_extended), T(alpines_layout_is_extended), T(fedoras_layout_is_extended), T(a_read_only_root_keeps_its_own_files_below),
	  T(a_root_without_any_gets_a_bundle_of_the_authority_alone), T(names_that_are_taken_are_not), T(again_is_nothing), T(what_an_image_has_in_odd_kinds_is_left),
	  T(javas_key_stores_are_extended_where_each_distribution_has_them), T(javas_key_stores_are_extended))
