// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Programs in the guest.
 */
import { constants } from "node:os";
import { StringDecoder } from "node:string_decoder";

import { SandboxError } from "./errors.js";
import { bytesOf, objectOf, shown, signalOf, wholeOf } from "./input.js";
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
	readonly stdout: string;
	readonly stderr: string;
}

function isString(value: unknown): value is string {
	return typeof value === "string";
}

export function execError(message: string): SandboxError {
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
	for (const name of Object.keys(env)) if (name === "" || name.includes("=")) throw execError(`env has a variable whose name cannot be: "${name}"`);
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

/** Output of one stream, up to a limit. Decoded as it comes: tens of megabytes at once would hold the event loop up. */
class Collected {
	readonly #decoder = new StringDecoder("utf8");
	#text = "";
	#bytes = 0;

	/** False when there is too much. */
	add(data: Buffer, max: number): boolean {
		this.#bytes += data.length;
		if (this.#bytes > max) return false;
		this.#text += this.#decoder.write(data);
		return true;
	}

	take(): string {
		return this.#text + this.#decoder.end();
	}
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
		this.#resolve({
			exitCode: exit.code,
			signal: exit.signal,
			timedOut: exit.reason === ExitReason.timeout,
			oomKills: exit.oomKills,
			stdout: this.#out.take(),
			stderr: this.#err.take(),
		});
	}

	lost(error: SandboxError): void {
		this.#reject(this.#failure ? this.#failure.error : error);
	}
}

export interface BufferedOptions {
	readonly signal?: AbortSignal | undefined;
	readonly stdin?: Uint8Array | undefined;
	readonly maxOutputBytes: number;
}

/** Starts a program, and gives what it printed when it has ended. Throws if it cannot be asked for. */
export function startBuffered(machine: Machine, input: ProgramInput, options: BufferedOptions): Promise<ProgramResult> {
	const { maxOutputBytes, stdin } = options;
	const spec = execSpec(input, { stdin: stdin !== undefined });
	const signal = signalOf(options.signal);
	signal?.throwIfAborted();
	let settle!: { readonly resolve: (result: ProgramResult) => void; readonly reject: (error: unknown) => void };
	const result = new Promise<ProgramResult>((resolve, reject) => {
		settle = { resolve, reject };
	});
	const run = new BufferedRun(machine, { maxOutputBytes, stdin }, settle);
	run.start(spec);
	if (!signal) return result;
	const onAbort = (): void => run.fail(signal.reason);
	signal.addEventListener("abort", onAbort);
	return result.finally(() => signal.removeEventListener("abort", onAbort));
}

/* ---- vm.exec ---- */

/** How a program is run. */
export interface ProgramOptions {
	/** The working directory, absolute. Default: `"/"`. */
	readonly cwd?: string;
	/** The whole environment; PATH, HOME and TERM get defaults. */
	readonly env?: Readonly<Record<string, string>>;
	/** `"uid"`, `"uid:gid"`, `"name"` or `"name:group"`, looked up in the guest. Default: root. */
	readonly user?: string;
	/** Milliseconds; then the program and its descendants are killed. Default: no limit. */
	readonly timeoutMs?: number;
	/** Kills the program and its descendants. */
	readonly signal?: AbortSignal;
}

/** How a program is run to its end. */
export interface ExecOptions extends ProgramOptions {
	/** What the program reads. Default: nothing. */
	readonly stdin?: string | Uint8Array;
	/** Bytes of each stream; a program that prints more is killed, and the call rejects with `EFBIG`. Default: {@link OUTPUT_BYTES_MAX}. */
	readonly maxOutputBytes?: number;
}

/** How a program ended. */
export interface ExitStatus {
	/** As a shell says it: 124 after a time limit, 127 when it could not be started, 128 and the signal's number after a signal. */
	readonly exitCode: number;
	/** The signal that ended it, or `null`. */
	readonly signal: NodeJS.Signals | null;
	/** Its time was up. */
	readonly timedOut: boolean;
	/** Processes of it that the guest's kernel killed for want of memory. */
	readonly oomKills: number;
}

/** How a program ended, and what it printed. */
export interface ExecResult extends ExitStatus {
	/** As UTF-8; what is none is replaced by U+FFFD. */
	readonly stdout: string;
	readonly stderr: string;
}

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]));

/** The number of a signal. */
export function signalNumber(signal: NodeJS.Signals | number): number {
	const number: unknown = typeof signal === "string" ? constants.signals[signal] : signal;
	if (typeof number !== "number" || !Number.isInteger(number) || number < 1 || number > 64) throw execError(`unknown signal: ${shown(signal)}`);
	return number;
}

export function statusOf(exit: { readonly code: number; readonly signal: number; readonly timedOut: boolean; readonly oomKills: number }): ExitStatus {
	return { exitCode: exit.code, signal: SIGNAL_NAMES.get(exit.signal) ?? null, timedOut: exit.timedOut, oomKills: exit.oomKills };
}

export function programOf(command: string, args: readonly string[], options: ProgramOptions): ProgramInput {
	if (!Array.isArray(args)) throw execError("args must be an array of strings");
	const { cwd, env, user, timeoutMs } = objectOf(options, "options");
	return { argv: [command, ...(args as readonly string[])], cwd, env, user, timeoutMs };
}

/** `vm.exec`. */
export async function execProgram(machine: Machine, command: string, args: readonly string[], options: ExecOptions): Promise<ExecResult> {
	const program = programOf(command, args, options);
	const { signal, maxOutputBytes = OUTPUT_BYTES_MAX, stdin } = options;
	const result = await startBuffered(machine, program, {
		signal,
		maxOutputBytes: wholeOf(maxOutputBytes, "maxOutputBytes", 0),
		stdin: stdin === undefined ? undefined : bytesOf(stdin, "stdin"),
	});
	return { ...statusOf({ ...result, code: result.exitCode }), stdout: result.stdout, stderr: result.stderr };
}
