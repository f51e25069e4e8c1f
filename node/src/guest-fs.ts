// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The files of the running guest, as its programs see them. Nothing of the image is needed for it. What comes back is the guest's word: it may be out of
 * date, or invented.
 */
import { SandboxError } from "./errors.js";
import { bytesOf, invalidInput, objectOf, signalOf, textOf, wholeOf } from "./input.js";
import type { Machine } from "./machine.js";
import { GuestFlag, GuestOp, type NativeAttr, type NativeGuestRequest, type NativeGuestSuccess } from "./native.js";
import { timeoutOf } from "./process.js";

/** What each call takes. */
export interface GuestFsOptions {
	/** With whose rights: `"uid"`, `"uid:gid"`, `"name"` or `"name:group"` of the guest. Default: root. */
	readonly user?: string;
	/** Milliseconds. A guest may hang (a pipe that nobody writes to): default: no limit. */
	readonly timeoutMs?: number;
	/** Gives up; what the guest does then is not known. */
	readonly signal?: AbortSignal;
}

/** What `readFile` takes. */
export interface GuestReadOptions extends GuestFsOptions {
	/** A larger file is `EFBIG`. Default: {@link GUEST_FILE_BYTES_MAX}. */
	readonly maxBytes?: number;
}

/** What `copyIn` and `copyOut` take. */
export interface GuestCopyOptions extends GuestFsOptions {
	/** `copyIn`: who the new files belong to, written as `user`; `"="`: the host's numbers. Default: `user`. */
	readonly owner?: string;
	/** `copyOut`: the most that the guest may send. Default: no limit. */
	readonly maxBytes?: number;
}

/** A file of the guest. */
export interface GuestStat {
	readonly type: "file" | "directory" | "symlink" | "other";
	/** Permissions, up to 0o7777. */
	readonly mode: number;
	/** Bytes. */
	readonly size: number;
	readonly uid: number;
	readonly gid: number;
	readonly links: number;
	readonly inode: number;
	/** Milliseconds since 1970. */
	readonly modifiedAtMs: number;
}

/** An entry of a directory. */
export interface GuestDirectoryEntry extends GuestStat {
	readonly name: string;
	/** Of a symbolic link, else "". */
	readonly target: string;
}

/** What `copyOut` has made on this machine. */
export interface GuestCopied {
	/** Files, directories and links made. */
	readonly files: number;
	/** Of the content of files. */
	readonly bytes: number;
	/** Devices and pipes, which are not made on the host. */
	readonly skipped: number;
	/** The path of one of them, or "". */
	readonly firstSkipped: string;
}

/** Bytes of a file that `readFile` gives unless it is told otherwise. */
export const GUEST_FILE_BYTES_MAX = 64 << 20;

const S_IFMT = 0o170000;
const TYPES: Readonly<Record<number, GuestStat["type"]>> = { [0o040000]: "directory", [0o100000]: "file", [0o120000]: "symlink" };

function statOf(attr: NativeAttr): GuestStat {
	return {
		type: TYPES[attr.mode & S_IFMT] ?? "other",
		mode: attr.mode & 0o7777,
		size: attr.size,
		uid: attr.uid,
		gid: attr.gid,
		links: attr.nlink,
		inode: attr.ino,
		modifiedAtMs: attr.mtimeMs,
	};
}

const MODE_MAX = 0o7777;

function modeOf(value: unknown): number {
	return wholeOf(value, "mode", 0, MODE_MAX);
}

function limitOf(value: unknown): number {
	return wholeOf(value, "maxBytes", 0);
}

/** `vm.fs`. Paths are the guest's, and absolute. Errors have Linux's codes. */
export class GuestFileSystem {
	readonly #machine: Machine;

	/** Made with the VM. */
	constructor(machine: Machine) {
		this.#machine = machine;
	}

	async #call(op: number, path: string, options: GuestFsOptions, more: Partial<NativeGuestRequest> = {}): Promise<NativeGuestSuccess> {
		const { user, signal } = objectOf(options, "options");
		const timeoutMs = timeoutOf(options.timeoutMs);
		// The guest is asked to keep the time; one that does not is left alone a second later.
		const late = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs + 1000);
		const signals = [signalOf(signal), late].filter((one) => one !== undefined);
		const request = { op, path: textOf(path, "path"), user: user === undefined ? undefined : textOf(user, "user"), timeoutMs, ...more };
		try {
			return await this.#machine.guestCall(request, signals.length === 0 ? undefined : AbortSignal.any(signals));
		} catch (error) {
			if (!late?.aborted || error !== late.reason) throw error;
			throw new SandboxError("ETIMEDOUT", `in the guest: it took longer than ${timeoutMs} ms`);
		}
	}

	/**
	 * The content of a file; as text with an encoding.
	 *
	 * ```ts
	 * const report = await vm.fs.readFile("/workspace/report.txt", "utf8");
	 * ```
	 */
	readFile(path: string, encoding: BufferEncoding, options?: GuestReadOptions): Promise<string>;
	readFile(path: string, options?: GuestReadOptions): Promise<Buffer>;
	async readFile(path: string, first?: BufferEncoding | GuestReadOptions, second?: GuestReadOptions): Promise<string | Buffer> {
		const options = objectOf((typeof first === "string" ? second : first) ?? {}, "options");
		if (typeof first === "string" && !Buffer.isEncoding(first)) throw invalidInput(`unknown encoding: ${first}`);
		const { data } = await this.#call(GuestOp.readFile, path, options, { max: limitOf(options.maxBytes ?? GUEST_FILE_BYTES_MAX) });
		return typeof first === "string" ? data.toString(first) : data;
	}

	/**
	 * Makes a file, or replaces its content: a reader sees the old or the new. `mode`: permissions; default: those that it has, 0o644 for a new one.
	 *
	 * ```ts
	 * await vm.fs.writeFile("/tmp/run.sh", "#!/bin/sh\nid\n", { mode: 0o755 });
	 * ```
	 */
	async writeFile(path: string, content: string | Uint8Array, options: GuestFsOptions & { readonly mode?: number } = {}): Promise<void> {
		const { mode } = objectOf(options, "options");
		await this.#call(GuestOp.writeFile, path, options, { data: bytesOf(content, "content"), mode: mode === undefined ? undefined : modeOf(mode) });
	}

	/**
	 * The entries of a directory, by name.
	 *
	 * ```ts
	 * for (const { name, type, size } of await vm.fs.readDir("/etc")) console.log(type, size, name);
	 * ```
	 */
	async readDir(path: string, options: GuestFsOptions = {}): Promise<GuestDirectoryEntry[]> {
		const { entries } = await this.#call(GuestOp.list, path, options);
		return entries.map(({ name, target, attr }) => ({ name, target, ...statOf(attr) }));
	}

	/**
	 * What is at a path; of a symbolic link, what it leads to, unless `followLinks` is false.
	 *
	 * ```ts
	 * const { type, modifiedAtMs } = await vm.fs.stat("/etc/os-release", { followLinks: false });
	 * ```
	 */
	async stat(path: string, options: GuestFsOptions & { readonly followLinks?: boolean } = {}): Promise<GuestStat> {
		const flags = objectOf(options, "options").followLinks === false ? 0 : GuestFlag.follow;
		return statOf((await this.#call(GuestOp.stat, path, options, { flags })).attr);
	}

	/**
	 * Makes a directory. `recursive`: with everything above it that is missing, and no error if it is there. `mode`: default 0o755.
	 *
	 * ```ts
	 * await vm.fs.mkdir("/tmp/a/b", { recursive: true, user: "1000" });
	 * ```
	 */
	async mkdir(path: string, options: GuestFsOptions & { readonly recursive?: boolean; readonly mode?: number } = {}): Promise<void> {
		const { mode = 0o755, recursive } = objectOf(options, "options");
		await this.#call(GuestOp.mkdir, path, options, { mode: modeOf(mode), flags: recursive ? GuestFlag.parents : 0 });
	}

	/**
	 * Removes a file or an empty directory; with `recursive` a whole tree.
	 *
	 * ```ts
	 * await vm.fs.remove("/tmp/a", { recursive: true });
	 * ```
	 */
	async remove(path: string, options: GuestFsOptions & { readonly recursive?: boolean } = {}): Promise<void> {
		await this.#call(GuestOp.remove, path, options, { flags: objectOf(options, "options").recursive ? GuestFlag.recursive : 0 });
	}

	/**
	 * Moves a file or a directory, in the place of what is at `to`.
	 *
	 * ```ts
	 * await vm.fs.rename("/tmp/report.new", "/tmp/report");
	 * ```
	 */
	async rename(from: string, to: string, options: GuestFsOptions = {}): Promise<void> {
		await this.#call(GuestOp.rename, from, options, { path2: textOf(to, "to") });
	}

	/**
	 * Copies a file or a tree of this machine into the guest, as `cp -a`: into `guestPath` under its own name if that is a directory.
	 *
	 * ```ts
	 * await vm.fs.copyIn("src", "/tmp", { owner: "1000:1000" });
	 * ```
	 */
	async copyIn(hostPath: string, guestPath: string, options: GuestCopyOptions = {}): Promise<void> {
		const { owner } = objectOf(options, "options");
		await this.#call(GuestOp.copyIn, guestPath, options, { path2: textOf(hostPath, "hostPath"), owner: owner === undefined ? undefined : textOf(owner, "owner") });
	}

	/**
	 * Copies a file or a tree of the guest to this machine. Everything is made beneath `hostPath`, whatever the guest sends; symbolic links are made as they are: do not
	 * follow them in what a stranger gave you.
	 *
	 * ```ts
	 * const { bytes, skipped } = await vm.fs.copyOut("/tmp/src/out", "results", { maxBytes: 100 << 20 });
	 * ```
	 */
	async copyOut(guestPath: string, hostPath: string, options: GuestCopyOptions = {}): Promise<GuestCopied> {
		const { maxBytes } = objectOf(options, "options");
		const { copied } = await this.#call(GuestOp.copyOut, guestPath, options, { path2: textOf(hostPath, "hostPath"), maxBytes: maxBytes === undefined ? undefined : limitOf(maxBytes) });
		return copied;
	}
}
