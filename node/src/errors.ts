// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Errors: one class, with a `code` to look at and words to read.
 */
import { constants } from "node:os";

/**
 * What went wrong. Next to these codes of our own, `code` may be the name of a Linux error (`"ENOENT"`, `"EACCES"`, `"ETIMEDOUT"`, ...): what an
 * operation on files, a process or the network said.
 */
export type SandboxErrorCode =
	/** The options make no sense; the message names the option, its value and the remedy. */
	| "ERR_SANDBOX_OPTIONS"
	/** The VM or the builder was closed. */
	| "ERR_SANDBOX_CLOSED"
	/** `run()` was called before. */
	| "ERR_SANDBOX_ALREADY_RUN"
	/** There is no such mount or binding. */
	| "ERR_SANDBOX_MOUNT"
	/** The guest never became ready. */
	| "ERR_SANDBOX_LAUNCH"
	/** The guest died: a panic, a reset, or the end of its init. */
	| "ERR_SANDBOX_GUEST"
	/** The guest powered itself off. */
	| "ERR_SANDBOX_POWEROFF"
	/** The engine (QEMU or KVM) failed. */
	| "ERR_SANDBOX_ENGINE"
	/** The host process failed or was killed. */
	| "ERR_SANDBOX_HOST"
	/** A program of the guest could not be asked for, or was refused; the shell of the host's tools has failed, with the `cause`. */
	| "ERR_SANDBOX_EXEC"
	/** An exec with this id is running. */
	| "ERR_SANDBOX_EXEC_ID"
	/** This platform is not supported, or its package is not installed. */
	| "ERR_SANDBOX_PLATFORM";

/**
 * An error of this package.
 *
 * ```ts
 * try {
 * 	await using vm = await spawnSandbox(options);
 * } catch (error) {
 * 	if (error instanceof SandboxError && error.code === "ERR_SANDBOX_LAUNCH") console.error(error.message, error.console);
 * }
 * ```
 */
export class SandboxError extends Error {
	override readonly name = "SandboxError";
	/** One of {@link SandboxErrorCode}, or the name of a Linux error. */
	readonly code: SandboxErrorCode | (string & {});
	/** The last lines of the guest's console if a launch or a guest failed, else "". */
	readonly console: string;

	constructor(code: SandboxErrorCode | (string & {}), message: string, options: { readonly console?: string; readonly cause?: unknown } = {}) {
		super(message, "cause" in options ? { cause: options.cause } : {});
		this.code = code;
		this.console = options.console ?? "";
	}
}

/** Numbers that `os.constants.errno` leaves out, and the name of two for one number. */
const EXTRA_ERRNO: Readonly<Record<string, number>> = {
	ENOTBLK: 15,
	EREMOTE: 66,
	ENOTUNIQ: 76,
	EUSERS: 87,
	EOPNOTSUPP: 95,
	ESHUTDOWN: 108,
	EHOSTDOWN: 112,
	EUCLEAN: 117,
	EREMOTEIO: 121,
	ENOMEDIUM: 123,
	EMEDIUMTYPE: 124,
	ENOKEY: 126,
	EKEYEXPIRED: 127,
	EKEYREVOKED: 128,
	EKEYREJECTED: 129,
	EOWNERDEAD: 130,
	ENOTRECOVERABLE: 131,
};

const NAMES = new Map<number, string>();
for (const [name, number] of [...Object.entries(EXTRA_ERRNO), ...Object.entries(constants.errno)]) {
	if (!NAMES.has(number)) NAMES.set(number, name);
}

/** The name of a Linux error number of either sign. */
export function errnoName(errno: number): string {
	return NAMES.get(Math.abs(errno)) ?? `E${Math.abs(errno)}`;
}

/** The Linux error number with a name, or undefined. */
export function errnoNumber(name: string): number | undefined {
	return (constants.errno as Readonly<Record<string, number>>)[name] ?? EXTRA_ERRNO[name];
}

/** What the addon threw, as a SandboxError; anything else as it is, also what Node.js throws with a number. */
export function fromNative(error: unknown): unknown {
	try {
		if (!(error instanceof Error) || !("errno" in error && "console" in error) || typeof error.errno !== "number" || typeof error.console !== "string") return error;
		return new SandboxError(errnoName(error.errno), error.message, { console: error.console });
	} catch {
		return error; // looking at it throws: it is not the addon's
	}
}
