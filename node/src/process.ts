// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Programs in the guest.
 */
import { SandboxError } from "./errors.js";
import type { Machine, ProcessExit, ProcessSink } from "./machine.js";
import { ExitReason, type NativeExecSpec, native } from "./native.js";

/** Bytes of output that a buffered exec keeps of each stream unless it is told otherwise. */
export const OUTPUT_BYTES_MAX = 64 << 20;

/** What is run, and how. */
export interface ProgramInput {
	readonly argv: readonly string[];
	readonly env?: Readonly<Record<string, string>> | undefined;
	readonly cwd?: string | undefined;
	readonly user?: string | undefined;
	readonly timeoutMs?: number | undefined;
}

/** What a program left. */
export interface ProgramResult {
	readonly exitCode: number;
	/** The number of the signal that ended it, or 0. */
	readonly signal: number;
	readonly timedOut: boolean;
	/** Processes of it that the guest's kernel killed for want of memory. */
	readonly oomKills: number;
	readonly stdout: Buffer;
	readonly stderr: Buffer;
}

function isString(value: unknown): value is string {
	return typeof value === "string";
}

function execError(message: string): SandboxError {
	return new SandboxError("ERR_SANDBOX_EXEC", message);
}

function optionalString(value: unknown, name: string): string | undefined {
	if (value !== undefined && !isString(value)) throw execError(`${name} must be a string`);
	return value;
}

/** Milliseconds of a time limit; 0 for none. */
export function timeoutOf(value: unknown): number {
	if (value === undefined) return 0;
	if (typeof value !== "number" || !(value > 0) || value > 0xffff_ffff) throw execError("timeoutMs must be a number of milliseconds greater than zero");
	return Math.ceil(value);
}

/** Checks what may come from plain JavaScript. */
export function execSpec(input: ProgramInput, how: Partial<NativeExecSpec> = {}): NativeExecSpec {
	const argv: unknown = input.argv;
	if (!Array.isArray(argv) || argv.length === 0 || !argv.every(isString)) throw execError("argv must be an array of strings, the program first");
	const env: unknown = input.env ?? {};
	if (typeof env !== "object" || env === null || !Object.values(env).every(isString)) throw execError("env must be an object of strings");
	return {
		argv,
		env: Object.entries(env as Readonly<Record<string, string>>).map(([name, value]) => `${name}=${value}`),
		cwd: optionalString(input.cwd, "cwd"),
		user: optionalString(input.user, "user"),
		timeoutMs: timeoutOf(input.timeoutMs),
		tty: false,
		stdin: false,
		manualAck: false,
		rows: 0,
		columns: 0,
		...how,
	};
}

/** Output of one stream, up to a limit. */
class Collected {
	readonly #chunks: Buffer[] = [];
	#bytes = 0;

	/** False when there is too much. */
	add(data: Buffer, max: number): boolean {
		this.#bytes += data.length;
		if (this.#bytes > max) return false;
		this.#chunks.push(data);
		return true;
	}

	take(): Buffer {
		return this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
	}
}

/** What a signal that is aborted rejects with. */
export function abortReason(signal: AbortSignal): unknown {
	return signal.reason ?? new DOMException("This operation was aborted", "AbortError");
}

/** A program whose output is kept until it ends. */
class BufferedRun implements ProcessSink {
	readonly #machine: Machine;
	readonly #max: number;
	readonly #out = new Collected();
	readonly #err = new Collected();
	readonly #input: Uint8Array | undefined;
	readonly #resolve: (result: ProgramResult) => void;
	readonly #reject: (error: unknown) => void;
	#written = 0;
	#id = 0;
	#failure: { readonly error: unknown } | undefined;

	constructor(
		machine: Machine,
		options: { readonly maxOutputBytes: number; readonly stdin: Uint8Array | undefined },
		settle: { readonly resolve: (result: ProgramResult) => void; readonly reject: (error: unknown) => void },
	) {
		this.#machine = machine;
		this.#max = options.maxOutputBytes;
		this.#input = options.stdin;
		this.#resolve = settle.resolve;
		this.#reject = settle.reject;
	}

	start(spec: NativeExecSpec): void {
		this.#id = this.#machine.exec(spec, this);
		if (this.#input) this.writable();
	}

	/** Kills the program; its end rejects with this. */
	fail(error: unknown): void {
		this.#failure ??= { error };
		this.#machine.about((handle) => native().abort(handle, this.#id));
	}

	output(stream: number, data: Buffer): void {
		if (this.#failure || (stream === 1 ? this.#out : this.#err).add(data, this.#max)) return;
		this.fail(new SandboxError("EFBIG", `the program printed more than ${this.#max} bytes to its ${stream === 1 ? "stdout" : "stderr"}: raise maxOutputBytes, or use spawn`));
	}

	writable(): void {
		const input = this.#input;
		if (!input) return;
		if (this.#written < input.length) {
			const taken = this.#machine.about((handle) => native().write(handle, this.#id, input.subarray(this.#written)));
			if (taken < 0) return; // it reads no more
			this.#written += taken;
		}
		if (this.#written === input.length) this.#machine.about((handle) => native().closeStdin(handle, this.#id));
	}

	exit(exit: ProcessExit): void {
		if (this.#failure) {
			this.#reject(this.#failure.error);
			return;
		}
		if (exit.reason === ExitReason.refused) {
			this.#reject(execError(`the guest refused to run the program: ${exit.message}`));
			return;
		}
		const stderr = this.#err.take();
		this.#resolve({
			exitCode: exit.code,
			signal: exit.signal,
			timedOut: exit.reason === ExitReason.timeout,
			oomKills: exit.oomKills,
			stdout: this.#out.take(),
			stderr: exit.reason === ExitReason.spawn ? Buffer.concat([stderr, Buffer.from(`spawn guest command: ${exit.message}\n`)]) : stderr,
		});
	}

	lost(error: SandboxError): void {
		this.#reject(this.#failure ? this.#failure.error : error);
	}
}

export interface BufferedOptions {
	readonly signal?: AbortSignal | undefined;
	readonly stdin?: Uint8Array | undefined;
	readonly maxOutputBytes?: number | undefined;
}

/** Runs a program to its end and gives what it printed. */
export async function runBuffered(machine: Machine, input: ProgramInput, options: BufferedOptions = {}): Promise<ProgramResult> {
	const { signal, stdin } = options;
	const spec = execSpec(input, { stdin: stdin !== undefined });
	if (signal?.aborted) throw abortReason(signal);
	let onAbort: (() => void) | undefined;
	try {
		return await new Promise<ProgramResult>((resolve, reject) => {
			const run = new BufferedRun(machine, { maxOutputBytes: options.maxOutputBytes ?? OUTPUT_BYTES_MAX, stdin }, { resolve, reject });
			run.start(spec);
			if (!signal) return;
			onAbort = () => run.fail(abortReason(signal));
			signal.addEventListener("abort", onAbort);
		});
	} finally {
		if (onAbort) signal?.removeEventListener("abort", onAbort);
	}
}
