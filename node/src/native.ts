// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The addon and the other artifacts of the platform's package. Nothing else in this package knows where they are, or calls the addon but through these types.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { SandboxError } from "./errors.js";

/** A VM as the addon knows it. */
export interface NativeHandle {
	readonly __handle: never;
}

export interface NativeReady {
	readonly engine: string;
	readonly kernelRelease: string;
	readonly hostNs: number;
	readonly kernelNs: number;
	readonly initNs: number;
	readonly rootReadonly: boolean;
}

/** Numbers of `enum sbx_end_reason`. */
export const EndReason = { stopped: 0, poweroff: 1, launch: 2, guest: 3, engine: 4, host: 5 } as const;

/** Numbers of `enum sbx_exit_reason`. */
export const ExitReason = { exited: 0, signaled: 1, timeout: 2, aborted: 3, spawn: 4, refused: 5, lost: 6 } as const;

/** What the addon calls, while it dispatches: nothing here may throw or close the VM. */
export interface NativeHandlers {
	ready(ready: NativeReady): void;
	end(reason: number, errno: number, message: string, console: string): void;
	log(level: number, line: string): void;
	oom(kills: number): void;
	output(proc: number, stream: number, data: Buffer): void;
	writable(proc: number): void;
	exit(proc: number, reason: number, code: number, signal: number, oomKills: number, message: string): void;
}

export interface NativeConfig {
	readonly hostPath: string;
	readonly kernelPath: string;
	readonly initPath: string;
	readonly imagePath: string;
	readonly engine: string;
	readonly writable: boolean;
	readonly network: boolean;
	readonly cpus: number;
	readonly memoryMib: number;
	readonly scratchBytes: number;
	readonly bootTimeoutMs: number | undefined;
	readonly hostname: string | undefined;
	readonly rules: readonly string[];
}

export interface NativeExecSpec {
	readonly argv: readonly string[];
	readonly env: readonly string[];
	readonly cwd: string | undefined;
	readonly user: string | undefined;
	readonly tty: boolean;
	readonly stdin: boolean;
	readonly manualAck: boolean;
	readonly timeoutMs: number;
	readonly rows: number;
	readonly columns: number;
}

export interface NativeVerdict {
	readonly admit: boolean;
	readonly rule: number;
	readonly reason: string;
}

export interface NativeEngineProbe {
	readonly usable: boolean;
	readonly detail: string;
	readonly remedy: string;
}

/** Functions of the addon. Calls about a program give 0 (or a count) or a negative errno. */
export interface NativeBinding {
	start(config: NativeConfig, handlers: NativeHandlers): Promise<NativeHandle>;
	close(handle: NativeHandle): Promise<void>;
	exec(handle: NativeHandle, spec: NativeExecSpec): number;
	write(handle: NativeHandle, proc: number, data: Uint8Array): number;
	closeStdin(handle: NativeHandle, proc: number): number;
	signal(handle: NativeHandle, proc: number, signal: number): number;
	resize(handle: NativeHandle, proc: number, rows: number, columns: number): number;
	abort(handle: NativeHandle, proc: number): number;
	ack(handle: NativeHandle, proc: number, bytes: number): void;
	policyCheck(query: { readonly rules: readonly string[]; readonly protocol: string; readonly destination: string }): NativeVerdict;
	probe(hostPath: string): Promise<{ readonly chosen: string; readonly kvm: NativeEngineProbe; readonly qemu: NativeEngineProbe }>;
	version(): string;
}

/** Where the artifacts of this platform are. */
export interface Artifacts {
	readonly directory: string;
	readonly host: string;
	readonly kernel: string;
	readonly init: string;
	readonly image: string;
	readonly cli: string;
}

const PLATFORM_PACKAGES: Readonly<Record<string, string>> = { "linux-x64": "@torkbot/sandbox-linux-x64-gnu" };

const load = createRequire(import.meta.url);
let artifacts: Artifacts | undefined;
let binding: NativeBinding | undefined;

/** Finds the platform's package; `ERR_SANDBOX_PLATFORM` if there is none. */
export function findArtifacts(): Artifacts {
	if (artifacts) return artifacts;
	const platform = `${process.platform}-${process.arch}`;
	const name = PLATFORM_PACKAGES[platform];
	if (name === undefined) {
		throw new SandboxError("ERR_SANDBOX_PLATFORM", `@torkbot/sandbox does not run on ${platform}; it runs on ${Object.keys(PLATFORM_PACKAGES).join(", ")}`);
	}
	let directory: string;
	try {
		directory = dirname(load.resolve(`${name}/package.json`));
	} catch (cause) {
		throw new SandboxError("ERR_SANDBOX_PLATFORM", `the package ${name} is not installed; install @torkbot/sandbox with its optional dependencies`, { cause });
	}
	artifacts = {
		directory,
		host: join(directory, "sandbox-host"),
		kernel: join(directory, "vmlinux"),
		init: join(directory, "sandbox-init"),
		image: join(directory, "default.erofs"),
		cli: join(directory, "sandbox"),
	};
	return artifacts;
}

/** The addon, loaded when it is needed first. */
export function native(): NativeBinding {
	if (binding) return binding;
	const file = join(findArtifacts().directory, "sandbox.node");
	try {
		binding = load(file) as NativeBinding;
	} catch (cause) {
		throw new SandboxError("ERR_SANDBOX_PLATFORM", `cannot load ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
	}
	return binding;
}
