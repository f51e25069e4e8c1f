// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * What a sandbox is made of, and the functions that say it.
 */
import { objectOf } from "./input.js";
import { findArtifacts } from "./native.js";
import type { SandboxAnyFileSystem, SandboxNativeFileSystem } from "./filesystem.js";
import type { SandboxNetworkOptions } from "./network.js";

/** The kernel that comes with this package. */
export interface ProjectKernel {
	readonly kind: "project-kernel";
	readonly format: "auto" | "raw" | "elf";
}

/** The guest's first program, which comes with this package. */
export interface ProjectInit {
	readonly kind: "project-init";
	readonly crate: "sandbox-init";
}

/** A root image that was built before. */
export interface PrebuiltRootfs {
	readonly kind: "prebuilt";
	/** A file of this machine. */
	readonly path: string;
	readonly format: "erofs" | "directory";
	readonly readonly: boolean;
}

/** Memory of the guest that takes what is written to the root. */
export interface ScratchFs {
	readonly kind: "scratch";
	/** Left out: half of the guest's memory. */
	readonly sizeBytes?: number;
}

/** A writable root: `lower` as it is, and what is written in `upper`. */
export interface LinuxOverlayFs {
	readonly kind: "linux-overlay-fs";
	readonly lower: PrebuiltRootfs;
	readonly upper: ScratchFs;
}

/** What the root of a guest may be. */
export type SandboxRootfs = PrebuiltRootfs | LinuxOverlayFs;

/** A file system at a path of the guest. */
export interface SandboxMount {
	readonly kind: "virtual-fs";
	readonly path: string;
	readonly fs: SandboxAnyFileSystem | SandboxNativeFileSystem;
}

/** A file system for the host's tools only. */
export interface SandboxBinding {
	readonly kind: "binding";
	readonly path: string;
	readonly fs: SandboxAnyFileSystem | SandboxNativeFileSystem;
}

/** Where the guest's CPU comes from; `auto` probes and prefers KVM. */
export type SandboxEngine = "auto" | "kvm" | "qemu";

/** What a sandbox is made of. */
export interface SandboxOptions {
	/** The guest's host name. Default: `"sandbox"`. */
	readonly name?: string;
	/** CPUs of the guest, from 1 to 255. Default: 1. */
	readonly cpu?: { readonly vcpus?: number };
	/** MiB of memory. Default: 512. */
	readonly memory?: { readonly mib?: number };
	/** See {@link projectKernel}. */
	readonly kernel: ProjectKernel;
	/** See {@link projectInit}. */
	readonly init: ProjectInit;
	/** Read-only: {@link prebuiltRootfs}, {@link projectRootfs}; one that can be written: {@link linuxOverlayFs}. */
	readonly rootfs: SandboxRootfs;
	/** Mounted in this order; a later one may lie in an earlier one. The mount points must exist in the image or in an earlier mount. */
	readonly mounts?: readonly SandboxMount[];
	/** For the host's tools only; none has the path of a mount. */
	readonly bindings?: readonly SandboxBinding[];
	/** Default: no network interface at all. */
	readonly network?: SandboxNetworkOptions;
	/** Default: the environment's `SANDBOX_ENGINE`, or `"auto"`. */
	readonly engine?: SandboxEngine;
	/** How long the guest may take to become ready, in milliseconds. Default: 60,000. */
	readonly bootTimeoutMs?: number;
}

/**
 * The kernel that comes with this package. `format`: default `"auto"`; all formats are the same file here. Another one is refused by `createSandbox`.
 *
 * ```ts
 * projectKernel({ format: "elf" })
 * ```
 */
export function projectKernel(options: { readonly format?: "auto" | "raw" | "elf" } = {}): ProjectKernel {
	return { kind: "project-kernel", format: objectOf(options, "options").format ?? "auto" };
}

/**
 * The guest's first program, which comes with this package.
 *
 * ```ts
 * createSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs() })
 * ```
 */
export function projectInit(): ProjectInit {
	return { kind: "project-init", crate: "sandbox-init" };
}

/**
 * A root image that was built before (`sandbox image build`): a file of this machine, which the guest reads and never writes, whatever `readonly` says: for a root that
 * can be written see {@link linuxOverlayFs}. A path that is none, or no EROFS, fails the launch: `ENOENT`, `EINVAL`.
 *
 * ```ts
 * prebuiltRootfs("dist/rootfs/sandbox.erofs", { format: "erofs" })
 * ```
 */
export function prebuiltRootfs(path: string, options: { readonly format: "erofs" | "directory"; readonly readonly?: boolean }): PrebuiltRootfs {
	const { format, readonly = true } = objectOf(options, "options");
	return { kind: "prebuilt", path, format, readonly };
}

/**
 * The small root image that comes with this package: busybox. `ERR_SANDBOX_PLATFORM` if the package of the platform is not installed.
 *
 * ```ts
 * await using vm = await spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs() });
 * ```
 */
export function projectRootfs(): PrebuiltRootfs {
	return prebuiltRootfs(findArtifacts().image, { format: "erofs" });
}

/**
 * A writable root. What is written is gone with the VM, and no other VM with the same `lower` sees it.
 *
 * ```ts
 * linuxOverlayFs({ lower: projectRootfs(), upper: scratchFs({ sizeBytes: 64 << 20 }) })
 * ```
 */
export function linuxOverlayFs(layers: { readonly lower: PrebuiltRootfs; readonly upper: ScratchFs }): LinuxOverlayFs {
	const { lower, upper } = objectOf(layers, "layers");
	return { kind: "linux-overlay-fs", lower, upper };
}

/**
 * Memory of the guest for what is written to the root. `sizeBytes`: at most so much, then `ENOSPC` in the guest; default: half of the guest's memory.
 *
 * ```ts
 * scratchFs({ sizeBytes: 1 << 30 })
 * ```
 */
export function scratchFs(options: { readonly sizeBytes?: number } = {}): ScratchFs {
	const { sizeBytes } = objectOf(options, "options");
	return sizeBytes === undefined ? { kind: "scratch" } : { kind: "scratch", sizeBytes };
}

/**
 * A file system at a path of the guest. The mount point must exist in the image or in an earlier mount. The object is kept as it is: `vm.mounts.virtualFs(path)` gives the
 * same one back.
 *
 * ```ts
 * mount("/workspace", fs.bind({ source: ".", access: "rw" }))
 * ```
 */
export function mount(path: string, fs: SandboxAnyFileSystem | SandboxNativeFileSystem): SandboxMount {
	return Object.freeze({ kind: "virtual-fs", path, fs });
}

/**
 * The same as {@link mount}.
 *
 * ```ts
 * virtualFsMount("/workspace", fs.memory())
 * ```
 */
export const virtualFsMount = mount;

/**
 * A file system for the host's tools only, without a mount in the guest. `path` only names it.
 *
 * ```ts
 * binding("/notes", fs.memory({ files: { "today.md": "" } }))
 * ```
 */
export function binding(path: string, fs: SandboxAnyFileSystem | SandboxNativeFileSystem): SandboxBinding {
	return Object.freeze({ kind: "binding", path, fs });
}
