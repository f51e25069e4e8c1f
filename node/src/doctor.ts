// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * What this machine can do.
 */
import { fromNative } from "./errors.js";
import { findArtifacts, native } from "./native.js";
import type { SandboxEngine } from "./options.js";

export interface EngineReport {
	readonly usable: boolean;
	/** What was found. */
	readonly detail: string;
	/** What to do when it is not usable, else "". */
	readonly remedy: string;
}

export interface DoctorReport {
	readonly version: string;
	/** The engine that `"auto"` takes; `null` when none is usable. */
	readonly engine: Exclude<SandboxEngine, "auto"> | null;
	readonly kvm: EngineReport;
	readonly qemu: EngineReport;
}

/** Probes the engines. Starts no VM. */
export async function doctor(): Promise<DoctorReport> {
	try {
		const probe = await native().probe(findArtifacts().host);
		const { chosen, kvm, qemu } = probe;
		return { version: native().version(), engine: chosen === "kvm" || chosen === "qemu" ? chosen : null, kvm, qemu };
	} catch (error) {
		throw fromNative(error);
	}
}
