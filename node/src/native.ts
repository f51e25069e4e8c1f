// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The addon and the other artifacts of the platform's package. Nothing else in this package knows where they are, or calls the addon but through these types.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { SandboxError } from "./errors.js";

/** A VM as the addon knows it. */
export interface NativeHandle {
	/** A pipe to read the guest's console from. */
	readonly consoleFd?: number;
	/** A pipe to read decisions about flows from, as lines of JSON. */
	readonly flowsFd?: number;
	/** A pipe to read requests to the origins of hooks from, likewise. */
	readonly requestsFd?: number;
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

/** Bits of `enum sbx_exec_flags`. */
export const ExecFlag = { tty: 1, stdin: 2, manualAck: 4 } as const;

/** Operations of file systems, as the addon numbers them. */
export const FileOp = {
	stat: 0,
	list: 1,
	read: 2,
	create: 3,
	write: 4,
	truncate: 5,
	mkdir: 6,
	unlink: 7,
	rmdir: 8,
	rename: 9,
	symlink: 10,
	readlink: 11,
} as const;

/** Numbers of `enum sbx_file_type`. */
export const FileType = { file: 1, directory: 2, symlink: 3 } as const;

/** Numbers of `enum sbx_cache`. */
export const Cache = { auto: 0, none: 1 } as const;

/** Numbers of `enum sbx_fs_tool`. */
export const Tool = {
	stat: 0,
	list: 1,
	read: 2,
	readLines: 3,
	write: 4,
	patch: 5,
	mkdir: 6,
	remove: 7,
	rename: 8,
	link: 9,
	symlink: 10,
	readlink: 11,
	setAttr: 12,
	search: 13,
} as const;

/** Bits of `enum sbx_fs_flags`. */
export const ToolFlag = { noFollow: 1, parents: 2, exclusive: 4, append: 8, recursive: 128 } as const;

/** Bits of `enum sbx_fs_set`. */
export const ToolSet = { mode: 1, mtime: 32 } as const;

/** A request to a host tool. What is left out is 0, "" or nothing. */
export interface NativeToolRequest {
	readonly tool: number;
	readonly mount: string;
	readonly path: string;
	readonly path2?: string;
	readonly flags?: number;
	readonly offset?: number;
	readonly length?: number;
	readonly mode?: number;
	readonly set?: number;
	readonly mtimeMs?: number;
	readonly data?: Uint8Array;
	/** Old and new text in turn. */
	readonly edits?: readonly Uint8Array[];
	readonly timeoutMs?: number;
}

export interface NativeAttr {
	readonly mode: number;
	readonly size: number;
	readonly ino: number;
	readonly nlink: number;
	readonly uid: number;
	readonly gid: number;
	readonly mtimeMs: number;
}

export type NativeToolResult =
	| { readonly code: number; readonly message: string; readonly attr?: undefined }
	| {
			readonly code: 0;
			readonly message: string;
			readonly attr: NativeAttr;
			readonly count: number;
			readonly total: number;
			readonly more: boolean;
			readonly cut: boolean;
			readonly data: Buffer;
			readonly entries?: readonly { readonly name: string; readonly attr: NativeAttr }[];
	  };

export type NativeToolSuccess = Extract<NativeToolResult, { readonly attr: NativeAttr }>;

/** Numbers of `enum sbx_guest_op`. */
export const GuestOp = { readFile: 0, writeFile: 1, stat: 2, list: 3, mkdir: 4, remove: 5, rename: 6, copyIn: 7, copyOut: 8 } as const;

/** Bits of `enum sbx_guest_flags`. */
export const GuestFlag = { follow: 1, parents: 2, recursive: 4 } as const;

/** A request about the guest's own files. What is left out takes the default. */
export interface NativeGuestRequest {
	readonly op: number;
	readonly path: string;
	readonly path2?: string;
	readonly flags?: number;
	readonly mode?: number | undefined;
	readonly max?: number | undefined;
	readonly data?: Uint8Array;
	readonly user?: string | undefined;
	readonly owner?: string | undefined;
	readonly timeoutMs?: number;
	readonly maxBytes?: number | undefined;
}

export type NativeGuestResult =
	| { readonly code: number; readonly message: string; readonly attr?: undefined }
	| {
			readonly code: 0;
			readonly message: string;
			readonly attr: NativeAttr;
			readonly data: Buffer;
			readonly entries: readonly { readonly name: string; readonly target: string; readonly attr: NativeAttr }[];
			readonly copied: { readonly files: number; readonly bytes: number; readonly skipped: number; readonly firstSkipped: string };
	  };

export type NativeGuestSuccess = Extract<NativeGuestResult, { readonly attr: NativeAttr }>;

/** Numbers of `enum sbx_control_op`. */
export const ControlOp = { setRules: 4, publish: 5, unpublish: 6 } as const;

/** Numbers of `enum sbx_transport`. */
export const Transport = { tcp: 0, udp: 1 } as const;

/** A request about the VM itself. */
export interface NativeControlRequest {
	readonly op: number;
	readonly rules?: readonly string[];
	readonly address?: string;
	readonly port?: number;
	readonly guestPort?: number;
	readonly transport?: number;
}

export interface NativeControlResult {
	readonly code: number;
	readonly message: string;
	/** That was published. */
	readonly port: number;
}

/** What the addon calls, while it dispatches: nothing here may throw or close the VM. */
export interface NativeHandlers {
	ready(ready: NativeReady): void;
	end(reason: number, errno: number, message: string, console: string): void;
	log(level: number, line: string): void;
	oom(kills: number): void;
	output(proc: number, stream: number, data: Buffer): void;
	writable(proc: number): void;
	exit(proc: number, reason: number, code: number, signal: number, oomKills: number, message: string): void;
	call(source: number, op: number, call: number, path: string, path2: string, a: number, b: number, data: Buffer): void;
	cancel(call: number): void;
	tool(request: number, result: NativeToolResult): void;
	guest(request: number, result: NativeGuestResult): void;
	control(request: number, result: NativeControlResult): void;
	request(hook: number, call: number, request: NativeHttpRequest): void;
	requestCancel(call: number): void;
}

/** A request that a hook is asked about. */
export interface NativeHttpRequest {
	readonly protocol: string;
	readonly method: string;
	readonly url: string;
	/** Names and values in turn, as Latin-1. */
	readonly headers: readonly string[];
	readonly originalIp: string;
	readonly originalPort: number;
	readonly upstreamIp: string;
	readonly upstreamPort: number;
	/** Left out: no TLS; "": none was asked for. */
	readonly sni?: string;
	readonly alpn?: string;
}

/** A file system of the configuration. */
export interface NativeMount {
	readonly path: string;
	readonly kind: "memory" | "host" | "callbacks" | "same" | "tmpfs";
	/** `host`: a directory; `same`: the path of a binding or an earlier mount. */
	readonly source?: string;
	readonly readonly?: boolean;
	readonly watch?: boolean;
	/** Numbers of `enum sbx_cache`. */
	readonly cache?: number;
	/** `callbacks`: bits of {@link FileOp}, and the number that calls come with. */
	readonly ops?: number;
	readonly number?: number;
	readonly maxBytes?: number;
	readonly masks?: readonly string[];
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
	readonly hooks: readonly { readonly origin: string; readonly timeoutMs?: number }[];
	readonly injections: readonly { readonly origin: string; readonly name: string; readonly value: string }[];
	readonly secrets: readonly { readonly origin: string; readonly placeholder: string; readonly value: string }[];
	readonly trustPem: string | undefined;
	readonly caCertificatePem: string | undefined;
	readonly caPrivateKeyPem: string | undefined;
	readonly requests: boolean;
	readonly console: boolean;
	readonly flows: boolean;
	readonly mounts: readonly NativeMount[];
	readonly bindings: readonly NativeMount[];
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

export interface NativeFileStat {
	readonly type: number;
	/** 0: the default. */
	readonly mode: number;
	/** Left out: not known. */
	readonly size?: number;
	readonly mtimeMs: number;
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
	/** The host process, or 0. */
	hostPid(handle: NativeHandle): number;
	/** By place, not by name: the call that is made most often. `size`: rows and columns of a terminal, as 65536 * rows + columns. */
	exec(handle: NativeHandle, argv: readonly string[], env: readonly string[], cwd: string | undefined, user: string | undefined, flags: number, timeoutMs: number, size: number): number;
	write(handle: NativeHandle, proc: number, data: Uint8Array): number;
	closeStdin(handle: NativeHandle, proc: number): number;
	signal(handle: NativeHandle, proc: number, signal: number): number;
	resize(handle: NativeHandle, proc: number, rows: number, columns: number): number;
	abort(handle: NativeHandle, proc: number): number;
	ack(handle: NativeHandle, proc: number, bytes: number): void;
	fileError(handle: NativeHandle, call: number, errno: number): number;
	fileOk(handle: NativeHandle, call: number): number;
	fileCount(handle: NativeHandle, call: number, count: number): number;
	fileData(handle: NativeHandle, call: number, data: Uint8Array): number;
	fileStat(handle: NativeHandle, call: number, stat: NativeFileStat): number;
	fileEntries(handle: NativeHandle, call: number, entries: { readonly names: readonly string[]; readonly types: Uint8Array }): number;
	/** The result comes as an event with the number. Gives what `toolCancel` takes. */
	toolSubmit(handle: NativeHandle, number: number, request: NativeToolRequest): number;
	toolCancel(handle: NativeHandle, id: number): number;
	/** For the guest's watchers. */
	changed(handle: NativeHandle, mount: string, path: string): number;
	/** The result comes as an event with the number. Gives what `guestCancel` takes. */
	guestSubmit(handle: NativeHandle, number: number, request: NativeGuestRequest): number;
	guestCancel(handle: NativeHandle, id: number): number;
	/** Throws what cannot be changed, and then the call still has to be answered. */
	httpForward(handle: NativeHandle, call: number, set: readonly string[], drop: readonly string[]): number;
	httpRefuse(handle: NativeHandle, call: number, status: number, text: string): number;
	httpRemove(handle: NativeHandle, hook: number): number;
	/** The result comes as an event with the number. Gives what `controlCancel` takes. */
	controlSubmit(handle: NativeHandle, number: number, request: NativeControlRequest): number;
	controlCancel(handle: NativeHandle, id: number): number;
	policyCheck(query: { readonly rules: readonly string[]; readonly protocol: string; readonly destination: string }): NativeVerdict;
	probe(hostPath: string): Promise<{ readonly chosen: string; readonly kvm: NativeEngineProbe; readonly qemu: NativeEngineProbe }>;
	/** A random one of a secret. */
	placeholder(): string;
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

function packageDirectory(): string {
	const platform = `${process.platform}-${process.arch}`;
	const name = PLATFORM_PACKAGES[platform];
	if (name === undefined) {
		throw new SandboxError("ERR_SANDBOX_PLATFORM", `@torkbot/sandbox does not run on ${platform}; it runs on ${Object.keys(PLATFORM_PACKAGES).join(", ")}`);
	}
	try {
		return dirname(load.resolve(`${name}/package.json`));
	} catch (cause) {
		throw new SandboxError("ERR_SANDBOX_PLATFORM", `the package ${name} is not installed; install @torkbot/sandbox with its optional dependencies`, { cause });
	}
}

/** Finds them: in the directory of the environment's SANDBOX_LIBDIR, as libsbx does, or in the platform's package; `ERR_SANDBOX_PLATFORM` if there is none. */
export function findArtifacts(): Artifacts {
	if (artifacts) return artifacts;
	const directory = process.env["SANDBOX_LIBDIR"] || packageDirectory();
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
