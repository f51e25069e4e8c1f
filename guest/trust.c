/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/trust.c - Debian, Alpine, Fedora and openSUSE keep what their programs trust in a bundle (one PEM file), in a directory of files named by a hash, and in a
 * store for Java, at different paths, some of them links to others. Whatever of it the image has is extended; what is nowhere at all gets a bundle of the
 * authority alone. Variables tell the programs that bring their own bundle.
 *
 * In a writable root also the places from which the distribution makes these files, so that a package that makes them anew keeps the authority. */
#include "trust.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "inroot.h"
#include "jks.h"
#include "pem.h"
#include "say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DEBIAN_BUNDLE "etc/ssl/certs/ca-certificates.crt"
#define OWN_DIR "run/sandbox"
#define OWN_FILE OWN_DIR "/ca.pem" /* the authority alone */
#define ALIAS "sandbox"

enum {
	SUFFIX_MAX = 16, /* certificates of the same hash in a directory */
	JAVA_HOMES_MAX = 32,
};

static const char *const bundles[] = {
	DEBIAN_BUNDLE, /* Alpine's, too */
	"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"etc/pki/tls/certs/ca-bundle.crt",
	"etc/pki/tls/cert.pem",
	"var/lib/ca-certificates/ca-bundle.pem",
	"etc/ssl/ca-bundle.pem",
	"etc/ssl/cert.pem",
	"usr/lib/ssl/cert.pem",
	"etc/pki/ca-trust/extracted/openssl/ca-bundle.trust.crt",
};

static const char *const hashed[] = { "etc/ssl/certs", "etc/pki/tls/certs", "etc/pki/ca-trust/extracted/pem/directory-hash" };

/* Directories and what the file is called there. The first is read as it is (p11-kit), also in a read-only root. */
static const struct {
	const char *dir, *name, *of; /* @of: made in a writable root that has this */
} anchors[] = {
	{ "etc/pki/ca-trust/source/anchors", "sandbox-ca.pem", NULL },
	{ "usr/local/share/ca-certificates", "sandbox-ca.crt", "etc/debian_version" },
	{ "usr/local/share/ca-certificates", "sandbox-ca.crt", "etc/alpine-release" },
};

static const char *const java_stores[] = {
	"etc/ssl/certs/java/cacerts",
	"etc/pki/ca-trust/extracted/java/cacerts",
	"etc/pki/java/cacerts",
	"var/lib/ca-certificates/java-cacerts",
};

/* Directories with a Java in each directory whose name begins so. */
static const struct {
	const char *dir, *prefix;
} java_homes[] = { { "usr/lib/jvm", "" }, { "usr/local", "openjdk" }, { "opt/java", "" }, { "opt", "jdk" } };

struct work {
	struct trust *trust;
	const char *store;
	bool writable;
	unsigned made; /* files and directories in the store */
	struct slice der;
	char bundle[TRUST_PATH_MAX]; /* the first that there is; "": none */
};

int trust_set(struct trust *trust, const struct msg_guest_ca *m)
{
	trust->pem = malloc(m->pem.len + 2);
	if (!trust->pem)
		return -ENOMEM;
	slice_copy(m->pem, trust->pem, m->pem.len + 1);
	if (m->pem.len == 0 || m->pem.p[m->pem.len - 1] != '\n')
		memcpy(trust->pem + m->pem.len, "\n", 2);
	slice_copy(m->hash, trust->hash, sizeof(trust->hash));
	return 0;
}

void trust_done(struct trust *trust)
{
	free(trust->pem);
	for (size_t i = 0; i < TRUST_ENV_COUNT; i++)
		free(trust->env[i]);
	*trust = (struct trust){ 0 };
}

/* ---- Files ---- */

/* The whole file, if it is a regular one of a size that can be dealt with. */
static bool read_file(int fd, struct buf *b, struct stat *st)
{
	uint8_t *dst;

	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size > TRUST_FILE_BYTES_MAX)
		return false;
	dst = buf_reserve(b, (size_t)st->st_size + 1);
	while (dst) {
		ssize_t n = read(fd, dst + buf_len(b), (size_t)st->st_size - buf_len(b));

		if (n <= 0)
			return n == 0;
		buf_commit(b, (size_t)n);
	}
	return false;
}

static struct slice slice_of_buf(const struct buf *b)
{
	return (struct slice){ .p = buf_data(b), .len = buf_len(b) };
}

static int make_file(const char *path, struct slice s, mode_t mode)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	return fd < 0 ? -1 : inroot_write_all(fd, s.p, s.len);
}

/* What is missing afterwards is said when it is missed. */
static void make_in_root(const char *path, struct slice s)
{
	AUTOCLOSE int fd = inroot_open(path, O_WRONLY | O_CREAT | O_EXCL);

	if (fd >= 0)
		(void)inroot_write_all(fd, s.p, s.len);
}

static int overwrite(const char *path, struct slice s)
{
	AUTOCLOSE int fd = inroot_open(path, O_WRONLY | O_TRUNC);

	return fd < 0 ? -1 : inroot_write_all(fd, s.p, s.len);
}

static int cover(struct work *w, const char *path, struct slice s, mode_t mode)
{
	AUTOCLOSE int point = inroot_open(path, O_PATH);
	char own[TRUST_PATH_MAX];

	(void)snprintf(own, sizeof(own), "%s/%u", w->store, w->made++);
	return point < 0 || make_file(own, s, mode & 0777) < 0 ? -1 : inroot_cover(point, own, true);
}

/* Gives the file, which is there, other content. */
static void replace(struct work *w, const char *path, const struct buf *content, const struct stat *old)
{
	struct slice s = slice_of_buf(content);

	if ((w->writable ? overwrite(path, s) : cover(w, path, s, old->st_mode)) < 0)
		say("cannot add the host's certificate authority to /%s: %s", path, strerror(errno));
}

/* ---- Bundles ---- */

static bool has(const struct buf *b, const char *text)
{
	return buf_len(b) > 0 && memmem(buf_data(b), buf_len(b), text, strlen(text));
}

static void extend_bundle(struct work *w, const char *path)
{
	AUTOCLOSE int fd = inroot_open(path, O_RDONLY | O_NONBLOCK);
	struct stat st;
	struct buf b;

	if (fd < 0)
		return;
	buf_init(&b, TRUST_FILE_BYTES_MAX + strlen(w->trust->pem) + 2);
	if (!read_file(fd, &b, &st)) {
		say("/%s is not a file that the host's certificate authority can be added to", path);
		buf_done(&b);
		return;
	}
	if (w->bundle[0] == '\0')
		(void)snprintf(w->bundle, sizeof(w->bundle), "/%s", path);
	if (!has(&b, w->trust->pem)) {
		if (buf_len(&b) > 0 && buf_data(&b)[buf_len(&b) - 1] != '\n')
			buf_put_u8(&b, '\n');
		(void)buf_put(&b, w->trust->pem, strlen(w->trust->pem));
		if (buf_ok(&b))
			replace(w, path, &b, &st);
	}
	buf_done(&b);
}

/* ---- Directories ---- */

static bool same_file(int dir, const char *name, const char *text)
{
	AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	struct buf b;
	bool same;

	if (fd < 0)
		return false;
	buf_init(&b, TRUST_FILE_BYTES_MAX + 1);
	same = read_file(fd, &b, &st) && has(&b, text);
	buf_done(&b);
	return same;
}

static void add_to_directory(struct work *w, const char *path, const char *name)
{
	AUTOCLOSE int dir = inroot_open(path, O_RDONLY | O_DIRECTORY);
	struct slice s = slice_of(w->trust->pem);
	char own[TRUST_PATH_MAX], file[2 * TRUST_PATH_MAX];
	int r;

	if (dir < 0 || same_file(dir, name, w->trust->pem))
		return;
	if (w->writable) {
		AUTOCLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

		r = fd < 0 ? -1 : inroot_write_all(fd, s.p, s.len);
	} else {
		(void)snprintf(own, sizeof(own), "%s/%u", w->store, w->made++);
		(void)snprintf(file, sizeof(file), "%s/%s", own, name);
		r = mkdir(own, 0755) < 0 || make_file(file, s, 0644) < 0 ? -1 : inroot_merge(dir, own);
	}
	if (r < 0)
		say("cannot add the host's certificate authority to /%s: %s", path, strerror(errno));
}

static void add_hashed(struct work *w, const char *path)
{
	AUTOCLOSE int dir = inroot_open(path, O_RDONLY | O_DIRECTORY);
	char name[FRAMES_CA_HASH_LEN + 4] = "";

	if (dir < 0)
		return;
	for (unsigned i = 0; i < SUFFIX_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%s.%u", w->trust->hash, i);
		if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 || same_file(dir, name, w->trust->pem))
			break;
	}
	add_to_directory(w, path, name);
}

/* Makes the directories of a path of ours that are missing. */
static void make_directories(const char *path)
{
	char part[TRUST_PATH_MAX];

	for (const char *end = strchr(path, '/');; end = strchr(end + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(end ? end - path : (ptrdiff_t)strlen(path)), path);
		(void)mkdir(part, 0755);
		if (!end)
			return;
	}
}

static void add_anchors(struct work *w)
{
	for (size_t i = 0; i < ARRAY_LEN(anchors); i++) {
		if (anchors[i].of && (!w->writable || access(anchors[i].of, F_OK) < 0))
			continue;
		if (anchors[i].of)
			make_directories(anchors[i].dir);
		add_to_directory(w, anchors[i].dir, anchors[i].name);
	}
}

/* ---- Java ---- */

static void extend_java(struct work *w, const char *path)
{
	AUTOCLOSE int fd = inroot_open(path, O_RDONLY | O_NONBLOCK);
	struct buf old, new, pem;
	struct stat st;
	int r = -EINVAL;

	if (fd < 0)
		return;
	buf_init(&old, TRUST_FILE_BYTES_MAX + 1);
	buf_init(&new, JKS_BYTES_MAX);
	buf_init(&pem, TRUST_FILE_BYTES_MAX + 1);
	if (read_file(fd, &old, &st))
		r = jks_add(slice_of_buf(&old), w->der, ALIAS, &new);
	if (r == -EINVAL && w->bundle[0] != '\0') {
		/* Another format, PKCS #12 most likely, which says the same as the bundle: a JKS in its place is read as well. */
		AUTOCLOSE int bundle = inroot_open(w->bundle + 1, O_RDONLY);
		struct stat unused;

		if (bundle >= 0 && read_file(bundle, &pem, &unused))
			r = jks_add_to_pem(slice_of_buf(&pem), w->der, ALIAS, &new);
	}
	if (r == 0)
		replace(w, path, &new, &st);
	else if (r != -EEXIST)
		say("/%s is no Java key store that the host's certificate authority can be added to", path);
	buf_done(&old);
	buf_done(&new);
	buf_done(&pem);
}

static void extend_java_homes(struct work *w, const char *path, const char *prefix)
{
	int fd = inroot_open(path, O_RDONLY | O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	for (unsigned n = 0; d && n < JAVA_HOMES_MAX && (e = readdir(d));) {
		char store[TRUST_PATH_MAX + sizeof(e->d_name)];

		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		n++;
		(void)snprintf(store, sizeof(store), "%s/%s/lib/security/cacerts", path, e->d_name);
		extend_java(w, store);
		(void)snprintf(store, sizeof(store), "%s/%s/jre/lib/security/cacerts", path, e->d_name);
		extend_java(w, store);
	}
	if (d)
		(void)closedir(d);
	else
		close_fd(&fd);
}

/* ---- All of it ---- */

static void set_env(struct work *w)
{
	static const char *const names[TRUST_ENV_COUNT] = { "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS" };
	bool own = access(OWN_FILE, R_OK) == 0;
	const char *bundle = w->bundle[0] != '\0' ? w->bundle : own ? "/" OWN_FILE
								    : NULL;
	size_t n = 0;

	if (!bundle) {
		say("the root image has no bundle of certificate authorities and no /run: the host's is known nowhere; add an empty /run to the image");
		return;
	}
	for (size_t i = 0; i < TRUST_ENV_COUNT; i++) {
		/* Node has its own bundle, and reads this besides. */
		bool alone = own && strcmp(names[i], "NODE_EXTRA_CA_CERTS") == 0;

		if (asprintf(&w->trust->env[n], "%s=%s", names[i], alone ? "/" OWN_FILE : bundle) < 0)
			w->trust->env[n] = NULL;
		else
			n++;
	}
}

static bool has_bundle(void)
{
	for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
		AUTOCLOSE int fd = inroot_open(bundles[i], O_PATH);

		if (fd >= 0)
			return true;
	}
	return false;
}

static void make_own(const struct work *w)
{
	(void)mkdir(OWN_DIR, 0755);
	make_in_root(OWN_FILE, slice_of(w->trust->pem));
	if (!w->writable || has_bundle())
		return;
	make_directories("etc/ssl/certs");
	make_in_root(DEBIAN_BUNDLE, slice_of(w->trust->pem));
}

void trust_provide(struct trust *trust, const char *store, bool writable)
{
	struct work w = { .trust = trust, .store = store, .writable = writable };
	struct slice text = slice_of(trust->pem);
	AUTOFREE uint8_t *der = NULL;

	if (pem_next(&text, &der, &w.der.len) <= 0) {
		say("what the host says its certificate authority is, is none");
		return;
	}
	w.der.p = der;
	if (!writable)
		(void)mkdir(store, 0755);
	make_own(&w);
	/* Directories first: what is mounted over one would hide what was mounted over a file in it. */
	for (size_t i = 0; i < ARRAY_LEN(hashed); i++)
		add_hashed(&w, hashed[i]);
	add_anchors(&w);
	for (size_t i = 0; i < ARRAY_LEN(bundles); i++)
		extend_bundle(&w, bundles[i]);
	for (size_t i = 0; i < ARRAY_LEN(java_stores); i++)
		extend_java(&w, java_stores[i]);
	for (size_t i = 0; i < ARRAY_LEN(java_homes); i++)
		extend_java_homes(&w, java_homes[i].dir, java_homes[i].prefix);
	set_env(&w);
}
