// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Run untrusted programs in a Linux microVM.
 */
export { BASH_FILE_BYTES_MAX } from "./bash.js";
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
export { EVENTS_HELD_MAX, type SandboxExitEvent, type SandboxFlowEvent, type SandboxHookErrorEvent, type SandboxRequestEvent, type SandboxVmEvents } from "./events.js";
export { SandboxError, type SandboxErrorCode } from "./errors.js";
export {
	BoundDirectory,
	type BoundDirectoryOptions,
	MemoryFileSystem,
	type MemoryFileSystemOptions,
	RenameFlag,
	type SandboxAnyFileSystem,
	type SandboxDirectoryEntry,
	type SandboxFileStat,
	type SandboxFileSystem,
	type SandboxNativeFileSystem,
	type SandboxPosixFileSystem,
	type SandboxReadInput,
	type SandboxReadRange,
	type SandboxWritableFileSystem,
	fs,
} from "./filesystem.js";
export {
	GUEST_FILE_BYTES_MAX,
	type GuestCopied,
	type GuestCopyOptions,
	type GuestDirectoryEntry,
	GuestFileSystem,
	type GuestFsOptions,
	type GuestReadOptions,
	type GuestStat,
} from "./guest-fs.js";
export {
	type HostBashInput,
	type HostBashResult,
	HostFileSystemTools,
	type HostPatchEdit,
	type HostPatchInput,
	type HostReadInput,
	type HostReadResult,
	type HostWriteInput,
} from "./host-tools.js";
export { SandboxMounts } from "./mounts.js";
export { SandboxHttp, type SandboxHttpHeader, type SandboxHttpRequest, type SandboxHttpRequestHook, type SandboxHttpSecret, type SandboxHttpSelector, httpSecret } from "./http.js";
export { type SandboxHttpOptions, type SandboxNetworkOptions, type SandboxNetworkRule, acceptHost, acceptPublicInternet, acceptTcp, acceptUdp } from "./network.js";
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
	binding,
	linuxOverlayFs,
	mount,
	prebuiltRootfs,
	projectInit,
	projectKernel,
	projectRootfs,
	scratchFs,
	virtualFsMount,
} from "./options.js";
export { type ExecOptions, type ExecResult, type ExitStatus, OUTPUT_BYTES_MAX, type ProgramOptions } from "./process.js";
export { type RunOptions, SandboxBuilder, createSandbox, spawnSandbox } from "./sandbox.js";
export { type PtyOptions, SandboxProcess, SandboxPty, type SpawnOptions } from "./spawn.js";
export { type PublishOptions, type PublishedPort, VmNetwork } from "./vm-network.js";
export { SandboxVm } from "./vm.js";
