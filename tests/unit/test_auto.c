/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The choice of an engine, on whatever machine this is: what KVM's probe says here decides what must be chosen. */
#include "vmm/auto.h"

#include "proto/schema.h"

#include <errno.h>
#include <string.h>

#include "../test.h"

#define NO_QEMU "/nonexistent/qemu"

/* Chooses and says which: "kvm", "qemu" or "" with the reason in *err. */
static const char *choose(uint32_t wanted, bool icount, const char *path, bool *ret_hw_virt, struct sbx_err *err)
{
	const struct engine_ops *ops = NULL;
	int r;

	*err = (struct sbx_err){ 0 };
	*ret_hw_virt = false;
	r = engine_choose(wanted, icount, path, &ops, ret_hw_virt, err);
	CHECK((r == 0) == (ops != NULL), "output clobbered");
	CHECK(r == 0 || (r == -ENODEV && err->message[0]), "%d: %s", r, err->message);
	return ops ? ops->name : "";
}

TEST(a_working_kvm_is_taken_and_else_qemu)
{
	struct engine_probe kvm;
	struct sbx_err err;
	const char *name;
	bool hw;

	engine_kvm.probe(NULL, &kvm);
	name = choose(PROTO_ENGINE_AUTO, false, "/bin/sh", &hw, &err);
	CHECK(!strcmp(name, kvm.usable ? "kvm" : "qemu") && hw == kvm.usable, "%s: %s", name, kvm.detail);
	name = choose(PROTO_ENGINE_QEMU, false, "/bin/sh", &hw, &err);
	CHECK(!strcmp(name, "qemu") && hw == kvm.usable, "%s: %s", name, kvm.detail);
	name = choose(PROTO_ENGINE_KVM, false, NULL, &hw, &err);
	CHECK(!strcmp(name, kvm.usable ? "kvm" : ""), "%s: %s", name, kvm.detail);
	if (!kvm.usable)
		CHECK(strstr(err.message, "the kvm engine cannot run here: ") && strstr(err.message, kvm.remedy), "%s", err.message);
}

TEST(counting_instructions_needs_qemu)
{
	struct sbx_err err;
	bool hw;

	CHECK(!strcmp(choose(PROTO_ENGINE_AUTO, true, "/bin/sh", &hw, &err), "qemu") && !hw, "%s", err.message);
	CHECK(!strcmp(choose(PROTO_ENGINE_AUTO, true, NO_QEMU, &hw, &err), "") && strstr(err.message, "the qemu engine cannot run here"), "%s", err.message);
}

TEST(when_nothing_works_each_engines_reason_and_remedy_is_told)
{
	struct engine_probe kvm;
	struct sbx_err err;
	bool hw;

	CHECK(!strcmp(choose(PROTO_ENGINE_QEMU, false, NO_QEMU, &hw, &err), ""), "chosen");
	CHECK(strstr(err.message, NO_QEMU) && strstr(err.message, "apt-get install"), "%s", err.message);
	engine_kvm.probe(NULL, &kvm);
	if (kvm.usable)
		return;
	CHECK(!strcmp(choose(PROTO_ENGINE_AUTO, false, NULL, &hw, &err), ""), "chosen");
	CHECK(strstr(err.message, "kvm: ") && strstr(err.message, "VT-x or AMD-V") && strstr(err.message, "qemu: ") && strstr(err.message, "apt-get install"), "%s", err.message);
}

RUN_TESTS(T(a_working_kvm_is_taken_and_else_qemu), T(counting_instructions_needs_qemu), T(when_nothing_works_each_engines_reason_and_remedy_is_told))
