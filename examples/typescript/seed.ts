// SPDX-License-Identifier: MIT OR Apache-2.0
import {
	acceptPublicInternet,
	acceptTcp,
	binding,
	linuxOverlayFs,
	mount,
	prebuiltRootfs,
	projectInit,
	projectKernel,
	scratchFs,
	createSandbox,
	type SandboxWritableFileSystem,
} from "@torkbot/sandbox";
declare const workspaceFs: SandboxWritableFileSystem;
await using sandbox = createSandbox({
	kernel: projectKernel(),
	init: projectInit(),
	rootfs: linuxOverlayFs({
		lower: prebuiltRootfs("dist/rootfs/sandbox.erofs", { format: "erofs" }),
		upper: scratchFs(),
	}),
	mounts: [
		mount("/sandbox", {
			async stat(path) {
				if (path === "/") {
					return {
						type: "directory",
						sizeBytes: null,
						mediaType: null,
						modifiedAtMs: null,
					};
				}
				if (path === "/status.json") {
					const body = JSON.stringify({ ready: true });
					return {
						type: "file",
						sizeBytes: Buffer.byteLength(body),
						mediaType: "application/json",
						modifiedAtMs: null,
					};
				}
				throw new Error(`missing path ${path}`);
			},
			async list(path) {
				if (path !== "/") throw new Error(`missing directory ${path}`);
				return [{ name: "status.json", type: "file" }];
			},
			async read(input) {
				if (input.path !== "/status.json") {
					throw new Error(`unknown virtual file: ${input.path}`);
				}
				return Buffer.from(JSON.stringify({ ready: true }));
			},
		}),
	],
	bindings: [
		binding("/workspace", workspaceFs),
	],
	network: {
		outbound: {
			policy: "deny",
			rules: [
				acceptTcp({ cidr: "127.0.0.1/32", ports: [8080] }),
				acceptPublicInternet({ ports: [443] }),
			],
		},
	},
});
sandbox.http.onRequest({ origin: "https://api.github.com" }, (request) => {
	request.headers.set("authorization", `Bearer ${process.env.GITHUB_TOKEN}`);
});
await using vm = await sandbox.run();

// Incremental guest operations are explicit:
const result = await vm.control.exec({
	id: "tests",
	argv: ["node", "--test", "test/**/*.test.ts"],
});
if (result.exitCode !== 0) {
	throw new Error(result.stderr);
}

// Mounted filesystems expose both the raw callback shape and a host-side tool surface for agent workflows:
const sandboxProc = vm.mounts.virtualFs("/sandbox");
const statusBytes = await sandboxProc.read({
	path: "/status.json",
	signal: AbortSignal.timeout(1_000),
});
console.log(JSON.parse(Buffer.from(statusBytes).toString("utf8")));
const workspace = vm.mounts.host("/workspace");
const notes = await workspace.read({
	path: "notes.md",
	offset: 1,
	limit: 80,
});
await workspace.write({
	path: "plan.md",
	content: "# Plan\n\nStart here.\n",
});
await workspace.patch({
	path: "plan.md",
	edits: [{ oldText: "Start here.", newText: "Ship the narrow slice." }],
});
const grep = await workspace.bash({
	command: "grep \"Ship\" plan.md",
	timeoutMs: 1_000,
});

// Not the seed's: what its values are.
console.log(notes.content, grep.stdout, result.stdout);
