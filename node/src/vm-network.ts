// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The network of a running VM.
 */
import { SandboxError } from "./errors.js";
import { invalidInput, objectOf, signalOf, textOf, wholeOf } from "./input.js";
import type { Machine } from "./machine.js";
import { ControlOp, Transport } from "./native.js";
import { type SandboxNetworkRule, ruleText } from "./network.js";
import { validateRule } from "./validate.js";

/** What `publish` takes. */
export interface PublishOptions {
	/** The port of the guest. */
	readonly guestPort: number;
	/** Default: `"tcp"`. */
	readonly protocol?: "tcp" | "udp";
	/** Where to listen on this machine. Default: 0, a port that is free. */
	readonly port?: number;
	/** An address of this machine. Default: `"127.0.0.1"`. */
	readonly address?: string;
	/** Gives up; a port that was taken by then is given back. */
	readonly signal?: AbortSignal;
}

/** A port of this machine that leads to the guest. Disposed, it is closed; connections that are open stay, and over UDP nobody is answered any more. */
export interface PublishedPort extends AsyncDisposable {
	readonly address: string;
	/** The one that was asked for, or that was free. */
	readonly port: number;
	readonly guestPort: number;
	readonly protocol: "tcp" | "udp";
}

const PORT_MAX = 65535;

/** `vm.network`. Needs `network.outbound` in the options. */
export class VmNetwork {
	readonly #machine: Machine;

	/** Made with the VM. */
	constructor(machine: Machine) {
		this.#machine = machine;
	}

	/**
	 * Replaces the rules. Flows that the new ones do not admit have ended when this is fulfilled. Given up by `signal`, it may happen all the same.
	 *
	 * ```ts
	 * await vm.network.setRules([acceptHost({ host: "registry.npmjs.org", ports: [443] })]);
	 * await vm.exec("npm", ["ci"]);
	 * await vm.network.setRules([]);
	 * ```
	 */
	async setRules(rules: readonly SandboxNetworkRule[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
		if (!Array.isArray(rules)) throw new SandboxError("ERR_SANDBOX_OPTIONS", "rules must be an array");
		const { signal } = objectOf(options, "options");
		const texts = rules.map((rule) => ruleText(validateRule(rule)));
		await this.#machine.control({ op: ControlOp.setRules, rules: texts }, signalOf(signal));
	}

	/**
	 * Lets this machine connect to a TCP port of the guest, or send to one of UDP. `EADDRINUSE`, `EACCES`: the port of this machine is not to be had.
	 *
	 * ```ts
	 * await using web = await vm.network.publish({ guestPort: 8080 });
	 * await fetch(`http://127.0.0.1:${web.port}/`);
	 * ```
	 */
	async publish(options: PublishOptions): Promise<PublishedPort> {
		const { address = "127.0.0.1", protocol = "tcp", signal } = objectOf(options, "options");
		if (protocol !== "tcp" && protocol !== "udp") throw invalidInput(`protocol must be "tcp" or "udp"`);
		const transport = Transport[protocol];
		const guestPort = wholeOf(options.guestPort, "guestPort", 1, PORT_MAX);
		const port = wholeOf(options.port ?? 0, "port", 0, PORT_MAX);
		const { port: taken } = await this.#machine.control({ op: ControlOp.publish, transport, address: textOf(address, "address"), port, guestPort }, signalOf(signal));
		return { address, port: taken, guestPort, protocol, [Symbol.asyncDispose]: () => this.#unpublish(transport, address, taken) };
	}

	async #unpublish(transport: number, address: string, taken: number): Promise<void> {
		try {
			await this.#machine.control({ op: ControlOp.unpublish, transport, address, port: taken });
		} catch (error) {
			const gone = this.#machine.over() || (error instanceof SandboxError && error.code === "ENOENT"); // with the VM, or disposed before
			if (!gone) throw error;
		}
	}
}
