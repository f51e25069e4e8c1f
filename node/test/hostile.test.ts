// SPDX-License-Identifier: MIT OR Apache-2.0
/** Guests that take what they can get, and programs that hold this package wrongly: each gets an error, and everybody else goes on. */
import assert from "node:assert/strict";
import {
	type ExecResult,
	type SandboxFileStat,
	type SandboxPosixFileSystem,
	type SandboxVm,
	type SandboxWritableFileSystem,
	acceptPublicInternet,
	createSandbox,
	fs,
	linuxOverlayFs,
	mount,
	prebuiltRootfs,
	scratchFs,
	spawnSandbox,
} from "@torkbot/sandbox";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PATIENCE_MS, image, isError, options, typedOrWorks, within } from "./helper.js";
import { MapFs } from "./memory.js";

const small = linuxOverlayFs({ lower: prebuiltRootfs(image(), { format: "erofs" }), upper: scratchFs({ sizeBytes: 8 << 20 }) });
let vm: SandboxVm;
before(async () => {
	vm = await spawnSandbox(options({ rootfs: small, mounts: [mount("/workspace", fs.memory({ files: { f: "f\n" } }))] }));
});
after(async () => {
	await vm.close();
});

const sh = (script: string, timeoutMs?: number): Promise<ExecResult> => within(vm.exec("sh", ["-c", script], timeoutMs === undefined ? {} : { timeoutMs }), 4 * PATIENCE_MS);
const alive = async (): Promise<void> => assert.equal((await sh("echo alive")).stdout, "alive\n");

test("a fork bomb ends with its time, all of it, and others go on meanwhile", async () => {
	const bomb = sh("b() { b | b & }; b; while :; do :; done", 3000);
	await alive();
	const result = await bomb;
	assert.equal(result.timedOut, true);
	assert.equal((await sh("pgrep -f 'b [|] b'")).stdout, ""); // the pattern is not what it matches
});

test("processes without number that outlive their parent end with the exec", async () => {
	await sh("i=0; while [ $i -lt 200 ]; do (setsid sleep 4321 &); i=$((i + 1)); done", 60_000);
	assert.equal((await sh("pgrep -f 'sleep 4321'")).stdout, "");
});

test("a full disk is ENOSPC, and the space is there again when files go", async () => {
	const full = await sh("dd if=/dev/zero of=/root/large bs=1M count=64");
	assert.notEqual(full.exitCode, 0);
	assert.match(full.stderr, /No space left on device/);
	assert.match((await sh("echo x >/etc/x && cat /etc/x")).stderr, /No space left on device/);
	assert.equal((await sh("rm /root/large && echo x >/etc/x && cat /etc/x")).stdout, "x\n");
	await assert.rejects(vm.fs.writeFile("/root/f", Buffer.alloc(16 << 20)), isError("ENOSPC"));
	await alive();
});

test("what one VM writes, another with the same lower layer does not see, nor does the image keep it", async () => {
	const write = "echo mine >/etc/mine; echo changed >/etc/passwd; rm /etc/group; cat /etc/passwd";
	{
		await using other = await spawnSandbox(options({ rootfs: small }));
		assert.equal((await other.exec("sh", ["-c", write])).stdout, "changed\n");
		assert.match((await sh("ls /etc/mine /etc/group; head -n 1 /etc/passwd")).stdout, /^\/etc\/group\nroot:/);
	}
	await using later = await spawnSandbox(options({ rootfs: small }));
	assert.match((await later.exec("sh", ["-c", "ls /etc/mine /etc/group; head -n 1 /etc/passwd"])).stdout, /^\/etc\/group\nroot:/);
});

test("a guest that is out of memory says who was killed, and the rest of it goes on", async () => {
	const result = await sh("x=x; while :; do x=$x$x; done");
	assert.ok(result.oomKills > 0 && result.exitCode !== 0);
	await alive();
});

test("mounts lie in earlier ones, and hide what is below", async () => {
	const outer = new MapFs({ "/file": "outer\n" });
	outer.nodes.set("/inner", { type: "directory" });
	const inner = new MapFs({ "/file": "inner\n" });
	const hidden = new MapFs({ "/file": "hidden\n" });
	const over = new MapFs({ "/file": "over\n" });
	await using own = await spawnSandbox(
		options({ mounts: [mount("/mnt", outer), mount("/mnt/inner", inner), mount("/var/log", hidden), mount("/var", over), mount("/tmp", new MapFs())] }),
	);
	const { stdout } = await own.exec("sh", ["-c", "cat /mnt/file /mnt/inner/file /var/file; ls /var /var/log /tmp; echo new >/mnt/inner/new"]);
	assert.match(stdout, /^outer\ninner\nover\n/);
	assert.doesNotMatch(stdout, /hidden|log\n/);
	assert.equal(inner.text("/new"), "new\n");
	assert.equal(outer.nodes.has("/inner/new"), false);
	assert.equal((await own.mounts.host("/var/log").read({ path: "file" })).content, "hidden\n"); // the host's tools see each for itself
	await assert.rejects(within(spawnSandbox(options({ mounts: [mount("/mnt/inner", inner), mount("/mnt", outer)] }))), isError("ERR_SANDBOX_LAUNCH", /\/mnt\/inner/)); // the order counts
});

test("rename: replaces, moves trees, refuses what cannot be, and is one call", async () => {
	const tree = new MapFs({ "/a": "a\n", "/b": "b\n" });
	for (const path of ["/d", "/d/e", "/full"]) tree.nodes.set(path, { type: "directory" });
	tree.nodes.set("/d/e/f", { type: "file", data: Buffer.from("f\n") });
	tree.nodes.set("/full/x", { type: "file", data: Buffer.from("x\n") });
	await using own = await spawnSandbox(options({ mounts: [mount("/mnt", tree)] }));
	// b is open when a takes its place.
	const { stdout, stderr } = await own.exec("sh", [
		"-c",
		"cd /mnt; exec 3<b; mv a b; cat b; cat <&3; mv d moved; cat moved/e/f; mv -T moved full; mv none x; mv moved moved/e; mv b full; cat full/b; mv -n full/x b; ls",
	]);
	assert.equal(stdout, "a\nb\nf\na\nb\nfull\nmoved\n");
	assert.match(stderr, /none/);
	assert.match(stderr, /not empty|exists|directory/i);
	assert.ok(tree.log.includes("rename /d /moved 0"));
	assert.equal(tree.text("/moved/e/f"), "f\n");
});

/** Answers that make no sense, one operation at a time. */
const nonsense: Readonly<Record<string, Partial<Record<keyof SandboxPosixFileSystem, () => unknown>>>> = {
	"write gives more than there was": { write: () => Promise.resolve(1e9) },
	"write gives a negative number": { write: () => Promise.resolve(-5) },
	"write gives a fraction": { write: () => Promise.resolve(0.5) },
	"write gives text": { write: () => Promise.resolve("5") },
	"write gives nothing": { write: () => undefined },
	"write throws a number": {
		write: () => {
			throw 5;
		},
	},
	"write throws null": {
		write: () => {
			throw null;
		},
	},
	"write throws what cannot be looked at": {
		write: () => {
			const throwing = (): never => {
				throw new Error("looked at");
			};
			throw new Proxy({}, { get: throwing, getPrototypeOf: throwing, has: throwing });
		},
	},
	"write rejects with a proxy that was revoked": {
		write: () => {
			const { proxy, revoke } = Proxy.revocable({}, {});
			revoke();
			return Promise.reject(proxy as unknown as Error);
		},
	},
	"write rejects with a frozen object": { write: () => Promise.reject(Object.freeze({})) },
	"an error with a getter that throws": {
		write: () => {
			throw Object.defineProperty(new Error("x"), "code", {
				get: () => {
					throw new Error("code");
				},
			});
		},
	},
	"a thenable that calls back twice": { write: () => ({ then: (resolve: (n: number) => void) => (resolve(2), resolve(3)) }) },
};

test("callbacks that throw or give nonsense are an error of that one call", async () => {
	const points = new MapFs();
	const mounts = Object.values(nonsense).map((wrong, i) => {
		points.nodes.set(`/${i}`, { type: "directory" });
		return mount(`/mnt/${i}`, Object.assign(new MapFs({ "/f": "old\n" }), wrong));
	});
	await using own = await spawnSandbox(options({ mounts: [mount("/mnt", points), ...mounts] }));
	for (const [i, what] of Object.keys(nonsense).entries()) {
		const { stdout, stderr } = await own.exec("sh", ["-c", `echo x >/mnt/${i}/f; cat /mnt/${i}/f >/dev/null; echo on`]);
		assert.equal(stdout, "on\n", what);
		if (!what.startsWith("a thenable")) assert.match(stderr, /error/i, what);
		await assert.rejects(own.mounts.host(`/mnt/${i}`).write({ path: "g", content: "x" }), Error, what);
	}
	assert.equal((await own.exec("echo", ["alive"])).stdout, "alive\n");
});

test("readlink, list and create with answers that make no sense", async () => {
	const link: SandboxFileStat = { type: "symlink", sizeBytes: 3, mediaType: null, modifiedAtMs: null };
	const directory: SandboxFileStat = { type: "directory", sizeBytes: null, mediaType: null, modifiedAtMs: null };
	let looks = 0;
	const shifty = { type: "file", get name() { return looks++ % 2 === 0 ? "fine" : 5; } }; // another at each look
	const answers: readonly unknown[] = [[{ name: "a\0b", type: "file" }], [shifty], 5, null, undefined, "", "a\0b", "x".repeat(5000), {}, []];
	let turn = 0;
	const fs = {
		stat: async (path: string) => (path === "/" ? directory : path.startsWith("/l") ? link : Promise.reject(Object.assign(new Error("no"), { code: "ENOENT" }))),
		list: async () => answers[turn++ % answers.length],
		read: async () => new Uint8Array(),
		readlink: async (path: string) => answers[Number(path.slice(2)) % answers.length],
		createFile: async () => answers[turn++ % answers.length],
		write: async () => 0,
		truncate: async () => {},
		symlink: async () => {},
		mkdir: async () => ({ type: "file" }),
	} as unknown as SandboxWritableFileSystem;
	await using own = await spawnSandbox(options({ mounts: [mount("/mnt", fs)] }));
	const { stdout } = await own.exec("sh", ["-c", "cd /mnt; for i in 0 1 2 3 4 5 6 7 8 9; do readlink l$i; ls >/dev/null; true >new$i; mkdir dir$i; done; echo on"]);
	assert.equal(stdout, "on\n");
});

test("every call to a closed VM is an error that says so", async () => {
	const own = await spawnSandbox(options({ mounts: [mount("/mnt", new MapFs())], network: { outbound: { policy: "deny", rules: [acceptPublicInternet()] } } }));
	const host = own.mounts.host("/mnt");
	await own.close();
	const closed = isError("ERR_SANDBOX_CLOSED", "sandbox is closed");
	const calls: readonly (() => unknown)[] = [
		() => own.exec("true"),
		() => own.control.exec({ argv: ["true"] }),
		() => own.control.send({ type: "guest.exec", id: "x", argv: ["true"] }),
		() => own.spawn("true"),
		() => own.pty("sh"),
		() => own.fs.readFile("/etc/passwd"),
		() => own.fs.writeFile("/tmp/x", "x"),
		() => own.fs.readDir("/"),
		() => own.fs.stat("/"),
		() => own.fs.mkdir("/tmp/x"),
		() => own.fs.remove("/tmp/x"),
		() => own.fs.rename("/tmp/x", "/tmp/y"),
		() => own.fs.copyIn("/etc/hostname", "/tmp"),
		() => own.fs.copyOut("/etc/passwd", "/no/such/dir/x"),
		() => host.read({ path: "x" }),
		() => host.write({ path: "x", content: "" }),
		() => host.patch({ path: "x", edits: [] }),
		() => host.bash({ command: "cat x" }),
		() => own.network.setRules([]),
		() => own.network.publish({ guestPort: 80 }),
	];
	for (const call of calls) await assert.rejects(async () => await call(), closed, String(call));
	assert.throws(() => own.diagnostics.terminateHostForTest(), closed);
	await own.close();
	await own[Symbol.asyncDispose]();
});

test("options and builders are read once: changing them later changes nothing, and a builder is for one VM", async () => {
	const tree = new MapFs({ "/f": "first\n" });
	const mounts = [mount("/mnt", tree)];
	let looks = 0;
	const memory = { get mib() { return looks++ === 0 ? 256 : -1; } }; // another at the next look
	const changing = { ...options({ mounts, memory }), cpu: { vcpus: 1 } };
	const sandbox = createSandbox(changing);
	changing.cpu.vcpus = 0;
	const [mounted] = mounts.splice(0);
	const running = sandbox.run();
	await assert.rejects(sandbox.run(), isError("ERR_SANDBOX_ALREADY_RUN"));
	await using own = await running;
	assert.equal(looks, 1);
	assert.equal((await own.exec("cat", ["/mnt/f"])).stdout, "first\n");
	assert.equal(own.mounts.virtualFs("/mnt"), tree);
	assert.equal(own.mounts.get("/mnt"), mounted);
	await sandbox[Symbol.asyncDispose]();
	await assert.rejects(own.exec("true"), isError("ERR_SANDBOX_CLOSED"));
	await assert.rejects(sandbox.run(), isError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
});

test("arguments of any type are a typed error or work", async (t) => {
	const host = vm.mounts.host("/workspace");
	const closed = createSandbox(options());
	await closed[Symbol.asyncDispose]();
	const hooked = createSandbox(options({ network: { outbound: { policy: "deny", rules: [] } } }));
	const scratch = await mkdtemp(join(tmpdir(), "sandbox-test-"));
	t.after(() => rm(scratch, { recursive: true }));
	const calls: readonly ((value: never) => unknown)[] = [
		(v) => vm.exec(v),
		(v) => vm.exec("true", v),
		(v) => vm.exec("true", [], v),
		(v) => vm.exec("true", [], { cwd: v }),
		(v) => vm.exec("true", [], { user: v }),
		(v) => vm.exec("true", [], { env: v }),
		(v) => vm.exec("true", [], { env: { A: v } }),
		(v) => vm.exec("true", [], { timeoutMs: v }),
		(v) => vm.exec("true", [], { signal: v }),
		(v) => vm.exec("true", [], { stdin: v }),
		(v) => vm.exec("true", [], { maxOutputBytes: v }),
		(v) => vm.control.exec(v),
		(v) => vm.control.exec({ id: v, argv: ["true"] }),
		(v) => vm.control.send(v),
		(v) => vm.control.send({ type: "guest.exec", id: v, argv: ["true"] }),
		(v) => vm.spawn("true", [], v).exited,
		(v) => vm.spawn("true", [], { stdin: v }).exited,
		(v) => vm.spawn("true", [], { signal: v }).exited,
		(v) => vm.spawn("cat").stdin.getWriter().write(v),
		(v) => vm.spawn("true").kill(v),
		(v) => vm.pty("true", [], v).exited,
		(v) => vm.pty("true", [], { rows: v }).exited,
		(v) => vm.pty("true").resize(v, v),
		(v) => vm.fs.readFile(v),
		(v) => vm.fs.readFile("/etc/passwd", v),
		(v) => vm.fs.readFile("/etc/passwd", "utf8", v),
		(v) => vm.fs.readFile("/etc/passwd", { maxBytes: v }),
		(v) => vm.fs.writeFile("/tmp/t", v),
		(v) => vm.fs.writeFile("/tmp/t", "", v),
		(v) => vm.fs.writeFile("/tmp/t", "", { mode: v }),
		(v) => vm.fs.readDir("/", v),
		(v) => vm.fs.mkdir("/tmp/m", v),
		(v) => vm.fs.mkdir("/tmp/m", { mode: v }),
		(v) => vm.fs.stat("/", v),
		(v) => vm.fs.stat("/", { signal: v }),
		(v) => vm.fs.stat("/", { user: v }),
		(v) => vm.fs.stat("/", { timeoutMs: v }),
		(v) => vm.fs.remove("/tmp/none", v),
		(v) => vm.fs.rename("/tmp/t", v),
		(v) => vm.fs.rename("/tmp/t", "/tmp/t", v),
		(v) => vm.fs.copyIn(v, "/tmp"),
		(v) => vm.fs.copyIn(scratch, "/tmp", v),
		(v) => vm.fs.copyIn(scratch, "/tmp", { owner: v }),
		(v) => vm.fs.copyOut(v, join(scratch, "x")),
		(v) => vm.fs.copyOut("/etc/passwd", join(scratch, "x"), v),
		(v) => vm.fs.copyOut("/etc/passwd", join(scratch, "x"), { maxBytes: v }),
		(v) => vm.network.setRules(v),
		(v) => vm.network.setRules([v]),
		(v) => vm.network.setRules([], v),
		(v) => vm.network.publish(v),
		(v) => vm.network.publish({ guestPort: v }),
		(v) => vm.network.publish({ guestPort: 80, address: v }),
		(v) => vm.network.publish({ guestPort: 80, protocol: v }),
		(v) => vm.network.publish({ guestPort: 80, signal: v }),
		(v) => vm.mounts.get(v),
		(v) => vm.mounts.virtualFs(v),
		(v) => vm.mounts.host(v),
		(v) => vm.mounts.changed(v),
		(v) => vm.mounts.changed("/workspace", v),
		(v) => host.read(v),
		(v) => host.read({ path: v }),
		(v) => host.read({ path: "f", offset: v }),
		(v) => host.read({ path: "f", limit: v }),
		(v) => host.read({ path: "f", signal: v }),
		(v) => host.write(v),
		(v) => host.write({ path: "f", content: v }),
		(v) => host.patch(v),
		(v) => host.patch({ path: "f", edits: v }),
		(v) => host.patch({ path: "f", edits: [v] }),
		(v) => host.bash(v),
		(v) => host.bash({ command: v }),
		(v) => host.bash({ command: "true", timeoutMs: v }),
		(v) => host.bash({ command: "true", signal: v }),
		(v) => vm.on(v, () => {}),
		(v) => vm.on("exit", v),
		(v) => closed.run(v),
		(v) => closed.run({ signal: v }),
		(v) => closed.http.onRequest(v, () => {}),
		(v) => hooked.http.onRequest({ origin: v }, () => {}),
		(v) => hooked.http.onRequest({ origin: "https://x" }, v),
	];
	for (const call of calls) await typedOrWorks(call);
	await alive();
});
