// SPDX-License-Identifier: MIT OR Apache-2.0
/** A VM from start to end, with a real guest. */
import assert from "node:assert/strict";
import { type SandboxControlEvent, type SandboxVm, createSandbox, doctor, prebuiltRootfs, spawnSandbox } from "@torkbot/sandbox";
import { after, before, test } from "node:test";

import { isError, options, within, writable } from "./helper.js";

let vm: SandboxVm;
before(async () => {
	vm = await spawnSandbox(options());
});
after(async () => {
	await vm.close();
});

async function next(events: AsyncIterator<SandboxControlEvent>): Promise<SandboxControlEvent> {
	const result = await within(events.next());
	assert.equal(result.done, false);
	return result.value as SandboxControlEvent;
}

test("a program's output and exit code come back", async () => {
	const result = await vm.control.exec({ id: "first", argv: ["sh", "-c", "echo out; echo err >&2; exit 7"] });
	assert.deepEqual(result, { type: "guest.exec.complete", id: "first", exitCode: 7, stdout: "out\n", stderr: "err\n" });
});

test("a program gets its arguments and its environment, whatever is in them", async () => {
	const result = await vm.control.exec({ argv: ["sh", "-c", 'printf "%s|" "$@" "$GREETING"', "sh", "a b", "", "'\"\\n", "ä€"], env: { GREETING: "héllo = wörld" } });
	assert.equal(result.stdout, "a b||'\"\\n|ä€|héllo = wörld|");
});

test("execs run concurrently", async () => {
	// Each waits for what the other makes: one after the other they would never end.
	const [a, b] = await within(
		Promise.all([
			vm.control.exec({ argv: ["sh", "-c", "mkfifo /tmp/a; echo x >/tmp/a"] }),
			vm.control.exec({ argv: ["sh", "-c", "until [ -p /tmp/a ]; do :; done; cat /tmp/a"] }),
		]),
	);
	assert.equal(a.exitCode, 0);
	assert.equal(b.stdout, "x\n");
});

test("a hundred execs at once", async () => {
	const results = await Promise.all(Array.from({ length: 100 }, (_, i) => vm.control.exec({ argv: ["echo", String(i)] })));
	assert.deepEqual(
		results.map((result) => result.stdout),
		Array.from({ length: 100 }, (_, i) => `${i}\n`),
	);
});

test("a missing command is exit 127, and stderr says so", async () => {
	const result = await vm.control.exec({ argv: ["no-such-program"] });
	assert.equal(result.exitCode, 127);
	assert.match(result.stderr, /^spawn guest command no-such-program: [^\n]*\n$/);
});

test("death by a signal is 128 and its number", async () => {
	assert.equal((await vm.control.exec({ argv: ["sh", "-c", "kill -KILL $$"] })).exitCode, 137);
});

test("the same id twice in flight is refused, and free again afterwards", async () => {
	const first = vm.control.exec({ id: "twin", argv: ["true"] });
	await assert.rejects(vm.control.exec({ id: "twin", argv: ["true"] }), isError("ERR_SANDBOX_EXEC_ID", "sandbox exec id is already in flight: twin"));
	await assert.rejects(vm.control.send({ type: "guest.exec", id: "twin", argv: ["true"] }), isError("ERR_SANDBOX_EXEC_ID"));
	await first;
	assert.equal((await vm.control.exec({ id: "twin", argv: ["true"] })).exitCode, 0);
});

test("a time limit kills the program and its descendants", async () => {
	const result = await within(vm.control.exec({ argv: ["sh", "-c", "sleep 1000 & sleep 1000"], timeoutMs: 200 }));
	assert.equal(result.exitCode, 124);
	assert.equal((await vm.control.exec({ argv: ["pgrep", "sleep"] })).stdout, "");
});

test("an abort kills the program and rejects with the signal's reason", async () => {
	const controller = new AbortController();
	const running = vm.control.exec({ argv: ["sleep", "1000"], signal: controller.signal });
	const reason = new Error("enough");
	controller.abort(reason);
	await assert.rejects(within(running), reason);
	await assert.rejects(vm.control.exec({ argv: ["true"], signal: AbortSignal.abort(reason) }), reason);
});

test("a program that prints without end is stopped at the limit", async () => {
	await assert.rejects(within(vm.control.exec({ argv: ["cat", "/dev/zero"] })), isError("EFBIG", /more than 67108864 bytes/));
});

test("nonsense from plain JavaScript is an error, and the VM goes on", async () => {
	for (const argv of [undefined, [], [1], "ls", [""], ["a\0b"]]) {
		await assert.rejects(vm.control.exec({ argv: argv as string[] }), Error);
	}
	await assert.rejects(vm.control.exec({ argv: ["true"], env: { A: 1 } as unknown as Record<string, string> }), isError("ERR_SANDBOX_EXEC", "env must be an object of strings"));
	for (const name of ["", "=", "A=B"]) await assert.rejects(vm.control.exec({ argv: ["true"], env: { [name]: "x" } }), isError("ERR_SANDBOX_EXEC", `env has a variable whose name cannot be: "${name}"`));
	await assert.rejects(vm.control.exec({ argv: ["true"], timeoutMs: -1 }), isError("ERR_SANDBOX_EXEC", /timeoutMs/));
	await assert.rejects(vm.control.exec({ argv: ["x".repeat(1 << 20)] }), isError("EINVAL", /too long/));
	assert.equal((await vm.control.exec({ argv: ["true"] })).exitCode, 0);
});

test("events come in order: the guest is ready, then what ended", async () => {
	await using own = await spawnSandbox(options());
	const events = own.control.incoming[Symbol.asyncIterator]();
	assert.deepEqual(await next(events), { type: "init.ready", guest: { root: { readonly: true }, init: { name: "sandbox-init" } } });
	await own.control.send({ type: "guest.exec", id: "sent", argv: ["echo", "hello"] });
	assert.deepEqual(await next(events), { type: "guest.exec.complete", id: "sent", exitCode: 0, stdout: "hello\n", stderr: "" });
	await own.control.close();
	assert.deepEqual(await within(events.next()), { done: true, value: undefined });
	await assert.rejects(own.control.exec({ argv: ["true"] }), isError("ERR_SANDBOX_CLOSED"));
});

test("a writable root is writable, a read-only one is not", async () => {
	await using own = await spawnSandbox(writable());
	assert.equal((await own.control.exec({ argv: ["sh", "-c", "echo x >/etc/new && cat /etc/new"] })).stdout, "x\n");
	const result = await vm.control.exec({ argv: ["sh", "-c", "echo x >/etc/new"] });
	assert.notEqual(result.exitCode, 0);
	assert.match(result.stderr, /Read-only file system/);
});

test("a builder runs once, and not after it was disposed", async () => {
	const sandbox = createSandbox(options());
	const own = await sandbox.run();
	await assert.rejects(sandbox.run(), isError("ERR_SANDBOX_ALREADY_RUN", "sandbox has already been run"));
	await sandbox[Symbol.asyncDispose](); // closes the VM
	await assert.rejects(own.control.exec({ argv: ["true"] }), isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
	await assert.rejects(sandbox.run(), isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
	await sandbox[Symbol.asyncDispose]();
	const never = createSandbox(options());
	await never[Symbol.asyncDispose]();
	await assert.rejects(never.run(), isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
});

test("close ends calls that wait, within a second, and is idempotent", async () => {
	const own = await spawnSandbox(options());
	const running = own.control.exec({ argv: ["sh", "-c", "trap '' TERM INT; while :; do :; done"] });
	const ended = assert.rejects(running, isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
	const start = performance.now();
	await Promise.all([own.close(), own.close()]);
	await own.close();
	assert.ok(performance.now() - start < 1000, `${performance.now() - start} ms`);
	await ended;
	const events = own.control.incoming[Symbol.asyncIterator]();
	assert.equal((await next(events)).type, "init.ready");
	assert.equal((await within(events.next())).done, true);
});

test("close while the VM boots", async () => {
	const sandbox = createSandbox(options());
	const running = assert.rejects(sandbox.run(), isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
	await sandbox[Symbol.asyncDispose]();
	await running;
});

test("a root image that is none", async () => {
	await assert.rejects(spawnSandbox(options({ rootfs: prebuiltRootfs(process.execPath, { format: "erofs" }) })), isError("EINVAL", /EROFS/));
	await assert.rejects(spawnSandbox(options({ rootfs: prebuiltRootfs("/no/such/file", { format: "erofs" }) })), isError("ENOENT", /no.such.file/));
});

test("a guest that powers itself off says so to whoever waits", async () => {
	await using own = await spawnSandbox(options());
	await assert.rejects(within(own.control.exec({ argv: ["sh", "-c", "kill -USR2 1; poweroff -f; sleep 1000"] })), isError("ERR_SANDBOX_POWEROFF"));
	const events = own.control.incoming[Symbol.asyncIterator]();
	await next(events);
	await assert.rejects(within(events.next()), isError("ERR_SANDBOX_POWEROFF"));
});

test("a guest that panics says so, with the console's last lines", async () => {
	await using own = await spawnSandbox(options());
	await assert.rejects(within(own.control.exec({ argv: ["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000"] })), (error) => {
		isError("ERR_SANDBOX_GUEST")(error);
		assert.match((error as { readonly console: string }).console, /sysrq/i);
		return true;
	});
});

test("the host process is killed: whoever waits hears it at once", async () => {
	await using own = await spawnSandbox(options());
	const running = assert.rejects(within(own.control.exec({ argv: ["sleep", "1000"] })), isError("ERR_SANDBOX_HOST", /killed by signal 9/));
	own.diagnostics.terminateHostForTest();
	await running;
	assert.throws(() => own.diagnostics.terminateHostForTest(), isError("ERR_SANDBOX_HOST"));
});

test("several VMs at once do not meet", async () => {
	await using a = await spawnSandbox(writable({ name: "one" }));
	await using b = await spawnSandbox(writable({ name: "two" }));
	await a.control.exec({ argv: ["sh", "-c", "echo a >/etc/mine"] });
	assert.equal((await a.control.exec({ argv: ["sh", "-c", "hostname; cat /etc/mine"] })).stdout, "one\na\n");
	const other = await b.control.exec({ argv: ["sh", "-c", "hostname; cat /etc/mine"] });
	assert.equal(other.stdout, "two\n");
	assert.notEqual(other.exitCode, 0);
});

test("doctor says what works here", async () => {
	const report = await doctor();
	assert.match(report.version, /^\d+\.\d+\.\d+$/);
	assert.ok(report.engine === "kvm" || report.engine === "qemu");
	assert.equal(report[report.engine].usable, true);
});
