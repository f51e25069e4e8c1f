// SPDX-License-Identifier: MIT OR Apache-2.0
/** A shell of the guest's on a terminal: what you type goes to it, what it shows comes back, and its size follows yours. */
import { projectInit, projectKernel, projectRootfs, spawnSandbox } from "@torkbot/sandbox";

await using vm = await spawnSandbox({ kernel: projectKernel(), init: projectInit(), rootfs: projectRootfs() });
await using shell = vm.pty("sh", ["-i"], { rows: process.stdout.rows ?? 24, columns: process.stdout.columns ?? 80 });
if (process.stdin.isTTY) process.stdin.setRawMode(true);
process.stdout.on("resize", () => shell.resize(process.stdout.rows, process.stdout.columns));
const writer = shell.input.getWriter();
process.stdin.on("data", (typed) => void writer.write(typed).catch(() => {}));
for await (const shown of shell.output) process.stdout.write(shown);
const { exitCode } = await shell.exited;
process.stdin.destroy();
process.exitCode = exitCode;
