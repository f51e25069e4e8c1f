// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * What a sandbox is made of, and the functions that say it.
 */
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
	readonly path: string;
	readonly format: "erofs" | "directory";
	readonly readonly: boolean;
}

/** Memory of the guest that takes what is written to the root. */
export interface ScratchFs {
	readonly kind: "scratch";
	readonly sizeBytes?: number;
}

/** A writable root: `lower` as it is, and what is written in `upper`. */
export interface LinuxOverlayFs {
	readonly kind: "linux-overlay-fs";
	readonly lower: PrebuiltRootfs;
	readonly upper: ScratchFs;
}

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

export interface SandboxOptions {
	/** The guest's host name. Default: `"sandbox"`. */
	readonly name?: string;
	/** Default: one CPU. */
	readonly cpu?: { readonly vcpus?: number };
	/** MiB of memory. Default: 512. */
	readonly memory?: { readonly mib?: number };
	readonly kernel: ProjectKernel;
	readonly init: ProjectInit;
	readonly rootfs: SandboxRootfs;
	/** Mounted in this order; a later one may lie in an earlier one. The mount points must exist in the image or in an earlier mount. */
	readonly mounts?: readonly SandboxMount[];
	readonly bindings?: readonly SandboxBinding[];
	/** Default: no network interface at all. */
	readonly network?: SandboxNetworkOptions;
	/** Default: the environment's `SANDBOX_ENGINE`, or `"auto"`. */
	readonly engine?: SandboxEngine;
	/** How long the guest may take to become ready, in milliseconds. Default: 60,000. */
	readonly bootTimeoutMs?: number;
}

/** The kernel that comes with this package. All formats are the same file here. */
export function projectKernel(options: { readonly format?: "auto" | "raw" | "elf" } = {}): ProjectKernel {
	return { kind: "project-kernel", format: options.format ?? "auto" };
}

/** The guest's first program, which comes with this package. */
export function projectInit(): ProjectInit {
	return { kind: "project-init", crate: "sandbox-init" };
}

/**
 * A root image that was built before, read-only.
 *
 * ```ts
 * prebuiltRootfs("dist/rootfs/sandbox.erofs", { format: "erofs" })
 * ```
 */
export function prebuiltRootfs(path: string, options: { readonly format: "erofs" | "directory"; readonly readonly?: boolean }): PrebuiltRootfs {
	return { kind: "prebuilt", path, format: options.format, readonly: options.readonly ?? true };
}

/** The small root image that comes with this package: busybox. */
export function projectRootfs(): PrebuiltRootfs {
	return prebuiltRootfs(findArtifacts().image, { format: "erofs" });
}

/** A writable root. What is written is gone with the VM. */
export function linuxOverlayFs(layers: { readonly lower: PrebuiltRootfs; readonly upper: ScratchFs }): LinuxOverlayFs {
	return { kind: "linux-overlay-fs", lower: layers.lower, upper: layers.upper };
}

/** Memory of the guest for what is written to the root. `sizeBytes`: at most so much, then `ENOSPC`; default: half of the guest's memory. */
export function scratchFs(options: { readonly sizeBytes?: number } = {}): ScratchFs {
	return options.sizeBytes === undefined ? { kind: "scratch" } : { kind: "scratch", sizeBytes: options.sizeBytes };
}

/**
 * A file system at a path of the guest. The mount point must exist in the image or in an earlier mount. The object is kept as it is: `vm.mounts.virtualFs(path)` gives the
 * same one back.
 */
export function mount(path: string, fs: SandboxAnyFileSystem | SandboxNativeFileSystem): SandboxMount {
	return { kind: "virtual-fs", path, fs };
}

/** The same as {@link mount}. */
export const virtualFsMount = mount;

/** A file system for the host's tools only, without a mount in the guest. */
export function binding(path: string, fs: SandboxAnyFileSystem | SandboxNativeFileSystem): SandboxBinding {
	return { kind: "binding", path, fs };
}
