// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Requests that the addon answers by number: as many at once as libsbx takes, the rest in the order of asking; each settled once.
 */
import { type SandboxError, fromNative } from "./errors.js";
import { signalOf } from "./input.js";

interface Waiter<R> {
	readonly resolve: (result: R) => void;
	readonly reject: (error: unknown) => void;
}

export class Requests<Q, R extends object> {
	readonly #max: number;
	readonly #addon: { readonly submit: (number: number, request: Q) => number; readonly cancel: (id: number) => void };
	readonly #running = new Map<number, Waiter<R>>();
	readonly #queue: (() => void)[] = [];
	#number = 0;
	#over: SandboxError | undefined;

	/** `submit` throws when a request is not taken, and gives what `cancel` takes. */
	constructor(max: number, addon: { readonly submit: (number: number, request: Q) => number; readonly cancel: (id: number) => void }) {
		this.#max = max;
		this.#addon = addon;
	}

	start(request: Q, signal?: AbortSignal): Promise<R> {
		return new Promise((resolve, reject) => {
			signalOf(signal);
			const begin = (): void => {
				signal?.removeEventListener("abort", giveUp);
				try {
					signal?.throwIfAborted();
					if (this.#over) throw this.#over;
					this.#begin(request, { resolve, reject }, signal);
				} catch (error) {
					reject(fromNative(error));
					if (this.#running.size < this.#max) this.#queue.shift()?.();
				}
			};
			const giveUp = (): void => {
				const place = this.#queue.indexOf(begin);
				if (place >= 0) this.#queue.splice(place, 1);
				reject(signal?.reason);
			};
			if (this.#running.size < this.#max || this.#over || signal?.aborted) {
				begin();
				return;
			}
			this.#queue.push(begin);
			signal?.addEventListener("abort", giveUp);
		});
	}

	#begin(request: Q, waiter: Waiter<R>, signal: AbortSignal | undefined): void {
		const number = (this.#number = (this.#number + 1) % 0x8000_0000);
		const id = this.#addon.submit(number, request);
		if (!signal) {
			this.#running.set(number, waiter);
			return;
		}
		const onAbort = (): void => this.#addon.cancel(id);
		this.#running.set(number, {
			resolve: (result) => {
				signal.removeEventListener("abort", onAbort);
				waiter.resolve(result);
			},
			reject: (error) => {
				signal.removeEventListener("abort", onAbort);
				waiter.reject(signal.aborted ? signal.reason : error);
			},
		});
		signal.addEventListener("abort", onAbort);
	}

	/** The answer to a request. */
	done(number: number, result: R | SandboxError): void {
		const waiter = this.#running.get(number);
		this.#running.delete(number);
		if (result instanceof Error) waiter?.reject(result);
		else waiter?.resolve(result);
		this.#queue.shift()?.();
	}

	/** No answer comes any more. */
	end(error: SandboxError): void {
		this.#over = error;
		for (const waiter of this.#running.values()) waiter.reject(error);
		this.#running.clear();
		for (const begin of this.#queue.splice(0)) begin(); // and reject
	}
}
