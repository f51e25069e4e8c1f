// SPDX-License-Identifier: MIT OR Apache-2.0
/** What goes between the addon and the public types: errors, lines of events, rules, answers of file systems. Nothing is started. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type SandboxFlowEvent, type SandboxRequestEvent, acceptHost, acceptPublicInternet, acceptTcp, acceptUdp } from "@torkbot/sandbox";

import { errnoName, errnoNumber, fromNative } from "../dist/errors.js";
import { EVENTS_HELD_MAX, EventChannel, lineSplitter, parseEvent, parseFlow, parseRequest } from "../dist/events.js";
import { FileOp } from "../dist/native.js";
import { ruleText } from "../dist/network.js";
import { fileOps, serveCall } from "../dist/serve.js";
import { canonicalPath } from "../dist/validate.js";
import { isError } from "./helper.js";
import { MapFs, failure } from "./memory.js";

test("errors of the addon get the names of Linux, others stay what they are", () => {
	assert.equal(errnoName(-2), "ENOENT");
	assert.equal(errnoName(11), "EAGAIN");
	assert.equal(errnoName(95), "EOPNOTSUPP");
	assert.equal(errnoName(-9999), "E9999");
	for (const name of ["ENOENT", "EDQUOT", "ESTALE", "ENOTSUP", "ENOTUNIQ", "EUCLEAN"]) assert.ok(errnoNumber(name), name);
	assert.equal(errnoNumber("EWHATEVER"), undefined);
	isError("ENOSPC", "no room")(fromNative(Object.assign(new Error("no room"), { errno: -28, console: "" })));
	for (const other of [new Error("x"), Object.assign(new Error("Node's"), { errno: -2, code: "ENOENT" }), 5, null, undefined]) assert.equal(fromNative(other), other);
});

test("lines are put together from pieces, and one without end is dropped", () => {
	const lines: string[] = [];
	const split = lineSplitter((line) => lines.push(line));
	for (const piece of ["a", "b\nc", "\n\n", "d\ne"]) split(piece);
	assert.deepEqual(lines, ["ab", "c", "", "d"]);
	split("x".repeat(1 << 17));
	split("\nf\n");
	assert.deepEqual(lines.slice(4), ["", "f"]);
});

test("lines of the log of flows and of requests become events", () => {
	const flows: SandboxFlowEvent[] = [];
	const flow = new EventChannel<SandboxFlowEvent>();
	flow.add((event) => flows.push(event));
	const line = { event: "flow", time: "T", flow: 7, direction: "out", protocol: "tcp", src: "10.0.2.2", src_port: 40000, dst: "192.0.2.1", dst_port: 443, verdict: "deny", reason: "no rule" };
	for (const text of [JSON.stringify(line), "no JSON", "", '{"event":"left_out","time":"T","lines":9}', '{"event":"end","bytes_out":1,"bytes_in":2,"duration_ms":3}']) parseEvent(text, parseFlow, flow);
	assert.deepEqual(flows, [
		{ time: "T", flow: 7, direction: "out", protocol: "tcp", verdict: "deny", reason: "no rule", type: "flow", source: { ip: "10.0.2.2", port: 40000 }, destination: { ip: "192.0.2.1", port: 443 } },
		{ time: "T", lines: 9, type: "left-out" },
		{ type: "end", bytesOut: 1, bytesIn: 2, durationMs: 3 },
	]);
	const requests: SandboxRequestEvent[] = [];
	const request = new EventChannel<SandboxRequestEvent>();
	request.add((event) => requests.push(event));
	parseEvent('{"event":"request","time":"T","method":"GET","url":"https://x/","status":200,"bytes_up":0,"bytes_down":5,"duration_ms":1,"original":"1.2.3.4","original_port":443}', parseRequest, request);
	assert.deepEqual(requests, [{ time: "T", method: "GET", url: "https://x/", status: 200, type: "request", bytesUp: 0, bytesDown: 5, durationMs: 1, original: { ip: "1.2.3.4", port: 443 } }]);
});

test("events wait for the first listener, the oldest go, and each listener hears all that comes then", () => {
	const channel = new EventChannel<number>();
	for (let i = 0; i < EVENTS_HELD_MAX + 10; i++) channel.emit(i);
	const heard: number[] = [];
	const listener = (n: number): void => void heard.push(n);
	channel.add(listener);
	assert.deepEqual([heard.length, heard[0], heard.at(-1)], [EVENTS_HELD_MAX, 10, EVENTS_HELD_MAX + 9]);
	const late: number[] = [];
	channel.add((n) => late.push(n));
	channel.emit(-1);
	channel.delete(listener);
	channel.emit(-2);
	assert.equal(heard.at(-1), -1);
	assert.deepEqual(late, [-1, -2]);
});

test("rules are written as libsbx reads them", () => {
	assert.equal(ruleText(acceptTcp({ cidr: "10.0.0.0/8", ports: [80, 443] })), "tcp:10.0.0.0/8:80,443");
	assert.equal(ruleText(acceptUdp({ cidr: "fd00::/8", ports: [] })), "udp:fd00::/8");
	assert.equal(ruleText(acceptPublicInternet()), "public");
	assert.equal(ruleText(acceptHost({ host: "*.example.com", ports: [443] })), "host:*.example.com:443");
});

test("paths are compared without what does not count", () => {
	for (const [path, canonical] of [["/a", "/a"], ["/a/", "/a"], ["//a///b//", "/a/b"], ["/", "/"]] as const) assert.equal(canonicalPath(path), canonical);
});

const call = (op: number, path: string, more: object = {}): { op: number; path: string; path2: string; a: number; b: number; data: Buffer } => ({ op, path, path2: "", a: 0, b: 0, data: Buffer.alloc(0), ...more });
const signal = new AbortController().signal;

test("a file system's operations are known, and only those", () => {
	assert.equal(fileOps(new MapFs()), ((1 << 12) - 1) & ~0b111);
	assert.equal(fileOps({ stat: async () => Promise.reject(new Error()), list: async () => [], read: async () => new Uint8Array() }), 0);
});

test("answers of a file system become the addon's", async () => {
	const tree = new MapFs({ "/f": "hello\n" });
	assert.deepEqual(await serveCall(tree, call(FileOp.stat, "/f"), signal), { kind: "stat", stat: { type: 1, mode: 0, size: 6, mtimeMs: 1_000_000_000_000 } });
	assert.deepEqual(await serveCall(tree, call(FileOp.list, "/"), signal), { kind: "entries", names: ["f"], types: Uint8Array.of(1) });
	assert.deepEqual(await serveCall(tree, call(FileOp.read, "/f", { a: 1, b: 3 }), signal), { kind: "data", data: Buffer.from("ell") });
	assert.deepEqual(await serveCall(tree, call(FileOp.write, "/f", { a: 0, data: Buffer.from("J") }), signal), { kind: "count", count: 1 });
	assert.deepEqual(await serveCall(tree, call(FileOp.truncate, "/f", { a: 2 }), signal), { kind: "ok" });
	assert.deepEqual(await serveCall(tree, call(FileOp.symlink, "/l", { path2: "f" }), signal), { kind: "ok" });
	assert.deepEqual(await serveCall(tree, call(FileOp.readlink, "/l"), signal), { kind: "data", data: Buffer.from("f") });
	assert.deepEqual(await serveCall(tree, call(FileOp.rename, "/l", { path2: "/m" }), signal), { kind: "ok" });
	assert.equal(tree.log.at(-1), "rename /l /m 0");
	assert.deepEqual(await serveCall(tree, call(99, "/"), signal), { kind: "error", errno: 5 });
});

test("what a file system throws becomes an error of Linux", async () => {
	const throwing = (thrown: unknown): Promise<unknown> => serveCall({ stat: () => Promise.reject(thrown), list: () => Promise.reject(thrown), read: () => Promise.reject(thrown) }, call(FileOp.list, "/"), signal);
	const lookup = (thrown: unknown): Promise<unknown> => serveCall({ stat: () => Promise.reject(thrown), list: async () => [], read: async () => new Uint8Array() }, call(FileOp.stat, "/"), signal);
	for (const [thrown, listing, looking] of [
		[failure("EACCES"), 13, 13],
		[failure("ENOSPC"), 28, 28],
		[failure("EWHATEVER"), 5, 2],
		[new Error("missing path /x"), 2, 2],
		[new Error("anything"), 5, 2],
		["text", 5, 5],
		[null, 5, 5],
	] as const) {
		assert.deepEqual(await throwing(thrown), { kind: "error", errno: listing });
		assert.deepEqual(await lookup(thrown), { kind: "error", errno: looking });
	}
});
