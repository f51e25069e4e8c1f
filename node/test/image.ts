// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Root images for tests: busybox, and what a test adds.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const COMMANDS = ["sh", "cat", "ls", "wget", "mkdir", "rm"];

type Add = (from: string, to: string) => void;

/** Builds an image below `directory` and gives its path. `more` adds files of this machine. */
function buildImage(directory: string, name: string, more: (add: Add, root: string) => void): string {
	const root = join(directory, `${name}.root`);
	const add: Add = (from, to) => {
		mkdirSync(dirname(join(root, to)), { recursive: true });
		copyFileSync(from, join(root, to));
	};
	add("/bin/busybox", "bin/busybox");
	for (const command of COMMANDS) symlinkSync("busybox", join(root, "bin", command));
	for (const path of ["proc", "sys", "dev", "run", "tmp", "mnt", "workspace", "sandbox", "etc", "usr/bin"]) mkdirSync(join(root, path), { recursive: true });
	writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
	writeFileSync(join(root, "etc/nsswitch.conf"), "hosts: files dns\n");
	for (const path of ["hosts", "resolv.conf"]) writeFileSync(join(root, "etc", path), "");
	more(add, root);
	const image = join(directory, `${name}.erofs`);
	execFileSync(join(process.env["SBX_BUILD"] ?? "", "sandbox"), ["image", "build", root, image, "--all-root", "-q"]);
	return image;
}

/** A program of this machine, and what it is linked with. */
function addProgram(add: Add, from: string, to: string): void {
	add(realpathSync(from), to);
	const linked = execFileSync("ldd", [from], { encoding: "utf8", env: { PATH: process.env["PATH"] } });
	for (const [, path] of linked.matchAll(/(?:=>\s+|^\s+)(\/\S+)/gm)) if (path) add(realpathSync(path), path);
}

/** With this very Node.js. */
export function nodeImage(directory: string): string {
	return buildImage(directory, "node", (add) => addProgram(add, process.execPath, "usr/bin/node"));
}

/** With this machine's Python and its library. */
export function pythonImage(directory: string): string {
	return buildImage(directory, "python", (add, root) => {
		const where = "import os, sys; print(sys.executable, os.path.dirname(os.__file__))";
		const [program = "", library = ""] = execFileSync("python3", ["-c", where], { encoding: "utf8" }).trim().split(" ");
		addProgram(add, program, program);
		if (program !== "/usr/bin/python3") symlinkSync(program, join(root, "usr/bin/python3"));
		cpSync(library, join(root, library), { recursive: true, filter: (path) => !/\/(__pycache__|test|dist-packages|site-packages|config-[^/]*)$/.test(path) });
	});
}

/** With a script in the place of a program. */
export function scriptImage(directory: string, program: string, script: string): string {
	return buildImage(directory, program, (_, root) => writeFileSync(join(root, "usr/bin", program), `#!/bin/sh\n${script}\n`, { mode: 0o755 }));
}
