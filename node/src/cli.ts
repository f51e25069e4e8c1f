#!/usr/bin/env node
// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * `npx sandbox`: the `sandbox` command of the platform's package, and `setup-macos`, which macOS needs.
 */
import { spawnSync } from "node:child_process";

import { SandboxError } from "./errors.js";
import { findArtifacts } from "./native.js";

const SETUP_MACOS = "setup-macos";

function main(args: readonly string[]): number {
	if (args[0] === SETUP_MACOS) {
		process.stderr.write(`sandbox: ${SETUP_MACOS} signs the helper for macOS's hypervisor; on ${process.platform} there is nothing to set up\n`);
		return process.platform === "darwin" ? 1 : 0;
	}
	const { cli, directory } = findArtifacts();
	const result = spawnSync(cli, args, { stdio: "inherit", env: { SANDBOX_LIBDIR: directory, ...process.env } });
	if (result.error) throw result.error;
	if (result.signal) process.kill(process.pid, result.signal);
	return result.status ?? 1;
}

try {
	process.exitCode = main(process.argv.slice(2));
} catch (error) {
	process.stderr.write(`sandbox: ${error instanceof SandboxError || error instanceof Error ? error.message : String(error)}\n`);
	process.exitCode = 125;
}
