// SPDX-License-Identifier: MIT OR Apache-2.0
/** Plain JavaScript that holds the functions wrongly from which options are made. Nothing is started. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
	HostControlTransport,
	type SandboxOptions,
	acceptHost,
	acceptPublicInternet,
	acceptTcp,
	acceptUdp,
	binding,
	createSandbox,
	doctor,
	fs,
	httpSecret,
	linuxOverlayFs,
	mount,
	prebuiltRootfs,
	projectKernel,
	scratchFs,
} from "@torkbot/sandbox";

import { goodOptions, isError, typedOrWorks } from "./helper.js";

const create = (more: object): unknown => createSandbox({ ...goodOptions, ...more } as SandboxOptions);
const outbound = (rule: object): unknown => create({ network: { outbound: { policy: "deny", rules: [rule] } } });
const http = (more: object): unknown => create({ network: { outbound: { policy: "deny", rules: [] }, http: more } });
const origin = "https://x";

const calls: readonly ((value: never) => unknown)[] = [
	(v) => create({ kernel: projectKernel(v) }),
	(v) => create({ kernel: projectKernel({ format: v }) }),
	(v) => create({ rootfs: prebuiltRootfs(v, { format: "erofs" }) }),
	(v) => create({ rootfs: prebuiltRootfs("x", v) }),
	(v) => create({ rootfs: linuxOverlayFs(v) }),
	(v) => create({ rootfs: linuxOverlayFs({ lower: v, upper: scratchFs() }) }),
	(v) => create({ rootfs: linuxOverlayFs({ lower: goodOptions.rootfs, upper: v }) }),
	(v) => create({ rootfs: linuxOverlayFs({ lower: goodOptions.rootfs, upper: scratchFs({ sizeBytes: v }) }) }),
	(v) => scratchFs(v),
	(v) => createSandbox(v),
	...["name", "cpu", "memory", "kernel", "init", "rootfs", "mounts", "bindings", "network", "engine", "bootTimeoutMs"].map((name) => (v: never) => create({ [name]: v })),
	(v) => create({ cpu: { vcpus: v } }),
	(v) => create({ memory: { mib: v } }),
	(v) => create({ mounts: [v] }),
	(v) => create({ mounts: [mount(v, fs.memory())] }),
	(v) => create({ mounts: [mount("/a", v)] }),
	(v) => create({ bindings: [binding(v, fs.memory())] }),
	(v) => create({ bindings: [binding("/a", v)] }),
	(v) => create({ mounts: [mount("/a", fs.memory(v))] }),
	(v) => create({ mounts: [mount("/a", fs.memory({ files: v }))] }),
	(v) => create({ mounts: [mount("/a", fs.memory({ files: { f: v } }))] }),
	(v) => create({ mounts: [mount("/a", fs.memory({ maxBytes: v }))] }),
	(v) => create({ mounts: [mount("/a", fs.bind(v))] }),
	(v) => create({ mounts: [mount("/a", fs.bind({ source: v }))] }),
	(v) => create({ mounts: [mount("/a", fs.bind({ source: ".", access: v }))] }),
	(v) => create({ mounts: [mount("/a", fs.bind({ source: ".", mask: v }))] }),
	(v) => create({ mounts: [mount("/a", fs.bind({ source: ".", watch: v }))] }),
	(v) => create({ mounts: [mount("/a", fs.bind({ source: ".", mask: [v] }))] }),
	(v) => create({ network: { outbound: v } }),
	(v) => create({ network: { outbound: { policy: v, rules: [] } } }),
	(v) => create({ network: { outbound: { policy: "deny", rules: v } } }),
	(v) => outbound(v),
	(v) => outbound(acceptTcp(v)),
	(v) => outbound(acceptTcp({ cidr: v })),
	(v) => outbound(acceptUdp(v)),
	(v) => outbound(acceptUdp({ cidr: "10.0.0.0/8", ports: v })),
	(v) => outbound(acceptPublicInternet(v)),
	(v) => outbound(acceptPublicInternet({ ports: [v] })),
	(v) => outbound(acceptHost(v)),
	(v) => outbound(acceptHost({ host: v })),
	(v) => http(v),
	(v) => http({ certificateAuthority: v }),
	(v) => http({ certificateAuthority: { certificatePem: v, privateKeyPem: v } }),
	(v) => http({ trustPem: v }),
	(v) => http({ headers: v }),
	(v) => http({ headers: [v] }),
	(v) => http({ headers: [{ origin: v, name: v, value: v }] }),
	(v) => http({ headers: [{ origin, name: v, value: v }] }),
	(v) => http({ secrets: v }),
	(v) => http({ secrets: [v] }),
	(v) => http({ secrets: [{ origin, placeholder: v, value: v }] }),
	(v) => httpSecret(v),
	(v) => httpSecret({ origin: v, value: "x" }),
	(v) => httpSecret({ origin, value: v }),
	(v) => doctor({ signal: v }),
];

test("arguments of any type are a typed error or work", async () => {
	for (const call of calls) await typedOrWorks(call);
});

test("an error names what is wrong", () => {
	assert.throws(() => acceptTcp(undefined as never), isError("EINVAL", "options must be an object"));
	assert.throws(() => fs.memory({ files: { "a/b": 5 as never } }), isError("EINVAL", "the content of a/b must be a string or a Uint8Array"));
	assert.throws(() => fs.bind({ source: ".", mask: "x" as never }), isError("EINVAL", "mask must be an array"));
});

test("a channel of somebody else's that throws, or gives what is none", async () => {
	const failing = new HostControlTransport({
		exec: () => {
			throw new Error("not now");
		},
	});
	await assert.rejects(failing.exec({ id: "a", argv: ["true"] }), /not now/);
	await assert.rejects(failing.send({ type: "guest.exec", id: "a", argv: ["true"] }), /not now/); // the id is free
	const refusing = new HostControlTransport({ exec: () => Promise.reject(new Error("the output was too much")) });
	await refusing.send({ type: "guest.exec", id: "b", argv: ["true"] });
	const { value } = await refusing.incoming[Symbol.asyncIterator]().next();
	assert.deepEqual(value, { type: "guest.exec.complete", id: "b", exitCode: 126, stdout: "", stderr: "the output was too much\n" });
});
