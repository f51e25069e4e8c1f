/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unit/vfsworld_impl.h - shared by the two halves of vfsworld. */
#ifndef TESTS_UNIT_VFSWORLD_IMPL_H
#define TESTS_UNIT_VFSWORLD_IMPL_H

#include "vfsworld.h"

int64_t step_syscall(struct world *w, const struct step *s);
bool world_open_tmpfs(struct world *w, const char *size, const char *inodes);
void world_remove_tmpfs(struct world *w);
void step_bytes(uint8_t *p, size_t len, uint64_t seed); /* what WRITE and SETXATTR write */
void sort_names(uint8_t *list, size_t len);

#endif
