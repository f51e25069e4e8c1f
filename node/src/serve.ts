// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A file system of the user's behind the calls of the guest. A door of the other kind: what a user's function gives may be nonsense, and the guest gets EIO
 * then, and the process goes on.
 */
import { errnoNumber } from "./errors.js";
import type { SandboxAnyFileSystem, SandboxDirectoryEntry, SandboxFileStat, SandboxPosixFileSystem } from "./filesystem.js";
import { FileOp, FileType, type NativeFileStat } from "./native.js";

const EIO = 5;
const ENOENT = 2;
const MODE_READONLY = { file: 0o444, directory: 0o555, symlink: 0o777 } as const;

/** What a call asks. */
export interface FileCall {
	readonly op: number;
	readonly path: string;
	/** The new path of a rename, the target of a symbolic link. */
	readonly path2: string;
	/** Offset, size or flags. */
	readonly a: number;
	/** Length. */
	readonly b: number;
	readonly data: Buffer;
}

export type FileReply =
	| { readonly kind: "error"; readonly errno: number }
	| { readonly kind: "ok" }
	| { readonly kind: "count"; readonly count: number }
	| { readonly kind: "data"; readonly data: Uint8Array }
	| { readonly kind: "stat"; readonly stat: NativeFileStat }
	| { readonly kind: "entries"; readonly names: readonly string[]; readonly types: Uint8Array };

const OPTIONAL: readonly (readonly [keyof SandboxPosixFileSystem, number])[] = [
	["createFile", FileOp.create],
	["write", FileOp.write],
	["truncate", FileOp.truncate],
	["mkdir", FileOp.mkdir],
	["unlink", FileOp.unlink],
	["rmdir", FileOp.rmdir],
	["rename", FileOp.rename],
	["symlink", FileOp.symlink],
	["readlink", FileOp.readlink],
];

/** The operations that a file system has, as bits. */
export function fileOps(fs: SandboxAnyFileSystem): number {
	let ops = 0;
	for (const [name, op] of OPTIONAL) if (typeof (fs as Partial<SandboxPosixFileSystem>)[name] === "function") ops |= 1 << op;
	return ops;
}

/** The answer is nonsense. */
class Nonsense extends Error {}

function isType(value: unknown): value is keyof typeof FileType {
	return value === "file" || value === "directory" || value === "symlink";
}

function isSize(value: unknown): value is number {
	return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function nativeStat(value: SandboxFileStat): NativeFileStat {
	if (typeof value !== "object" || value === null || !isType(value.type)) throw new Nonsense();
	const { type, sizeBytes, modifiedAtMs } = value;
	if (sizeBytes !== null && !isSize(sizeBytes)) throw new Nonsense();
	const mtime = typeof modifiedAtMs === "number" && modifiedAtMs > 0 ? Math.floor(modifiedAtMs) : 0;
	if (sizeBytes === null && type === "file") throw new Nonsense(); // a made-up size would cut the file
	return {
		type: FileType[type],
		mode: value.writable === false ? MODE_READONLY[type] : 0,
		size: sizeBytes ?? 0,
		mtimeMs: Number.isSafeInteger(mtime) ? mtime : 0,
	};
}

function made(value: SandboxFileStat | void): FileReply {
	return value === undefined ? { kind: "ok" } : { kind: "stat", stat: nativeStat(value) };
}

function entries(list: readonly SandboxDirectoryEntry[]): FileReply {
	if (!Array.isArray(list)) throw new Nonsense();
	const types = new Uint8Array(list.length);
	const names = list.map((entry: SandboxDirectoryEntry, i) => {
		if (typeof entry !== "object" || entry === null || typeof entry.name !== "string" || !isType(entry.type)) throw new Nonsense();
		types[i] = FileType[entry.type];
		return entry.name;
	});
	return { kind: "entries", names, types };
}

function link(target: string): Buffer {
	if (typeof target !== "string") throw new Nonsense();
	return Buffer.from(target, "utf8");
}

async function read(fs: SandboxAnyFileSystem, call: FileCall, signal: AbortSignal): Promise<FileReply> {
	const data = await fs.read({ path: call.path, range: { offset: call.a, length: call.b }, signal });
	if (!(data instanceof Uint8Array) || data.length > call.b) throw new Nonsense();
	return { kind: "data", data };
}

/** One call. Operations that the file system lacks are never asked for: the addon knows which there are. */
async function perform(fs: SandboxPosixFileSystem, call: FileCall, signal: AbortSignal): Promise<FileReply> {
	const { path, path2, a, data } = call;
	switch (call.op) {
		case FileOp.stat:
			return { kind: "stat", stat: nativeStat(await fs.stat(path)) };
		case FileOp.list:
			return entries(await fs.list(path));
		case FileOp.read:
			return await read(fs, call, signal);
		case FileOp.create:
			return made(await fs.createFile(path));
		case FileOp.write: {
			const count = await fs.write({ path, offset: a, contents: data });
			if (!isSize(count) || count > data.length) throw new Nonsense();
			return { kind: "count", count };
		}
		case FileOp.truncate:
			await fs.truncate(path, a);
			return { kind: "ok" };
		case FileOp.mkdir:
			return made(await fs.mkdir(path));
		case FileOp.unlink:
			await fs.unlink(path);
			return { kind: "ok" };
		case FileOp.rmdir:
			await fs.rmdir(path);
			return { kind: "ok" };
		case FileOp.rename:
			await (a === 0 ? fs.rename(path, path2) : fs.rename(path, path2, a));
			return { kind: "ok" };
		case FileOp.symlink:
			return made(await fs.symlink(path2, path));
		case FileOp.readlink:
			return { kind: "data", data: link(await fs.readlink(path)) };
		default:
			throw new Nonsense();
	}
}

/** The error that a guest gets for what a user's function threw. */
function errnoOf(error: unknown, op: number): number {
	if (error instanceof Nonsense || typeof error !== "object" || error === null) return EIO;
	const code = "code" in error && typeof error.code === "string" ? errnoNumber(error.code) : undefined;
	if (code !== undefined) return code;
	if ("message" in error && typeof error.message === "string" && error.message.includes("missing path")) return ENOENT;
	return op === FileOp.stat ? ENOENT : EIO;
}

/** Answers a call. Never rejects. */
export async function serveCall(fs: SandboxAnyFileSystem, call: FileCall, signal: AbortSignal): Promise<FileReply> {
	try {
		return await perform(fs as SandboxPosixFileSystem, call, signal);
	} catch (error) {
		try {
			return { kind: "error", errno: errnoOf(error, call.op) };
		} catch {
			return { kind: "error", errno: EIO }; // looking at it throws
		}
	}
}
