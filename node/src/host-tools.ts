// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The host's tools on the files of a mount or binding. The guest takes no part: they work while it boots, runs or hangs.
 */
import { runBash } from "./bash.js";
import { SandboxError } from "./errors.js";
import type { Machine } from "./machine.js";
import { Tool, ToolFlag } from "./native.js";

export interface HostReadInput {
	/** With or without a slash in front. */
	readonly path: string;
	/** The first line, from 1. Default: 1. */
	readonly offset?: number;
	/** At most so many lines. Default: 2000. */
	readonly limit?: number;
	readonly signal?: AbortSignal;
}

export interface HostReadResult {
	readonly path: string;
	/** Whole lines. */
	readonly content: string;
	/** Lines of the file. */
	readonly totalLines: number;
	/** There is more of the file behind these lines. */
	readonly truncated: boolean;
}

export interface HostWriteInput {
	readonly path: string;
	readonly content: string | Uint8Array;
	readonly signal?: AbortSignal;
}

export interface HostPatchEdit {
	/** Occurs exactly once in the file, as the edits before this one have left it. */
	readonly oldText: string;
	readonly newText: string;
}

export interface HostPatchInput {
	readonly path: string;
	readonly edits: readonly HostPatchEdit[];
	readonly signal?: AbortSignal;
}

export interface HostBashInput {
	readonly command: string;
	/** Milliseconds; then the exit code is 124. Default: no limit. */
	readonly timeoutMs?: number;
	readonly signal?: AbortSignal;
}

export interface HostBashResult {
	readonly stdout: string;
	readonly stderr: string;
	readonly exitCode: number;
}

function toolError(message: string): SandboxError {
	return new SandboxError("EINVAL", message);
}

function text(value: unknown, name: string): string {
	if (typeof value !== "string") throw toolError(`${name} must be a string`);
	return value;
}

function count(value: unknown, name: string): number {
	if (value === undefined) return 0;
	if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) throw toolError(`${name} must be a whole number from 1 on`);
	return value;
}

/** The host's tools on one mount or binding: `vm.mounts.host(path)`. */
export class HostFileSystemTools {
	readonly #machine: Machine;
	readonly #mount: string;

	/** Made by `vm.mounts.host()`. */
	constructor(machine: Machine, mount: string) {
		this.#machine = machine;
		this.#mount = mount;
	}

	/**
	 * Lines of a text file.
	 *
	 * ```ts
	 * const notes = await workspace.read({ path: "notes.md", offset: 1, limit: 80 });
	 * ```
	 */
	async read(input: HostReadInput): Promise<HostReadResult> {
		const path = text(input.path, "path");
		const result = await this.#machine.tool(
			{ tool: Tool.readLines, mount: this.#mount, path, offset: count(input.offset, "offset") || 1, length: count(input.limit, "limit") },
			input.signal,
		);
		return { path, content: result.data.toString("utf8"), totalLines: result.total, truncated: result.more || result.cut };
	}

	/** Makes `content` the file's content; makes the file, and directories above it, if they are missing. */
	async write(input: HostWriteInput): Promise<void> {
		const { content } = input;
		if (typeof content !== "string" && !(content instanceof Uint8Array)) throw toolError("content must be a string or a Uint8Array");
		const data = typeof content === "string" ? Buffer.from(content, "utf8") : content;
		await this.#machine.tool({ tool: Tool.write, mount: this.#mount, path: text(input.path, "path"), flags: ToolFlag.parents, data }, input.signal);
	}

	/** Replaces text: all edits, in their order, or none. `ENODATA`: the old text is not there; `ENOTUNIQ`: it is there more than once. */
	async patch(input: HostPatchInput): Promise<void> {
		if (!Array.isArray(input.edits)) throw toolError("edits must be an array");
		const edits = (input.edits as readonly HostPatchEdit[]).flatMap((edit) => [
			Buffer.from(text(edit?.oldText, "oldText"), "utf8"),
			Buffer.from(text(edit?.newText, "newText"), "utf8"),
		]);
		await this.#machine.tool({ tool: Tool.patch, mount: this.#mount, path: text(input.path, "path"), edits }, input.signal);
	}

	/**
	 * Runs a shell script against the files, on the host, in a shell of JavaScript that reaches nothing else: no programs, no network, no other files. The working
	 * directory is the mount's path, as in the guest.
	 */
	async bash(input: HostBashInput): Promise<HostBashResult> {
		return await runBash(this.#machine, this.#mount, { ...input, command: text(input.command, "command") });
	}
}
