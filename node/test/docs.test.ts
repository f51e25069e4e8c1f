// SPDX-License-Identifier: MIT OR Apache-2.0
/** What the documentation tells its reader to do, done. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { blocks, compile, sources } from "./documents.js";
import { pythonImage } from "./image.js";

const build = process.env["SBX_BUILD"] ?? "";
const env = { ...process.env, SANDBOX_ENGINE: process.env["SBX_ENGINE"], TOKEN: "t0ken" };
let directory = "";

const document = (file: string): string => readFileSync(join(sources, file), "utf8");
const run = (file: string, args: readonly string[]): Promise<{ readonly stdout: string }> => promisify(execFile)(file, [...args], { cwd: directory, env, timeout: 120_000 });

before(() => {
	directory = mkdtempSync(join(tmpdir(), "sandbox-docs-"));
	renameSync(pythonImage(directory), join(directory, "py.erofs"));
	symlinkSync(join(build, "default.erofs"), join(directory, "rootfs.erofs"));
	symlinkSync(build, join(directory, "build"));
	mkdirSync(join(directory, "src"));
	writeFileSync(join(directory, "src/text"), "one two\nthree\n");
});
after(() => {
	rmSync(directory, { recursive: true });
});

const printed: readonly (readonly [string, RegExp])[] = [
	["README.md", /^0 42\n\n$/],
	["node/README.md", /^0 hello from Linux\n\n$/],
	["docs/typescript.md", /^0 \d+\.\d+\.\d+\S*\n\n$/],
];
for (const [file, what] of printed) {
	test(`the program in ${file} compiles and runs`, async (t) => {
		const programs = blocks(document(file), "ts");
		assert.equal(programs.length, 1);
		const compiled = await compile("docs-check", new Map([["program", programs[0] ?? ""]]));
		t.after(compiled.remove);
		assert.match((await run(process.execPath, [join(compiled.directory, "program.js")])).stdout, what);
	});
}

test("the C program in README.md compiles and runs", async () => {
	const [program = ""] = blocks(document("README.md"), "c");
	const file = join(directory, "prog.c");
	writeFileSync(file, program);
	execFileSync("gcc", ["-Wall", "-Wextra", "-Werror", `-I${join(sources, "include")}`, file, join(build, "libsbx.a"), "-o", join(directory, "prog")]);
	const output = execFileSync(join(directory, "prog"), { cwd: directory, encoding: "utf8", env: { ...env, SANDBOX_LIBDIR: build } });
	assert.match(output, /^Linux sandbox /);
});

/** Commands of the first page that a test cannot do: they build this project, want a terminal or another machine, or do not end. */
const notHere = [/^make /, / run -it /, / image build debian/, /example\.com/, / httpd -f /];

test("the commands in README.md do what they say", async () => {
	const [commands = ""] = blocks(document("README.md"), "");
	const lines = commands.split("\n").filter((line) => line !== "" && !notHere.some((what) => what.test(line)));
	assert.ok(lines.length >= 7, commands);
	const denied = lines.filter((line) => line.includes(" policy check "));
	for (const line of lines) {
		const done = run("sh", ["-c", line]).then(
			() => 0,
			(error: { readonly code: unknown; readonly stderr: string }) => (typeof error.code === "number" ? error.code : error.stderr),
		);
		assert.equal(await done, denied.includes(line) ? 1 : 0, line);
	}
});
