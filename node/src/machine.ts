// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A running VM behind the public classes: the addon's handle, what it tells, and its end. Everything that waits for the guest registers here, so that
 * nothing waits for a guest that is gone.
 */
import { SandboxError, fromNative } from "./errors.js";
import { EndReason, ExitReason, type NativeConfig, type NativeExecSpec, type NativeHandle, type NativeHandlers, type NativeReady, native } from "./native.js";

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
	#oomKills = 0;
	#settleReady!: { readonly resolve: (ready: NativeReady) => void; readonly reject: (error: SandboxError) => void };
	#settleEnded!: (error: SandboxError) => void;

	constructor(config: NativeConfig) {
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
		} catch (cause) {
			const error = fromNative(cause);
			this.#end(error instanceof SandboxError ? error : new SandboxError("ERR_SANDBOX_LAUNCH", String(cause), { cause }));
		}
	}

	#handlers(): NativeHandlers {
		return {
			ready: (ready) => this.#settleReady.resolve(ready),
			end: (reason, _errno, message, console) => {
				this.#end(new SandboxError(END_CODES[reason] ?? "ERR_SANDBOX_HOST", this.#explain(message), { console }));
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
		this.#settleEnded(error);
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
			const id = native().exec(handle, spec);
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
	}
}
