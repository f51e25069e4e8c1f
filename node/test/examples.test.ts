// SPDX-License-Identifier: MIT OR Apache-2.0
/** The examples, as their readers run them. */
import assert from "node:assert/strict";
import { type ExecFileOptions, execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { scriptImage } from "./image.js";

const build = process.env["SBX_BUILD"] ?? "";
const env = { ...process.env, SANDBOX_ENGINE: process.env["SBX_ENGINE"], API_TOKEN: "t0ken" };
const sources = join(realpathSync(fileURLToPath(new URL("../src", import.meta.url))), "../../examples"); // linked there
const authorizations: (string | undefined)[] = [];
const server = createServer((request, response) => {
	authorizations.push(request.headers.authorization);
	response.end("me\n");
});
let directory = "";

const port = (): string => String((server.address() as AddressInfo).port);
const run = (file: string, args: readonly string[], options: ExecFileOptions = {}, input?: string): Promise<{ readonly stdout: string; readonly stderr: string }> =>
	new Promise((resolve, reject) => {
		const child = execFile(file, [...args], { env, cwd: directory, timeout: 120_000, ...options }, (error, stdout, stderr) =>
			error ? reject(Object.assign(error, { stdout, stderr })) : resolve({ stdout: String(stdout), stderr: String(stderr) }),
		);
		if (input !== undefined) child.stdin?.end(input);
	});
const example = (name: string, args: readonly string[] = [], input?: string, ...node: readonly string[]): ReturnType<typeof run> =>
	run(process.execPath, [...node, fileURLToPath(new URL(`../examples-dist/${name}.js`, import.meta.url)), ...args], {}, input);

before(async () => {
	directory = mkdtempSync(join(tmpdir(), "sandbox-examples-"));
	mkdirSync(join(directory, "dist/rootfs"), { recursive: true });
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
	server.close();
	rmSync(directory, { recursive: true });
});

test("the seed's program runs unchanged", async () => {
	renameSync(scriptImage(directory, "node", 'echo "node $*"'), join(directory, "dist/rootfs/sandbox.erofs"));
	const memory = new URL("./memory.js", import.meta.url).href;
	writeFileSync(join(directory, "workspace.mjs"), `import { MapFs } from ${JSON.stringify(memory)}; globalThis.workspaceFs = new MapFs({ "/notes.md": "some notes" });`);
	const { stdout } = await example("seed", [], undefined, "--import", join(directory, "workspace.mjs"));
	assert.equal(stdout, "{ ready: true }\nsome notes Ship the narrow slice.\n node --test test/**/*.test.ts\n\n");
});

test("the seed's second program, which writes to its root, runs unchanged", async () => {
	renameSync(scriptImage(directory, "apk", 'echo "apk $*" >/etc/installed'), join(directory, "dist/rootfs/base.erofs"));
	assert.equal((await example("overlay")).stdout, "apk add --no-cache git nodejs\n\n");
});

test("an agent's loop", async () => {
	assert.match((await example("agent")).stdout, /the tests say: exit 0\nright/);
});

test("a shell on a terminal", async () => {
	const { stdout } = await example("repl", [], "echo $((6 * 7)); test -t 0 && echo terminal\nexit\n");
	assert.match(stdout, /42\r\nterminal/);
});

test("a policy with a log", async () => {
	const { stdout, stderr } = await example("policy", [port(), "sh", "-c", `wget -qO- http://10.0.2.1:${port()}/; nc -w 2 192.0.2.1 81 </dev/null; :`]);
	assert.equal(stdout, "me\n");
	assert.match(stderr, new RegExp(`allow tcp .*:${port()}`));
	assert.match(stderr, /deny tcp 192\.0\.2\.1:81/);
});

test("a credential that the guest never has", async () => {
	authorizations.length = 0;
	const { stdout } = await example("credentials", [port()]);
	assert.match(stdout, /^me\n/);
	assert.doesNotMatch(stdout, /t0ken/);
	assert.deepEqual(authorizations, ["Bearer t0ken"]);
});

/** Compiles an example in C and runs it. */
function fromC(name: string, args: readonly string[] = [], input?: string): ReturnType<typeof run> {
	const program = join(directory, name);
	execFileSync("gcc", ["-Wall", "-Wextra", "-Werror", "-D_DEFAULT_SOURCE", `-I${join(sources, "../include")}`, join(sources, `c/${name}.c`), join(build, "libsbx.a"), "-o", program]);
	return run(program, args, { env: { ...env, SANDBOX_LIBDIR: build } }, input);
}

test("a command in a microVM, from C", async () => {
	assert.equal((await fromC("run", ["echo", "hello"])).stdout, "hello\n");
});

test("an agent's loop, from C", async () => {
	assert.equal((await fromC("agent")).stdout, "the tests say: wrong\nthe tests say: right\n");
});

test("a shell on a terminal, from C", async () => {
	assert.match((await fromC("repl", [], "echo $((6 * 7)); test -t 0 && echo terminal\n")).stdout, /42\r\nterminal/);
	assert.match((await fromC("repl", [], "echo late; exit\n")).stdout, /late\r\n/);
});

test("a policy with a log, from C", async () => {
	const { stdout, stderr } = await fromC("policy", [port(), "sh", "-c", `wget -qO- http://10.0.2.1:${port()}/; nc -w 2 192.0.2.1 81 </dev/null; :`]);
	assert.equal(stdout, "me\n");
	assert.match(stderr, new RegExp(`"dst_port":${port()},.*"verdict":"allow"`));
	assert.match(stderr, /"dst":"192\.0\.2\.1","dst_port":81,.*"verdict":"deny"/);
});

test("a credential that the guest never has, from C", async () => {
	authorizations.length = 0;
	const { stdout } = await fromC("credentials", [port()]);
	assert.match(stdout, /^me\n/);
	assert.doesNotMatch(stdout, /t0ken/);
	assert.deepEqual(authorizations, ["Bearer t0ken"]);
});
