/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A VM of what was built, for tests with a real guest. SBX_BUILD and SBX_ENGINE say where and with which engine. */
#ifndef TESTS_SUPPORT_VMRIG_H
#define TESTS_SUPPORT_VMRIG_H

#include "sbx.h"

struct sbx_vm_config vmrig_config(void); /* its paths live as long as the process */
struct sbx_mount vmrig_mount(const char *path, enum sbx_fs_kind kind, const char *source);
/* A VM whose guest is ready. */
struct sbx_vm *vmrig_start(const struct sbx_mount *mounts, size_t count);
struct sbx_vm *vmrig_start_with(const struct sbx_vm_config *c);
/* One round of an embedding program's own loop. */
void vmrig_turn(struct sbx_vm *vm);
/* Runs a shell script in the guest, which must print this and succeed. */
void vmrig_prints(struct sbx_vm *vm, const char *script, const char *want);

#endif
