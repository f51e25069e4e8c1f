// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * File systems that your program implements.
 *
 * Paths are absolute within the file system: `"/"` is its root, whatever the mount's path is. An operation that throws an error with a `code` (`"ENOENT"`,
 * `"EACCES"`, `"ENOSPC"`, ...) gives the guest that error; a message with `missing path`, and an error of a lookup, is `ENOENT`; anything else `EIO`.
 */
import { bytesOf, invalidInput, objectOf } from "./input.js";

/** What is at a path. */
export interface SandboxFileStat {
	readonly type: "file" | "directory" | "symlink";
	/** Bytes. `null` for directories; for a file it is an error in the guest (`EIO`), as a made-up size would cut the file. */
	readonly sizeBytes: number | null;
	/** For your own use; the guest does not see it. */
	readonly mediaType: string | null;
	/** Milliseconds since 1970; `null` is 1970. */
	readonly modifiedAtMs: number | null;
	/** `false` takes the write permissions away. */
	readonly writable?: boolean;
}

/** An entry of a directory, without `.` and `..`. */
export interface SandboxDirectoryEntry {
	readonly name: string;
	readonly type: "file" | "directory" | "symlink";
}

/** Part of a file, in bytes. */
export interface SandboxReadRange {
	readonly offset: number;
	readonly length: number;
}

/** What is to be read. */
export interface SandboxReadInput {
	readonly path: string;
	/** Left out: the whole file. Less than `length` bytes in the answer mean that the file ends there. */
	readonly range?: SandboxReadRange;
	/** Aborted when nobody waits for the answer any more. */
	readonly signal: AbortSignal;
}

/** The least that can be mounted: a tree that can be read. */
export interface SandboxFileSystem {
	/** What is at a path: asked before anything else is done there. */
	stat(path: string): Promise<SandboxFileStat>;
	/** The entries of a directory, in any order. */
	list(path: string): Promise<readonly SandboxDirectoryEntry[]>;
	/** A part of a file, or with `range` left out (which only your own calls do) all of it. */
	read(input: SandboxReadInput): Promise<Uint8Array>;
}

/** A tree whose files can be written. */
export interface SandboxWritableFileSystem extends SandboxFileSystem {
	/** Makes an empty file; `EEXIST` if there is anything. A stat of what was made saves the guest a question; so with the others that may give one. */
	createFile(path: string): Promise<SandboxFileStat | void>;
	/** Gives the number of bytes written. The file grows as needed. */
	write(input: { readonly path: string; readonly offset: number; readonly contents: Uint8Array }): Promise<number>;
	/** Cuts the file, or grows it with zeros. */
	truncate(path: string, size: number): Promise<SandboxFileStat | void>;
}

/** Everything that a program may do with a tree. */
export interface SandboxPosixFileSystem extends SandboxWritableFileSystem {
	/** Makes an empty directory. */
	mkdir(path: string): Promise<SandboxFileStat | void>;
	/** Removes what is no directory. */
	unlink(path: string): Promise<void>;
	/** Removes an empty directory. */
	rmdir(path: string): Promise<void>;
	/** Moves a file or a directory, in the place of what is at `to`. `flags`, left out if there are none: bits of {@link RenameFlag}; `EINVAL` for those that you do not support. */
	rename(from: string, to: string, flags?: number): Promise<void>;
	/** Makes a symbolic link at `path`; `target` is any text. */
	symlink(target: string, path: string): Promise<SandboxFileStat | void>;
	/** The target of a symbolic link. */
	readlink(path: string): Promise<string>;
}

/** Bits of the flags of `rename`, with Linux's numbers. */
export const RenameFlag = {
	/** `EEXIST` if there is anything at the new path. */
	noReplace: 1,
	/** Both exist, and change places. */
	exchange: 2,
} as const;

/** What can be mounted. Which operations there are is looked at once, when the VM starts. */
export type SandboxAnyFileSystem = SandboxFileSystem | SandboxWritableFileSystem | SandboxPosixFileSystem;

/**
 * A tree in the memory of the host process: `fs.memory()`. The same object in several mounts and bindings is the same tree.
 */
export class MemoryFileSystem {
	readonly kind = "memory";
	/** What is in it at first, by path. */
	readonly files: ReadonlyMap<string, Uint8Array>;
	/** Bytes that it may hold, or `undefined` for the default. */
	readonly maxBytes: number | undefined;

	constructor(options: MemoryFileSystemOptions) {
		const { files = {}, maxBytes } = objectOf(options, "options");
		this.files = new Map(Object.entries(objectOf(files, "files")).map(([path, content]) => [path, new Uint8Array(bytesOf(content, `the content of ${path}`))]));
		this.maxBytes = maxBytes;
	}
}

/** What `fs.memory()` takes. */
export interface MemoryFileSystemOptions {
	/** Files by path, with or without a slash in front; directories above them are made. */
	readonly files?: Readonly<Record<string, string | Uint8Array>>;
	/** Default: 256 MiB. Then `ENOSPC`. */
	readonly maxBytes?: number;
}

/** A directory of this machine: `fs.bind()`. Its files are those of their owners if root lends it, and look like root's in the guest otherwise. */
export class BoundDirectory {
	readonly kind = "bind";
	readonly source: string;
	readonly access: "ro" | "rw";
	readonly mask: readonly string[];
	readonly watch: boolean;

	constructor(options: BoundDirectoryOptions) {
		const { source, access = "ro", mask = [], watch = false } = objectOf(options, "options");
		if (!Array.isArray(mask)) throw invalidInput("mask must be an array");
		this.source = source;
		this.access = access;
		this.mask = [...(mask as readonly string[])];
		this.watch = watch;
	}
}

/** What `fs.bind()` takes. */
export interface BoundDirectoryOptions {
	/** A directory. It is held by descriptor, and nothing outside of it can be reached through it. */
	readonly source: string;
	/** Default: `"ro"`. */
	readonly access?: "ro" | "rw";
	/** Paths in it that do not exist for the guest, as `"/.git/hooks"`. */
	readonly mask?: readonly string[];
	/**
	 * Default: `false`. What other programs of this machine change in directories that the guest has read is told to its watchers (`fs.watch()`, inotify), as what
	 * the host's tools change is in every mount.
	 */
	readonly watch?: boolean;
}

/** File systems that the host process serves, without calls to your program. */
export type SandboxNativeFileSystem = MemoryFileSystem | BoundDirectory;

/** True for {@link SandboxNativeFileSystem}. */
export function isNativeFileSystem(value: unknown): value is SandboxNativeFileSystem {
	return value instanceof MemoryFileSystem || value instanceof BoundDirectory;
}

/** File systems to mount that need no functions of yours. */
export const fs = {
	/**
	 * A tree in memory.
	 *
	 * ```ts
	 * mount("/workspace", fs.memory({ files: { "plan.md": "# Plan\n" } }))
	 * ```
	 */
	memory: (options: MemoryFileSystemOptions = {}): MemoryFileSystem => new MemoryFileSystem(options),
	/**
	 * A directory of this machine.
	 *
	 * ```ts
	 * mount("/workspace", fs.bind({ source: ".", access: "rw", mask: ["/.git"] }))
	 * ```
	 */
	bind: (options: BoundDirectoryOptions): BoundDirectory => new BoundDirectory(options),
} as const;
