/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* host/noload.c - what libcrypto could load or ask at run time, and must not: in a static program dlopen() and the resolver would look for the shared
 * libraries of exactly the C library it was linked with. The linker takes these definitions before those of the archives; a module is "unsupported" then,
 * and a name is not found. Nothing here is ever called: configuration and engines are off, and names are resolved by net/dns.c. */
#include <netdb.h>
#include <stddef.h>

struct dso_meth_st;
struct dso_meth_st *DSO_METHOD_openssl(void); /* libcrypto's own, internal to it */

/* OpenSSL's table of 1.1.0 to 3.x has a name and eleven functions; those that are not there it does not call. */
struct dso_meth_st {
	const char *name;
	void (*fn[15])(void);
};

struct dso_meth_st *DSO_METHOD_openssl(void)
{
	static struct dso_meth_st none = { .name = "none" };

	return &none;
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints, struct addrinfo **restrict pai)
{
	(void)name, (void)service, (void)hints, (void)pai;
	return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *ai)
{
	(void)ai;
}

struct hostent *gethostbyname(const char *name)
{
	(void)name;
	return NULL;
}
