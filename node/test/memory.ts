// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A file system in JavaScript for tests: a complete SandboxPosixFileSystem over a map, with errors as Node has them.
 */
import type { SandboxDirectoryEntry, SandboxFileStat, SandboxPosixFileSystem, SandboxReadInput } from "@torkbot/sandbox";

type Node = { readonly type: "directory" } | { readonly type: "file"; data: Buffer } | { readonly type: "symlink"; readonly target: string };

export function failure(code: string): Error {
	return Object.assign(new Error(`it is ${code}`), { code });
}

const parent = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";

export class MapFs implements SandboxPosixFileSystem {
	readonly nodes = new Map<string, Node>([["/", { type: "directory" }]]);
	/** Calls, as "operation path". */
	readonly log: string[] = [];

	constructor(files: Readonly<Record<string, string>> = {}) {
		for (const [path, text] of Object.entries(files)) this.nodes.set(path, { type: "file", data: Buffer.from(text) });
	}

	text(path: string): string {
		return this.#file(path).data.toString("utf8");
	}

	#node(path: string): Node {
		const node = this.nodes.get(path);
		if (!node) throw failure("ENOENT");
		return node;
	}

	#file(path: string): Node & { readonly type: "file" } {
		const node = this.#node(path);
		if (node.type !== "file") throw failure(node.type === "directory" ? "EISDIR" : "EINVAL");
		return node;
	}

	#add(path: string, node: Node): void {
		if (this.nodes.has(path)) throw failure("EEXIST");
		if (this.#node(parent(path)).type !== "directory") throw failure("ENOTDIR");
		this.nodes.set(path, node);
	}

	#children(path: string): string[] {
		return [...this.nodes.keys()].filter((other) => other !== "/" && parent(other) === path);
	}

	async stat(path: string): Promise<SandboxFileStat> {
		this.log.push(`stat ${path}`);
		const node = this.#node(path);
		const sizeBytes = node.type === "file" ? node.data.length : node.type === "symlink" ? Buffer.byteLength(node.target) : null;
		return { type: node.type, sizeBytes, mediaType: null, modifiedAtMs: 1_000_000_000_000 };
	}

	async list(path: string): Promise<SandboxDirectoryEntry[]> {
		this.log.push(`list ${path}`);
		return this.#children(path).map((child) => ({ name: child.slice(child.lastIndexOf("/") + 1), type: this.#node(child).type }));
	}

	async read({ path, range }: SandboxReadInput): Promise<Uint8Array> {
		this.log.push(`read ${path} ${range?.offset} ${range?.length}`);
		const { data } = this.#file(path);
		return range ? data.subarray(range.offset, range.offset + range.length) : data;
	}

	async createFile(path: string): Promise<void> {
		this.#add(path, { type: "file", data: Buffer.alloc(0) });
	}

	async write(input: { readonly path: string; readonly offset: number; readonly contents: Uint8Array }): Promise<number> {
		const file = this.#file(input.path);
		const end = input.offset + input.contents.length;
		if (end > file.data.length) file.data = Buffer.concat([file.data, Buffer.alloc(end - file.data.length)]);
		file.data.set(input.contents, input.offset);
		return input.contents.length;
	}

	async truncate(path: string, size: number): Promise<void> {
		const file = this.#file(path);
		file.data = Buffer.concat([file.data.subarray(0, size), Buffer.alloc(Math.max(0, size - file.data.length))]);
	}

	async mkdir(path: string): Promise<SandboxFileStat> {
		this.#add(path, { type: "directory" });
		return await this.stat(path);
	}

	async unlink(path: string): Promise<void> {
		if (this.#node(path).type === "directory") throw failure("EISDIR");
		this.nodes.delete(path);
	}

	async rmdir(path: string): Promise<void> {
		if (this.#node(path).type !== "directory") throw failure("ENOTDIR");
		if (this.#children(path).length > 0) throw failure("ENOTEMPTY");
		this.nodes.delete(path);
	}

	async rename(from: string, to: string, flags = 0): Promise<void> {
		this.log.push(`rename ${from} ${to} ${flags}`);
		if (flags & ~1) throw failure("EINVAL");
		this.#node(from);
		if (flags & 1 && this.nodes.has(to)) throw failure("EEXIST");
		const target = this.nodes.get(to);
		if (target && (target.type === "directory") !== (this.#node(from).type === "directory")) throw failure(target.type === "directory" ? "EISDIR" : "ENOTDIR");
		if (this.#children(to).length > 0) throw failure("ENOTEMPTY");
		for (const [path, node] of [...this.nodes]) {
			if (path !== from && !path.startsWith(`${from}/`)) continue;
			this.nodes.delete(path);
			this.nodes.set(to + path.slice(from.length), node);
		}
	}

	async symlink(target: string, path: string): Promise<void> {
		this.#add(path, { type: "symlink", target });
	}

	async readlink(path: string): Promise<string> {
		const node = this.#node(path);
		if (node.type !== "symlink") throw failure("EINVAL");
		return node.target;
	}
}
