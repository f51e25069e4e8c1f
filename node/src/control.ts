// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The control channel of a guest: commands to it, events from it.
 */
import { randomUUID } from "node:crypto";

import { SandboxError } from "./errors.js";
import { objectOf, shown, textOf } from "./input.js";

/** Runs a program in the guest. */
export interface GuestExecCommand {
	readonly type: "guest.exec";
	/** Names the exec in its answer. No two may be in flight with the same. */
	readonly id: string;
	/** The program, searched in the guest's PATH, and its arguments. */
	readonly argv: readonly string[];
	/** The whole environment; PATH, HOME and TERM get defaults. */
	readonly env?: Readonly<Record<string, string>>;
}

/** A program ended. */
export interface GuestExecCompleteEvent {
	readonly type: "guest.exec.complete";
	/** The id of its `guest.exec`. */
	readonly id: string;
	/** As a shell says it: 127 when there is no such program, 128 and the signal's number when a signal ended it. */
	readonly exitCode: number;
	/** What it printed, as UTF-8. */
	readonly stdout: string;
	readonly stderr: string;
}

/** The guest is ready. */
export interface InitReadyEvent {
	readonly type: "init.ready";
	readonly guest: {
		readonly root: { readonly readonly: boolean };
		readonly init: { readonly name: string };
	};
}

/** What `send()` takes. */
export type SandboxControlCommand = GuestExecCommand;
/** What `incoming` gives. */
export type SandboxControlEvent = InitReadyEvent | GuestExecCompleteEvent;

/** What `exec()` takes. */
export interface SandboxControlExecInput {
	/** Default: a random one. */
	readonly id?: string;
	/** The program, searched in the guest's PATH, and its arguments. */
	readonly argv: readonly string[];
	/** The whole environment; PATH, HOME and TERM get defaults. */
	readonly env?: Readonly<Record<string, string>>;
	/** Milliseconds; then the program and its descendants are killed, and the exit code is 124. */
	readonly timeoutMs?: number;
	/** Kills the program and its descendants, and rejects. */
	readonly signal?: AbortSignal;
}

/** What carries commands to a guest. */
export interface HostControlChannel {
	/** Runs a program to its end. Throws if it cannot be asked for. */
	exec(command: GuestExecCommand, limits: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<GuestExecCompleteEvent>;
}

/** Events that wait in `incoming` for a reader; the oldest go first. */
export const INCOMING_EVENTS_MAX = 256;
/** Characters of output in those events. */
export const INCOMING_CHARACTERS_MAX = 16 << 20;

type Waiter = { readonly resolve: (result: IteratorResult<SandboxControlEvent, undefined>) => void; readonly reject: (error: unknown) => void };

/** Events for whoever iterates; each goes to one reader. Bounded, as there need not be one. */
class EventQueue implements AsyncIterable<SandboxControlEvent> {
	readonly #events: SandboxControlEvent[] = [];
	readonly #waiters: Waiter[] = [];
	#characters = 0;
	#ended = false;
	#error: unknown;

	static #size(event: SandboxControlEvent): number {
		return event.type === "guest.exec.complete" ? event.stdout.length + event.stderr.length : 0;
	}

	push(event: SandboxControlEvent): void {
		const waiter = this.#waiters.shift();
		if (waiter) {
			waiter.resolve({ done: false, value: event });
			return;
		}
		this.#events.push(event);
		this.#characters += EventQueue.#size(event);
		while (this.#events.length > INCOMING_EVENTS_MAX || (this.#events.length > 1 && this.#characters > INCOMING_CHARACTERS_MAX)) this.#take();
	}

	#take(): SandboxControlEvent | undefined {
		const event = this.#events.shift();
		if (event) this.#characters -= EventQueue.#size(event);
		return event;
	}

	end(error?: unknown): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#error = error;
		for (const waiter of this.#waiters.splice(0)) {
			if (error === undefined) waiter.resolve({ done: true, value: undefined });
			else waiter.reject(error);
		}
	}

	next(): Promise<IteratorResult<SandboxControlEvent, undefined>> {
		const event = this.#take();
		if (event) return Promise.resolve({ done: false, value: event });
		if (!this.#ended) return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
		if (this.#error === undefined) return Promise.resolve({ done: true, value: undefined });
		return Promise.reject(this.#error);
	}

	[Symbol.asyncIterator](): AsyncIterator<SandboxControlEvent, undefined> {
		return { next: () => this.next(), return: () => Promise.resolve({ done: true, value: undefined }) };
	}
}

/**
 * Commands to a guest and events from it. `vm.control` is one.
 *
 * ```ts
 * const result = await vm.control.exec({ argv: ["uname", "-r"] });
 * ```
 */
export class HostControlTransport {
	/** Events of the guest, each for one reader. Those that nobody has read wait, at most {@link INCOMING_EVENTS_MAX} of them. */
	readonly incoming: AsyncIterable<SandboxControlEvent>;
	readonly #events = new EventQueue();
	readonly #channel: HostControlChannel;
	readonly #inFlight = new Set<string>();
	#closed: SandboxError | undefined;

	constructor(channel: HostControlChannel) {
		this.#channel = channel;
		this.incoming = this.#events;
	}

	/**
	 * Sends a command; its answer comes in `incoming`. If the program could not be run to its end (its output was too much, say), `exitCode` is 126 and `stderr` says why.
	 * Rejects if it cannot be asked for: an id that is in flight (`ERR_SANDBOX_EXEC_ID`), a VM that is closed.
	 *
	 * ```ts
	 * await vm.control.send({ type: "guest.exec", id: "build", argv: ["make"] });
	 * for await (const event of vm.control.incoming) {
	 * 	if (event.type === "guest.exec.complete" && event.id === "build") break;
	 * }
	 * ```
	 */
	async send(command: SandboxControlCommand): Promise<void> {
		const { type, id }: { readonly type: unknown; readonly id: string } = objectOf(command, "command");
		if (type !== "guest.exec") throw new SandboxError("ERR_SANDBOX_EXEC", `unsupported sandbox control command: ${shown(type)}`);
		this.#start(command, {}).catch((error: unknown) => {
			this.emit({ type: "guest.exec.complete", id, exitCode: 126, stdout: "", stderr: `${error instanceof Error ? error.message : String(error)}\n` });
		});
	}

	/**
	 * Runs a program to its end. Up to 256 may run at once.
	 *
	 * ```ts
	 * const { exitCode, stderr } = await vm.control.exec({ id: "tests", argv: ["make", "check"], timeoutMs: 60_000 });
	 * ```
	 */
	async exec(input: SandboxControlExecInput): Promise<GuestExecCompleteEvent> {
		const { id = randomUUID(), argv, env, timeoutMs, signal } = objectOf(input, "input");
		return await this.#start(
			{ type: "guest.exec", id, argv, ...(env === undefined ? {} : { env }) },
			{ ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal === undefined ? {} : { signal }) },
		);
	}

	/** Throws if it cannot be asked for. */
	#start(command: GuestExecCommand, limits: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<GuestExecCompleteEvent> {
		const id = textOf(command.id, "id");
		if (this.#closed) throw this.#closed;
		if (this.#inFlight.has(id)) throw new SandboxError("ERR_SANDBOX_EXEC_ID", `sandbox exec id is already in flight: ${id}`);
		const running = this.#channel.exec(command, limits);
		this.#inFlight.add(id);
		return running.then(
			(event) => {
				this.#inFlight.delete(id);
				this.emit(event);
				return event;
			},
			(error: unknown) => {
				this.#inFlight.delete(id);
				throw error;
			},
		);
	}

	/** Tells readers of `incoming`. For whoever owns the channel. */
	emit(event: SandboxControlEvent): void {
		if (!this.#closed) this.#events.push(event);
	}

	/** Why there are no more commands; `incoming` ends, with this error if the guest is `lost`. For whoever owns the channel. */
	end(error: SandboxError, lost: boolean): void {
		this.#closed ??= error;
		this.#events.end(lost ? error : undefined);
	}

	/**
	 * Takes no more commands, and ends `incoming`. The VM goes on.
	 *
	 * ```ts
	 * await vm.control.close();
	 * ```
	 */
	async close(): Promise<void> {
		this.end(new SandboxError("ERR_SANDBOX_CLOSED", "the sandbox control channel is closed"), false);
	}
}
