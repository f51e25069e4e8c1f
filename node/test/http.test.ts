// SPDX-License-Identifier: MIT OR Apache-2.0
/** Hooks of the guest's HTTP requests, rules and ports of a running VM. Servers are of this process, on its loopback, which the guest reaches as its gateway. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type IncomingMessage, type Server, createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import {
	type SandboxHookErrorEvent,
	type SandboxHttpRequest,
	type SandboxHttpRequestHook,
	type SandboxOptions,
	type SandboxRequestEvent,
	type SandboxVm,
	acceptTcp,
	createSandbox,
	prebuiltRootfs,
	spawnSandbox,
} from "@torkbot/sandbox";

import { PATIENCE_MS, isError, options, within } from "./helper.js";
import { nodeImage } from "./image.js";

const HOST = "host.sandbox.internal";
const seen: IncomingMessage[] = [];
const handler = (request: IncomingMessage, response: { end(text: string): void }): void => {
	seen.push(request);
	response.end(`hello from ${request.url}\n`);
};
const directory = mkdtempSync(join(tmpdir(), "sandbox-http-"));
let plain: Server;
let secure: Server;
let certificate = "";

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const listen = (server: Server): Promise<void> => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const site = (): string => `http://10.0.2.1:${portOf(plain)}`;
const secureSite = (): string => `https://${HOST}:${portOf(secure)}`;
const network = (more: object = {}): Partial<SandboxOptions> => ({
	network: { outbound: { policy: "deny", rules: ["127.0.0.1/32", "::1/128"].map((cidr) => acceptTcp({ cidr, ports: [portOf(plain), portOf(secure)] })) }, ...more },
});

before(async () => {
	const run = (...args: readonly string[]): void => void execFileSync("openssl", [...args], { cwd: directory, stdio: "ignore" });
	run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", `subjectAltName=DNS:${HOST}`, "-keyout", "key.pem", "-out", "cert.pem");
	certificate = readFileSync(join(directory, "cert.pem"), "utf8");
	plain = createServer(handler);
	secure = createTlsServer({ key: readFileSync(join(directory, "key.pem")), cert: certificate }, handler);
	await Promise.all([listen(plain), listen(secure)]);
});
after(() => {
	plain.close();
	secure.close();
	rmSync(directory, { recursive: true });
});

const get = async (vm: SandboxVm, url: string, ...args: readonly string[]): Promise<string> => {
	const { stdout, stderr } = await within(vm.exec("wget", ["-qO-", ...args, url]));
	return stdout + stderr;
};
async function withHook(hook: SandboxHttpRequestHook, body: (vm: SandboxVm, disposable: AsyncDisposable) => Promise<void>, more: object = {}): Promise<void> {
	await using sandbox = createSandbox(options(network(more)));
	const disposable = sandbox.http.onRequest({ origin: site() }, hook);
	await using vm = await sandbox.run();
	await body(vm, disposable);
}

test("a hook sees the request, and what it sets is seen by the server only", async () => {
	const requests: SandboxHttpRequest[] = [];
	const hook: SandboxHttpRequestHook = async (request) => {
		requests.push(request);
		await null;
		request.headers.set("authorization", "Bearer s3cret");
		request.headers.delete("x-guest");
	};
	await withHook(hook, async (vm) => {
		seen.length = 0;
		assert.equal(await get(vm, `${site()}/a?b=c`, "--header", "X-Guest: yes", "--header", "X-Other: kept"), "hello from /a?b=c\n");
		assert.equal(seen[0]?.headers.authorization, "Bearer s3cret");
		assert.equal(seen[0]?.headers["x-guest"], undefined);
		assert.equal(seen[0]?.headers["x-other"], "kept");
		const [request] = requests;
		assert.equal(request?.url.href, `${site()}/a?b=c`);
		assert.equal(request?.method, "GET");
		assert.equal(request?.protocol, "http/1.1");
		assert.equal(request?.tls, undefined);
		assert.equal(request?.destination.originalPort, portOf(plain));
		assert.equal(request?.destination.upstreamIp, "10.0.2.1");
	});
});

test("a request that no hook changes has its own list of headers", async () => {
	await withHook(() => {}, async (vm) => {
		seen.length = 0;
		await get(vm, site(), "--header", "X-MiXeD: a", "--header", "X-MiXeD: b");
		const names = (seen[0]?.rawHeaders ?? []).filter((_, i) => i % 2 === 0);
		assert.equal(names.filter((name) => name === "X-MiXeD").length, 2);
	});
});

test("hooks run in the order of their registration, those of other origins not", async () => {
	await using sandbox = createSandbox(options(network()));
	const order: string[] = [];
	sandbox.http.onRequest({ origin: site() }, () => void order.push("one"));
	sandbox.http.onRequest({ origin: "https://other.example" }, () => void order.push("other"));
	sandbox.http.onRequest({ origin: site() }, ({ headers }) => {
		order.push("two");
		headers.set("x-two", "2");
	});
	await using vm = await sandbox.run();
	seen.length = 0;
	await get(vm, site());
	assert.deepEqual(order, ["one", "two"]);
	assert.equal(seen[0]?.headers["x-two"], "2");
});

test("a hook that throws, or that changes what must not be changed: 502, nothing sent, and the program hears of it", async () => {
	const hooks: readonly SandboxHttpRequestHook[] = [
		() => {
			throw new Error("no");
		},
		async () => await Promise.reject(new Error("no")),
		({ headers }) => headers.set("content-length", "5"),
		({ headers }) => headers.set("host", "elsewhere.example"),
	];
	for (const hook of hooks) {
		await withHook(hook, async (vm) => {
			const heard = new Promise<SandboxHookErrorEvent>((resolve) => vm.on("hookError", resolve));
			seen.length = 0;
			assert.match(await get(vm, site()), /502/);
			assert.equal(seen.length, 0);
			assert.equal((await within(heard)).url, `${site()}/`);
		});
	}
});

test("a disposed hook is inactive, before the run and during it", async () => {
	let calls = 0;
	await withHook(
		() => void calls++,
		async (vm, disposable) => {
			await get(vm, site());
			assert.equal(calls, 1);
			await disposable[Symbol.asyncDispose]();
			assert.equal(await get(vm, site()), "hello from /\n");
			assert.equal(calls, 1);
		},
	);
	await using sandbox = createSandbox(options(network()));
	await sandbox.http.onRequest({ origin: site() }, () => void calls++)[Symbol.asyncDispose]();
	await using vm = await sandbox.run();
	assert.equal(await get(vm, site()), "hello from /\n");
	assert.equal(calls, 1);
});

test("https: the guest trusts our authority, the server's certificate is verified, the credential is seen upstream only", async () => {
	const rootfs = prebuiltRootfs(nodeImage(directory), { format: "erofs" });
	const hook: SandboxHttpRequestHook = ({ headers, tls }) => headers.set("x-token", `t-${tls?.sni}`);
	const program = `https.get("${secureSite()}/secret", (r) => r.on("data", (d) => console.log(r.statusCode, String(d)))).on("error", (e) => console.log("failed", e.code))`;
	const run = async (http: object): Promise<string> => {
		await using sandbox = createSandbox(options({ ...network({ http }), rootfs, memory: { mib: 512 } }));
		sandbox.http.onRequest({ origin: secureSite() }, hook);
		await using vm = await sandbox.run();
		seen.length = 0;
		const { stdout, stderr } = await within(vm.exec("node", ["-e", program]), 2 * PATIENCE_MS);
		return stdout + stderr;
	};
	assert.equal(await run({ trustPem: certificate }), "200 hello from /secret\n\n");
	assert.equal(seen[0]?.headers["x-token"], `t-${HOST}`);
	assert.doesNotMatch(await run({}), /hello/); // nobody vouches for the server
	assert.equal(seen.length, 0);
});

test("headers without a hook, and requests as events", async () => {
	await using vm = await spawnSandbox(options(network({ http: { headers: [{ origin: site(), name: "Authorization", value: "Bearer brokered" }] } })));
	const heard = new Promise<SandboxRequestEvent>((resolve) => vm.on("request", resolve));
	seen.length = 0;
	assert.equal(await get(vm, `${site()}/x`, "--header", "Authorization: Bearer guest"), "hello from /x\n");
	assert.equal(seen[0]?.headers.authorization, "Bearer brokered");
	const event = await within(heard);
	assert.equal(event.url, `${site()}/x`);
	assert.equal(event.status, 200);
	assert.doesNotMatch(JSON.stringify(event), /brokered/);
});

test("a denied upstream gets a 403, and its hook is not called", async () => {
	let calls = 0;
	await using sandbox = createSandbox(options({ network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr: "127.0.0.1/32", ports: [1] })] } } }));
	sandbox.http.onRequest({ origin: site() }, () => void calls++);
	await using vm = await sandbox.run();
	seen.length = 0;
	assert.doesNotMatch(await get(vm, site()), /hello/);
	assert.match(await get(vm, "http://10.0.2.1/"), /403 Forbidden/);
	assert.equal(calls + seen.length, 0);
});

test("origins that are none, hooks that are none, and registering too late", async () => {
	const sandbox = createSandbox(options(network()));
	for (const [origin, why] of [
		["ftp://example.com", /the scheme ftp is neither http nor https/],
		["https://example.com/path", /more than a scheme, a host and a port/],
		["https://user@example.com", /user name/],
		["example.com", /it is no URL|neither http nor https/],
		["https://example.com?", /more than/],
		[5, /must be a string/],
	] as const) {
		assert.throws(() => sandbox.http.onRequest({ origin: origin as string }, () => {}), isError("ERR_SANDBOX_OPTIONS", why));
	}
	assert.throws(() => sandbox.http.onRequest({ origin: site() }, 5 as unknown as SandboxHttpRequestHook), isError("ERR_SANDBOX_OPTIONS", "the hook must be a function"));
	assert.throws(() => createSandbox(options()).http.onRequest({ origin: site() }, () => {}), isError("ERR_SANDBOX_OPTIONS", /network.outbound is required when HTTP interception is configured/));
	await using vm = await sandbox.run();
	assert.throws(() => sandbox.http.onRequest({ origin: site() }, () => {}), isError("ERR_SANDBOX_ALREADY_RUN"));
	await vm.close();
	await sandbox[Symbol.asyncDispose]();
	assert.throws(() => sandbox.http.onRequest({ origin: site() }, () => {}), isError("ERR_SANDBOX_CLOSED"));
});

test("rules are replaced while the VM runs", async () => {
	await using vm = await spawnSandbox(options(network()));
	assert.equal(await get(vm, site()), "hello from /\n");
	await vm.network.setRules([]);
	assert.doesNotMatch(await get(vm, site()), /hello/);
	await vm.network.setRules([acceptTcp({ cidr: "127.0.0.0/8" })]);
	assert.equal(await get(vm, site()), "hello from /\n");
	await assert.rejects(vm.network.setRules([acceptTcp({ cidr: "127.0.0.1/33" })]), isError("ERR_SANDBOX_OPTIONS", /invalid CIDR prefix: 33/));
	await assert.rejects(vm.network.setRules("x" as unknown as []), isError("ERR_SANDBOX_OPTIONS"));
	await using none = await spawnSandbox(options());
	await assert.rejects(none.network.setRules([]), isError("EINVAL", /network/));
});

test("ports of the guest are published", async () => {
	await using vm = await spawnSandbox(options(network()));
	await using server = vm.spawn("nc", ["-l", "-p", "8080", "-e", "echo", "hi from the guest"], { stdin: "ignore" });
	void server;
	await within(vm.exec("sh", ["-c", "until netstat -ltn | grep -q :8080; do :; done"]));
	const { connect } = await import("node:net");
	const web = await vm.network.publish({ guestPort: 8080 });
	assert.equal(web.address, "127.0.0.1");
	const talk = (): Promise<string> =>
		new Promise((resolve, reject) => {
			let text = "";
			connect(web.port, "127.0.0.1").on("data", (data) => (text += data.toString())).on("close", () => resolve(text)).on("error", reject);
		});
	assert.equal(await within(talk()), "hi from the guest\n");
	await web[Symbol.asyncDispose]();
	await assert.rejects(within(talk()), { code: "ECONNREFUSED" });
	await assert.rejects(vm.network.publish({ guestPort: 0 }), isError("EINVAL", /guestPort/));
	await assert.rejects(vm.network.publish({ guestPort: 80, address: "localhost" }), isError("EINVAL", /localhost/));
	await assert.rejects(vm.network.publish({ guestPort: 80, port: portOf(plain) }), isError("EADDRINUSE"));
	await vm.close();
	await assert.rejects(vm.network.publish({ guestPort: 80 }), isError("ERR_SANDBOX_CLOSED"));
});
