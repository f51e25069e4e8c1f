// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A running VM.
 */
import { HostControlTransport } from "./control.js";
import type { Machine } from "./machine.js";
import type { SandboxMounts } from "./mounts.js";
import type { NativeReady } from "./native.js";
import { runBuffered } from "./process.js";

/** A running VM. Close it, or let `await using` do it: it keeps your program's event loop alive as long as it runs. */
export class SandboxVm implements AsyncDisposable {
	/** Commands to the guest, and its events. */
	readonly control: HostControlTransport;
	/** Its mounts and bindings: your file systems, and the host's tools on them. */
	readonly mounts: SandboxMounts;
	readonly #machine: Machine;

	/** Made by `run()` and `spawnSandbox()`. */
	constructor(machine: Machine, ready: NativeReady, mounts: SandboxMounts) {
		this.#machine = machine;
		this.mounts = mounts;
		this.control = new HostControlTransport({
			exec: async (command, limits) => {
				const result = await runBuffered(machine, { argv: command.argv, env: command.env, timeoutMs: limits.timeoutMs }, { signal: limits.signal });
				return {
					type: "guest.exec.complete",
					id: command.id,
					exitCode: result.exitCode,
					stdout: result.stdout.toString("utf8"),
					stderr: result.stderr.toString("utf8"),
				};
			},
		});
		this.control.emit({ type: "init.ready", guest: { root: { readonly: ready.rootReadonly }, init: { name: "sandbox-init" } } });
		void machine.ended.then((error) => this.control.end(error, error.code !== "ERR_SANDBOX_CLOSED"));
	}

	/** Ends the VM at once, and everything in it. Calls that wait reject with `ERR_SANDBOX_CLOSED`. Idempotent; takes less than a second, whatever the guest does. */
	close(): Promise<void> {
		return this.#machine.close();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}
