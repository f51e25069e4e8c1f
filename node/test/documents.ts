// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Programs in documents: found and compiled as their readers would.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const packageDirectory = fileURLToPath(new URL("..", import.meta.url));
/** The project's own directory; its sources are linked into the package's. */
export const sources = join(realpathSync(join(packageDirectory, "src")), "../..");

/** Blocks of a language in a text. */
export function blocks(text: string, language: string): string[] {
	return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, block]) => block ?? "");
}

/** Compiles programs, by their names, into a directory of the package that `remove` removes. `globals`: declarations for all of them. */
export async function compile(name: string, programs: ReadonlyMap<string, string>, globals = ""): Promise<{ readonly directory: string; readonly remove: () => void }> {
	const directory = join(packageDirectory, name);
	const remove = (): void => rmSync(directory, { recursive: true, force: true });
	remove();
	mkdirSync(directory);
	for (const [program, text] of programs) writeFileSync(join(directory, `${program}.ts`), `${text}\nexport {};\n`);
	writeFileSync(join(directory, "globals.d.ts"), globals);
	const compilerOptions = { rootDir: ".", outDir: ".", noUnusedLocals: false, noUnusedParameters: false, declaration: false, declarationMap: false, sourceMap: false };
	writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ extends: "../tsconfig.json", compilerOptions, include: ["*.ts"], exclude: [] }));
	const compiler = join(packageDirectory, "node_modules/typescript/bin/tsc");
	await promisify(execFile)(process.execPath, [compiler, "-p", directory]).catch((error: { readonly stdout?: string }) => {
		remove();
		assert.fail(error.stdout ?? String(error));
	});
	return { directory, remove };
}
