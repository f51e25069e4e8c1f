// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * What this machine can do.
 */
import { fromNative } from "./errors.js";
import { objectOf, signalOf } from "./input.js";
import { findArtifacts, native } from "./native.js";
import type { SandboxEngine } from "./options.js";

/** What is known of an engine. */
export interface EngineReport {
	/** A VM can be started with it. */
	readonly usable: boolean;
	/** What was found. */
	readonly detail: string;
	/** What to do when it is not usable, else "". */
	readonly remedy: string;
}

/** What this machine can do. */
export interface DoctorReport {
	/** Of the C library, as `0.1.0`. */
	readonly version: string;
	/** The engine that `"auto"` takes; `null` when none is usable. */
	readonly engine: Exclude<SandboxEngine, "auto"> | null;
	readonly kvm: EngineReport;
	readonly qemu: EngineReport;
}

async function probe(): Promise<DoctorReport> {
	try {
		const { chosen, kvm, qemu } = await native().probe(findArtifacts().host);
		return { version: native().version(), engine: chosen === "kvm" || chosen === "qemu" ? chosen : null, kvm, qemu };
	} catch (error) {
		throw fromNative(error);
	}
}

/**
 * Probes the engines, which takes some tenths of a second. Starts no VM. A machine on which none is usable is no error: see `remedy`.
 *
 * ```ts
 * const { engine, kvm } = await doctor({ signal: AbortSignal.timeout(10_000) });
 * if (engine !== "kvm") console.log(`${kvm.detail}; ${kvm.remedy}`);
 * ```
 */
export async function doctor(options: { readonly signal?: AbortSignal } = {}): Promise<DoctorReport> {
	const signal = signalOf(objectOf(options, "options").signal);
	signal?.throwIfAborted();
	if (!signal) return await probe();
	let onAbort = (): void => {};
	const aborted = new Promise<never>((_, reject) => {
		onAbort = () => reject(signal.reason);
		signal.addEventListener("abort", onAbort);
	});
	return await Promise.race([probe(), aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}
