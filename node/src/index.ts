// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Run untrusted programs in a Linux microVM.
 */
export {
	HostControlTransport,
	INCOMING_CHARACTERS_MAX,
	INCOMING_EVENTS_MAX,
	type GuestExecCommand,
	type GuestExecCompleteEvent,
	type HostControlChannel,
	type InitReadyEvent,
	type SandboxControlCommand,
	type SandboxControlEvent,
	type SandboxControlExecInput,
} from "./control.js";
export { type DoctorReport, type EngineReport, doctor } from "./doctor.js";
export { SandboxError, type SandboxErrorCode } from "./errors.js";
export type {
	SandboxAnyFileSystem,
	SandboxDirectoryEntry,
	SandboxFileStat,
	SandboxFileSystem,
	SandboxPosixFileSystem,
	SandboxReadInput,
	SandboxReadRange,
	SandboxRenameFlags,
	SandboxWritableFileSystem,
} from "./filesystem.js";
export { type SandboxNetworkOptions, type SandboxNetworkRule, acceptHost, acceptPublicInternet, acceptTcp, acceptUdp } from "./network.js";
export {
	type LinuxOverlayFs,
	type PrebuiltRootfs,
	type ProjectInit,
	type ProjectKernel,
	type SandboxBinding,
	type SandboxEngine,
	type SandboxMount,
	type SandboxOptions,
	type SandboxRootfs,
	type ScratchFs,
	linuxOverlayFs,
	prebuiltRootfs,
	projectInit,
	projectKernel,
	scratchFs,
} from "./options.js";
export { OUTPUT_BYTES_MAX } from "./process.js";
export { SandboxBuilder, createSandbox, spawnSandbox } from "./sandbox.js";
export { SandboxVm } from "./vm.js";
