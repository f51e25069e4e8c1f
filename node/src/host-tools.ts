// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The host's tools on the files of a mount or binding. The guest takes no part: they work while it boots, runs or hangs.
 */
import { runBash } from "./bash.js";
import { bytesOf, invalidInput, objectOf, textOf, wholeOf } from "./input.js";
import type { Machine } from "./machine.js";
import { Tool, ToolFlag } from "./native.js";

/** What `read` takes. */
export interface HostReadInput {
	/** With or without a slash in front. */
	readonly path: string;
	/** The first line, from 1. Default: 1. */
	readonly offset?: number;
	/** At most so many lines. Default: 2000. */
	readonly limit?: number;
	/** Gives up. */
	readonly signal?: AbortSignal;
}

/** What `read` gives. */
export interface HostReadResult {
	readonly path: string;
	/** Whole lines. */
	readonly content: string;
	/** Lines of the file. */
	readonly totalLines: number;
	/** There is more of the file behind these lines. */
	readonly truncated: boolean;
}

/** What `write` takes. */
export interface HostWriteInput {
	/** With or without a slash in front. */
	readonly path: string;
	/** The whole file; text is written as UTF-8. */
	readonly content: string | Uint8Array;
	/** Gives up; the file may have been written all the same. */
	readonly signal?: AbortSignal;
}

/** A piece of text in the place of another. */
export interface HostPatchEdit {
	/** Occurs exactly once in the file, as the edits before this one have left it. */
	readonly oldText: string;
	readonly newText: string;
}

/** What `patch` takes. */
export interface HostPatchInput {
	readonly path: string;
	/** In the order in which they are made. */
	readonly edits: readonly HostPatchEdit[];
	/** Gives up; the file may have been changed all the same. */
	readonly signal?: AbortSignal;
}

/** What `bash` takes. */
export interface HostBashInput {
	readonly command: string;
	/** Milliseconds; then the exit code is 124. Default: no limit. */
	readonly timeoutMs?: number;
	/** Ends the script, and rejects. */
	readonly signal?: AbortSignal;
}

/** What a script left. */
export interface HostBashResult {
	readonly stdout: string;
	readonly stderr: string;
	readonly exitCode: number;
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
	 * Lines of a text file. `ENOENT`: there is no such file; `EXDEV`: the path leads out of the mount.
	 *
	 * ```ts
	 * const notes = await vm.mounts.host("/workspace").read({ path: "notes.md", offset: 1, limit: 80 });
	 * ```
	 */
	async read(input: HostReadInput): Promise<HostReadResult> {
		const { offset = 1, limit, signal } = objectOf(input, "input");
		const path = textOf(input.path, "path");
		const length = limit === undefined ? 0 : wholeOf(limit, "limit", 1);
		const result = await this.#machine.tool({ tool: Tool.readLines, mount: this.#mount, path, offset: wholeOf(offset, "offset", 1), length }, signal);
		return { path, content: result.data.toString("utf8"), totalLines: result.total, truncated: result.more || result.cut };
	}

	/**
	 * Makes `content` the file's content; makes the file, and directories above it, if they are missing.
	 *
	 * ```ts
	 * await vm.mounts.host("/workspace").write({ path: "plan.md", content: "# Plan\n" });
	 * ```
	 */
	async write(input: HostWriteInput): Promise<void> {
		const { path, content, signal } = objectOf(input, "input");
		await this.#machine.tool({ tool: Tool.write, mount: this.#mount, path: textOf(path, "path"), flags: ToolFlag.parents, data: bytesOf(content, "content") }, signal);
	}

	/**
	 * Replaces text: all edits, in their order, or none. `ENODATA`: the old text is not there; `ENOTUNIQ`: it is there more than once.
	 *
	 * ```ts
	 * await vm.mounts.host("/workspace").patch({ path: "plan.md", edits: [{ oldText: "# Plan", newText: "# Done" }] });
	 * ```
	 */
	async patch(input: HostPatchInput): Promise<void> {
		const { path, edits, signal } = objectOf(input, "input");
		if (!Array.isArray(edits)) throw invalidInput("edits must be an array");
		const texts = (edits as readonly HostPatchEdit[]).flatMap((edit) => [
			Buffer.from(textOf(objectOf(edit, "an edit").oldText, "oldText"), "utf8"),
			Buffer.from(textOf(edit.newText, "newText"), "utf8"),
		]);
		await this.#machine.tool({ tool: Tool.patch, mount: this.#mount, path: textOf(path, "path"), edits: texts }, signal);
	}

	/**
	 * Runs a shell script against the files, on the host, in a shell of JavaScript that reaches nothing else: no programs, no network, no other files. The working
	 * directory is the mount's path, as in the guest. An exit code other than 0 is no error.
	 *
	 * ```ts
	 * const { stdout } = await vm.mounts.host("/workspace").bash({ command: "grep -rn TODO . | sort", timeoutMs: 1_000 });
	 * ```
	 */
	async bash(input: HostBashInput): Promise<HostBashResult> {
		return await runBash(this.#machine, this.#mount, { ...input, command: textOf(objectOf(input, "input").command, "command") });
	}
}
