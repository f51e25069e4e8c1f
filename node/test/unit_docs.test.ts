// SPDX-License-Identifier: MIT OR Apache-2.0
/** The programs in the documentation compile. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const packageDirectory = fileURLToPath(new URL("..", import.meta.url));
const checkDirectory = join(packageDirectory, "docs-check");

/** Blocks of TypeScript in a text. */
function programs(text: string): string[] {
	return [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, program]) => program ?? "");
}

test("the READMEs and docs/typescript.md", async (t) => {
	const sources = join(realpathSync(join(packageDirectory, "src")), "../.."); // they are linked into the package's directory
	mkdirSync(checkDirectory, { recursive: true });
	t.after(() => rmSync(checkDirectory, { recursive: true }));
	let count = 0;
	for (const file of ["README.md", "node/README.md", "docs/typescript.md"]) {
		const found = programs(readFileSync(join(sources, file), "utf8"));
		assert.ok(found.length > 0, file);
		for (const program of found) writeFileSync(join(checkDirectory, `program-${count++}.ts`), `${program}\nexport {};\n`);
	}
	const config = { extends: "../tsconfig.json", compilerOptions: { noEmit: true, rootDir: ".", noUnusedLocals: false }, include: ["*.ts"] };
	writeFileSync(join(checkDirectory, "tsconfig.json"), JSON.stringify(config));
	const compiler = join(packageDirectory, "node_modules/typescript/bin/tsc");
	await promisify(execFile)(process.execPath, [compiler, "-p", checkDirectory]).catch((error: { readonly stdout?: string }) => assert.fail(error.stdout ?? String(error)));
});
