// SPDX-License-Identifier: MIT OR Apache-2.0
/** File systems of this program in a real guest, and the host's tools on them. */
import assert from "node:assert/strict";
import {
	type SandboxAnyFileSystem,
	type SandboxFileStat,
	type SandboxFileSystem,
	type SandboxMount,
	type SandboxVm,
	type SandboxWritableFileSystem,
	binding,
	mount,
	spawnSandbox,
	virtualFsMount,
} from "@torkbot/sandbox";
import { after, before, test } from "node:test";

import { isError, options, within } from "./helper.js";
import { MapFs, failure } from "./memory.js";

const directory: SandboxFileStat = { type: "directory", sizeBytes: null, mediaType: null, modifiedAtMs: null };
const file = (sizeBytes: number | null, more: Partial<SandboxFileStat> = {}): SandboxFileStat => ({ type: "file", sizeBytes, mediaType: null, modifiedAtMs: null, ...more });

/** The seed's file system: words as errors, a read that knows no ranges. */
const status: SandboxFileSystem = {
	async stat(path) {
		if (path === "/") return directory;
		if (path === "/status.json") return file(14);
		throw new Error(`missing path ${path}`);
	},
	async list(path) {
		if (path !== "/") throw new Error(`missing directory ${path}`);
		return [{ name: "status.json", type: "file" }];
	},
	async read(input) {
		if (input.path !== "/status.json") throw new Error(`unknown virtual file: ${input.path}`);
		return Buffer.from(JSON.stringify({ ready: true }));
	},
};

/** Everything about it is wrong in some way. */
const oddities: Readonly<Record<string, () => SandboxFileStat>> = {
	"/unknown-size": () => file(null),
	"/negative": () => file(-1),
	"/fraction": () => file(1.5),
	"/nothing": () => undefined as unknown as SandboxFileStat,
	"/type": () => ({ ...file(1), type: "socket" as "file" }),
	"/access": () => {
		throw failure("EACCES");
	},
	"/space": () => {
		throw failure("ENOSPC");
	},
	"/odd-code": () => {
		throw failure("EWHATEVER");
	},
	"/string": () => {
		throw "no error at all";
	},
	"/long": () => file(4),
	"/words": () => file(4),
	"/throws": () => file(4),
	"/hangs": () => file(4),
	"/readonly": () => file(0, { writable: false }),
};
const aborted: string[] = [];
const odd: SandboxFileSystem = {
	async stat(path) {
		const answer = oddities[path];
		if (path === "/" || path === "/bad-list" || path === "/bad-names") return directory;
		if (!answer) throw new Error("not found");
		return answer();
	},
	async list(path) {
		if (path === "/bad-list") return "nonsense" as unknown as [];
		if (path === "/bad-names") return [{ name: "a/b", type: "file" }];
		return Object.keys(oddities).map((name) => ({ name: name.slice(1), type: "file" }));
	},
	read({ path, signal }) {
		if (path === "/long") return Promise.resolve(new Uint8Array(1 << 20));
		if (path === "/words") return Promise.resolve("text" as unknown as Uint8Array);
		if (path === "/throws") throw new Error("at once, not as a promise");
		return new Promise((_, reject) => signal.addEventListener("abort", () => {
			aborted.push(path);
			reject(signal.reason as Error);
		}));
	},
};

const posix = new MapFs({ "/hello.txt": "hello\n" });
const tree = new MapFs({ "/notes.md": "one\ntwo\nthree\nfour\n", "/twice.txt": "same same\n", "/dir": "" });
const plain = new MapFs();
const writeOnly: SandboxWritableFileSystem = {
	stat: (path) => plain.stat(path),
	list: (path) => plain.list(path),
	read: (input) => plain.read(input),
	createFile: (path) => plain.createFile(path),
	write: (input) => plain.write(input),
	truncate: (path, size) => plain.truncate(path, size),
};

let vm: SandboxVm;
const sh = async (script: string): Promise<string> => {
	const { stdout, stderr, exitCode } = await within(vm.control.exec({ argv: ["sh", "-c", script] }));
	return `${stdout}${stderr}${exitCode === 0 ? "" : `exit ${exitCode}\n`}`;
};

/** The mount points that the suite uses lie in this one. */
const points = new MapFs();
for (const name of ["status", "odd", "posix", "write-only", "same"]) points.nodes.set(`/${name}`, { type: "directory" });
const at = (name: string, fs: SandboxAnyFileSystem): SandboxMount => mount(`/mnt/${name}`, fs);

before(async () => {
	vm = await spawnSandbox(
		options({
			mounts: [mount("/mnt", points), at("status", status), at("odd", odd), at("posix", posix), at("write-only/", writeOnly), virtualFsMount("/mnt/same", posix)],
			bindings: [binding("/tree", tree), binding("/write-only", writeOnly)],
		}),
	);
});
after(async () => {
	await vm.close();
});

test("the guest reads files of this program", async () => {
	assert.equal(await sh("cat /mnt/status/status.json; ls -1 /mnt/status; stat -c '%F %s' /mnt/status/status.json"), '{"ready":true}status.json\nregular file 14\n');
});

test("a missing path is ENOENT, writing to what cannot be written is EROFS", async () => {
	assert.match(await sh("cat /mnt/status/no"), /No such file or directory\nexit 1/);
	assert.match(await sh("echo x >/mnt/status/new"), /Read-only file system/);
	assert.match(await sh("mkdir /mnt/status/dir"), /Read-only file system/);
});

test("errors of this program are the guest's", async () => {
	const words = async (path: string): Promise<string> => await sh(`cat /mnt/odd${path} 2>&1 | sed 's/.*: //'`);
	assert.equal(await words("/access"), "Permission denied\n");
	assert.equal(await words("/space"), "No space left on device\n");
	assert.equal(await words("/gone"), "No such file or directory\n");
	assert.equal(await words("/odd-code"), "No such file or directory\n"); // an error of a lookup
	for (const path of ["/unknown-size", "/negative", "/fraction", "/nothing", "/type", "/string", "/long", "/words", "/throws"]) {
		assert.equal(await words(path), "Input/output error\n", path);
	}
	for (const path of ["bad-list", "bad-names"]) { // busybox's ls says nothing about it
		assert.notEqual((await vm.mounts.host("/mnt/odd").bash({ command: `ls ${path}` })).exitCode, 0);
	}
	assert.equal(await sh("stat -c %a /mnt/odd/readonly /mnt/posix/hello.txt /mnt/posix"), "444\n644\n755\n");
});

test("a read that nobody waits for any more is aborted", async () => {
	assert.equal((await within(vm.control.exec({ argv: ["cat", "/mnt/odd/hangs"], timeoutMs: 100 }))).exitCode, 124);
	await within(
		(async () => {
			while (!aborted.includes("/hangs")) await new Promise((resolve) => setImmediate(resolve));
		})(),
	);
});

test("everything that a program may do with a tree", async () => {
	assert.equal(
		await sh(`cd /mnt/posix && mkdir -p a/b && echo one >a/b/f && echo two >>a/b/f && mv a/b/f a/g && ln -s g a/link && cat a/link && readlink a/link &&
			dd if=/dev/zero of=a/g bs=1 count=1 conv=notrunc 2>/dev/null && truncate -s 3 a/g && wc -c <a/g && rmdir a/b && rm a/link && ls a && touch n && mv n 'ä €' && echo *`),
		"one\ntwo\ng\n3\ng\na hello.txt ä €\n",
	);
	assert.equal(posix.text("/a/g"), "\0ne");
	assert.match(await sh("rmdir /mnt/posix/a"), /Directory not empty/);
	assert.equal(await sh("cat /mnt/same/hello.txt; rm -r /mnt/posix/a '/mnt/posix/ä €'; ls /mnt/posix"), "hello\nhello.txt\n");
});

test("names that are not UTF-8 are refused, and the VM goes on", async () => {
	assert.match(await sh(`touch "$(printf '/mnt/posix/\\377')"`), /exit 1/);
	assert.equal(await sh("cat /mnt/posix/hello.txt"), "hello\n");
});

test("large files come in ranges", async () => {
	const data = Buffer.alloc(3 << 20);
	for (let i = 0; i < data.length; i++) data[i] = (i * 7) >> 3;
	posix.nodes.set("/large", { type: "file", data });
	const { createHash } = await import("node:crypto");
	assert.equal(await sh("sha256sum </mnt/posix/large"), `${createHash("sha256").update(data).digest("hex")}  -\n`);
	assert.ok(posix.log.some((line) => /^read \/large [1-9]/.test(line)));
	assert.equal(await sh("tail -c 5 /mnt/posix/large | od -An -tx1"), ` ${[...data.subarray(-5)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}\n`);
	posix.nodes.delete("/large");
});

test("files that can only be written: no directories, no removal", async () => {
	assert.equal(await sh("cd /mnt/write-only && echo data >f && cat f && echo more >>f && wc -c <f"), "data\n10\n");
	assert.match(await sh("mkdir /mnt/write-only/d"), /exit 1/);
	assert.match(await sh("rm /mnt/write-only/f"), /exit 1/);
	assert.equal(plain.text("/f"), "data\nmore\n");
});

test("mounts keep the object, paths are compared without slashes at their end", () => {
	assert.equal(vm.mounts.virtualFs("/mnt/status"), status);
	assert.equal(vm.mounts.virtualFs("/mnt/write-only"), writeOnly);
	assert.equal(vm.mounts.get("/tree/").fs, tree);
	assert.throws(() => vm.mounts.get("/none"), isError("ERR_SANDBOX_MOUNT", "sandbox mount not found: /none"));
	assert.throws(() => vm.mounts.virtualFs("/tree"), isError("ERR_SANDBOX_MOUNT", "virtualFs mount not found: /tree"));
	assert.throws(() => vm.mounts.host("/none"), isError("ERR_SANDBOX_MOUNT", "host filesystem tools not found: /none"));
});

test("read: lines from an offset, with a limit", async () => {
	const host = vm.mounts.host("/tree");
	assert.deepEqual(await host.read({ path: "notes.md" }), { path: "notes.md", content: "one\ntwo\nthree\nfour\n", totalLines: 4, truncated: false });
	assert.deepEqual(await host.read({ path: "/notes.md", offset: 2, limit: 2 }), { path: "/notes.md", content: "two\nthree\n", totalLines: 4, truncated: true });
	await assert.rejects(host.read({ path: "none" }), isError("ENOENT"));
	await assert.rejects(host.read({ path: "../etc/passwd" }), isError("EXDEV"));
	await assert.rejects(host.read({ path: "notes.md", offset: 0 }), isError("EINVAL", /offset/));
	await assert.rejects(host.read({ path: 5 as unknown as string }), isError("EINVAL", "path must be a string"));
	await assert.rejects(host.read({ path: "notes.md", signal: AbortSignal.abort(new Error("no")) }), /no/);
});

test("read: 2000 lines unless another number is asked for", async () => {
	tree.nodes.set("/long", { type: "file", data: Buffer.from(Array.from({ length: 2500 }, (_, i) => `${i + 1}\n`).join("")) });
	const host = vm.mounts.host("/tree");
	const first = await host.read({ path: "long" });
	assert.deepEqual([first.content.split("\n").length - 1, first.totalLines, first.truncated], [2000, 2500, true]);
	const all = await host.read({ path: "long", limit: 3000 });
	assert.deepEqual([all.content.split("\n").length - 1, all.truncated], [2500, false]);
	assert.equal((await host.read({ path: "long", offset: 2001 })).truncated, false);
	tree.nodes.delete("/long");
});

test("a tool whose file system does not answer is given up by its signal", async () => {
	const host = vm.mounts.host("/mnt/odd");
	const reason = new Error("enough");
	const controller = new AbortController();
	const reading = assert.rejects(within(host.read({ path: "hangs", signal: controller.signal })), reason);
	await assert.rejects(within(host.bash({ command: "cat hangs", timeoutMs: 50 })).then(({ exitCode }) => Promise.reject(new Error(String(exitCode)))), /124/);
	controller.abort(reason);
	await reading;
});

test("write and patch: exact and unique, or nothing", async () => {
	const host = vm.mounts.host("/tree");
	await host.write({ path: "plan.md", content: "# Plan\n\nStart here.\n" });
	await host.patch({ path: "plan.md", edits: [{ oldText: "Start here.", newText: "Ship the narrow slice." }, { oldText: "narrow", newText: "wide" }] });
	assert.equal(tree.text("/plan.md"), "# Plan\n\nShip the wide slice.\n");
	await assert.rejects(host.patch({ path: "plan.md", edits: [{ oldText: "Plan", newText: "X" }, { oldText: "absent", newText: "" }] }), isError("ENODATA", "oldText not found in plan.md"));
	await assert.rejects(host.patch({ path: "twice.txt", edits: [{ oldText: "same", newText: "other" }] }), isError("ENOTUNIQ", "oldText is not unique in twice.txt"));
	assert.equal(tree.text("/plan.md"), "# Plan\n\nShip the wide slice.\n");
	await assert.rejects(host.patch({ path: "plan.md", edits: "x" as unknown as [] }), isError("EINVAL", "edits must be an array"));
	await assert.rejects(host.write({ path: "a", content: 5 as unknown as string }), isError("EINVAL", /content/));
	await assert.rejects(vm.mounts.host("/mnt/status").write({ path: "new", content: "x" }), isError("EROFS"));
});

test("a file system without rename is patched in its place", async () => {
	const host = vm.mounts.host("/write-only");
	await host.write({ path: "g", content: "before\n" });
	await host.patch({ path: "g", edits: [{ oldText: "before", newText: "after" }] });
	assert.equal(plain.text("/g"), "after\n");
});

test("host and guest see the same files", async () => {
	await vm.mounts.host("/mnt/posix").write({ path: "shared.txt", content: "from the host\n" });
	assert.equal(await sh("cat /mnt/posix/shared.txt; echo from the guest >/mnt/posix/shared.txt"), "from the host\n");
	assert.equal((await vm.mounts.host("/mnt/posix").read({ path: "shared.txt" })).content, "from the guest\n");
});

test("bash: a shell over the files, and over nothing else", async () => {
	const host = vm.mounts.host("/tree");
	const bash = async (command: string): Promise<string> => {
		const { stdout, stderr, exitCode } = await within(host.bash({ command }));
		return `${stdout}${stderr}${exitCode === 0 ? "" : `exit ${exitCode}\n`}`;
	};
	assert.equal(await bash('grep "two" notes.md'), "two\n");
	assert.equal(await bash("pwd; cat /tree/notes.md | head -n 1"), "/tree\none\n");
	assert.equal(await bash("mkdir -p d/e && cp notes.md d/e/copy && mv d/e/copy d/moved && ln -s moved d/link && cat d/link | wc -l && readlink d/link && ls d"), "4\nmoved\ne\nlink\nmoved\n");
	assert.equal(await bash("cp -r d d2 && rm -r d && ls d2 && rm -rf d2 none && ls"), "e\nlink\nmoved\ndir\nnotes.md\nplan.md\ntwice.txt\n");
	assert.equal(await bash("echo more >>plan.md; tail -n 1 plan.md; for f in *.md; do echo $f; done"), "more\nnotes.md\nplan.md\n");
	assert.equal(await bash("touch notes.md && ls -1 notes.md"), "notes.md\n"); // whose time is its owner's affair
	assert.match(await bash("cat none"), /No such file/);
	assert.match(await bash("cat /etc/passwd"), /No such file/);
	assert.match(await bash("exit 3"), /exit 3/);
	assert.equal(tree.nodes.has("/d"), false);
});

test("bash: a time limit and an abort", async () => {
	const host = vm.mounts.host("/tree");
	assert.equal((await within(host.bash({ command: "sleep 100", timeoutMs: 100 }))).exitCode, 124);
	const controller = new AbortController();
	const running = host.bash({ command: "sleep 100", signal: controller.signal });
	controller.abort(new Error("enough"));
	await assert.rejects(within(running), /enough/);
});

test("many tools at once", async () => {
	const host = vm.mounts.host("/tree");
	const results = await within(Promise.all(Array.from({ length: 300 }, () => host.read({ path: "notes.md" }))));
	assert.ok(results.every((result) => result.totalLines === 4));
});

test("a mount point that does not exist fails the launch, and is named", async () => {
	await assert.rejects(within(spawnSandbox(options({ mounts: [mount("/no/such/place", status)] }))), isError("ERR_SANDBOX_LAUNCH", /\/no\/such\/place/));
});

test("later mounts shadow earlier ones", async () => {
	await using own = await spawnSandbox(options({ mounts: [mount("/mnt", new MapFs({ "/a": "outer\n" })), mount("/srv", new MapFs()), virtualFsMount("/tmp", new MapFs({ "/b": "b\n" }))] }));
	assert.equal((await own.control.exec({ argv: ["sh", "-c", "cat /mnt/a /tmp/b; ls /srv"] })).stdout, "outer\nb\n");
});

test("close while callbacks hang: calls are aborted, and it takes less than a second", async () => {
	let asked = (): void => {};
	const reading = new Promise<void>((resolve) => {
		asked = resolve;
	});
	const signals: AbortSignal[] = [];
	const hanging: SandboxFileSystem = {
		stat: async (path) => (path === "/" ? directory : file(10)),
		list: async () => [],
		read: ({ signal }) => {
			signals.push(signal);
			asked();
			return new Promise(() => {});
		},
	};
	const own = await spawnSandbox(options({ mounts: [mount("/mnt", hanging)] }));
	const ended = assert.rejects(own.control.exec({ argv: ["cat", "/mnt/x"] }), isError("ERR_SANDBOX_CLOSED"));
	const tool = assert.rejects(own.mounts.host("/mnt").read({ path: "x" }), isError("ERR_SANDBOX_CLOSED"));
	await within(reading);
	const start = performance.now();
	await own.close();
	assert.ok(performance.now() - start < 1000, `${performance.now() - start} ms`);
	await Promise.all([ended, tool]);
	assert.ok(signals.length > 0 && signals.every((signal) => signal.aborted));
	await assert.rejects(own.mounts.host("/mnt").read({ path: "x" }), isError("ERR_SANDBOX_CLOSED"));
});
