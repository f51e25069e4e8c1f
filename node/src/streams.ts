// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A program's input and output as web streams, with the program's own pace: what is not read holds the program up, and what it does not read holds the
 * writer up.
 */
import { SandboxError } from "./errors.js";
import { bytesOf } from "./input.js";
import { ReadableStream, WritableStream, type ReadableStreamDefaultController } from "node:stream/web";

/** What the guest prints, in the order of printing. */
export class OutputStream {
	readonly readable: ReadableStream<Uint8Array>;
	readonly #acknowledge: (bytes: number) => void;
	#waiting: Buffer[] = [];
	#wake: (() => void) | undefined;
	#controller!: ReadableStreamDefaultController<Uint8Array>;
	#over: { readonly error?: unknown } | undefined;
	#cancelled = false;

	/** `acknowledge` is told how much was taken by the reader. */
	constructor(acknowledge: (bytes: number) => void) {
		this.#acknowledge = acknowledge;
		this.readable = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					this.#controller = controller;
				},
				pull: () => this.#pull(),
				cancel: () => {
					this.#cancelled = true; // the program goes on, into nothing
					this.#drop();
				},
			},
			{ highWaterMark: 0 }, // nothing is taken before somebody reads
		);
	}

	push(data: Buffer): void {
		if (this.#cancelled) this.#acknowledge(data.length);
		else this.#waiting.push(data);
		this.#wake?.();
	}

	/** There will be no more. */
	end(over: { readonly error?: unknown } = {}): void {
		this.#over ??= over;
		this.#wake?.();
		if (this.#cancelled || this.#waiting.length > 0) return;
		this.#finish();
	}

	async #pull(): Promise<void> {
		while (this.#waiting.length === 0 && !this.#over && !this.#cancelled) {
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
			this.#wake = undefined;
		}
		if (this.#cancelled) return;
		let bytes = 0;
		for (const data of this.#waiting) {
			this.#controller.enqueue(data);
			bytes += data.length;
		}
		this.#waiting = [];
		if (bytes > 0) this.#acknowledge(bytes);
		if (this.#over) this.#finish();
	}

	#drop(): void {
		const bytes = this.#waiting.reduce((sum, data) => sum + data.length, 0);
		this.#waiting = [];
		if (bytes > 0) this.#acknowledge(bytes);
		this.#wake?.();
	}

	#finished = false;
	#finish(): void {
		if (this.#finished) return;
		this.#finished = true;
		if (this.#over && "error" in this.#over) this.#controller.error(this.#over.error);
		else this.#controller.close();
	}
}

/** What a program reads. */
export class InputStream {
	readonly writable: WritableStream<Uint8Array | string>;
	#wake: (() => void) | undefined;
	#over: { readonly error: unknown } | undefined;

	/** `write` gives how many bytes were taken, or a negative number when no more will be. */
	constructor(sink: { readonly write: (data: Uint8Array) => number; readonly close: () => void }) {
		this.writable = new WritableStream<Uint8Array | string>({
			write: async (chunk) => {
				let left = bytesOf(chunk, "input");
				while (left.length > 0) {
					if (this.#over) throw this.#over.error;
					const taken = sink.write(left);
					if (taken < 0) throw new SandboxError("EPIPE", "the program reads no more");
					left = left.subarray(taken);
					if (left.length > 0 && !this.#over) {
						await new Promise<void>((resolve) => {
							this.#wake = resolve;
						});
						this.#wake = undefined;
					}
				}
			},
			close: () => sink.close(),
			abort: () => sink.close(),
		});
	}

	/** There is room again. */
	room(): void {
		this.#wake?.();
	}

	/** Nobody reads any more: a write that waits fails. */
	end(error: unknown): void {
		this.#over ??= { error };
		this.#wake?.();
	}
}
