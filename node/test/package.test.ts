// SPDX-License-Identifier: MIT OR Apache-2.0
/** The npm packages as a user has them: installed from their tarballs into an empty project. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const build = process.env["SBX_BUILD"] ?? "";
const engine = process.env["SBX_ENGINE"] ?? "";
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`, SANDBOX_ENGINE: engine };
let project = "";

/** A package may grow by mistake: bounds somewhat above what the tarballs are. */
const ROOT_BYTES_MAX = 256 << 10;
const PLATFORM_BYTES_MAX = 12 << 20;

before(async () => {
	project = await mkdtemp(join(tmpdir(), "sandbox-package-"));
	await writeFile(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
	const tarballs = (await readdir(join(build, "npm"))).filter((name) => name.endsWith(".tgz")).map((name) => join(build, "npm", name));
	assert.equal(tarballs.length, 2);
	// No scripts: those of this project do not exist, and those of others are not wanted.
	await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", ...tarballs], { cwd: project, env });
});
after(async () => {
	await rm(project, { recursive: true });
});

test("neither package has install scripts, and each has a bounded size", async () => {
	for (const name of ["sandbox", "sandbox-linux-x64-gnu"]) {
		const manifest = JSON.parse(await readFile(join(project, "node_modules/@torkbot", name, "package.json"), "utf8")) as Readonly<Record<string, unknown>>;
		assert.equal(manifest["scripts"], undefined);
	}
	for (const file of (await readdir(join(build, "npm"))).filter((name) => name.endsWith(".tgz"))) {
		const max = file.includes("linux") ? PLATFORM_BYTES_MAX : ROOT_BYTES_MAX;
		assert.ok((await stat(join(build, "npm", file))).size < max, file);
	}
});

test("a program in the project boots a VM", async () => {
	await writeFile(
		join(project, "program.js"),
		`import { fs, mount, projectInit, projectKernel, projectRootfs, spawnSandbox } from "@torkbot/sandbox";
		const vm = await spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs(), mounts: [mount("/workspace", fs.memory({ files: { a: "b" } }))] });
		console.log((await vm.exec("sh", ["-c", "uname -s; cat /workspace/a"])).stdout, (await vm.mounts.host("/workspace").bash({ command: "ls" })).stdout);
		await vm.close();`,
	);
	const { stdout } = await run(process.execPath, ["program.js"], { cwd: project, env });
	assert.equal(stdout, "Linux\nb a\n\n");
});

const has = Number(process.versions.node.split(".")[0]) >= 24;
test("await using in plain JavaScript", { skip: has ? false : "this Node.js does not have it yet" }, async () => {
	const program = `import { projectInit, projectKernel, projectRootfs, spawnSandbox } from "@torkbot/sandbox";
		let kept;
		{
			await using vm = await spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs() });
			await using program = vm.spawn("sleep", ["1000"]);
			kept = vm;
		}
		await kept.exec("true").catch((error) => console.log(error.code));`;
	await writeFile(join(project, "using.js"), program);
	assert.equal((await run(process.execPath, ["using.js"], { cwd: project, env })).stdout, "ERR_SANDBOX_CLOSED\n");
});

test("npx sandbox is the command", async () => {
	const sandbox = (...args: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string }> => run("npx", ["--no-install", "sandbox", ...args], { cwd: project, env });
	assert.match((await sandbox("--help")).stdout, /usage: sandbox/);
	assert.equal((await sandbox("run", "--engine", engine, "--", "echo", "hello")).stdout, "hello\n");
	await assert.rejects(sandbox("run", "--engine", engine, "--", "sh", "-c", "exit 7"), { code: 7 });
	assert.match((await sandbox("setup-macos")).stderr, /nothing to set up/);
});

test("without the platform's package an error says what to install", async () => {
	await rm(join(project, "node_modules/@torkbot/sandbox-linux-x64-gnu"), { recursive: true });
	const program = `import("@torkbot/sandbox").then(({ doctor }) => doctor()).catch((error) => console.log(error.code, error.message))`;
	const { stdout } = await run(process.execPath, ["-e", program], { cwd: project, env });
	assert.match(stdout, /ERR_SANDBOX_PLATFORM the package @torkbot\/sandbox-linux-x64-gnu is not installed/);
});
