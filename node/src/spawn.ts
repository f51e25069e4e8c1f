// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Programs in the guest that run beside yours: streams, signals, terminals.
 */
import type { ReadableStream, WritableStream } from "node:stream/web";

import { SandboxError, errnoName } from "./errors.js";
import { objectOf, shown, signalOf } from "./input.js";
import type { Machine, ProcessExit, ProcessSink } from "./machine.js";
import { ExitReason, type NativeExecSpec, native } from "./native.js";
import { type ExitStatus, type ProgramOptions, execError, execSpec, programOf, signalNumber, statusOf } from "./process.js";
import { InputStream, OutputStream } from "./streams.js";

const DIMENSION_MAX = 65535;

/** How a program with streams is run. */
export interface SpawnOptions extends ProgramOptions {
	/** `"ignore"`: the program reads nothing. Default: `"pipe"`. */
	readonly stdin?: "pipe" | "ignore";
	/** `"ignore"`: what it prints is dropped. Default: `"pipe"`, and then it must be read: a program whose output nobody reads waits. */
	readonly stdout?: "pipe" | "ignore";
	/** As `stdout`. Both share one window of 256 KiB, so that unread errors hold the output up, too. */
	readonly stderr?: "pipe" | "ignore";
}

/** How a program on a terminal is run. */
export interface PtyOptions extends ProgramOptions {
	/** Default: 24. */
	readonly rows?: number;
	/** Default: 80. */
	readonly columns?: number;
}

/** A running program behind its public class. */
class RunningProgram implements ProcessSink {
	readonly exited: Promise<ExitStatus>;
	readonly input: InputStream;
	readonly stdout: OutputStream;
	readonly stderr: OutputStream;
	readonly #machine: Machine;
	readonly #id: number;
	readonly #signal: AbortSignal | undefined;
	readonly #tty: boolean;
	readonly #onAbort = (): void => {
		this.call((id) => native().abort(this.#machine.handle(), id));
	};
	#resolve!: (status: ExitStatus) => void;
	#reject!: (error: unknown) => void;

	constructor(machine: Machine, spec: NativeExecSpec, signal: AbortSignal | undefined) {
		signalOf(signal)?.throwIfAborted();
		this.exited = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
		this.exited.catch(() => {}); // not everybody waits for it
		const acknowledge = (bytes: number): void => {
			machine.about((handle) => (native().ack(handle, this.#id, bytes), 0));
		};
		this.stdout = new OutputStream(acknowledge);
		this.stderr = new OutputStream(acknowledge);
		this.input = new InputStream({
			write: (data) => machine.about((handle) => native().write(handle, this.#id, data)),
			close: () => machine.about((handle) => native().closeStdin(handle, this.#id)),
		});
		this.#machine = machine;
		this.#signal = signal;
		this.#tty = spec.tty;
		this.#id = machine.exec(spec, this);
		signal?.addEventListener("abort", this.#onAbort);
	}

	/** A call about this program; nothing happens if it has ended. */
	call(call: (id: number) => number): number {
		return this.#machine.about(() => call(this.#id));
	}

	kill(signal: NodeJS.Signals | number | undefined): boolean {
		if (signal === undefined) return this.call((id) => native().abort(this.#machine.handle(), id)) === 0;
		const number = signalNumber(signal);
		return this.call((id) => native().signal(this.#machine.handle(), id, number)) === 0;
	}

	resize(rows: number, columns: number): void {
		const result = this.call((id) => native().resize(this.#machine.handle(), id, rows, columns));
		if (result === -22) throw execError(`cannot resize the terminal: ${errnoName(result)}`);
	}

	#end(error?: unknown): void {
		this.#signal?.removeEventListener("abort", this.#onAbort);
		const over = error === undefined ? {} : { error };
		this.stdout.end(over);
		this.stderr.end(over);
		this.input.end(error ?? new SandboxError("EPIPE", "the program has ended"));
	}

	output(stream: number, data: Buffer): void {
		(stream === 1 || this.#tty ? this.stdout : this.stderr).push(data); // on a terminal, also why a program could not be started
	}

	writable(): void {
		this.input.room();
	}

	exit(exit: ProcessExit): void {
		const error = exit.reason === ExitReason.refused ? execError(`the guest refused to run the program: ${exit.message}`) : this.#signal?.aborted ? this.#signal.reason : undefined;
		this.#end(error);
		if (error === undefined) this.#resolve(statusOf({ ...exit, timedOut: exit.reason === ExitReason.timeout }));
		else this.#reject(error);
	}

	lost(error: SandboxError): void {
		this.#end(error);
		this.#reject(error);
	}
}

/**
 * A program with its streams: `vm.spawn()`.
 *
 * ```ts
 * const build = vm.spawn("make", ["-j2"], { cwd: "/workspace", stdin: "ignore" });
 * for await (const chunk of build.stdout) process.stdout.write(chunk);
 * const { exitCode } = await build.exited;
 * ```
 */
export class SandboxProcess implements AsyncDisposable {
	/** What the program reads. Close it to say that there is no more. */
	readonly stdin: WritableStream<Uint8Array | string>;
	/** What it prints. It must be read, cancelled or ignored: see {@link SpawnOptions}. */
	readonly stdout: ReadableStream<Uint8Array>;
	/** As `stdout`. */
	readonly stderr: ReadableStream<Uint8Array>;
	/** How it ended. Rejects if it was aborted, if the guest refused to run it, or if the VM ended. Its streams may still have to be read. */
	readonly exited: Promise<ExitStatus>;
	readonly #program: RunningProgram;

	/** Made by `vm.spawn()`. */
	constructor(machine: Machine, command: string, args: readonly string[], options: SpawnOptions) {
		const { stdin = "pipe", stdout = "pipe", stderr = "pipe", signal } = objectOf(options, "options");
		for (const how of [stdin, stdout, stderr]) {
			if (how !== "pipe" && how !== "ignore") throw execError(`stdin, stdout and stderr must be "pipe" or "ignore", not ${shown(how)}`);
		}
		const spec = execSpec(programOf(command, args, options), { stdin: stdin === "pipe", manualAck: true });
		this.#program = new RunningProgram(machine, spec, signal);
		this.stdin = this.#program.input.writable;
		this.stdout = this.#program.stdout.readable;
		this.stderr = this.#program.stderr.readable;
		this.exited = this.#program.exited;
		if (stdout === "ignore") void this.stdout.cancel();
		if (stderr === "ignore") void this.stderr.cancel();
	}

	/**
	 * Sends a signal to the program's process group; without one, kills it and all its descendants. False if it has ended.
	 *
	 * ```ts
	 * const server = vm.spawn("httpd", ["-f"], { stdin: "ignore" });
	 * server.kill("SIGTERM");
	 * ```
	 */
	kill(signal?: NodeJS.Signals | number): boolean {
		return this.#program.kill(signal);
	}

	/** Kills it and waits for its end. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.kill();
		await this.exited.catch(() => {});
	}
}

/**
 * A program on a terminal: `vm.pty()`.
 *
 * ```ts
 * await using shell = vm.pty("sh", ["-i"], { rows: 40, columns: 120 });
 * ```
 */
export class SandboxPty implements AsyncDisposable {
	/** What is typed. Closing it hangs nothing up: send `"\x04"` for the end of input. */
	readonly input: WritableStream<Uint8Array | string>;
	/** What the terminal shows. */
	readonly output: ReadableStream<Uint8Array>;
	/** As for {@link SandboxProcess.exited}. */
	readonly exited: Promise<ExitStatus>;
	readonly #program: RunningProgram;

	/** Made by `vm.pty()`. */
	constructor(machine: Machine, command: string, args: readonly string[], options: PtyOptions) {
		const { rows = 24, columns = 80, signal } = objectOf(options, "options");
		SandboxPty.#check(rows, columns);
		const spec = execSpec(programOf(command, args, options), { stdin: true, manualAck: true, tty: true, rows, columns });
		this.#program = new RunningProgram(machine, spec, signal);
		this.input = this.#program.input.writable;
		this.output = this.#program.stdout.readable;
		this.exited = this.#program.exited;
	}

	static #check(rows: unknown, columns: unknown): void {
		for (const n of [rows, columns]) {
			if (typeof n !== "number" || !Number.isInteger(n) || n < 1 || n > DIMENSION_MAX) throw execError(`rows and columns must be whole numbers from 1 to ${DIMENSION_MAX}`);
		}
	}

	/**
	 * The terminal has another size now, from 1 to 65535 each; programs get SIGWINCH. Nothing happens if the program has ended.
	 *
	 * ```ts
	 * const shell = vm.pty("sh");
	 * process.stdout.on("resize", () => shell.resize(process.stdout.rows, process.stdout.columns));
	 * ```
	 */
	resize(rows: number, columns: number): void {
		SandboxPty.#check(rows, columns);
		this.#program.resize(rows, columns);
	}

	/**
	 * As {@link SandboxProcess.kill}.
	 *
	 * ```ts
	 * vm.pty("sh").kill();
	 * ```
	 */
	kill(signal?: NodeJS.Signals | number): boolean {
		return this.#program.kill(signal);
	}

	/** Kills it and waits for its end. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.kill();
		await this.exited.catch(() => {});
	}
}
