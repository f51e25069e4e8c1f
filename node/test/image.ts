// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * A root image with busybox and this very Node.js in it, and what it is linked with.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const COMMANDS = ["sh", "cat", "ls", "wget", "mkdir", "rm"];

/** Builds it below `directory` and gives its path. */
export function nodeImage(directory: string): string {
	const root = join(directory, "root");
	const add = (from: string, to: string, mode?: number): void => {
		mkdirSync(dirname(join(root, to)), { recursive: true });
		copyFileSync(from, join(root, to), mode);
	};
	add("/bin/busybox", "bin/busybox");
	for (const name of COMMANDS) symlinkSync("busybox", join(root, "bin", name));
	add(realpathSync(process.execPath), "usr/bin/node");
	const linked = execFileSync("ldd", [process.execPath], { encoding: "utf8", env: { PATH: process.env["PATH"] } });
	for (const [, path] of linked.matchAll(/(?:=>\s+|^\s+)(\/\S+)/gm)) if (path) add(realpathSync(path), path);
	for (const name of ["proc", "sys", "dev", "run", "tmp", "mnt", "workspace", "sandbox"]) mkdirSync(join(root, name), { recursive: true });
	mkdirSync(join(root, "etc"), { recursive: true });
	writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
	writeFileSync(join(root, "etc/nsswitch.conf"), "hosts: files dns\n");
	for (const name of ["hosts", "resolv.conf"]) writeFileSync(join(root, "etc", name), "");
	const image = join(directory, "node.erofs");
	execFileSync(join(process.env["SBX_BUILD"] ?? "", "sandbox"), ["image", "build", root, image, "--all-root", "-q"]);
	return image;
}
