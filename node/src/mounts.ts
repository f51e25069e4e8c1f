// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * The mounts and bindings of a VM.
 */
import { SandboxError, fromNative } from "./errors.js";
import { type SandboxAnyFileSystem, isNativeFileSystem } from "./filesystem.js";
import { HostFileSystemTools } from "./host-tools.js";
import { textOf } from "./input.js";
import type { Machine } from "./machine.js";
import { native } from "./native.js";
import type { SandboxBinding, SandboxMount } from "./options.js";
import { canonicalPath } from "./validate.js";

function missing(what: string, path: string): SandboxError {
	return new SandboxError("ERR_SANDBOX_MOUNT", `${what}: ${path}`);
}

/** What `vm.mounts` is. */
export class SandboxMounts {
	readonly #machine: Machine;
	readonly #mounts: ReadonlyMap<string, SandboxMount>;
	readonly #bindings: ReadonlyMap<string, SandboxBinding>;

	/** Made with the VM. */
	constructor(machine: Machine, mounts: readonly SandboxMount[], bindings: readonly SandboxBinding[]) {
		this.#machine = machine;
		this.#mounts = new Map(mounts.map((mount) => [canonicalPath(mount.path), mount]));
		this.#bindings = new Map(bindings.map((binding) => [canonicalPath(binding.path), binding]));
	}

	/**
	 * The mount or binding at a path; `ERR_SANDBOX_MOUNT` if there is none. Slashes at the end do not count.
	 *
	 * ```ts
	 * const { kind } = vm.mounts.get("/workspace");
	 * ```
	 */
	get(path: string): SandboxMount | SandboxBinding {
		const canonical = canonicalPath(textOf(path, "path"));
		const found = this.#mounts.get(canonical) ?? this.#bindings.get(canonical);
		if (!found) throw missing("sandbox mount not found", path);
		return found;
	}

	/**
	 * The file system of yours that was mounted at a path: the same object. `ERR_SANDBOX_MOUNT` if there is none, also for `fs.memory` and `fs.bind`, which have no functions to call.
	 *
	 * ```ts
	 * const bytes = await vm.mounts.virtualFs("/sandbox").read({ path: "/status.json", signal: AbortSignal.timeout(1_000) });
	 * ```
	 */
	virtualFs(path: string): SandboxAnyFileSystem {
		const found = this.#mounts.get(canonicalPath(textOf(path, "path")));
		if (!found || isNativeFileSystem(found.fs)) throw missing("virtualFs mount not found", path);
		return found.fs;
	}

	/**
	 * The host's tools on a mount or binding; `ERR_SANDBOX_MOUNT` if there is none.
	 *
	 * ```ts
	 * const { content } = await vm.mounts.host("/workspace").read({ path: "notes.md" });
	 * ```
	 */
	host(path: string): HostFileSystemTools {
		const canonical = canonicalPath(textOf(path, "path"));
		if (!this.#mounts.has(canonical) && !this.#bindings.has(canonical)) throw missing("host filesystem tools not found", path);
		return new HostFileSystemTools(this.#machine, canonical);
	}

	/**
	 * Says that something changed by itself in the file system of a mount: programs of the guest that watch it (`fs.watch()`, inotify) are told, and find the new state. Without
	 * `file`, its root. What the host's tools change, and other programs in `fs.bind({ watch: true })`, is told without it. `ERR_SANDBOX_MOUNT` if there is no mount at `path`;
	 * after the VM's end nothing happens.
	 *
	 * ```ts
	 * vm.mounts.changed("/sandbox", "/status.json");
	 * ```
	 */
	changed(path: string, file = "/"): void {
		const canonical = canonicalPath(textOf(path, "path"));
		if (!this.#mounts.has(canonical)) throw missing("sandbox mount not found", path);
		const name = textOf(file, "file");
		try {
			this.#machine.about((handle) => native().changed(handle, canonical, name));
		} catch (error) {
			throw fromNative(error);
		}
	}
}
