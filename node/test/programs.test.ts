// SPDX-License-Identifier: MIT OR Apache-2.0
/** vm.exec, vm.spawn, vm.pty; trees in memory and directories of this machine. */
import assert from "node:assert/strict";
import { chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";

import { type SandboxFileSystem, type SandboxFlowEvent, type SandboxOptions, type SandboxProcess, type SandboxVm, acceptTcp, binding, fs, mount, spawnSandbox } from "@torkbot/sandbox";

import { isError, options, within } from "./helper.js";

let vm: SandboxVm;
before(async () => {
	vm = await spawnSandbox(options());
});
after(async () => {
	await vm.close();
});

const output = (program: SandboxProcess): Promise<string> => within(text(program.stdout));

test("exec: output, status, directory, environment and user", async () => {
	const result = await vm.exec("sh", ["-c", "pwd; id -u; echo $A; echo err >&2; exit 3"], { cwd: "/tmp", env: { A: "b" }, user: "1000" });
	assert.deepEqual(result, { exitCode: 3, signal: null, timedOut: false, oomKills: 0, stdout: "/tmp\n1000\nb\n", stderr: "err\n" });
});

test("exec: what it reads is what it was given, however much", async () => {
	assert.equal((await vm.exec("cat", [], { stdin: "héllo\n" })).stdout, "héllo\n");
	assert.equal((await vm.exec("cat")).stdout, "");
	const large = Buffer.alloc(5 << 20, "0123456789abcdef");
	assert.equal((await within(vm.exec("md5sum", [], { stdin: large }))).stdout, (await within(vm.exec("md5sum", [], { stdin: new Uint8Array(large) }))).stdout);
	assert.equal((await within(vm.exec("wc", ["-c"], { stdin: large }))).stdout, `${large.length}\n`);
	assert.equal((await within(vm.exec("true", [], { stdin: large }))).exitCode, 0); // one that does not read
});

test("exec: signals, time limits and aborts", async () => {
	const killed = await vm.exec("sh", ["-c", "kill -TERM $$"]);
	assert.equal(killed.exitCode, 143);
	assert.equal(killed.signal, "SIGTERM");
	const late = await within(vm.exec("sleep", ["1000"], { timeoutMs: 100 }));
	assert.equal(late.exitCode, 124);
	assert.equal(late.timedOut, true);
	await assert.rejects(within(vm.exec("sleep", ["1000"], { signal: AbortSignal.timeout(50) })), { name: "TimeoutError" });
});

test("exec: a limit of the output", async () => {
	await assert.rejects(within(vm.exec("cat", ["/dev/zero"], { maxOutputBytes: 1000 })), isError("EFBIG", /more than 1000 bytes/));
	assert.equal((await vm.exec("head", ["-c", "1000", "/dev/zero"], { maxOutputBytes: 1000 })).stdout.length, 1000);
});

test("exec: a guest without memory kills the program, and says so", async () => {
	const result = await within(vm.exec("sh", ["-c", "x=x; while :; do x=$x$x; done"]));
	assert.ok(result.oomKills > 0, JSON.stringify({ ...result, stdout: "", stderr: "" }));
	assert.equal((await vm.exec("echo", ["alive"])).stdout, "alive\n");
});

test("spawn: input and output while it runs", async () => {
	await using cat = vm.spawn("cat");
	const writer = cat.stdin.getWriter();
	const reader = cat.stdout.getReader();
	for (const line of ["one\n", "two\n"]) {
		await writer.write(line);
		const { value } = await within(reader.read());
		assert.equal(Buffer.from(value ?? []).toString(), line);
	}
	await writer.close();
	assert.equal((await within(reader.read())).done, true);
	assert.deepEqual(await within(cat.exited), { exitCode: 0, signal: null, timedOut: false, oomKills: 0 });
	assert.equal(cat.kill(), false);
});

test("spawn: output that nobody reads holds the program up, and none is lost", async () => {
	const bytes = 20 << 20;
	await using program = vm.spawn("sh", ["-c", `head -c ${bytes} /dev/zero; echo end >&2`], { stdin: "ignore" });
	const first = await Promise.race([program.exited.then(() => "ended"), new Promise((resolve) => setTimeout(resolve, 500, "waits"))]);
	assert.equal(first, "waits");
	let got = 0;
	for await (const chunk of program.stdout) got += chunk.length;
	assert.equal(got, bytes);
	assert.equal(await within(text(program.stderr)), "end\n");
	assert.equal((await within(program.exited)).exitCode, 0);
});

test("spawn: a stream that is ignored or cancelled holds nothing up", async () => {
	await using quiet = vm.spawn("sh", ["-c", "head -c 3000000 /dev/zero >&2; echo done"], { stdin: "ignore", stderr: "ignore" });
	assert.equal(await output(quiet), "done\n");
	await using cancelled = vm.spawn("head", ["-c", "3000000", "/dev/zero"], { stdin: "ignore" });
	await cancelled.stdout.cancel();
	assert.equal((await within(cancelled.exited)).exitCode, 0);
});

test("spawn: signals", async () => {
	await using program = vm.spawn("sh", ["-c", "trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.05; done"], { stdin: "ignore" });
	const reader = program.stdout.getReader();
	await within(reader.read());
	assert.equal(program.kill("SIGUSR1"), true);
	assert.equal(Buffer.from((await within(reader.read())).value ?? []).toString(), "got it\n");
	assert.equal((await within(program.exited)).exitCode, 5);
	await using other = vm.spawn("sleep", ["1000"]);
	assert.throws(() => other.kill("SIGNONSENSE" as NodeJS.Signals), isError("ERR_SANDBOX_EXEC", "unknown signal: SIGNONSENSE"));
	assert.throws(() => other.kill(65), isError("ERR_SANDBOX_EXEC", "unknown signal: 65"));
	assert.equal(other.kill(), true);
	assert.equal((await within(other.exited)).signal, "SIGKILL");
});

test("spawn: an abort, a missing program, nonsense", async () => {
	const controller = new AbortController();
	const program = vm.spawn("sleep", ["1000"], { signal: controller.signal });
	const reading = output(program);
	controller.abort(new Error("enough"));
	await assert.rejects(within(program.exited), /enough/);
	await assert.rejects(reading, /enough/);
	const missing = vm.spawn("no-such-program", []);
	assert.match(await within(text(missing.stderr)), /^spawn guest command no-such-program: [^\n]*\n$/);
	assert.equal((await within(missing.exited)).exitCode, 127);
	assert.throws(() => vm.spawn("true", "x" as unknown as string[]), isError("ERR_SANDBOX_EXEC", "args must be an array of strings"));
	assert.throws(() => vm.spawn("true", [], { stdout: "inherit" as "pipe" }), isError("ERR_SANDBOX_EXEC", /inherit/));
	assert.throws(() => vm.spawn("true", [], { cwd: "relative" }), isError("EINVAL", /absolute/));
});

test("spawn: disposing kills it and what it started", async () => {
	{
		await using program = vm.spawn("sh", ["-c", "sleep 4242 & sleep 4242"]);
		void program;
	}
	assert.equal((await vm.exec("pgrep", ["-f", "sleep 4242"])).stdout, "");
});

test("pty: a terminal with a size that changes", async () => {
	await using shell = vm.pty("sh", ["-c", "stty size; read line; stty size; test -t 1 && echo \"tty $line\""], { rows: 30, columns: 100 });
	const reader = shell.output.getReader();
	let seen = "";
	const until = async (what: RegExp): Promise<void> => {
		while (!what.test(seen)) {
			const { value, done } = await within(reader.read());
			if (done) break;
			seen += Buffer.from(value).toString();
		}
		assert.match(seen, what);
	};
	await until(/30 100/);
	shell.resize(50, 132);
	await shell.input.getWriter().write("hello\n");
	await until(/50 132[^]*tty hello/);
	assert.equal((await within(shell.exited)).exitCode, 0);
	assert.throws(() => shell.resize(0, 80), isError("ERR_SANDBOX_EXEC", /rows and columns/));
	shell.resize(10, 10); // it has ended: nothing happens
	const missing = vm.pty("no-such-program");
	assert.match(await within(text(missing.output)), /^spawn guest command no-such-program: [^\n]*\r\n$/);
	assert.equal((await within(missing.exited)).exitCode, 127);
});

test("the end of the VM ends programs and their streams", async () => {
	const own = await spawnSandbox(options());
	const program = own.spawn("sleep", ["1000"]);
	const reading = assert.rejects(output(program), isError("ERR_SANDBOX_CLOSED"));
	const writer = program.stdin.getWriter();
	await own.close();
	await assert.rejects(program.exited, isError("ERR_SANDBOX_CLOSED"));
	await reading;
	await assert.rejects(writer.write("x"));
	assert.equal(program.kill(), false);
	assert.throws(() => own.spawn("true"), isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
	await assert.rejects(own.exec("true"), isError("ERR_SANDBOX_CLOSED"));
});

test("fs.memory: files at the start, the same tree wherever it is, and gone with the VM", async () => {
	const memory = fs.memory({ files: { "plan.md": "# Plan\n", "/src/a/b.txt": new Uint8Array([104, 105, 10]) }, maxBytes: 4 << 20 });
	await using own = await spawnSandbox(options({ mounts: [mount("/workspace", memory), mount("/mnt", memory)], bindings: [binding("/host", memory)] }));
	assert.equal((await own.exec("sh", ["-c", "cat /workspace/plan.md /mnt/src/a/b.txt; echo new >/mnt/new; cat /workspace/new"])).stdout, "# Plan\nhi\nnew\n");
	assert.equal((await own.mounts.host("/host").read({ path: "new" })).content, "new\n");
	await own.mounts.host("/workspace").patch({ path: "plan.md", edits: [{ oldText: "Plan", newText: "Done" }] });
	assert.equal((await own.exec("cat", ["/mnt/plan.md"])).stdout, "# Done\n");
	assert.match((await own.exec("dd", ["if=/dev/zero", "of=/workspace/large", "bs=1M", "count=8"])).stderr, /No space left/);
	assert.equal(own.mounts.get("/mnt").fs, memory);
	assert.throws(() => own.mounts.virtualFs("/mnt"), isError("ERR_SANDBOX_MOUNT"));
});

test("fs.bind: a directory of this machine, read-only or not, with parts that do not exist", async (t) => {
	const directory = await mkdtemp(join(tmpdir(), "sandbox-test-"));
	t.after(() => rm(directory, { recursive: true }));
	await writeFile(join(directory, "a"), "a\n");
	await writeFile(join(directory, "secret"), "s\n");
	await using own = await spawnSandbox(
		options({ mounts: [mount("/workspace", fs.bind({ source: directory, access: "rw", mask: ["/secret"] })), mount("/mnt", fs.bind({ source: directory }))] }),
	);
	const result = await own.exec("sh", ["-c", "cat /workspace/a; cat /workspace/secret; echo b >/workspace/b; cat /mnt/b; echo c >/mnt/c"]);
	assert.equal(result.stdout, "a\nb\n");
	assert.match(result.stderr, /secret.*No such file[^]*Read-only file system/);
	assert.equal(await readFile(join(directory, "b"), "utf8"), "b\n");
	const wrong = (what: object): SandboxOptions => options({ mounts: [mount("/mnt", fs.bind(what as { source: string }))] });
	await assert.rejects(spawnSandbox(wrong({ source: "/no/such/dir" })), isError("ENOENT", /no.such.dir/));
	await assert.rejects(spawnSandbox(wrong({ source: "" })), isError("ERR_SANDBOX_OPTIONS"));
	await assert.rejects(spawnSandbox(wrong({ source: "/", access: "rwx" })), isError("ERR_SANDBOX_OPTIONS", /access/));
	await assert.rejects(spawnSandbox(wrong({ source: "/", mask: ["relative"] })), isError("EINVAL", /mask/));
});

test("fs.bind: what a user who is not root lends looks like root's", async (t) => {
	const directory = await mkdtemp(join(tmpdir(), "sandbox-test-"));
	t.after(() => rm(directory, { recursive: true }));
	const uid = process.geteuid?.() === 0 ? 65534 : (process.geteuid?.() ?? 0);
	await chown(directory, uid, -1);
	const was = process.geteuid?.() ?? 0;
	process.seteuid?.(uid);
	let own: SandboxVm;
	try {
		own = await spawnSandbox(options({ mounts: [mount("/workspace", fs.bind({ source: directory, access: "rw" }))] }));
	} finally {
		process.seteuid?.(was);
	}
	await using closing = own;
	const result = await closing.exec("sh", ["-c", "cd /workspace; echo >f; stat -c %u . f; chown 12:34 f && stat -c %u f"]);
	assert.equal(result.stdout, "0\n0\n0\n", result.stderr);
	assert.equal((await stat(join(directory, "f"))).uid, uid);
});

test("fs.bind with watch: a watcher of the guest hears of what this machine changes", async (t) => {
	const directory = await mkdtemp(join(tmpdir(), "sandbox-test-"));
	t.after(() => rm(directory, { recursive: true }));
	await writeFile(join(directory, "a"), "a\n");
	await using own = await spawnSandbox(
		options({ mounts: [mount("/workspace", fs.bind({ source: directory, watch: true })), mount("/mnt", fs.bind({ source: join(process.env["SBX_BUILD"] ?? "", "tests/guest") }))] }),
	);
	await using watcher = own.spawn("/mnt/fswatch", ["/workspace", "a"]);
	let said = "";
	for await (const chunk of watcher.stdout) {
		said += Buffer.from(chunk).toString();
		if (said === "watching\n") await writeFile(join(directory, "a"), "longer\n");
	}
	assert.equal(said, "watching\n7\n");
});

test("mounts.changed: a watcher of the guest hears of what a file system of this program says", async () => {
	let content = "1";
	const own: SandboxFileSystem = {
		stat: async (path) => ({ type: path === "/" ? "directory" : "file", sizeBytes: path === "/" ? null : content.length, mediaType: null, modifiedAtMs: null }),
		list: async () => [{ name: "a", type: "file" }],
		read: async () => Buffer.from(content),
	};
	await using machine = await spawnSandbox(
		options({ mounts: [mount("/workspace", own), mount("/mnt", fs.bind({ source: join(process.env["SBX_BUILD"] ?? "", "tests/guest") }))] }),
	);
	await using watcher = machine.spawn("/mnt/fswatch", ["/workspace", "a"]);
	let said = "";
	for await (const chunk of watcher.stdout) {
		said += Buffer.from(chunk).toString();
		if (said !== "watching\n") continue;
		content = "123";
		machine.mounts.changed("/workspace/", "/a");
	}
	assert.equal(said, "watching\n3\n");
	assert.throws(() => machine.mounts.changed("/none"), isError("ERR_SANDBOX_MOUNT", "sandbox mount not found: /none"));
	assert.throws(() => machine.mounts.changed("/workspace", 1 as never), isError("EINVAL", /file/));
	await machine.close();
	machine.mounts.changed("/workspace");
});

test("on: the console, also what it said before, until the listener is disposed", async () => {
	await using own = await spawnSandbox(options());
	await own.exec("sh", ["-c", "echo early >/dev/console"]);
	let seen = "";
	let told = (): void => {};
	const until = async (text: string): Promise<void> => {
		while (!seen.includes(text)) {
			await within(
				new Promise<void>((resolve) => {
					told = resolve;
				}),
			);
		}
	};
	const listening = own.on("console", (text) => {
		seen += text;
		told();
	});
	await until("early");
	await own.exec("sh", ["-c", "echo late >/dev/console"]);
	await until("late");
	listening[Symbol.dispose]();
	assert.throws(() => own.on("nonsense" as "exit", () => {}), /there is no event nonsense/);
	assert.throws(() => own.on("exit", 5 as unknown as () => void), /listener must be a function/);
});

test("on: the exit, once, whether it was closed or killed", async () => {
	const own = await spawnSandbox(options());
	const codes: string[] = [];
	own.on("exit", ({ code }) => codes.push(code));
	await own.close();
	own.on("exit", ({ code }) => codes.push(code)); // too late for this one
	assert.deepEqual(codes, ["ERR_SANDBOX_CLOSED"]);
	const other = await spawnSandbox(options());
	const exit = new Promise((resolve) => other.on("exit", resolve));
	void other.exec("poweroff", ["-f"]).catch(() => {});
	assert.equal(((await within(exit)) as { readonly code: string }).code, "ERR_SANDBOX_POWEROFF");
	await other.close();
});

test("on: flows that were allowed and denied", async (t) => {
	const { createServer } = await import("node:net");
	const server = createServer((socket) => socket.end("hello"));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	t.after(() => server.close());
	const { port } = server.address() as { readonly port: number };
	await using own = await spawnSandbox(options({ network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr: "127.0.0.1/32", ports: [port] })] } } }));
	const flows: SandboxFlowEvent[] = [];
	let told = (): void => {};
	own.on("flow", (flow) => {
		flows.push(flow);
		told();
	});
	assert.equal((await within(own.exec("nc", ["10.0.2.1", String(port)]))).stdout, "hello");
	await within(own.exec("nc", ["-w", "5", "192.0.2.1", "9"]));
	const of = (type: string, verdict?: string): SandboxFlowEvent | undefined => flows.find((flow) => flow.type === type && (verdict === undefined || flow.verdict === verdict));
	while (!of("flow", "allow") || !of("flow", "deny") || !of("end")) {
		await within(
			new Promise<void>((resolve) => {
				told = resolve;
			}),
		);
	}
	assert.equal(of("flow", "allow")?.destination?.port, port);
	assert.equal(of("end")?.bytesIn, 5);
	assert.deepEqual(of("flow", "deny")?.destination, { ip: "192.0.2.1", port: 9 });
	assert.match(of("flow", "deny")?.reason ?? "", /./);
});
