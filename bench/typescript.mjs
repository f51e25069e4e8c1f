// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * bench/typescript.mjs - the TypeScript package against what it stands on, in turns:
 *
 *	first ROUNDS	createSandbox() to the first exec's result, in ms; `sandbox run` of the same, start to end
 *	exec PAUSE	vm.exec("true"), p50 and p99 in us, PAUSE ms before each; the same by the C API in a VM of its own
 *	output [MIB]	MB/s of 1 GiB (or so many MiB) through spawn(), read to its end; by the C API
 *	read		p50 and p99 in us of 4 KiB reads of a file of this program, from the virtqueue to the reply, without a VM
 *	delay		the longest delay of the event loop in ms, while a VM starts, runs programs, reads files of this program, prints 256 MiB and is closed;
 *			of an idle Node.js at the same time; what a synchronous call of ours took at most
 *
 * Prints the figures on one line. SBX_BUILD is the build's directory, SBX_ENGINE the engine.
 */
import { execFile, fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const build = process.env["SBX_BUILD"] ?? "build";
const engine = process.env["SBX_ENGINE"] ?? "auto";
const env = { ...process.env, SANDBOX_LIBDIR: build };
delete process.env["SANDBOX_LIBDIR"]; // the package's own
const load = (file) => import(join(build, "node/dist", file));
const { createSandbox, fs, mount, projectInit, projectKernel, projectRootfs, spawnSandbox } = await load("index.js");
const { Machine } = await load("machine.js");
const { SandboxHttp } = await load("http.js");
const { fileOps } = await load("serve.js");
const { findArtifacts } = await load("native.js");

const options = { kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs(), engine };
const sorted = (times) => [...times].sort((a, b) => a - b);
const quantile = (times, q) => sorted(times)[Math.min(times.length - 1, Math.floor(times.length * q))];
const timed = async (body) => {
	const start = performance.now();
	await body();
	return performance.now() - start;
};

/** bench/exec in the other turns. */
class Peer {
	constructor() {
		this.child = spawn(join(build, "bench/exec"), ["turns"], { stdio: ["pipe", "pipe", "inherit"], env });
		this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
	}

	async ask(line) {
		this.child.stdin.write(`${line}\n`);
		const { value, done } = await this.lines.next();
		if (done) throw new Error("bench/exec has ended");
		return value.split(" ").map(Number);
	}

	end() {
		this.child.stdin.end();
	}
}

async function first(rounds) {
	const ours = [];
	const command = [];
	const sandbox = join(build, "sandbox");
	for (let i = -1; i < rounds; i++) { // the first is to warm up
		let vm;
		const took = await timed(async () => {
			vm = await createSandbox(options).run();
			await vm.exec("true");
		});
		await vm.close();
		const theirs = await timed(() => promisify(execFile)(sandbox, ["run", "--engine", engine, "--", "true"], { env }));
		if (i >= 0) {
			ours.push(took);
			command.push(theirs);
		}
	}
	return [quantile(ours, 0.5), quantile(command, 0.5)];
}

const BATCHES = 12;
const BATCH = 50;

async function exec(pause) {
	const one = async () => {
		if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
		return 1e3 * (await timed(() => vm.exec("/bin/true")));
	};
	const peer = new Peer();
	const vm = await spawnSandbox(options);
	const ours = [];
	const theirs = [];
	await peer.ask(`latency ${BATCH} ${pause}`);
	for (let i = 0; i < 200; i++) await one(); // compiled by then
	for (let b = 0; b < BATCHES; b++) {
		for (let i = 0; i < BATCH; i++) ours.push(await one());
		theirs.push(...(await peer.ask(`latency ${BATCH} ${pause}`)));
	}
	peer.end();
	await vm.close();
	return [quantile(ours, 0.5), quantile(ours, 0.99), quantile(theirs, 0.5), quantile(theirs, 0.99)];
}

const TURNS = 8;

async function print(vm, bytes) {
	const program = vm.spawn("head", ["-c", String(bytes), "/dev/zero"], { stdin: "ignore" });
	let got = 0;
	for await (const chunk of program.stdout) got += chunk.length;
	await program.exited;
	if (got !== bytes) throw new Error(`${got} bytes`);
}

async function output(mib) {
	const bytes = (mib << 20) / TURNS;
	const peer = new Peer();
	const vm = await spawnSandbox(options);
	let ours = 0;
	let theirs = 0;
	await peer.ask("output 1000000");
	await print(vm, 1_000_000);
	for (let i = 0; i < TURNS; i++) {
		ours += (await timed(() => print(vm, bytes))) / 1e3;
		theirs += (await peer.ask(`output ${bytes}`))[0];
	}
	peer.end();
	await vm.close();
	return [(TURNS * bytes) / 1e6 / ours, (TURNS * bytes) / 1e6 / theirs];
}

const contents = Buffer.alloc(1 << 20, "x");
const directory = { type: "directory", sizeBytes: null, mediaType: null, modifiedAtMs: null };
const file = { type: "file", sizeBytes: contents.length, mediaType: null, modifiedAtMs: null };
const files = {
	stat: async (path) => {
		if (path === "/") return directory;
		if (path === "/file") return file;
		throw Object.assign(new Error("no such file"), { code: "ENOENT" });
	},
	list: async () => [{ name: "file", type: "file" }],
	read: async ({ range }) => contents.subarray(range.offset, range.offset + range.length),
};

async function read() {
	const scratch = mkdtempSync(join(tmpdir(), "sandbox-bench-"));
	const socket = join(scratch, "socket");
	const artifacts = findArtifacts();
	const config = {
		hostPath: join(build, "bench/fs_host"),
		kernelPath: artifacts.kernel,
		initPath: artifacts.init,
		imagePath: artifacts.image,
		engine: "qemu",
		cmdline: socket, // where that program looks for it
		mounts: [{ path: "/mnt", kind: "callbacks", ops: fileOps(files), number: 0 }],
	};
	const machine = new Machine(config, [files], new SandboxHttp(() => {}));
	try {
		await machine.started();
		const { stdout } = await promisify(execFile)(join(build, "bench/fs_callbacks"), ["--drive", socket]);
		return stdout.trim().split(" ").map(Number);
	} finally {
		await machine.close();
		rmSync(scratch, { recursive: true });
	}
}

/** The longest call of the addon: what it keeps the event loop from. Calls that end in a promise are work of other threads. */
function watchAddon() {
	const require = createRequire(import.meta.url);
	const file = join(findArtifacts().directory, "sandbox.node");
	const longest = { ms: 0, name: "none" };
	const watched = {};
	for (const [name, fn] of Object.entries(require(file))) {
		watched[name] = (...args) => {
			const start = performance.now();
			try {
				return fn(...args);
			} finally {
				const ms = performance.now() - start;
				if (ms > longest.ms) Object.assign(longest, { ms, name });
			}
		};
	}
	require.cache[require.resolve(file)].exports = watched; // for the package, which has not asked for it yet
	return longest;
}

const longestDelay = () => {
	const monitor = monitorEventLoopDelay({ resolution: 1 });
	monitor.enable();
	return () => {
		monitor.disable();
		return (monitor.max - 1e6) / 1e6; // the timer's own millisecond
	};
};

async function delay() {
	const idle = fork(new URL(import.meta.url), ["idle"], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
	await new Promise((resolve) => idle.once("message", resolve));
	const longest = watchAddon();
	const stop = longestDelay();
	for (let i = 0; i < 3; i++) {
		const vm = await spawnSandbox({ ...options, mounts: [mount("/mnt", files), mount("/workspace", fs.memory({ files: { a: "b" } }))] });
		for (let k = 0; k < 50; k++) await vm.exec("true");
		await vm.exec("cat", ["/mnt/file"]);
		await print(vm, 85 << 20);
		await vm.close();
	}
	const busy = stop();
	const answer = new Promise((resolve) => idle.once("message", resolve));
	idle.send("stop");
	const quiet = await answer;
	idle.disconnect();
	console.error(`the longest call of the addon: ${longest.name}`);
	return [busy, quiet, longest.ms];
}

function beIdle() {
	const stop = longestDelay();
	process.send("started");
	process.once("message", () => process.send(stop()));
}

const figures = { first: () => first(Number(process.argv[3] ?? 9)), exec: () => exec(Number(process.argv[3] ?? 0)), output: () => output(Number(process.argv[3] ?? 1024)), read, delay };
if (process.argv[2] === "idle") beIdle();
else console.log((await figures[process.argv[2]]()).map((n) => n.toFixed(2)).join(" "));
