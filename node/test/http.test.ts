// SPDX-License-Identifier: MIT OR Apache-2.0
/** Hooks of the guest's HTTP requests, rules and ports of a running VM. Servers are of this process, on its loopback, which the guest reaches as its gateway. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type Server, createServer } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import {
	type PrebuiltRootfs,
	type SandboxHookErrorEvent,
	type SandboxHttpRequest,
	type SandboxHttpRequestHook,
	type SandboxOptions,
	type SandboxRequestEvent,
	type SandboxVm,
	acceptTcp,
	createSandbox,
	httpSecret,
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
let image: string | undefined;

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

/** A root image with this Node.js. */
const withNode = (): PrebuiltRootfs => prebuiltRootfs((image ??= nodeImage(directory)), { format: "erofs" });

const get = async (vm: SandboxVm, url: string, ...args: readonly string[]): Promise<string> => {
	const { stdout, stderr } = await within(vm.exec("wget", ["-qO-", ...args, url]));
	return stdout + stderr;
};
async function withHook(hook: SandboxHttpRequestHook, body: (vm: SandboxVm, disposable: AsyncDisposable) => Promise<void>, selector: { readonly timeoutMs?: number } = {}): Promise<void> {
	await using sandbox = createSandbox(options(network()));
	const disposable = sandbox.http.onRequest({ origin: site(), ...selector }, hook);
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
		() => {
			throw undefined;
		},
		() => {
			const throwing = (): never => {
				throw new Error("looked at");
			};
			throw new Proxy({}, { get: throwing, getPrototypeOf: throwing, has: throwing });
		},
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

test("each header that says where a request goes or ends, or belongs to the connection, is refused by name", async () => {
	const fixed = ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings", "expect"];
	let change: SandboxHttpRequestHook = () => {};
	await withHook((request) => change(request), async (vm) => {
		const errors: SandboxHookErrorEvent[] = [];
		vm.on("hookError", (event) => void errors.push(event));
		seen.length = 0;
		for (const name of fixed) {
			change = ({ headers }) => headers.set(name, "5");
			assert.match(await get(vm, site()), /502/, name);
			assert.match(String(errors.at(-1)?.error), new RegExp(`header '${name}'`));
		}
		change = ({ headers }) => headers.delete("host");
		assert.match(await get(vm, site()), /502/);
		assert.equal(errors.length, fixed.length + 1);
		assert.equal(seen.length, 0);
		change = () => {};
		assert.equal(await get(vm, site()), "hello from /\n");
	});
});

test("a hook that hangs costs its request its time, and what it says later nobody", async () => {
	let release = (): void => {};
	const gate = new Promise<void>((resolve) => (release = resolve));
	let calls = 0;
	const hook: SandboxHttpRequestHook = async ({ headers }) => {
		if (++calls > 1) return;
		await gate;
		headers.set("x-late", "yes");
	};
	await withHook(
		hook,
		async (vm) => {
			const heard = new Promise<SandboxRequestEvent>((resolve) => vm.on("request", resolve));
			seen.length = 0;
			assert.match(await get(vm, site()), /502/);
			assert.equal(seen.length, 0);
			assert.equal((await within(heard)).reason, "a hook did not answer in time");
			release();
			assert.equal(await get(vm, `${site()}/again`), "hello from /again\n");
			assert.deepEqual(seen.map(({ url, headers }) => [url, headers["x-late"]]), [["/again", undefined]]);
		},
		{ timeoutMs: 300 },
	);
	for (const timeoutMs of [0, -1, 1.5, 2 ** 32, "5"]) {
		const sandbox = createSandbox(options(network()));
		assert.throws(() => sandbox.http.onRequest({ origin: site(), timeoutMs: timeoutMs as number }, hook), isError("ERR_SANDBOX_OPTIONS", /timeoutMs/));
	}
});

test("a program that goes while a hook thinks harms nobody, nor do changes after a hook has ended change anything", async () => {
	let release = (): void => {};
	const gate = new Promise<void>((resolve) => (release = resolve));
	let asked = (): void => {};
	const called = new Promise<void>((resolve) => (asked = resolve));
	await withHook(
		async ({ url, headers }) => {
			if (url.pathname === "/gone") {
				asked();
				await gate;
			}
			setImmediate(() => headers.set("x-late", "yes"));
		},
		async (vm) => {
			seen.length = 0;
			const program = vm.spawn("wget", ["-qO-", `${site()}/gone`], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
			await within(called);
			await program[Symbol.asyncDispose]();
			release();
			assert.equal(await get(vm, `${site()}/there`), "hello from /there\n");
			assert.equal(seen.at(-1)?.url, "/there");
			assert.deepEqual(seen.filter(({ headers }) => "x-late" in headers), []);
		},
	);
});

test("a WebSocket: the hook sees the handshake, and frames pass both ways", async () => {
	const rootfs = withNode();
	const server = createServer((_, response) => response.writeHead(400).end());
	const handshakes: (string | undefined)[] = [];
	server.on("upgrade", (request, socket) => {
		handshakes.push(String(request.headers["x-token"]));
		const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
		socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
		socket.write(Buffer.from([0x81, 7, ...Buffer.from("welcome")]));
		socket.on("error", () => {});
		socket.on("data", (frame: Buffer) => {
			// A short frame of a client's: two bytes, a mask of four, and what is masked. A close is answered by the same, and then by the end.
			const mask = frame.subarray(2, 6);
			socket.write(Buffer.concat([Buffer.from([frame[0] ?? 0, (frame[1] ?? 0) & 0x7f]), frame.subarray(6).map((byte, i) => byte ^ (mask[i % 4] ?? 0))]));
			if (frame[0] === 0x88) socket.end();
		});
	});
	await listen(server);
	try {
		const port = portOf(server);
		const origin = `http://10.0.2.1:${port}`;
		await using sandbox = createSandbox(options({ network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr: "127.0.0.1/32", ports: [port] })] } }, rootfs, memory: { mib: 512 } }));
		sandbox.http.onRequest({ origin }, ({ headers, url }) => headers.set("x-token", `for ${url.pathname} ${headers.get("upgrade")}`));
		await using vm = await sandbox.run();
		const program = `const ws = new WebSocket("${origin.replace("http", "ws")}/echo");
			let heard = 0;
			ws.onmessage = ({ data }) => { console.log(data); if (++heard <= 3) ws.send("message " + heard); else ws.close(1000); };
			ws.onerror = () => console.log("failed");
			ws.onclose = ({ code }) => console.log(code);`;
		const { stdout, stderr } = await within(vm.exec("node", ["--experimental-websocket", "-e", program]), 4 * PATIENCE_MS);
		assert.equal(stdout, "welcome\nmessage 1\nmessage 2\nmessage 3\n1000\n", stderr);
		assert.deepEqual(handshakes, ["for /echo websocket"]);
	} finally {
		server.close();
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
	const rootfs = withNode();
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

test("https: an authority of the user's own vouches for what the guest sees, and the guest's variables name it", async () => {
	const run = (...args: readonly string[]): void => void execFileSync("openssl", [...args], { cwd: directory, stdio: "ignore" });
	run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=our own authority", "-keyout", "own.key", "-out", "own.pem");
	const authority = { certificatePem: readFileSync(join(directory, "own.pem"), "utf8"), privateKeyPem: readFileSync(join(directory, "own.key"), "utf8") };
	await using sandbox = createSandbox(options({ ...network({ http: { trustPem: certificate, certificateAuthority: authority } }), rootfs: withNode(), memory: { mib: 512 } }));
	sandbox.http.onRequest({ origin: secureSite() }, () => {});
	await using vm = await sandbox.run();
	const program = `https.get("${secureSite()}/", (r) => { console.log(r.statusCode, r.socket.getPeerCertificate().issuer.CN); r.resume(); }).on("error", (e) => console.log("failed", e.code))`;
	const { stdout, stderr } = await within(vm.exec("node", ["-e", program]), 2 * PATIENCE_MS);
	assert.equal(stdout + stderr, "200 our own authority\n");
	const variables = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"];
	const files = (await within(vm.exec("sh", ["-c", variables.map((name) => `cat "$${name}" | wc -l`).join("; ")]))).stdout.trim().split("\n");
	assert.equal(files.length, variables.length);
	assert.ok(files.every((lines) => Number(lines) > 5), files.join());
	const broken = { ...authority, privateKeyPem: "no key" };
	await assert.rejects(spawnSandbox(options(network({ http: { certificateAuthority: broken, headers: [{ origin: secureSite(), name: "x-a", value: "b" }] } }))), isError("ERR_SANDBOX_LAUNCH", /private key/));
});

test("https without a hook: a rule is enough, and the guest sees the server's own certificate", async () => {
	await using vm = await spawnSandbox(options({ ...network(), rootfs: withNode(), memory: { mib: 512 } }));
	const program = `https.get({ host: "${HOST}", port: ${portOf(secure)}, path: "/own", rejectUnauthorized: false }, (r) => { console.log(r.statusCode, r.socket.getPeerCertificate().fingerprint256); r.resume(); })`;
	const { stdout, stderr } = await within(vm.exec("node", ["-e", program]), 2 * PATIENCE_MS);
	assert.equal(stdout + stderr, `200 ${new X509Certificate(certificate).fingerprint256}\n`);
});

test("HTTP/2: a hook sees every request of a connection, and its headers reach the server only", async () => {
	const rootfs = withNode();
	const server = createSecureServer({ key: readFileSync(join(directory, "key.pem")), cert: certificate, allowHTTP1: true });
	const streams: { readonly version: string; readonly path: string; readonly token: string | string[] | undefined }[] = [];
	server.on("request", (request, response) => {
		streams.push({ version: request.httpVersion, path: request.url, token: request.headers["x-token"] });
		response.end(`${request.url} ${request.httpVersion}\n`);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	try {
		const { port } = server.address() as AddressInfo;
		const origin = `https://${HOST}:${port}`;
		const rules = ["127.0.0.1/32", "::1/128"].map((cidr) => acceptTcp({ cidr, ports: [port] }));
		await using sandbox = createSandbox(options({ network: { outbound: { policy: "deny", rules }, http: { trustPem: certificate } }, rootfs, memory: { mib: 512 } }));
		const hooked: string[] = [];
		sandbox.http.onRequest({ origin }, async (request) => {
			hooked.push(`${request.protocol} ${request.url.pathname} ${request.tls?.alpn}`);
			if (request.url.pathname === "/refused") throw new Error("not this one");
			await new Promise((resolve) => setImmediate(resolve));
			request.headers.set("x-token", `secret-${request.url.pathname}`);
		});
		await using vm = await sandbox.run();
		const program = `const session = require("node:http2").connect("${origin}");
			const get = (path) => new Promise((resolve) => {
				const stream = session.request({ ":path": path });
				let status, body = "";
				stream.on("response", (headers) => { status = headers[":status"]; });
				stream.on("data", (data) => { body += data; });
				stream.on("close", () => resolve(status + " " + body.trim()));
				stream.on("error", () => {});
			});
			session.on("error", (error) => { console.log(String(error)); process.exit(1); });
			Promise.all(["/one", "/two", "/refused", "/three"].map(get)).then((answers) => { console.log(answers.join("|")); session.close(); });`;
		const { stdout, stderr } = await within(vm.exec("node", ["-e", program]), 4 * PATIENCE_MS);
		assert.match(stdout, /^200 \/one 2\.0\|200 \/two 2\.0\|502 [^|]*\|200 \/three 2\.0\n$/, stderr);
		assert.deepEqual(hooked.sort(), ["h2 /one h2", "h2 /refused h2", "h2 /three h2", "h2 /two h2"]);
		assert.deepEqual(
			streams.map(({ version, path, token }) => `${version} ${path} ${String(token)}`).sort(),
			["/one", "/three", "/two"].map((path) => `2.0 ${path} secret-${path}`),
		);
	} finally {
		server.close();
	}
});

test("a credential is seen by the server and by nothing in the guest", async () => {
	const value = "s3cret-credential-5d1e";
	await withHook(
		({ headers }) => headers.set("authorization", `Bearer ${value}`),
		async (vm) => {
			seen.length = 0;
			const script = `wget -S -O /tmp/answer --header 'X-Mine: 1' ${site()}/x 2>/tmp/log; cat /tmp/answer /tmp/log /proc/[0-9]*/environ /proc/[0-9]*/cmdline /etc/* 2>/dev/null; dmesg`;
			const { stdout } = await within(vm.exec("sh", ["-c", script]));
			assert.match(stdout, /hello from \/x/);
			assert.doesNotMatch(stdout, new RegExp(value));
			assert.equal(seen[0]?.headers.authorization, `Bearer ${value}`);
		},
	);
});

test("a placeholder becomes the secret in headers to its origin, also inside values and Basic credentials, and goes nowhere else", async () => {
	const key = httpSecret({ origin: site(), value: "s3cret-key" });
	const other = httpSecret({ origin: "https://other.example", value: "s3cret-other" });
	assert.notEqual(key.placeholder, other.placeholder);
	await using vm = await spawnSandbox(options(network({ http: { secrets: [key, other] } })));
	const env = { KEY: key.placeholder, OTHER: other.placeholder };
	const sh = async (script: string): Promise<string> => {
		const { stdout, stderr } = await within(vm.exec("sh", ["-c", script], { env }));
		return stdout + stderr;
	};
	seen.length = 0;
	const basic = '"Authorization: Basic $(printf "user:%s" "$KEY" | base64 -w 0)"';
	const whole = await sh(`wget -qO- --header "X-Key: $KEY" ${site()}/1; wget -qO- --header "Authorization: token=$KEY; v=1" ${site()}/2; wget -qO- --header ${basic} ${site()}/3; echo $KEY`);
	assert.doesNotMatch(whole, /s3cret/);
	assert.match(whole, new RegExp(key.placeholder));
	assert.equal(seen[0]?.headers["x-key"], "s3cret-key");
	assert.equal(seen[1]?.headers.authorization, "token=s3cret-key; v=1");
	assert.equal(seen[2]?.headers.authorization, `Basic ${Buffer.from("user:s3cret-key").toString("base64")}`);
	seen.length = 0;
	assert.match(await sh(`wget -qO- --header "X-Key: $OTHER" ${site()}/`), /403 Forbidden/);
	assert.equal(seen.length, 0);
	assert.throws(() => httpSecret({ origin: "ftp://x", value: "v" }), isError("ERR_SANDBOX_OPTIONS", /ftp/));
	assert.throws(() => httpSecret({ origin: site(), value: "" }), isError("ERR_SANDBOX_OPTIONS", /empty/));
	const short = { ...key, placeholder: "short" };
	await assert.rejects(spawnSandbox(options(network({ http: { secrets: [short] } }))), isError("EINVAL", /placeholder/));
	const broken = { ...key, value: "a\r\nX-Injected: 1" };
	await assert.rejects(spawnSandbox(options(network({ http: { secrets: [broken] } }))), isError("EINVAL", /secret/));
});

/** A name that has become one of this machine's addresses, in a hosts file of a mount namespace of its own. */
test("rebinding: a hooked name that leads where no rule does gets no connection, and its hook is not called", async (t) => {
	const hosts = join(directory, "hosts");
	writeFileSync(hosts, "127.0.0.2 rebound.example\n");
	const here = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
	const program = `import { createServer } from "node:http";
		import { acceptTcp, createSandbox } from ${here("../dist/index.js")};
		import { options } from ${here("./helper.js")};
		const seen = [];
		const servers = ["127.0.0.1", "127.0.0.2"].map((host) => createServer((request, response) => {
			seen.push(host + " " + request.headers["x-credential"]);
			response.end("hello\\n");
		}));
		await new Promise((resolve) => servers[0].listen(0, "127.0.0.1", resolve));
		const { port } = servers[0].address();
		await new Promise((resolve) => servers[1].listen(port, "127.0.0.2", resolve));
		for (const cidr of ["127.0.0.1/32", "127.0.0.0/30"]) {
			const sandbox = createSandbox(options({ network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr, ports: [port] })] } } }));
			let calls = 0;
			sandbox.http.onRequest({ origin: "http://rebound.example:" + port }, ({ headers }) => { calls++; headers.set("x-credential", "c"); });
			const vm = await sandbox.run();
			const { stdout, stderr } = await vm.exec("wget", ["-qO-", "--header", "Host: rebound.example:" + port, "http://10.0.2.1:" + port + "/"]);
			console.log(JSON.stringify({ calls, seen: seen.splice(0), answer: (stdout + stderr).trim() }));
			await vm.close();
		}
		servers.forEach((server) => server.close());`;
	const file = join(directory, "rebinding.mjs");
	writeFileSync(file, program);
	try {
		execFileSync("unshare", ["--mount", "true"], { stdio: "ignore" });
	} catch {
		t.skip("mount namespaces are not to be had here");
		return;
	}
	const output = execFileSync("unshare", ["--mount", "sh", "-c", 'mount --bind "$1" /etc/hosts && exec "$2" "$3"', "sh", hosts, process.execPath, file], { encoding: "utf8", timeout: 4 * PATIENCE_MS });
	const [denied, admitted] = output.trim().split("\n").map((line) => JSON.parse(line) as { readonly calls: number; readonly seen: readonly string[]; readonly answer: string });
	assert.match(denied?.answer ?? "", /403 Forbidden/);
	assert.deepEqual([denied?.calls, denied?.seen], [0, []]);
	assert.equal(admitted?.answer, "hello"); // where a rule names the address, it is as any other
	assert.deepEqual([admitted?.calls, admitted?.seen], [1, ["127.0.0.2 c"]]);
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
	for (const origin of ["https://b\u00fccher.example", "HTTPS://API.Example.com.", "http://[::1]:8080", "http://example.com:80"]) sandbox.http.onRequest({ origin }, () => {}); // libsbx takes each
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
	await assert.rejects(vm.network.publish({ guestPort: 80, protocol: "sctp" as "udp" }), isError("EINVAL", /protocol/));
	await assert.rejects(vm.network.publish({ guestPort: 80, address: "localhost" }), isError("EINVAL", /localhost/));
	await assert.rejects(vm.network.publish({ guestPort: 80, port: portOf(plain) }), isError("EADDRINUSE"));
	await vm.close();
	await assert.rejects(vm.network.publish({ guestPort: 80 }), isError("ERR_SANDBOX_CLOSED"));
});

test("a port of UDP is published beside one of TCP", async () => {
	await using vm = await spawnSandbox(options(network()));
	await using tcp = await vm.network.publish({ guestPort: 53 });
	const udp = await vm.network.publish({ guestPort: 53, port: tcp.port, protocol: "udp" });
	assert.deepEqual([tcp.protocol, udp.protocol, udp.port], ["tcp", "udp", tcp.port]);
	await assert.rejects(vm.network.publish({ guestPort: 54, port: tcp.port, protocol: "udp" }), isError("EADDRINUSE"));
	await udp[Symbol.asyncDispose]();
	await udp[Symbol.asyncDispose](); // nothing is published there, which is what was wanted
	await using again = await vm.network.publish({ guestPort: 54, port: tcp.port, protocol: "udp" });
	assert.equal(again.port, tcp.port);
});
