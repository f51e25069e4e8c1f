// SPDX-License-Identifier: MIT OR Apache-2.0
/** Options that make no sense: each says which, with the exact words. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
	type SandboxOptions,
	acceptHost,
	acceptPublicInternet,
	acceptTcp,
	acceptUdp,
	createSandbox,
	linuxOverlayFs,
	prebuiltRootfs,
	projectKernel,
	scratchFs,
	spawnSandbox,
} from "@torkbot/sandbox";

import { goodOptions, isError } from "./helper.js";

const fs = { stat: async () => ({}), list: async () => [], read: async () => new Uint8Array() };
const mount = (path: unknown): object => ({ kind: "virtual-fs", path, fs });
const outbound = (...rules: object[]): object => ({ network: { outbound: { policy: "deny", rules } } });

// What is changed in good options, and what is said then behind the prefix. Not typed: plain JavaScript may pass anything.
const table: readonly (readonly [string, object, string])[] = [
	["no CPUs", { cpu: { vcpus: 0 } }, "cpu.vcpus must be greater than zero"],
	["a negative number of CPUs", { cpu: { vcpus: -1 } }, "cpu.vcpus must be greater than zero"],
	["half a CPU", { cpu: { vcpus: 1.5 } }, "cpu.vcpus must be greater than zero"],
	["CPUs as text", { cpu: { vcpus: "2" } }, "cpu.vcpus must be greater than zero"],
	["too many CPUs", { cpu: { vcpus: 256 } }, "cpu.vcpus must be less than or equal to 255"],
	["a CPU that is no object", { cpu: 2 }, "cpu must be an object"],
	["no memory", { memory: { mib: 0 } }, "memory.mib must be greater than zero"],
	["half a MiB", { memory: { mib: 0.5 } }, "memory.mib must be greater than zero"],
	["NaN memory", { memory: { mib: Number.NaN } }, "memory.mib must be greater than zero"],
	["a name that is no text", { name: 5 }, "name must be a string"],
	["another engine", { engine: "hvf" }, 'engine must be "auto", "kvm" or "qemu", not hvf'],
	["no boot time", { bootTimeoutMs: 0 }, "bootTimeoutMs must be a whole number of milliseconds greater than zero"],
	["no kernel", { kernel: undefined }, "kernel must be an object"],
	["another kernel format", { kernel: { kind: "project-kernel", format: "pe" } }, "unsupported project kernel format: pe"],
	["another init", { init: { kind: "project-init", crate: "systemd" } }, "unsupported init crate: systemd"],
	["no root", { rootfs: undefined }, "rootfs must be an object"],
	["an empty root path", { rootfs: prebuiltRootfs("", { format: "erofs" }) }, "rootfs.path must not be empty"],
	["a directory as root", { rootfs: prebuiltRootfs("/", { format: "directory" }) }, "directory rootfs is not supported for sandboxed VM launch; use an EROFS rootfs"],
	["another kind of root", { rootfs: { kind: "nfs" } }, "unsupported rootfs kind"],
	[
		"an overlay with an empty lower path",
		{ rootfs: linuxOverlayFs({ lower: prebuiltRootfs("", { format: "erofs" }), upper: scratchFs() }) },
		"rootfs.lower.path must not be empty",
	],
	["an overlay of an overlay", { rootfs: { kind: "linux-overlay-fs", lower: { kind: "linux-overlay-fs" }, upper: scratchFs() } }, "rootfs linux-overlay-fs lower linux-overlay-fs is not implemented yet"],
	["an overlay on a disk", { rootfs: { kind: "linux-overlay-fs", lower: goodOptions.rootfs, upper: { kind: "disk" } } }, "rootfs linux-overlay-fs upper disk is not implemented yet"],
	["a relative mount", { mounts: [mount("a")] }, "mount.path must be absolute"],
	["a mount as root", { mounts: [mount("/")] }, "mount.path must not be root"],
	["a mount as root in disguise", { mounts: [mount("//")] }, "mount.path must not be root"],
	["a mount with NUL", { mounts: [mount("/a\0b")] }, "mount.path must not contain NUL bytes"],
	["a mount with ..", { mounts: [mount("/a/../b")] }, "mount.path must not contain '.' or '..' components"],
	["a mount with .", { mounts: [mount("/a/./b")] }, "mount.path must not contain '.' or '..' components"],
	["a mount that is a number", { mounts: [mount(1)] }, "mount.path must be a string"],
	["a mount without functions", { mounts: [{ path: "/a", fs: {} }] }, "mount.fs of /a has no function stat"],
	["mounts that are no array", { mounts: "no" }, "mounts must be an array"],
	["a relative binding", { bindings: [mount("a")] }, "binding.path must be absolute"],
	["a binding as root", { bindings: [mount("/")] }, "binding.path must not be root"],
	["a binding with NUL", { bindings: [mount("/a\0b")] }, "binding.path must not contain NUL bytes"],
	["a binding with ..", { bindings: [mount("/..")] }, "binding.path must not contain '.' or '..' components"],
	["an overlay on a directory", { rootfs: linuxOverlayFs({ lower: prebuiltRootfs("/", { format: "directory" }), upper: scratchFs() }) }, "directory rootfs is not supported for sandboxed VM launch; use an EROFS rootfs"],
	["ports that are no list", outbound({ kind: "accept-tcp", cidr: "10.0.0.0/8", ports: 443 }), "network.outbound.rules[].ports must be an array"],
	["two mounts at one path", { mounts: [mount("/a"), mount("/a")] }, "duplicate mount path: /a"],
	["two mounts at one path but for a slash", { mounts: [mount("/a"), mount("/a/")] }, "duplicate mount path: /a"],
	["a binding at a mount's path", { mounts: [mount("/a")], bindings: [mount("/a//")] }, "binding path conflicts with mount path: /a"],
	["two bindings at one path", { bindings: [mount("/a"), mount("/a")] }, "duplicate binding path: /a"],
	["another policy", { network: { outbound: { policy: "allow", rules: [] } } }, "network.outbound.policy must be deny"],
	["interception without rules", { network: { http: {} } }, "network.outbound is required when HTTP interception is configured"],
	["a rule of another kind", outbound({ kind: "accept-icmp" }), "unsupported outbound rule kind: accept-icmp"],
	["no prefix", outbound(acceptTcp({ cidr: "10.0.0.0" })), "invalid CIDR range: 10.0.0.0"],
	["an empty prefix", outbound(acceptTcp({ cidr: "10.0.0.0/" })), "invalid CIDR prefix: "],
	["a hexadecimal prefix", outbound(acceptTcp({ cidr: "10.0.0.0/0x8" })), "invalid CIDR prefix: 0x8"],
	["a prefix with an exponent", outbound(acceptUdp({ cidr: "10.0.0.0/1e1" })), "invalid CIDR prefix: 1e1"],
	["a prefix that is too long", outbound(acceptTcp({ cidr: "10.0.0.0/33" })), "invalid CIDR prefix: 33"],
	["ports in a range", outbound(acceptTcp({ cidr: "10.0.0.0/8:443" })), "invalid CIDR prefix: 8:443"],
	["an octet with a zero in front", outbound(acceptTcp({ cidr: "010.0.0.0/8" })), "invalid CIDR address: 010.0.0.0"],
	["an octet that is too large", outbound(acceptUdp({ cidr: "10.0.0.256/32" })), "invalid CIDR address: 10.0.0.256"],
	["a name as an address", outbound(acceptTcp({ cidr: "localhost/32" })), "invalid CIDR address: localhost"],
	["bits below the prefix", outbound(acceptTcp({ cidr: "10.1.2.3/8" })), "invalid CIDR range: 10.1.2.3/8 has bits below its prefix; did you mean 10.0.0.0/8?"],
	["port 0", outbound(acceptTcp({ cidr: "10.0.0.0/8", ports: [0] })), "invalid outbound network port: 0"],
	["port 65536", outbound(acceptPublicInternet({ ports: [443, 65536] })), "invalid outbound network port: 65536"],
	["port 1.5", outbound(acceptUdp({ cidr: "10.0.0.0/8", ports: [1.5] })), "invalid outbound network port: 1.5"],
	["a host with a port", outbound(acceptHost({ host: "example.com:443" })), "invalid host name in a rule: example.com:443"],
];

for (const [what, change, message] of table) {
	test(`${what}: ${message}`, () => {
		assert.throws(() => createSandbox({ ...goodOptions, ...change } as SandboxOptions), isError("ERR_SANDBOX_OPTIONS", `invalid spawnSandbox options: ${message}`));
	});
}

test("options that are none", () => {
	for (const value of [undefined, null, 5, "x", []]) {
		assert.throws(() => createSandbox(value as unknown as SandboxOptions), isError("ERR_SANDBOX_OPTIONS", "invalid spawnSandbox options: options must be an object"));
	}
});

test("options that contain themselves", () => {
	const network: Record<string, unknown> = { outbound: { policy: "deny", rules: [] } };
	network["http"] = network;
	createSandbox({ ...goodOptions, network } as SandboxOptions);
});

test("spawnSandbox rejects what createSandbox throws", async () => {
	await assert.rejects(spawnSandbox({ ...goodOptions, cpu: { vcpus: 0 } }), isError("ERR_SANDBOX_OPTIONS", "invalid spawnSandbox options: cpu.vcpus must be greater than zero"));
});

test("good options are taken, IPv6 ranges and rules without ports among them", () => {
	const rules = [acceptTcp({ cidr: "fd00::/8", ports: [22] }), acceptUdp({ cidr: "0.0.0.0/0", ports: [] }), acceptPublicInternet(), acceptHost({ host: "*.example.com", ports: [443] })];
	createSandbox({ ...goodOptions, kernel: projectKernel({ format: "raw" }), network: { outbound: { policy: "deny", rules } } });
	createSandbox({ ...goodOptions, rootfs: linuxOverlayFs({ lower: goodOptions.rootfs, upper: scratchFs({ sizeBytes: 1 << 20 }) }) });
});
