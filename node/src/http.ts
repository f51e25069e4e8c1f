// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Hooks of the guest's HTTP requests. Connections of the guest's to the origins of hooks are ended in the host process and begun anew towards the server,
 * whose certificate is verified; all others pass untouched. Rules decide what may leave, as without hooks.
 */
import { SandboxError, fromNative } from "./errors.js";
import { objectOf } from "./input.js";
import { type NativeHandle, type NativeHttpRequest, native } from "./native.js";

/** Which requests a hook sees. */
export interface SandboxHttpSelector {
	/** Scheme, host, and port if it is not the scheme's: `"https://api.example.com"`, `"http://127.0.0.1:8080"`. */
	readonly origin: string;
	/** For the hook to end, waiting for others included; then the guest gets a 502. 30 s if it is left out. */
	readonly timeoutMs?: number;
}

/** A request of the guest's, as it came or as earlier hooks have left it. */
export interface SandboxHttpRequest {
	readonly protocol: "http/1.1" | "h2";
	readonly url: URL;
	/** As the guest has sent it. */
	readonly method: string;
	/** Change it: what is sent to the server has these. The guest sees nothing of it. */
	readonly headers: Headers;
	readonly destination: {
		/** What the guest has connected to. */
		readonly originalIp: string;
		readonly originalPort: number;
		/** What the host has found for the URL's host, and is connected to. */
		readonly upstreamIp: string;
		readonly upstreamPort: number;
	};
	/** Left out for plain HTTP. */
	readonly tls?: {
		readonly sni?: string;
		readonly alpn?: string;
	};
}

/** Called before the server sees the request. One that throws, or takes longer than its time: the guest gets a 502, and the server nothing. */
export type SandboxHttpRequestHook = (request: SandboxHttpRequest) => void | Promise<void>;

/** A header that every request to an origin has, whatever the guest sends: neither the guest nor a hook sees it. */
export interface SandboxHttpHeader {
	/** As in {@link SandboxHttpSelector}. */
	readonly origin: string;
	readonly name: string;
	readonly value: string;
}

/** A secret that the guest has a placeholder of: see {@link httpSecret}. */
export interface SandboxHttpSecret {
	/** As in {@link SandboxHttpSelector}: the only one that gets the secret. */
	readonly origin: string;
	/** What the guest is given in the place of the secret. */
	readonly placeholder: string;
	readonly value: string;
}

/**
 * A secret for programs that insist on a key of their own. Give the guest its `placeholder`; in the values of headers of requests to the origin (also inside of them, and within Basic
 * credentials) the server gets the secret instead. A request that is looked into and has the placeholder in a header to another origin is refused with a 403.
 *
 * ```ts
 * const key = httpSecret({ origin: "https://api.example.com", value: process.env.API_KEY ?? "" });
 * await using vm = await spawnSandbox({
 * 	...options,
 * 	network: { outbound: { policy: "deny", rules: [acceptHost({ host: "api.example.com", ports: [443] })] }, http: { secrets: [key] } },
 * });
 * await vm.exec("agent", [], { env: { API_KEY: key.placeholder } });
 * ```
 */
export function httpSecret(secret: { readonly origin: string; readonly value: string }): SandboxHttpSecret {
	const { value } = objectOf(secret, "secret");
	const origin = validateOrigin(secret.origin);
	if (typeof value !== "string" || value === "") throw new SandboxError("ERR_SANDBOX_OPTIONS", `the secret for ${origin} must be a string, and not an empty one`);
	return { origin, placeholder: native().placeholder(), value };
}

function invalidOrigin(origin: unknown, why: string): SandboxError {
	return new SandboxError("ERR_SANDBOX_OPTIONS", `invalid HTTP origin ${typeof origin === "string" ? `'${origin}'` : typeof origin}: ${why}; write scheme://host[:port], as https://api.example.com`);
}

/** The origin as libsbx takes it; throws what is wrong with it. */
export function validateOrigin(origin: unknown): string {
	if (typeof origin !== "string") throw invalidOrigin(origin, "it must be a string");
	let url: URL;
	try {
		url = new URL(origin);
	} catch {
		throw invalidOrigin(origin, "it is no URL");
	}
	if (url.protocol !== "http:" && url.protocol !== "https:") throw invalidOrigin(origin, `the scheme ${url.protocol.slice(0, -1)} is neither http nor https`);
	if (url.username !== "" || url.password !== "") throw invalidOrigin(origin, "it has a user name");
	if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || /[/?#]$/.test(origin)) throw invalidOrigin(origin, "it has more than a scheme, a host and a port");
	return url.origin;
}

interface Registered {
	readonly origin: string;
	readonly timeoutMs?: number;
	readonly hook: SandboxHttpRequestHook;
	active: boolean;
}

function pairs(flat: readonly string[]): [string, string][] {
	return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? "", flat[2 * i + 1] ?? ""]);
}

function requestOf(raw: NativeHttpRequest): SandboxHttpRequest {
	const { sni, alpn } = raw;
	return {
		protocol: raw.protocol === "h2" ? "h2" : "http/1.1",
		url: new URL(raw.url),
		method: raw.method,
		headers: new Headers(pairs(raw.headers)),
		destination: { originalIp: raw.originalIp, originalPort: raw.originalPort, upstreamIp: raw.upstreamIp, upstreamPort: raw.upstreamPort },
		...(sni === undefined ? {} : { tls: { ...(sni === "" ? {} : { sni }), ...(alpn === undefined || alpn === "" ? {} : { alpn }) } }),
	};
}

/** The hooks of a sandbox, in the order of their registration: `sandbox.http`. */
export class SandboxHttp {
	readonly #hooks: Registered[] = [];
	readonly #check: () => void;
	#handle: NativeHandle | undefined;

	/** Made with the builder. `check` throws when it is too late, or when there is no network. */
	constructor(check: () => void) {
		this.#check = check;
	}

	/**
	 * Registers a hook, before `run()`. Disposed, it is inactive at once, for requests that are on their way, too.
	 *
	 * ```ts
	 * sandbox.http.onRequest({ origin: "https://api.github.com" }, (request) => {
	 * 	request.headers.set("authorization", `Bearer ${process.env.GITHUB_TOKEN}`);
	 * });
	 * ```
	 */
	onRequest(selector: SandboxHttpSelector, hook: SandboxHttpRequestHook): AsyncDisposable {
		const { origin: given, timeoutMs } = typeof selector === "object" && selector !== null ? selector : { origin: selector };
		const origin = validateOrigin(given);
		if (timeoutMs !== undefined && !(Number.isSafeInteger(timeoutMs) && timeoutMs > 0 && timeoutMs <= 0xffff_ffff)) {
			throw new SandboxError("ERR_SANDBOX_OPTIONS", "the hook's timeoutMs must be a whole number of milliseconds greater than zero");
		}
		if (typeof hook !== "function") throw new SandboxError("ERR_SANDBOX_OPTIONS", "the hook must be a function");
		this.#check();
		const registered: Registered = { origin, ...(timeoutMs === undefined ? {} : { timeoutMs }), hook, active: true };
		const index = this.#hooks.push(registered) - 1;
		return {
			[Symbol.asyncDispose]: async () => {
				registered.active = false;
				if (this.#handle) native().httpRemove(this.#handle, index);
			},
		};
	}

	/** For the configuration of the VM. @internal */
	selectors(): readonly SandboxHttpSelector[] {
		return this.#hooks.map(({ origin, timeoutMs }) => ({ origin, ...(timeoutMs === undefined ? {} : { timeoutMs }) }));
	}

	/** The VM runs: hooks that were disposed meanwhile go. Without one, it is over. @internal */
	attach(handle: NativeHandle | undefined): void {
		this.#handle = handle;
		if (handle) this.#hooks.forEach(({ active }, index) => active || native().httpRemove(handle, index));
	}

	/** A request for hook `index`. Gives what is to be changed: names and values in turn, and names to delete. Rejects as the hook does. @internal */
	async run(index: number, raw: NativeHttpRequest): Promise<{ readonly set: readonly string[]; readonly drop: readonly string[] }> {
		const registered = this.#hooks[index];
		if (!registered?.active) return { set: [], drop: [] };
		const request = requestOf(raw);
		const before = new Map(request.headers);
		await registered.hook(request);
		const after = new Map(request.headers);
		return {
			set: [...after].filter(([name, value]) => before.get(name) !== value).flat(),
			drop: [...before.keys()].filter((name) => !after.has(name)),
		};
	}
}

/** Answers a call of a hook by what running it gave. Gives the hook's error, wrapped: it may be anything, also what must not be awaited. */
export async function answerRequest(http: SandboxHttp, index: number, raw: NativeHttpRequest, call: { readonly id: number; readonly handle: () => NativeHandle | undefined }): Promise<{ readonly error: unknown } | undefined> {
	try {
		const { set, drop } = await http.run(index, raw);
		const handle = call.handle();
		if (handle) native().httpForward(handle, call.id, set, drop);
		return undefined;
	} catch (error) {
		const handle = call.handle();
		if (handle) native().httpRefuse(handle, call.id, 502, "the request hook failed");
		return { error: fromNative(error) };
	}
}
