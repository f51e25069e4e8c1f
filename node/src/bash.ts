// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * `bash` of the host tools: just-bash, a shell in JavaScript, over the tools' files. Nothing of this machine is within its reach.
 */
import type { BashExecResult, BufferEncoding, CpOptions, FileContent, FsStat, IFileSystem, MkdirOptions, RmOptions } from "just-bash";

import { SandboxError } from "./errors.js";
import type { HostBashInput, HostBashResult } from "./host-tools.js";
import { shown, signalOf } from "./input.js";
import type { Machine } from "./machine.js";
import { type NativeAttr, type NativeToolRequest, type NativeToolSuccess, Tool, ToolFlag, ToolSet } from "./native.js";
import { timeoutOf } from "./process.js";

/** Bytes of a file that the shell reads; more is EFBIG. */
export const BASH_FILE_BYTES_MAX = 64 << 20;

type ReadFileOptions = Exclude<Parameters<IFileSystem["readFile"]>[1], BufferEncoding>;
type WriteFileOptions = Exclude<Parameters<IFileSystem["writeFile"]>[2], BufferEncoding>;
type DirentEntry = Awaited<ReturnType<NonNullable<IFileSystem["readdirWithFileTypes"]>>>[number];

const TIMEOUT_EXIT_CODE = 124;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const S_IFREG = 0o100000;

const isDirectory = (attr: NativeAttr): boolean => (attr.mode & S_IFMT) === S_IFDIR;
const isSymbolicLink = (attr: NativeAttr): boolean => (attr.mode & S_IFMT) === S_IFLNK;

function encodingOf(options: { readonly encoding?: BufferEncoding | null } | BufferEncoding | undefined): globalThis.BufferEncoding {
	return (typeof options === "string" ? options : options?.encoding) ?? "utf8";
}

function bytesOf(content: FileContent, options: WriteFileOptions | BufferEncoding | undefined): Uint8Array {
	return typeof content === "string" ? Buffer.from(content, encodingOf(options)) : content;
}

function statOf(attr: NativeAttr): FsStat {
	return {
		isFile: (attr.mode & S_IFMT) === S_IFREG,
		isDirectory: isDirectory(attr),
		isSymbolicLink: isSymbolicLink(attr),
		mode: attr.mode & 0o7777,
		size: attr.size,
		mtime: new Date(attr.mtimeMs),
	};
}

/** The files of a mount as just-bash wants them. Paths are from the mount's root. */
class ToolFileSystem implements IFileSystem {
	readonly #machine: Machine;
	readonly #mount: string;
	readonly #signal: AbortSignal;

	constructor(machine: Machine, mount: string, signal: AbortSignal) {
		this.#machine = machine;
		this.#mount = mount;
		this.#signal = signal;
	}

	/** Errors read as those of Node's own fs: just-bash makes a shell's messages of them. */
	async #tool(tool: number, path: string, more: Partial<NativeToolRequest> = {}): Promise<NativeToolSuccess> {
		try {
			return await this.#machine.tool({ tool, mount: this.#mount, path, ...more }, this.#signal);
		} catch (error) {
			if (!(error instanceof SandboxError) || !error.code.startsWith("E") || error.code.startsWith("ERR_")) throw error;
			throw Object.assign(new Error(`${error.code}: ${error.message}, '${path}'`, { cause: error }), { code: error.code, path });
		}
	}

	async readFileBuffer(path: string): Promise<Uint8Array> {
		const result = await this.#tool(Tool.read, path, { length: BASH_FILE_BYTES_MAX });
		if (result.more) throw Object.assign(new Error(`EFBIG: file too large, read '${path}'`), { code: "EFBIG", path });
		return result.data;
	}

	async readFile(path: string, options?: ReadFileOptions | BufferEncoding): Promise<string> {
		return Buffer.from(await this.readFileBuffer(path)).toString(encodingOf(options));
	}

	async writeFile(path: string, content: FileContent, options?: WriteFileOptions | BufferEncoding): Promise<void> {
		await this.#tool(Tool.write, path, { data: bytesOf(content, options) });
	}

	async appendFile(path: string, content: FileContent, options?: WriteFileOptions | BufferEncoding): Promise<void> {
		await this.#tool(Tool.write, path, { data: bytesOf(content, options), flags: ToolFlag.append });
	}

	async stat(path: string): Promise<FsStat> {
		return statOf((await this.#tool(Tool.stat, path)).attr);
	}

	async lstat(path: string): Promise<FsStat> {
		return statOf((await this.#tool(Tool.stat, path, { flags: ToolFlag.noFollow })).attr);
	}

	async exists(path: string): Promise<boolean> {
		try {
			await this.stat(path);
			return true;
		} catch {
			return false;
		}
	}

	async mkdir(path: string, options?: MkdirOptions): Promise<void> {
		await this.#tool(Tool.mkdir, path, { flags: options?.recursive ? ToolFlag.parents : 0 });
	}

	async readdirWithFileTypes(path: string): Promise<DirentEntry[]> {
		const { entries = [] } = await this.#tool(Tool.list, path);
		return entries.map(({ name, attr }) => ({ name, isFile: statOf(attr).isFile, isDirectory: isDirectory(attr), isSymbolicLink: isSymbolicLink(attr) }));
	}

	async readdir(path: string): Promise<string[]> {
		return (await this.readdirWithFileTypes(path)).map((entry) => entry.name);
	}

	async rm(path: string, options?: RmOptions): Promise<void> {
		try {
			await this.#tool(Tool.remove, path, { flags: options?.recursive ? ToolFlag.recursive : 0 });
		} catch (error) {
			if (!options?.force || (error as { readonly code?: unknown }).code !== "ENOENT") throw error;
		}
	}

	async cp(from: string, to: string, options?: CpOptions): Promise<void> {
		const { attr } = await this.#tool(Tool.stat, from, { flags: ToolFlag.noFollow });
		if (isSymbolicLink(attr)) {
			await this.symlink(await this.readlink(from), to);
		} else if (!isDirectory(attr)) {
			await this.writeFile(to, await this.readFileBuffer(from));
		} else if (!options?.recursive) {
			throw Object.assign(new Error(`EISDIR: illegal operation on a directory, cp '${from}'`), { code: "EISDIR", path: from });
		} else {
			await this.mkdir(to, { recursive: true });
			for (const name of await this.readdir(from)) await this.cp(`${from}/${name}`, `${to}/${name}`, options);
		}
	}

	async mv(from: string, to: string): Promise<void> {
		await this.#tool(Tool.rename, from, { path2: to });
	}

	resolvePath(base: string, path: string): string {
		const parts: string[] = [];
		for (const part of (path.startsWith("/") ? path : `${base}/${path}`).split("/")) {
			if (part === "..") parts.pop();
			else if (part !== "" && part !== ".") parts.push(part);
		}
		return `/${parts.join("/")}`;
	}

	/** Not known without asking for every directory; just-bash then looks directories up as it needs them. */
	getAllPaths(): string[] {
		return [];
	}

	async chmod(path: string, mode: number): Promise<void> {
		await this.#tool(Tool.setAttr, path, { set: ToolSet.mode, mode: mode & 0o7777 });
	}

	async symlink(target: string, path: string): Promise<void> {
		await this.#tool(Tool.symlink, path, { path2: target });
	}

	async link(existing: string, path: string): Promise<void> {
		await this.#tool(Tool.link, existing, { path2: path });
	}

	async readlink(path: string): Promise<string> {
		return (await this.#tool(Tool.readlink, path)).data.toString("utf8");
	}

	async realpath(path: string): Promise<string> {
		return `/${(await this.#tool(Tool.stat, path)).data.toString("utf8")}`;
	}

	async utimes(path: string, _atime: Date, mtime: Date): Promise<void> {
		try {
			await this.#tool(Tool.setAttr, path, { set: ToolSet.mtime, mtimeMs: Math.max(0, mtime.getTime()) });
		} catch (error) {
			if ((error as { readonly code?: unknown }).code !== "EOPNOTSUPP") throw error; // files of callbacks have the times that their owner gives them
		}
	}
}

/** Runs a script with the mount at its path, and empty directories of the shell's own around it. */
export async function runBash(machine: Machine, mount: string, input: HostBashInput): Promise<HostBashResult> {
	const timeoutMs = timeoutOf(input.timeoutMs);
	const given = signalOf(input.signal);
	const { Bash, InMemoryFs, MountableFs } = await import("just-bash");
	given?.throwIfAborted();
	const timeout = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
	const over = new AbortController(); // ends the tools of a shell that has gone on behind our back
	const signal = AbortSignal.any([over.signal, ...(timeout ? [timeout] : []), ...(given ? [given] : [])]);
	const fs = new MountableFs({ base: new InMemoryFs(), mounts: [{ mountPoint: mount, filesystem: new ToolFileSystem(machine, mount, signal) }] });
	let forget = (): void => {};
	try {
		const shell: Promise<BashExecResult> = new Bash({ fs, cwd: mount }).exec(input.command, { signal });
		shell.catch(() => {}); // it may lose the race below
		return await new Promise<HostBashResult>((resolve, reject) => {
			forget = machine.untilEnd(reject);
			const onAbort = (): void => {
				if (given?.aborted) reject(given.reason);
				else resolve({ stdout: "", stderr: `bash: the command took longer than ${timeoutMs} ms\n`, exitCode: TIMEOUT_EXIT_CODE });
			};
			signal.addEventListener("abort", onAbort, { once: true });
			shell.then(
				({ stdout, stderr, exitCode }) => resolve({ stdout, stderr, exitCode }),
				(cause: unknown) => reject(new SandboxError("ERR_SANDBOX_EXEC", `bash: ${cause instanceof Error ? cause.message : shown(cause)}`, { cause })),
			);
		});
	} finally {
		forget();
		over.abort();
	}
}
