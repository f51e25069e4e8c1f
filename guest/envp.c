/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/envp.c - vectors in one block: pointers first, then the text. Sizes are sums of what a frame holds, so they cannot overflow. */
#include "envp.h"

#include <stdlib.h>
#include <string.h>

char **vector_of(struct slices list, size_t room)
{
	size_t pointers = (list.count + room + 1) * sizeof(char *);
	char **v = malloc(pointers + list.packed.len + list.count); /* each text loses a length field and gains a NUL */
	char *text;
	struct slice s;
	size_t n = 0;

	if (!v)
		return NULL;
	text = (char *)v + pointers;
	while (slices_next(&list, &s)) {
		v[n++] = text;
		slice_copy(s, text, s.len + 1);
		text += s.len + 1;
	}
	memset(&v[n], 0, (room + 1) * sizeof(char *));
	return v;
}

const char *envp_get(char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

static bool has_name_of(char *const *envp, const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (; *envp; envp++)
		if (strncmp(*envp, entry, len + 1) == 0)
			return true;
	return false;
}

char **envp_build(struct slices given, char *home_entry, bool tty, char *const *more)
{
	static char path_entry[] = "PATH=" ENVP_PATH;
	static char term_entry[] = "TERM=" ENVP_TERM;
	size_t n = given.count, more_count = 0;
	char **v;

	while (more && more[more_count])
		more_count++;
	v = vector_of(given, 3 + more_count);
	if (!v)
		return NULL;
	if (!envp_get(v, "PATH"))
		v[n++] = path_entry;
	if (!envp_get(v, "HOME"))
		v[n++] = home_entry;
	if (tty && !envp_get(v, "TERM"))
		v[n++] = term_entry;
	for (size_t i = 0; i < more_count; i++)
		if (!has_name_of(v, more[i]))
			v[n++] = more[i];
	return v;
}
