// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * From options to a running VM.
 */
import { SandboxError } from "./errors.js";
import { BoundDirectory, MemoryFileSystem, type SandboxAnyFileSystem, type SandboxNativeFileSystem } from "./filesystem.js";
import { SandboxHttp, validateOrigin } from "./http.js";
import { objectOf, signalOf } from "./input.js";
import { Machine } from "./machine.js";
import { SandboxMounts } from "./mounts.js";
import { Cache, type NativeConfig, type NativeMount, Tool, ToolFlag, findArtifacts } from "./native.js";
import { ruleText } from "./network.js";
import type { SandboxBinding, SandboxEngine, SandboxMount, SandboxOptions } from "./options.js";
import { fileOps } from "./serve.js";
import { canonicalPath, readOptions } from "./validate.js";
import { SandboxVm } from "./vm.js";

function engineOf(options: SandboxOptions): SandboxEngine {
	const wanted = options.engine ?? process.env["SANDBOX_ENGINE"] ?? "auto";
	if (wanted === "auto" || wanted === "kvm" || wanted === "qemu") return wanted;
	throw new SandboxError("ERR_SANDBOX_OPTIONS", `the environment's SANDBOX_ENGINE is ${wanted}; it must be auto, kvm or qemu`);
}

/** File systems of the options. Those of the user's are named by their place in `list` when the guest calls them. */
class Sources {
	readonly list: SandboxAnyFileSystem[] = [];
	/** Trees in memory, with a path at which the tools find them. */
	readonly memory = new Map<MemoryFileSystem, string>();
	readonly #seen = new Map<SandboxAnyFileSystem | SandboxNativeFileSystem, string>();

	/** In the order in which libsbx takes them: bindings first. An object that comes again is the same file system. */
	mount(item: SandboxMount | SandboxBinding): NativeMount {
		const path = canonicalPath(item.path);
		const { fs } = item;
		if (fs instanceof BoundDirectory) return { path, kind: "host", source: fs.source, readonly: fs.access === "ro", masks: fs.mask, watch: fs.watch };
		const earlier = this.#seen.get(fs);
		if (earlier !== undefined) return { path, kind: "same", source: earlier, cache: fs instanceof MemoryFileSystem ? Cache.none : Cache.auto };
		this.#seen.set(fs, path);
		if (fs instanceof MemoryFileSystem) {
			this.memory.set(fs, path);
			return { path, kind: "memory", maxBytes: fs.maxBytes ?? 0, cache: Cache.none };
		}
		return { path, kind: "callbacks", ops: fileOps(fs), number: this.list.push(fs) - 1 };
	}
}

/** Puts the files of trees in memory into them; the guest may boot meanwhile. */
async function fillMemory(machine: Machine, sources: Sources): Promise<void> {
	await machine.started();
	const writes = [...sources.memory].flatMap(([fs, mount]) =>
		[...fs.files].map(([path, data]) => machine.tool({ tool: Tool.write, mount, path, flags: ToolFlag.parents, data })),
	);
	await Promise.all(writes);
}

function nativeConfig(options: SandboxOptions, sources: Sources, http: SandboxHttp): NativeConfig {
	const artifacts = findArtifacts();
	const overlay = options.rootfs.kind === "linux-overlay-fs";
	const outbound = options.network?.outbound;
	const interception = options.network?.http;
	return {
		hostPath: artifacts.host,
		kernelPath: artifacts.kernel,
		initPath: artifacts.init,
		imagePath: options.rootfs.kind === "linux-overlay-fs" ? options.rootfs.lower.path : options.rootfs.path,
		engine: engineOf(options),
		writable: overlay,
		network: outbound !== undefined,
		cpus: options.cpu?.vcpus ?? 1,
		memoryMib: options.memory?.mib ?? 512,
		scratchBytes: options.rootfs.kind === "linux-overlay-fs" ? (options.rootfs.upper.sizeBytes ?? 0) : 0,
		bootTimeoutMs: options.bootTimeoutMs,
		hostname: options.name,
		hooks: http.selectors(),
		injections: (interception?.headers ?? []).map(({ origin, name, value }) => ({ origin: validateOrigin(origin), name, value })),
		secrets: (interception?.secrets ?? []).map(({ origin, placeholder, value }) => ({ origin: validateOrigin(origin), placeholder, value })),
		trustPem: interception?.trustPem,
		caCertificatePem: interception?.certificateAuthority?.certificatePem,
		caPrivateKeyPem: interception?.certificateAuthority?.privateKeyPem,
		requests: http.selectors().length + (interception?.headers ?? []).length + (interception?.secrets ?? []).length > 0,
		console: true,
		flows: outbound !== undefined,
		rules: (outbound?.rules ?? []).map(ruleText),
		bindings: (options.bindings ?? []).map((binding) => sources.mount(binding)),
		mounts: (options.mounts ?? []).map((mount) => sources.mount(mount)),
	};
}

/** How a VM is started. */
export interface RunOptions {
	/** Gives up, and ends what has started; rejects with its reason. */
	readonly signal?: AbortSignal;
}

/** A VM that is described and not yet started. */
export class SandboxBuilder implements AsyncDisposable {
	/** Hooks of the guest's HTTP requests. */
	readonly http: SandboxHttp;
	readonly #options: SandboxOptions;
	#machine: Machine | undefined;
	#closed = false;

	/** Made by {@link createSandbox}. */
	constructor(options: SandboxOptions) {
		this.#options = readOptions(options);
		this.http = new SandboxHttp(() => {
			if (this.#closed) throw new SandboxError("ERR_SANDBOX_CLOSED", "sandbox is closed");
			if (this.#machine) throw new SandboxError("ERR_SANDBOX_ALREADY_RUN", "sandbox has already been run");
			if (!this.#options.network?.outbound) {
				throw new SandboxError("ERR_SANDBOX_OPTIONS", "invalid spawnSandbox options: network.outbound is required when HTTP interception is configured");
			}
		});
	}

	/**
	 * Starts the VM and waits until its guest is ready. Once; `ERR_SANDBOX_LAUNCH` with the console's last lines if it does not become ready. An abort ends the VM.
	 *
	 * ```ts
	 * const sandbox = createSandbox(options);
	 * await using vm = await sandbox.run({ signal: AbortSignal.timeout(30_000) });
	 * ```
	 */
	async run(options: RunOptions = {}): Promise<SandboxVm> {
		const signal = signalOf(objectOf(options, "options").signal);
		signal?.throwIfAborted();
		if (this.#closed) throw new SandboxError("ERR_SANDBOX_CLOSED", "sandbox is closed");
		if (this.#machine) throw new SandboxError("ERR_SANDBOX_ALREADY_RUN", "sandbox has already been run");
		const sources = new Sources();
		const machine = new Machine(nativeConfig(this.#options, sources, this.http), sources.list, this.http);
		this.#machine = machine;
		const onAbort = (): void => void machine.close();
		signal?.addEventListener("abort", onAbort);
		try {
			await fillMemory(machine, sources);
			const ready = await machine.ready;
			signal?.throwIfAborted();
			return new SandboxVm(machine, ready, new SandboxMounts(machine, this.#options.mounts ?? [], this.#options.bindings ?? []));
		} catch (error) {
			await machine.close();
			throw signal?.aborted ? signal.reason : error;
		} finally {
			signal?.removeEventListener("abort", onAbort);
		}
	}

	/** Closes the VM, and takes back the right to start one. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.#closed = true;
		await this.#machine?.close();
	}
}

/**
 * Describes a VM. Throws `ERR_SANDBOX_OPTIONS` if the options make no sense.
 *
 * ```ts
 * await using sandbox = createSandbox({
 * 	kernel: projectKernel(),
 * 	init: projectInit(),
 * 	rootfs: prebuiltRootfs("rootfs.erofs", { format: "erofs" }),
 * });
 * await using vm = await sandbox.run();
 * ```
 */
export function createSandbox(options: SandboxOptions): SandboxBuilder {
	return new SandboxBuilder(options);
}

/**
 * Starts a VM and waits until its guest is ready: {@link createSandbox} without hooks, and `run()`. Rejects with what either says.
 *
 * ```ts
 * await using vm = await spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs() });
 * ```
 */
export async function spawnSandbox(options: SandboxOptions, run: RunOptions = {}): Promise<SandboxVm> {
	return await createSandbox(options).run(run);
}
