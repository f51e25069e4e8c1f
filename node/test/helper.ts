// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * What the suites share. SBX_BUILD is the build's directory, SBX_ENGINE the engine under test.
 */
import { join } from "node:path";

import { type SandboxOptions, SandboxError, linuxOverlayFs, prebuiltRootfs, projectInit, projectKernel, scratchFs } from "@torkbot/sandbox";

function environment(name: string): string {
	const value = process.env[name];
	if (value === undefined) throw new Error(`${name} must be set`);
	return value;
}

/** Milliseconds that something may take on a slow machine before the test fails. */
export const PATIENCE_MS = 30_000;

export const image = (): string => join(environment("SBX_BUILD"), "default.erofs");

/** All that options need: for tests that start nothing. */
export const goodOptions = { kernel: projectKernel(), init: projectInit(), rootfs: prebuiltRootfs("x.erofs", { format: "erofs" }) } satisfies SandboxOptions;

/** A small VM with a read-only root. */
export function options(more: Partial<SandboxOptions> = {}): SandboxOptions {
	const engine = environment("SBX_ENGINE");
	if (engine !== "kvm" && engine !== "qemu") throw new Error(`SBX_ENGINE is ${engine}`);
	return {
		kernel: projectKernel(),
		init: projectInit(),
		rootfs: prebuiltRootfs(image(), { format: "erofs" }),
		memory: { mib: 256 },
		engine,
		...more,
	};
}

/** The same with a root that can be written. */
export function writable(more: Partial<SandboxOptions> = {}): SandboxOptions {
	return options({ rootfs: linuxOverlayFs({ lower: prebuiltRootfs(image(), { format: "erofs" }), upper: scratchFs() }), ...more });
}

/** A predicate for `assert.throws` and `assert.rejects`: a SandboxError with this code and text. */
export function isError(code: string, text?: string | RegExp): (error: unknown) => boolean {
	return (error) => {
		if (!(error instanceof SandboxError)) throw new Error(`not a SandboxError: ${String(error)}`, { cause: error });
		if (error.code !== code) throw new Error(`code ${error.code} instead of ${code}: ${error.message}`);
		if (text !== undefined && !(typeof text === "string" ? error.message === text : text.test(error.message))) throw new Error(`message: ${error.message}`);
		return true;
	};
}

/** Waits for a promise, but not for ever. */
export async function within<T>(promise: Promise<T>, ms: number = PATIENCE_MS): Promise<T> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms);
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

/** Values that plain JavaScript may pass in the place of any other. */
const anything: readonly unknown[] = [undefined, null, 0, -1, Number.NaN, "", "x\0y", {}, [], () => {}, Symbol("s"), 5n, new Date(0), new Proxy({}, {}), Object.create(null)];

/** Calls with values of every type: each call works, or its error is a SandboxError with a code. */
export async function typedOrWorks(call: (value: never) => unknown): Promise<void> {
	for (const value of anything) {
		try {
			await within(Promise.resolve(call(value as never)));
		} catch (error) {
			if (!(error instanceof SandboxError) || error.code === "") throw new Error(`${String(call)} with ${typeof value}: ${String(error)}`, { cause: error });
		}
	}
}
