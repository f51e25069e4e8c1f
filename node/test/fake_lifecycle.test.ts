// SPDX-License-Identifier: MIT OR Apache-2.0
/** Lives and deaths of VMs without a guest: SANDBOX_LIBDIR has a program in the place of the host process (tests/node/fake_host.c). */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";

import { type SandboxOptions, acceptPublicInternet, createSandbox, doctor, prebuiltRootfs, projectInit, projectKernel, projectRootfs, spawnSandbox } from "@torkbot/sandbox";

import { type NativeBinding, type NativeConfig, type NativeHandle, type NativeHandlers, findArtifacts, native } from "../dist/native.js";
import { isError, within } from "./helper.js";

const CYCLES = 1000;
const run = promisify(execFile);
const options = (): SandboxOptions => ({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs(), engine: "qemu" });
const descriptors = async (): Promise<number> => (await readdir("/proc/self/fd")).length;

/** No host process runs any more, or soon. Zombies do not count: the suite may be the first process of its namespace, and orphans are not its to reap. */
async function nothingLeft(): Promise<void> {
	const left = async (): Promise<string> => (await run("pgrep", ["-r", "D,R,S,T", "-x", "sandbox-host"], { env: { PATH: process.env["PATH"] } }).catch(() => ({ stdout: "" }))).stdout;
	await within(
		(async () => {
			while ((await left()) !== "");
		})(),
	);
}

const prelude = `import { projectInit, projectKernel, projectRootfs, spawnSandbox } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
	const start = () => spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs(), engine: "qemu" });\n`;

test("a program's output comes, and its input goes", async () => {
	await using vm = await spawnSandbox(options());
	assert.equal((await vm.exec("echo", ["a", "b"])).stdout, "a b\n");
	assert.equal((await vm.exec("cat", [], { stdin: Buffer.alloc(1 << 20, "x") })).stdout.length, 1 << 20);
	assert.equal((await vm.exec("nothing")).exitCode, 127);
	await using cat = vm.spawn("cat");
	const writer = cat.stdin.getWriter();
	await writer.write("hello");
	await writer.close();
	assert.equal(await within(text(cat.stdout)), "hello");
});

test("the host process dies: whoever waits hears how", async () => {
	await using vm = await spawnSandbox(options());
	const hanging = vm.exec("hang");
	await assert.rejects(within(vm.exec("die")), isError("ERR_SANDBOX_HOST", /host process is gone: sandbox-host exited with code 7/));
	await assert.rejects(hanging, isError("ERR_SANDBOX_HOST"));
	await assert.rejects(vm.exec("echo"), isError("ERR_SANDBOX_HOST"));
});

test("the host process hangs: rules and ports wait, and nothing else of this program does", async () => {
	const vm = await spawnSandbox(options());
	await vm.network.setRules([acceptPublicInternet()]);
	await using port = await vm.network.publish({ guestPort: 80 });
	assert.ok(port.port > 0);
	void vm.exec("stop").catch(() => {});
	const rules = assert.rejects(vm.network.setRules([]), isError("ERR_SANDBOX_CLOSED"));
	const controller = new AbortController();
	const reason = new Error("enough");
	const publishing = Array.from({ length: 100 }, () => assert.rejects(vm.network.publish({ guestPort: 80, signal: controller.signal }), reason));
	const start = performance.now();
	for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve)); // the event loop turns
	controller.abort(reason);
	await Promise.all(publishing);
	await assert.rejects(vm.network.setRules([], { signal: AbortSignal.abort(reason) }), reason);
	assert.ok(performance.now() - start < 5000, `${performance.now() - start} ms`); // a call that waited would take 10 s
	await vm.close();
	await rules;
	await port[Symbol.asyncDispose]();
});

test("a start that is given up ends what it has started", async () => {
	const reason = Object.assign(new Error("enough"), { errno: -5, code: "EIO" }); // as errors of Node.js are: it stays what it is
	await assert.rejects(spawnSandbox(options(), { signal: AbortSignal.abort(reason) }), reason);
	const sandbox = createSandbox(options());
	const controller = new AbortController();
	const running = assert.rejects(within(sandbox.run({ signal: controller.signal })), reason);
	controller.abort(reason);
	await running;
	await assert.rejects(sandbox.run(), isError("ERR_SANDBOX_ALREADY_RUN"));
	const late = new AbortController();
	await using vm = await spawnSandbox(options(), { signal: late.signal });
	late.abort(reason); // it runs: too late
	assert.equal((await vm.exec("echo", ["on"])).stdout, "on\n");
	await assert.rejects(doctor({ signal: late.signal }), reason);
	const asking = new AbortController();
	const asked = assert.rejects(within(doctor({ signal: asking.signal })), reason);
	asking.abort(reason);
	await asked;
});

test("the host process says nonsense", async () => {
	await using vm = await spawnSandbox(options());
	await assert.rejects(within(vm.exec("garbage")), isError("ERR_SANDBOX_HOST"));
});

test("the guest powers off, with the console's last lines", async () => {
	await using vm = await spawnSandbox(options());
	await assert.rejects(within(vm.exec("poweroff")), (error) => {
		isError("ERR_SANDBOX_POWEROFF", "the guest powered itself off")(error);
		assert.equal((error as { readonly console: string }).console, "last words");
		isError("EIO")((error as Error).cause);
		return true;
	});
	await vm.close();
});

test("programs end with the VM, however many", async () => {
	const vm = await spawnSandbox(options());
	const running = Array.from({ length: 256 }, () => assert.rejects(vm.exec("hang"), isError("ERR_SANDBOX_CLOSED")));
	await assert.rejects(vm.exec("hang"), isError("EAGAIN"));
	await vm.close();
	await Promise.all(running);
});

test("aborts of programs that hang", async () => {
	await using vm = await spawnSandbox(options());
	for (let i = 0; i < 300; i++) {
		const controller = new AbortController();
		const program = vm.exec("hang", [], { signal: controller.signal });
		controller.abort();
		await assert.rejects(program, { name: "AbortError" });
	}
});

test("artifacts that are not there", async () => {
	await assert.rejects(spawnSandbox({ ...options(), rootfs: prebuiltRootfs("/nonexistent.erofs", { format: "erofs" }) }), isError("ENOENT"));
	assert.throws(() => native().start({} as never, {} as never), { errno: -22, message: "every handler must be a function" });
});

test(`${CYCLES} times from start to close: nothing is left over`, async () => {
	const cycle = async (): Promise<void> => {
		const vm = await spawnSandbox(options());
		assert.equal((await vm.exec("echo", ["x"])).stdout, "x\n");
		void vm.exec("hang").catch(() => {});
		await vm.close();
	};
	const settle = async (): Promise<number> => {
		for (let i = 0; i < 5; i++) {
			globalThis.gc?.();
			await new Promise((resolve) => setImmediate(resolve));
		}
		const { rss, heapTotal } = process.memoryUsage();
		return rss - heapTotal; // the heap's size is V8's affair, which differs with its version; what is in it cannot outlive its handle
	};
	const cycles = async (count: number): Promise<void> => {
		for (let i = 0; i < count / 4; i++) await Promise.all([cycle(), cycle(), cycle(), cycle()]);
	};
	await cycles(CYCLES / 4);
	const before = { rss: await settle(), descriptors: await descriptors() };
	await cycles(CYCLES);
	const after = { rss: await settle(), descriptors: await descriptors() };
	assert.equal(after.descriptors, before.descriptors);
	// A handle alone is 60 KiB: 1,000 of them would be seen. The sanitizers keep freed memory for a while, and have their own way to find leaks.
	if (process.env["LD_PRELOAD"] === undefined) assert.ok(after.rss - before.rss < 32 << 20, `${(after.rss - before.rss) >> 10} KiB more`);
	await nothingLeft();
});

test("a program whose VM is closed ends by itself, one that exits takes its VMs along", async () => {
	const script = async (body: string): Promise<string> => (await run(process.execPath, ["--input-type=module", "-e", prelude + body], { timeout: 60_000 })).stdout;
	assert.equal(await script("const vm = await start(); await vm.exec('echo'); await vm.close(); console.log('end');"), "end\n");
	assert.equal(await script("const vm = await start(); console.log('up'); void vm.exec('hang').catch(() => {}); setImmediate(() => process.exit(0));"), "up\n");
	assert.equal(await script("void start().catch(() => {}); setImmediate(() => { console.log('early'); process.exit(0); });"), "early\n");
	assert.equal(await script("const vm = await start(); try { await vm.exec('die'); } catch (e) { console.log(e.code); }"), "ERR_SANDBOX_HOST\n");
	await nothingLeft();
});

test("a listener that throws is an uncaught exception, and the others hear", async () => {
	const body = `const vm = await start();
		process.on("uncaughtException", (error) => console.log("uncaught", error.message));
		vm.on("exit", () => { throw new Error("listener"); });
		vm.on("exit", ({ code }) => console.log("exit", code));
		await vm.close();`;
	const { stdout } = await run(process.execPath, ["--input-type=module", "-e", prelude + body]);
	assert.deepEqual(stdout.trim().split("\n").sort(), ["exit ERR_SANDBOX_CLOSED", "uncaught listener"]);
});

test("worker threads have VMs of their own, and take them along when they end", async () => {
	const body = `${prelude} import { parentPort } from "node:worker_threads";
		const vm = await start();
		void vm.exec("hang").catch(() => {});
		parentPort.postMessage((await vm.exec("echo", ["worker"])).stdout);
		setInterval(() => {}, 1000);`;
	const workers = Array.from({ length: 4 }, () => new Worker(new URL(`data:text/javascript,${encodeURIComponent(body)}`)));
	const said = await within(Promise.all(workers.map((worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject)))));
	assert.deepEqual(said, ["worker\n", "worker\n", "worker\n", "worker\n"]);
	await using vm = await spawnSandbox(options()); // this thread's own is not touched
	await within(Promise.all(workers.map((worker) => worker.terminate())));
	assert.equal((await vm.exec("echo", ["main"])).stdout, "main\n");
});

test("the addon takes whatever values for what they are", async () => {
	const addon = native();
	const values: readonly unknown[] = [undefined, null, 0, -1, 1.5, Number.NaN, 2 ** 40, "", "x\0y", "ä", {}, [], [1], ["a"], () => {}, Symbol("s"), 5n, new Uint8Array(3), Buffer.alloc(9), new Float64Array(2), true, { argv: ["echo"] }, { tool: 99 }, { op: 1e9, path: "/" }, { op: 4, rules: ["public"] }, { op: 5, guestPort: 80 }, { op: 6, port: 70000 }];
	const { host, kernel, init, image } = findArtifacts();
	const ended: number[] = [];
	const handlers = Object.fromEntries(
		["ready", "end", "log", "oom", "output", "writable", "exit", "call", "cancel", "tool", "guest", "control", "request", "requestCancel"].map((name) => [name, (reason: number) => void (name === "end" && ended.push(reason))]),
	) as unknown as NativeHandlers;
	const config = { hostPath: host, kernelPath: kernel, initPath: init, imagePath: image, engine: "qemu" } as NativeConfig;
	const handle = await addon.start(config, handlers);
	let seed = 12345;
	const random = (n: number): number => {
		seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff;
		return (seed >> 8) % n;
	};
	for (const name of Object.keys(addon) as (keyof NativeBinding)[]) {
		if (name === "close") continue;
		const fn = addon[name] as (...args: readonly unknown[]) => unknown;
		for (let i = 0; i < 300; i++) {
			const args = Array.from({ length: random(9) }, () => values[random(values.length)]);
			try {
				const result = fn(...(random(2) === 0 ? [handle, ...args] : args));
				if (result instanceof Promise) await result.catch(() => {});
			} catch (error) {
				assert.ok(error instanceof Error, name);
			}
		}
	}
	assert.deepEqual(ended, []);
	assert.ok(addon.exec(handle, ["echo"], [], undefined, undefined, 0, 0, 0) >= 0);
	await addon.close(handle);
	assert.throws(() => addon.exec(handle, ["echo"], [], undefined, undefined, 0, 0, 0), /closed/);
	assert.throws(() => addon.close({} as NativeHandle), { errno: -22, message: "the first argument must be a handle of a VM" });
});
