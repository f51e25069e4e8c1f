// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Programs that must and must not compile. The compiler is the test: an expected error that does not come is one. Nothing here is called.
 */
import { test } from "node:test";

import {
	type ExecResult,
	type GuestExecCompleteEvent,
	type SandboxFileStat,
	type SandboxFileSystem,
	type SandboxOptions,
	type SandboxPosixFileSystem,
	type SandboxProcess,
	type SandboxVm,
	type SandboxWritableFileSystem,
	acceptHost,
	acceptTcp,
	binding,
	createSandbox,
	fs,
	linuxOverlayFs,
	mount,
	projectInit,
	projectKernel,
	scratchFs,
} from "@torkbot/sandbox";

import { goodOptions } from "./helper.js";

declare const vm: SandboxVm;
declare const posix: SandboxPosixFileSystem;
declare const readable: SandboxFileSystem;

export async function mustCompile(): Promise<void> {
	const writableFs: SandboxWritableFileSystem = posix;
	await using sandbox = createSandbox({
		...goodOptions,
		rootfs: linuxOverlayFs({ lower: goodOptions.rootfs, upper: scratchFs({ sizeBytes: 1 << 20 }) }),
		mounts: [mount("/a", writableFs), mount("/b", fs.memory({ files: { a: "text", b: new Uint8Array(1) } }))],
		bindings: [binding("/c", fs.bind({ source: ".", access: "rw", mask: ["/.git"], watch: true }))],
		network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr: "10.0.0.0/8" }), acceptHost({ host: "*.example.com", ports: [443] })] } },
	});
	sandbox.http.onRequest({ origin: "https://example.com" }, async ({ headers }) => headers.delete("x"));
	await using running = await sandbox.run({ signal: AbortSignal.timeout(1) });
	const complete: GuestExecCompleteEvent = await running.control.exec({ argv: ["true"] as const });
	const result: ExecResult = await running.exec("true", [], { signal: AbortSignal.timeout(1) });
	const program: SandboxProcess = running.spawn("cat");
	const text: string = await running.fs.readFile("/f", "utf8");
	const bytes: Buffer = await running.fs.readFile("/f");
	running.on("exit", ({ code }) => code.toUpperCase());
	for await (const event of running.control.incoming) {
		if (event.type === "init.ready") event.guest.root.readonly satisfies boolean;
		else event.stdout satisfies string;
	}
	void [complete, result, program, text, bytes];
}

export async function mustNotCompile(): Promise<void> {
	// @ts-expect-error a root file system is needed
	createSandbox({ kernel: projectKernel(), init: projectInit() });
	// @ts-expect-error a number is no path
	createSandbox({ ...goodOptions, mounts: [mount(5, readable)] });
	// @ts-expect-error there is no policy but deny
	createSandbox({ ...goodOptions, network: { outbound: { policy: "allow", rules: [] } } });
	// @ts-expect-error rules are made by functions
	createSandbox({ ...goodOptions, network: { outbound: { policy: "deny", rules: ["tcp:10.0.0.0/8"] } } });
	// @ts-expect-error an overlay's upper layer is scratch
	linuxOverlayFs({ lower: goodOptions.rootfs, upper: goodOptions.rootfs });
	// @ts-expect-error a file system has to have list and read
	mount("/a", { stat: async () => ({ type: "directory", sizeBytes: null, mediaType: null, modifiedAtMs: null }) });
	// @ts-expect-error no such type of a file
	({ type: "socket", sizeBytes: 1, mediaType: null, modifiedAtMs: null }) satisfies SandboxFileStat;
	// @ts-expect-error argv is a list
	await vm.control.exec({ argv: "ls -l" });
	// @ts-expect-error variables are strings
	await vm.exec("true", [], { env: { A: 1 } });
	// @ts-expect-error no such signal
	vm.spawn("true").kill("SIGNONSENSE");
	// @ts-expect-error no such event
	vm.on("data", () => {});
	// @ts-expect-error options cannot be changed
	goodOptions.rootfs.path satisfies string, ((options: SandboxOptions) => (options.name = "x"));
	// @ts-expect-error bytes are no text
	(await vm.fs.readFile("/f")) satisfies string;
	// @ts-expect-error a signal is an AbortSignal
	await createSandbox(goodOptions).run({ signal: 1000 });
	// @ts-expect-error what the package does with hooks is its own affair
	createSandbox(goodOptions).http.origins();
	// @ts-expect-error an end is awaited
	vm.close().code;
}

test("the compiler has accepted what must compile, and refused what must not", () => {});
