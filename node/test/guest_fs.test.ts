// SPDX-License-Identifier: MIT OR Apache-2.0
/** vm.fs: the files of the running guest. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { type SandboxVm, spawnSandbox } from "@torkbot/sandbox";

import { isError, options, within } from "./helper.js";

let vm: SandboxVm;
before(async () => {
	vm = await spawnSandbox(options());
});
after(async () => {
	await vm.close();
});

const sh = async (script: string): Promise<string> => (await vm.exec("sh", ["-c", script])).stdout;

test("files are written and read, as bytes and as text", async () => {
	await vm.fs.writeFile("/tmp/f", "héllo\n", { mode: 0o640 });
	assert.equal(await vm.fs.readFile("/tmp/f", "utf8"), "héllo\n");
	assert.deepEqual(await vm.fs.readFile("/tmp/f"), Buffer.from("héllo\n"));
	assert.equal(await sh("stat -c '%a %u' /tmp/f"), "640 0\n");
	const large = Buffer.alloc(3 << 20, "abcdefg");
	await vm.fs.writeFile("/tmp/large", large, { user: "1000" });
	assert.ok((await within(vm.fs.readFile("/tmp/large"))).equals(large));
	assert.equal(await sh("stat -c '%a %u' /tmp/large"), "644 1000\n");
	assert.match(await vm.fs.readFile("/proc/version", "latin1"), /Linux/);
});

test("directories are made, listed, moved and removed", async () => {
	await vm.fs.mkdir("/tmp/d/e/f", { recursive: true });
	await vm.fs.mkdir("/tmp/d/g", { mode: 0o700 });
	await sh("ln -s e /tmp/d/link; echo x >/tmp/d/file");
	const entries = await vm.fs.readDir("/tmp/d");
	assert.deepEqual(
		entries.map(({ name, type, target, mode, size }) => [name, type, target, type === "symlink" ? 0 : mode, type === "file" ? size : 0]),
		[
			["e", "directory", "", 0o755, 0],
			["file", "file", "", 0o644, 2],
			["g", "directory", "", 0o700, 0],
			["link", "symlink", "e", 0, 0],
		],
	);
	assert.equal((await vm.fs.stat("/tmp/d/link")).type, "directory");
	assert.equal((await vm.fs.stat("/tmp/d/link", { followLinks: false })).type, "symlink");
	assert.ok(Math.abs((await vm.fs.stat("/tmp/d/file")).modifiedAtMs - Date.now()) < 60_000);
	assert.equal((await vm.fs.stat("/dev/null")).type, "other");
	await vm.fs.rename("/tmp/d/file", "/tmp/d/e/moved");
	await assert.rejects(vm.fs.remove("/tmp/d"), isError("ENOTEMPTY"));
	await vm.fs.remove("/tmp/d", { recursive: true });
	await assert.rejects(vm.fs.stat("/tmp/d"), isError("ENOENT"));
});

test("errors have the guest's codes", async () => {
	await assert.rejects(vm.fs.readFile("/none"), isError("ENOENT"));
	await assert.rejects(vm.fs.readFile("/tmp"), isError("EISDIR"));
	await assert.rejects(vm.fs.readFile("relative"), isError("EINVAL", /not absolute/));
	await assert.rejects(vm.fs.writeFile("/etc/x", ""), isError("EROFS"));
	await assert.rejects(vm.fs.readFile("/dev/zero", { maxBytes: 1000 }), isError("EFBIG"));
	await assert.rejects(vm.fs.mkdir("/root/x", { user: "1000" }), isError("EACCES"));
	await assert.rejects(vm.fs.mkdir("/tmp/x", { mode: 0o10000 }), isError("EINVAL", /mode/));
	await assert.rejects(vm.fs.readFile(5 as unknown as string), isError("EINVAL", "path must be a string"));
	await assert.rejects(vm.fs.writeFile("/tmp/x", 5 as unknown as string), isError("EINVAL", /content/));
	await assert.rejects(vm.fs.readFile("/tmp/x", { timeoutMs: 0 }), isError("ERR_SANDBOX_EXEC", /timeoutMs/));
});

test("a call that hangs ends by its time limit or its signal", async () => {
	await sh("mkfifo /tmp/pipe");
	await assert.rejects(within(vm.fs.readFile("/tmp/pipe", { timeoutMs: 100 })), isError("ETIMEDOUT"));
	const controller = new AbortController();
	const reading = vm.fs.readFile("/tmp/pipe", { signal: controller.signal });
	controller.abort(new Error("enough"));
	await assert.rejects(within(reading), /enough/);
	assert.equal(await sh("echo alive"), "alive\n");
});

test("hundreds at once", async () => {
	await within(Promise.all(Array.from({ length: 300 }, (_, i) => vm.fs.writeFile(`/tmp/many-${i}`, String(i)))));
	assert.equal((await vm.fs.readDir("/tmp")).filter(({ name }) => name.startsWith("many-")).length, 300);
});

test("trees go in and come out", async (t) => {
	const directory = await mkdtemp(join(tmpdir(), "sandbox-test-"));
	t.after(() => rm(directory, { recursive: true }));
	await mkdir(join(directory, "tree/sub"), { recursive: true });
	await writeFile(join(directory, "tree/sub/file"), "content\n", { mode: 0o755 });
	await vm.fs.copyIn(join(directory, "tree"), "/tmp", { owner: "1000" });
	assert.equal(await sh("stat -c '%n %a %u' /tmp/tree/sub/file; mkfifo /tmp/tree/pipe; echo more >>/tmp/tree/sub/file"), "/tmp/tree/sub/file 755 1000\n");
	const copied = await vm.fs.copyOut("/tmp/tree", join(directory, "out"));
	assert.equal(await readFile(join(directory, "out/sub/file"), "utf8"), "content\nmore\n");
	assert.equal(copied.skipped, 1);
	assert.match(copied.firstSkipped, /pipe/);
	await sh("head -c 3000000 /dev/zero >/tmp/tree/large");
	await assert.rejects(vm.fs.copyOut("/tmp/tree", join(directory, "limited"), { maxBytes: 1 << 20 }), isError("EFBIG"));
	await assert.rejects(vm.fs.copyIn(join(directory, "none"), "/tmp"), isError("ENOENT"));
});

test("the end of the VM ends what waits", async () => {
	const own = await spawnSandbox(options());
	await own.exec("mkfifo", ["/tmp/pipe"]);
	const reading = assert.rejects(own.fs.readFile("/tmp/pipe"), isError("ERR_SANDBOX_CLOSED"));
	await own.close();
	await reading;
	await assert.rejects(own.fs.stat("/"), isError("ERR_SANDBOX_CLOSED"));
});
