// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A running VM behind the public classes: the addon's handle, what it tells, and its end. Everything that waits for the guest registers here, so that
 * nothing waits for a guest that is gone.
 */
import { EventChannel, type SandboxVmEvents, lineSplitter, parseEvent, parseFlow, parseRequest, PipeReader } from "./events.js";
import { SandboxError, errnoName, fromNative } from "./errors.js";
import type { SandboxAnyFileSystem } from "./filesystem.js";
import { type SandboxHttp, answerRequest } from "./http.js";
import {
	EndReason,
	ExecFlag,
	ExitReason,
	type NativeConfig,
	type NativeControlRequest,
	type NativeControlResult,
	type NativeExecSpec,
	type NativeHandle,
	type NativeHandlers,
	type NativeHttpRequest,
	type NativeReady,
	type NativeGuestRequest,
	type NativeGuestSuccess,
	type NativeToolRequest,
	type NativeToolSuccess,
	native,
} from "./native.js";
import { Requests } from "./requests.js";
import { type FileCall, type FileReply, serveCall } from "./serve.js";

/** How a program ended. */
export interface ProcessExit {
	readonly reason: number;
	readonly code: number;
	readonly signal: number;
	readonly oomKills: number;
	readonly message: string;
}

/** Who listens to a program. */
export interface ProcessSink {
	output(stream: number, data: Buffer): void;
	writable(): void;
	exit(exit: ProcessExit): void;
	/** The VM is gone, and the program with it. */
	lost(error: SandboxError): void;
}


const END_CODES: Readonly<Record<number, ConstructorParameters<typeof SandboxError>[0]>> = {
	[EndReason.stopped]: "ERR_SANDBOX_CLOSED",
	[EndReason.poweroff]: "ERR_SANDBOX_POWEROFF",
	[EndReason.launch]: "ERR_SANDBOX_LAUNCH",
	[EndReason.guest]: "ERR_SANDBOX_GUEST",
	[EndReason.engine]: "ERR_SANDBOX_ENGINE",
	[EndReason.host]: "ERR_SANDBOX_HOST",
};

export class Machine {
	readonly events: { readonly [K in keyof SandboxVmEvents]: EventChannel<SandboxVmEvents[K]> } = {
		console: new EventChannel(),
		exit: new EventChannel(),
		flow: new EventChannel(),
		request: new EventChannel(),
		hookError: new EventChannel(),
	};
	/** Settled once: the guest is ready, or its launch failed. */
	readonly ready: Promise<NativeReady>;
	/** Fulfilled once, when the VM has ended by itself or was closed. */
	readonly ended: Promise<SandboxError>;
	#handle: NativeHandle | undefined;
	#error: SandboxError | undefined;
	#closing: Promise<void> | undefined;
	readonly #starting: Promise<void>;
	readonly #processes = new Map<number, ProcessSink>();
	readonly #pending = new Set<(error: SandboxError) => void>();
	readonly #sources: readonly SandboxAnyFileSystem[];
	readonly #calls = new Map<number, AbortController>();
	readonly #tools = new Requests<NativeToolRequest, NativeToolSuccess>(64, {
		submit: (number, request) => native().toolSubmit(this.handle(), number, request),
		cancel: (id) => this.about((handle) => native().toolCancel(handle, id)),
	});
	readonly #guestCalls = new Requests<NativeGuestRequest, NativeGuestSuccess>(128, {
		submit: (number, request) => native().guestSubmit(this.handle(), number, request),
		cancel: (id) => this.about((handle) => native().guestCancel(handle, id)),
	});
	readonly #controls = new Requests<NativeControlRequest, NativeControlResult>(64, {
		submit: (number, request) => native().controlSubmit(this.handle(), number, request),
		cancel: (id) => this.about((handle) => native().controlCancel(handle, id)),
	});
	#oomKills = 0;
	#settleReady!: { readonly resolve: (ready: NativeReady) => void; readonly reject: (error: SandboxError) => void };
	#settleEnded!: (error: SandboxError) => void;

	readonly #http: SandboxHttp;
	readonly #requests = new Set<number>();
	readonly #pipes: PipeReader[] = [];

	/** `sources`: the file systems that calls name by their place. */
	constructor(config: NativeConfig, sources: readonly SandboxAnyFileSystem[], http: SandboxHttp) {
		this.#sources = sources;
		this.#http = http;
		this.ready = new Promise((resolve, reject) => {
			this.#settleReady = { resolve, reject };
		});
		this.ready.catch(() => {}); // whoever waits for it hears it
		this.ended = new Promise((resolve) => {
			this.#settleEnded = resolve;
		});
		this.#starting = this.#start(config);
	}

	async #start(config: NativeConfig): Promise<void> {
		try {
			this.#handle = await native().start(config, this.#handlers());
			const { consoleFd, flowsFd, requestsFd } = this.#handle;
			if (consoleFd !== undefined) this.#read(consoleFd, (text) => this.events.console.emit(text));
			if (flowsFd !== undefined) this.#read(flowsFd, lineSplitter((line) => parseEvent(line, parseFlow, this.events.flow)));
			if (requestsFd !== undefined) this.#read(requestsFd, lineSplitter((line) => parseEvent(line, parseRequest, this.events.request)));
			this.#http.attach(this.#handle);
		} catch (cause) {
			const error = fromNative(cause);
			this.#end(error instanceof SandboxError ? error : new SandboxError("ERR_SANDBOX_LAUNCH", String(cause), { cause }));
		}
	}

	#read(fd: number, onText: (text: string) => void): void {
		this.#pipes.push(new PipeReader(fd, onText));
	}

	#handlers(): NativeHandlers {
		return {
			ready: (ready) => this.#settleReady.resolve(ready),
			end: (reason, errno, message, console) => {
				const cause = errno === 0 ? {} : { cause: new SandboxError(errnoName(errno), errnoName(errno)) };
				this.#end(new SandboxError(END_CODES[reason] ?? "ERR_SANDBOX_HOST", this.#explain(message), { console, ...cause }));
				void this.close(); // nothing can be done with it any more
			},
			log: () => {},
			oom: (kills) => {
				this.#oomKills = kills;
			},
			output: (id, stream, data) => this.#processes.get(id)?.output(stream, data),
			writable: (id) => this.#processes.get(id)?.writable(),
			exit: (id, reason, code, signal, oomKills, message) => {
				if (reason === ExitReason.lost) return; // the end comes next, and says why
				const sink = this.#processes.get(id);
				this.#processes.delete(id);
				sink?.exit({ reason, code, signal, oomKills, message });
			},
			call: (source, op, id, path, path2, a, b, data) => void this.#serve(source, id, { op, path, path2, a, b, data }),
			cancel: (id) => {
				this.#calls.get(id)?.abort();
				this.#calls.delete(id);
			},
			tool: (number, result) => this.#tools.done(number, result.attr ? result : new SandboxError(errnoName(result.code), result.message)),
			request: (hook, id, raw) => void this.#request(hook, id, raw),
			requestCancel: (id) => void this.#requests.delete(id),
			control: (number, result) => this.#controls.done(number, result.code === 0 ? result : new SandboxError(errnoName(result.code), result.message)),
			guest: (number, result) => this.#guestCalls.done(number, result.attr ? result : new SandboxError(errnoName(result.code), result.message)),
		};
	}

	#explain(message: string): string {
		if (this.#oomKills === 0) return message;
		return `${message}; before that the guest ran out of memory and killed ${this.#oomKills} of its processes`;
	}

	/** Tells everybody who waits. */
	#end(error: SandboxError): void {
		if (this.#error) return;
		this.#error = error;
		this.#settleReady.reject(error);
		for (const sink of this.#processes.values()) sink.lost(error);
		this.#processes.clear();
		for (const reject of this.#pending) reject(error);
		this.#pending.clear();
		this.#tools.end(error);
		this.#guestCalls.end(error);
		this.#controls.end(error);
		this.#requests.clear();
		this.#http.attach(undefined);
		for (const controller of this.#calls.values()) controller.abort(error);
		this.#calls.clear();
		this.#settleEnded(error);
		this.events.exit.emit({ code: error.code, message: error.message, console: error.console });
	}

	/** Fulfilled when the host process runs; rejects if it could not be started. */
	async started(): Promise<void> {
		await this.#starting;
		this.handle();
	}

	/** The handle of a VM that is there; else throws why it is not. */
	handle(): NativeHandle {
		if (this.#error) throw this.#error;
		if (!this.#handle) throw new SandboxError("ERR_SANDBOX_CLOSED", "the VM has not started yet");
		return this.#handle;
	}

	/** Calls `reject` if the VM ends before the function that this gives is called. */
	untilEnd(reject: (error: SandboxError) => void): () => void {
		if (this.#error) {
			reject(this.#error);
			return () => {};
		}
		this.#pending.add(reject);
		return () => this.#pending.delete(reject);
	}

	/** Starts a program; `sink` hears of it from now on. Throws if it cannot be. */
	exec(spec: NativeExecSpec, sink: ProcessSink): number {
		const handle = this.handle();
		try {
			const flags = (spec.tty ? ExecFlag.tty : 0) | (spec.stdin ? ExecFlag.stdin : 0) | (spec.manualAck ? ExecFlag.manualAck : 0);
			const id = native().exec(handle, spec.argv, spec.env, spec.cwd, spec.user, flags, spec.timeoutMs, spec.rows * 65536 + spec.columns);
			this.#processes.set(id, sink);
			return id;
		} catch (error) {
			throw fromNative(error);
		}
	}

	/** A call about a program that may have ended, or whose VM has: then nothing happens. Gives what the addon gives. */
	about(call: (handle: NativeHandle) => number): number {
		return this.#error || !this.#handle ? -3 : call(this.#handle);
	}

	/** A request of the guest's for a hook. */
	async #request(hook: number, id: number, raw: NativeHttpRequest): Promise<void> {
		this.#requests.add(id);
		const handle = (): NativeHandle | undefined => (this.#requests.has(id) ? this.#handle : undefined);
		const failed = await answerRequest(this.#http, hook, raw, { id, handle });
		this.#requests.delete(id);
		if (failed) this.events.hookError.emit({ url: raw.url, error: failed.error });
	}

	/** A call of the guest's to a file system of the user's. */
	async #serve(source: number, id: number, call: FileCall): Promise<void> {
		const controller = new AbortController();
		const fs = this.#sources[source];
		this.#calls.set(id, controller);
		const reply: FileReply = fs ? await serveCall(fs, call, controller.signal) : { kind: "error", errno: 5 };
		if (this.#calls.get(id) !== controller || !this.#handle) return; // nobody waits any more
		this.#calls.delete(id);
		try {
			Machine.#reply(this.#handle, id, reply);
		} catch {
			native().fileError(this.#handle, id, 5); // what no answer can be made of: a name with NUL, say
		}
	}

	static #reply(handle: NativeHandle, id: number, reply: FileReply): void {
		switch (reply.kind) {
			case "error":
				native().fileError(handle, id, reply.errno);
				break;
			case "ok":
				native().fileOk(handle, id);
				break;
			case "count":
				native().fileCount(handle, id, reply.count);
				break;
			case "data":
				native().fileData(handle, id, reply.data);
				break;
			case "stat":
				native().fileStat(handle, id, reply.stat);
				break;
			case "entries":
				native().fileEntries(handle, id, reply);
				break;
		}
	}

	/** Uses a host tool. Any number may be asked for at once. */
	tool(request: NativeToolRequest, signal?: AbortSignal): Promise<NativeToolSuccess> {
		return this.#tools.start(request, signal);
	}

	/** Uses the guest's own files, likewise. */
	guestCall(request: NativeGuestRequest, signal?: AbortSignal): Promise<NativeGuestSuccess> {
		return this.#guestCalls.start(request, signal);
	}

	/** Asks the host process something about the VM, likewise. */
	control(request: NativeControlRequest, signal?: AbortSignal): Promise<NativeControlResult> {
		return this.#controls.start(request, signal);
	}

	/** The VM has ended, or is being closed. */
	over(): boolean {
		return this.#error !== undefined;
	}

	/** Ends the VM at once. Idempotent: every call waits for the same end. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		this.#end(new SandboxError("ERR_SANDBOX_CLOSED", "sandbox is closed"));
		await this.#starting; // also leaves the handler that this may have been called from
		if (this.#handle) await native().close(this.#handle);
		this.#handle = undefined;
		await Promise.all(this.#pipes.map((pipe) => pipe.drain()));
	}
}
