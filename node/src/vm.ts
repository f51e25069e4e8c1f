// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A running VM.
 */
import { HostControlTransport } from "./control.js";
import type { SandboxVmEvents } from "./events.js";
import { GuestFileSystem } from "./guest-fs.js";
import { invalidInput, shown } from "./input.js";
import type { Machine } from "./machine.js";
import type { SandboxMounts } from "./mounts.js";
import { type NativeReady, native } from "./native.js";
import { type ExecOptions, type ExecResult, OUTPUT_BYTES_MAX, execProgram, startBuffered } from "./process.js";
import { type PtyOptions, SandboxProcess, SandboxPty, type SpawnOptions } from "./spawn.js";
import { VmNetwork } from "./vm-network.js";

/** A running VM. Close it, or let `await using` do it: it keeps your program's event loop alive as long as it runs. */
export class SandboxVm implements AsyncDisposable {
	/** Commands to the guest, and its events. */
	readonly control: HostControlTransport;
	/** Its mounts and bindings: your file systems, and the host's tools on them. */
	readonly mounts: SandboxMounts;
	/** The files of the running guest, as its programs see them. */
	readonly fs: GuestFileSystem;
	/** Rules and published ports of the running VM. */
	readonly network: VmNetwork;
	/** For tests of your own error handling. */
	readonly diagnostics: {
		/** Kills the host process, and the VM with it. */
		terminateHostForTest(): void;
	};
	readonly #machine: Machine;

	/** Made by `run()` and `spawnSandbox()`. */
	constructor(machine: Machine, ready: NativeReady, mounts: SandboxMounts) {
		this.#machine = machine;
		this.mounts = mounts;
		this.fs = new GuestFileSystem(machine);
		this.network = new VmNetwork(machine);
		this.diagnostics = {
			terminateHostForTest: () => {
				const pid = native().hostPid(machine.handle());
				if (pid > 0) process.kill(pid, "SIGKILL");
			},
		};
		this.control = new HostControlTransport({
			exec: ({ id, argv, env }, { timeoutMs, signal }) =>
				startBuffered(machine, { argv, env, timeoutMs }, { signal, maxOutputBytes: OUTPUT_BYTES_MAX }).then(({ exitCode, stdout, stderr }) => ({
					type: "guest.exec.complete",
					id,
					exitCode,
					stdout,
					stderr,
				})),
		});
		this.control.emit({ type: "init.ready", guest: { root: { readonly: ready.rootReadonly }, init: { name: "sandbox-init" } } });
		void machine.ended.then((error) => this.control.end(error, error.code !== "ERR_SANDBOX_CLOSED"));
	}

	/**
	 * Runs a program to its end. An exit code other than 0 is no error; it rejects if the program was aborted, printed more than `maxOutputBytes` (`EFBIG`), could not be asked for
	 * (`EAGAIN`: 256 are running), or if the VM ended.
	 *
	 * ```ts
	 * const { exitCode, stdout } = await vm.exec("grep", ["-rn", "TODO", "."], { cwd: "/workspace", timeoutMs: 10_000 });
	 * ```
	 */
	exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
		return execProgram(this.#machine, command, args, options);
	}

	/**
	 * Starts a program whose streams you read and write. Throws if it cannot be asked for; whether it can be started, its end says (exit code 127).
	 *
	 * ```ts
	 * await using sort = vm.spawn("sort", ["-n"]);
	 * const writer = sort.stdin.getWriter();
	 * await writer.write("10\n9\n");
	 * await writer.close();
	 * for await (const chunk of sort.stdout) process.stdout.write(chunk);
	 * ```
	 */
	spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): SandboxProcess {
		return new SandboxProcess(this.#machine, command, args, options);
	}

	/**
	 * Starts a program on a terminal, of 24 rows and 80 columns unless you say otherwise. Throws as `spawn` does.
	 *
	 * ```ts
	 * await using shell = vm.pty("sh", ["-i"], { rows: 40, columns: 120 });
	 * await shell.input.getWriter().write("ls\nexit\n");
	 * for await (const shown of shell.output) process.stdout.write(shown);
	 * ```
	 */
	pty(command: string, args: readonly string[] = [], options: PtyOptions = {}): SandboxPty {
		return new SandboxPty(this.#machine, command, args, options);
	}

	/**
	 * Tells of events until the result is disposed. What came before the first listener waits for it (at most 1024 pieces).
	 *
	 * ```ts
	 * vm.on("flow", (flow) => console.log(flow.verdict, flow.name ?? flow.destination?.ip));
	 * vm.on("exit", ({ code, message }) => console.log(code, message));
	 * ```
	 */
	on<K extends keyof SandboxVmEvents>(event: K, listener: (value: SandboxVmEvents[K]) => void): Disposable {
		const channel = typeof event === "string" && Object.hasOwn(this.#machine.events, event) ? this.#machine.events[event] : undefined;
		if (!channel) throw invalidInput(`there is no event ${shown(event)}; there are ${Object.keys(this.#machine.events).join(", ")}`);
		if (typeof listener !== "function") throw invalidInput("listener must be a function");
		channel.add(listener);
		return { [Symbol.dispose]: () => channel.delete(listener) };
	}

	/**
	 * Ends the VM at once, and everything in it. Calls that wait reject with `ERR_SANDBOX_CLOSED`. Idempotent; takes less than a second, whatever the guest does.
	 *
	 * ```ts
	 * const vm = await spawnSandbox(options);
	 * try {
	 * 	await vm.exec("true");
	 * } finally {
	 * 	await vm.close();
	 * }
	 * ```
	 */
	close(): Promise<void> {
		return this.#machine.close();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}
