// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Events of a VM.
 */
import { Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";

/** A decision about a flow of the guest's, or the end of one. */
export interface SandboxFlowEvent {
	/** `"flow"`: a decision; `"end"`: a flow that was allowed has ended; `"left-out"`: `lines` events are missing here, as they came too fast. */
	readonly type: "flow" | "end" | "left-out";
	/** ISO 8601, UTC. */
	readonly time: string;
	/** Numbers flows: a decision and its end have the same. */
	readonly flow?: number;
	/** `"in"`: to a published port. */
	readonly direction?: "out" | "in";
	readonly protocol?: "tcp" | "udp" | "icmp";
	readonly source?: { readonly ip: string; readonly port?: number };
	readonly destination?: { readonly ip: string; readonly port?: number };
	/** The host name that the flow concerns, if any. */
	readonly name?: string;
	readonly verdict?: "allow" | "deny";
	/** The rule that allowed it. */
	readonly rule?: string;
	/** Why it was denied, or why it ended. */
	readonly reason?: string;
	/** Of payload, from the guest. */
	readonly bytesOut?: number;
	/** Of payload, to the guest. */
	readonly bytesIn?: number;
	readonly durationMs?: number;
	/** How many events are missing. */
	readonly lines?: number;
}

/** A request to the origin of a hook, or of a header, that is over. No header is in it. */
export interface SandboxRequestEvent {
	/** `"left-out"`: `lines` events are missing here. */
	readonly type: "request" | "left-out";
	/** ISO 8601, UTC. */
	readonly time: string;
	readonly protocol?: "http/1.1" | "h2";
	readonly method?: string;
	readonly url?: string;
	/** In the place of `method` and `url`, for what was refused before it could be read. */
	readonly origin?: string;
	/** Of the answer; 0: there was none. */
	readonly status?: number;
	/** Of bodies, as they travel. */
	readonly bytesUp?: number;
	readonly bytesDown?: number;
	/** Until it was over. */
	readonly durationMs?: number;
	/** What the guest has connected to. */
	readonly original?: { readonly ip: string; readonly port?: number };
	/** What the host was connected to. */
	readonly upstream?: { readonly ip: string; readonly port?: number };
	/** How many hooks have seen it. */
	readonly hooks?: number;
	/** Some hook has changed it. */
	readonly changed?: boolean;
	/** What went wrong. */
	readonly reason?: string;
	/** How many events are missing. */
	readonly lines?: number;
}

/** A hook that failed: the guest got a 502. */
export interface SandboxHookErrorEvent {
	readonly url: string;
	/** What the hook has thrown, or the error of what it changed. */
	readonly error: unknown;
}

/** The end of a VM. */
export interface SandboxExitEvent {
	/** `ERR_SANDBOX_CLOSED` after `close()`, else what ended it. */
	readonly code: string;
	readonly message: string;
	/** The console's last lines if the guest failed, else "". */
	readonly console: string;
}

/** What `vm.on()` tells, and with what. */
export interface SandboxVmEvents {
	/** Text of the guest's console: the kernel's, and what programs write to `/dev/console`. */
	console: string;
	/** Once, when the VM has ended. */
	exit: SandboxExitEvent;
	/** With `network.outbound`. */
	flow: SandboxFlowEvent;
	/** With hooks or headers. */
	request: SandboxRequestEvent;
	/** A request hook threw, or changed what must not be changed. */
	hookError: SandboxHookErrorEvent;
}

/** Characters of the console, and flows, that wait for the first listener; the oldest go. */
export const EVENTS_HELD_MAX = 1024;
const LINE_CHARACTERS_MAX = 1 << 16;

type Listener<T> = (event: T) => void;

/** Listeners of one event. What comes before there is one waits for it, within bounds: nobody can listen before the VM is there. */
export class EventChannel<T> {
	readonly #listeners = new Set<Listener<T>>();
	#held: T[] | undefined = [];

	emit(event: T): void {
		if (this.#held) {
			this.#held.push(event);
			if (this.#held.length > EVENTS_HELD_MAX) this.#held.shift();
			return;
		}
		for (const listener of this.#listeners) {
			try {
				listener(event);
			} catch (error) {
				process.nextTick(() => {
					throw error; // a listener's mistake is its program's business, and keeps no other listener from hearing
				});
			}
		}
	}

	add(listener: Listener<T>): void {
		this.#listeners.add(listener);
		const held = this.#held;
		this.#held = undefined;
		for (const event of held ?? []) this.emit(event);
	}

	delete(listener: Listener<T>): void {
		this.#listeners.delete(listener);
	}
}

/** How long the rest of a pipe may take when its writer has gone, in milliseconds. */
const DRAIN_MS = 250;

/** A pipe of the addon's, read as text. It keeps no event loop alive, and ends with the host process. */
export class PipeReader {
	readonly #socket: Socket;
	readonly #ended: Promise<void>;

	constructor(fd: number, onText: (text: string) => void) {
		const decoder = new StringDecoder("utf8");
		this.#socket = new Socket({ fd, readable: true, writable: false });
		this.#socket.on("data", (data) => onText(decoder.write(data)));
		this.#socket.on("error", () => this.#socket.destroy());
		this.#ended = new Promise((resolve) => this.#socket.on("close", () => resolve()));
		this.#socket.unref();
	}

	/** The writer has gone: waits until everything that it wrote has been read. */
	async drain(): Promise<void> {
		this.#socket.ref();
		const timer = setTimeout(() => this.#socket.destroy(), DRAIN_MS);
		await this.#ended;
		clearTimeout(timer);
	}
}

/** Cuts text into lines; one that is longer than any of ours is dropped. */
export function lineSplitter(onLine: (line: string) => void): (text: string) => void {
	let rest = "";
	return (text) => {
		const lines = (rest + text).split("\n");
		rest = lines.pop() ?? "";
		if (rest.length > LINE_CHARACTERS_MAX) rest = "";
		for (const line of lines) onLine(line);
	};
}

function endpoint(ip: unknown, port: unknown): { readonly ip: string; readonly port?: number } | undefined {
	if (typeof ip !== "string") return undefined;
	return typeof port === "number" ? { ip, port } : { ip };
}

type Fields = Readonly<Record<string, unknown>>;

/** Emits the event that a line holds; one that is no JSON is not ours. */
export function parseEvent<T>(line: string, parse: (fields: Fields) => T, channel: EventChannel<T>): void {
	let fields: Fields;
	try {
		fields = JSON.parse(line) as Fields;
	} catch {
		return;
	}
	channel.emit(parse(fields));
}

/** libsbx's documented form, with the names of this package, and without what is not there. */
function renamed<T>(found: Fields): T {
	return Object.fromEntries(Object.entries(found).filter(([, part]) => part !== undefined)) as T;
}

export function parseFlow(fields: Fields): SandboxFlowEvent {
	const { event, src, src_port, dst, dst_port, bytes_out, bytes_in, duration_ms, ...same } = fields;
	return renamed({
		...same,
		type: event === "left_out" ? "left-out" : event,
		source: endpoint(src, src_port),
		destination: endpoint(dst, dst_port),
		bytesOut: bytes_out,
		bytesIn: bytes_in,
		durationMs: duration_ms,
	});
}

export function parseRequest(fields: Fields): SandboxRequestEvent {
	const { event, bytes_up, bytes_down, duration_ms, original, original_port, upstream, upstream_port, ...same } = fields;
	return renamed({
		...same,
		type: event === "left_out" ? "left-out" : event,
		bytesUp: bytes_up,
		bytesDown: bytes_down,
		durationMs: duration_ms,
		original: endpoint(original, original_port),
		upstream: endpoint(upstream, upstream_port),
	});
}
