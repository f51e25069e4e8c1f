// SPDX-License-Identifier: MIT OR Apache-2.0
/** What programs in the guest rely on, whoever started them: sizes, the root, the network's shape, and how what is denied looks. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { type SandboxVm, acceptUdp, binding, fs, linuxOverlayFs, mount, prebuiltRootfs, projectInit, projectKernel, scratchFs, spawnSandbox } from "@torkbot/sandbox";

import { image, isError, options, within, writable } from "./helper.js";
import { nodeImage } from "./image.js";
import { MapFs } from "./memory.js";

const directory = mkdtempSync(join(tmpdir(), "sandbox-guest-"));
const server = createSocket("udp4");
let vm: SandboxVm;
let port = 0;

before(async () => {
	server.on("message", (message, from) => server.send(`heard ${message.toString()}`, from.port, from.address));
	server.bind(0, "127.0.0.1");
	await once(server, "listening");
	({ port } = server.address());
	const rootfs = prebuiltRootfs(nodeImage(directory), { format: "erofs" });
	vm = await spawnSandbox(options({ rootfs, memory: { mib: 512 }, network: { outbound: { policy: "deny", rules: [acceptUdp({ cidr: "127.0.0.1/32", ports: [port] })] } } }));
});
after(async () => {
	await vm.close();
	server.close();
	rmSync(directory, { recursive: true });
});

const shIn = async (which: SandboxVm, script: string): Promise<string> => {
	const { stdout, stderr } = await within(which.exec("sh", ["-c", script]));
	return stdout + stderr;
};
const kib = (text: string): number => Number(/(\d+)/.exec(text)?.[1]);
/** Node.js in the guest. */
const node = async (program: string): Promise<string> => {
	const { stdout, stderr } = await within(vm.exec("node", ["-e", program]), 120_000);
	return stdout + stderr;
};

test("what is left out: one CPU, 512 MiB, a name, no interface, half of the memory for what is written", async () => {
	const rootfs = linuxOverlayFs({ lower: prebuiltRootfs(image(), { format: "erofs" }), upper: scratchFs() });
	await using plain = await spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs, engine: options().engine ?? "auto" });
	assert.equal(await shIn(plain, "nproc; hostname; ls /sys/class/net"), "1\nsandbox\nlo\n");
	const memory = kib(await shIn(plain, "grep MemTotal /proc/meminfo"));
	assert.ok(memory > 480 << 10 && memory < 512 << 10, String(memory));
	const scratch = kib((await shIn(plain, "df -k / | tail -n 1")).replace(/^\S+/, ""));
	assert.ok(Math.abs(scratch - memory / 2) < 1024, `${scratch} of ${memory}`);
});

test("what is asked for: CPUs, memory and a name", async () => {
	await using large = await spawnSandbox(options({ cpu: { vcpus: 2 }, memory: { mib: 300 }, name: "build-7" }));
	assert.equal(await shIn(large, "nproc; hostname"), "2\nbuild-7\n");
	const memory = kib(await shIn(large, "grep MemTotal /proc/meminfo"));
	assert.ok(memory > 270 << 10 && memory < 300 << 10, String(memory));
});

test("eth0 is 10.0.2.2/24; the gateway, 10.0.2.1, is the resolver", async () => {
	await using own = await spawnSandbox(options({ network: { outbound: { policy: "deny", rules: [] } } }));
	assert.equal(await shIn(own, "ls /sys/class/net; cat /etc/resolv.conf | grep nameserver"), "eth0\nlo\nnameserver 10.0.2.1\n");
	assert.match(await shIn(own, "ip -4 -o addr show eth0"), / inet 10\.0\.2\.2\/24 /);
	assert.match(await shIn(own, "ip route"), /^default via 10\.0\.2\.1 dev eth0/);
});

test("what is denied is told: plain HTTP by a 403, TCP by a reset, UDP by ICMP", async () => {
	const answer = await node(`require("node:http").get("http://192.0.2.1/", (r) => { let t = ""; r.on("data", (d) => (t += d)).on("end", () => console.log(r.statusCode, r.statusMessage, t)); })`);
	assert.equal(answer, "403 Forbidden outbound denied\n");
	assert.equal(await node(`require("node:net").connect(81, "192.0.2.1").on("error", (e) => console.log(e.code))`), "ECONNREFUSED\n");
	// Linux tells a program of ICMP's "administratively prohibited" so, at its next call.
	const denied = `const s = require("node:dgram").createSocket("udp4"); const say = (e) => { console.log(e.code); process.exit(); };
		s.on("error", say); s.connect(9, "192.0.2.1", () => setInterval(() => s.send("x", (e) => e && say(e)), 20))`;
	assert.equal(await node(denied), "EHOSTUNREACH\n");
});

test("datagrams that a rule admits are relayed", async () => {
	const program = `const s = require("node:dgram").createSocket("udp4"); s.on("message", (m) => { console.log(String(m)); s.close(); clearInterval(t); }); const t = setInterval(() => s.send("x", ${port}, "10.0.2.1"), 50)`;
	assert.equal(await node(program), "heard x\n");
});

test("/tmp is everybody's, the root is nobody's to write", async () => {
	assert.equal(await shIn(vm, "stat -c %a /tmp"), "1777\n");
	assert.match(await shIn(vm, "mkdir /new"), /Read-only file system/);
	await using own = await spawnSandbox(writable());
	assert.equal(await shIn(own, "stat -c %a /tmp; mkdir /new && ls -d /new"), "1777\n/new\n");
});

test("a binding is not there for the guest, a mount is", async () => {
	await using own = await spawnSandbox(options({ mounts: [mount("/mnt", fs.memory({ files: { m: "m\n" } }))], bindings: [binding("/srv", fs.memory({ files: { b: "b\n" } })), binding("/no/such/place", new MapFs({ "/c": "c\n" }))] }));
	assert.equal(await shIn(own, "cat /mnt/m; ls -A /srv"), "m\n");
	assert.match(await shIn(own, "ls /no"), /No such file/);
	assert.doesNotMatch(await shIn(own, "cat /proc/mounts"), /\/srv/);
	assert.equal((await own.mounts.host("/srv").read({ path: "b" })).content, "b\n");
	assert.equal((await own.mounts.host("/no/such/place").bash({ command: "cat c; pwd" })).stdout, "c\n/no/such/place\n");
	assert.throws(() => own.mounts.virtualFs("/srv"), isError("ERR_SANDBOX_MOUNT", "virtualFs mount not found: /srv"));
});

test("close leaves no process behind, whatever runs", async () => {
	const processes = async (): Promise<string> => (await promisify(execFile)("pgrep", ["-r", "D,R,S,T", "-x", "sandbox-host|qemu-system-x86"]).catch(() => ({ stdout: "" }))).stdout;
	const before = await processes();
	assert.notEqual(before, ""); // of the VM of all tests
	const own = await spawnSandbox(options());
	void own.exec("sh", ["-c", "while :; do :; done"]).catch(() => {});
	assert.notEqual(await processes(), before);
	await own.close();
	await within(
		(async () => {
			while ((await processes()) !== before);
		})(),
	);
});
