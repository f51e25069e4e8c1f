// SPDX-License-Identifier: MIT OR Apache-2.0
/** What the editor shows of the package: every public name is documented, every public function with an example, which compiles. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import * as api from "@torkbot/sandbox";

import { blocks, compile, packageDirectory } from "./documents.js";

/** The documentation of what is declared: of `name`, and of `name.member` for members of classes and objects; "" if there is none. */
function documentation(): ReadonlyMap<string, string> {
	const found = new Map<string, string>();
	for (const file of readdirSync(join(packageDirectory, "dist")).filter((name) => name.endsWith(".d.ts"))) {
		let owner = "";
		let text: string[] = [];
		for (const line of readFileSync(join(packageDirectory, "dist", file), "utf8").split("\n")) {
			if (/^\s*(\/\*\*|\*)/.test(line)) {
				text.push(line.replace(/^\s*(\/\*\*|\*\/|\*) ?/, "").replace(/ ?\*\/$/, ""));
				continue;
			}
			const [, declared] = /^export (?:declare )?(?:class|function|const|interface|type) (\w+)/.exec(line) ?? [];
			const [, member] = /^ {4}(?:readonly )?(\w+)[?]?[(<:]/.exec(line) ?? [];
			const name = declared ?? (member === undefined ? undefined : `${owner}.${member}`);
			if (declared !== undefined) owner = declared;
			if (name !== undefined && !found.get(name)) found.set(name, text.join("\n"));
			text = [];
		}
	}
	return found;
}

const documented = documentation();

/** Public functions: exported ones, methods of exported classes, members of exported objects. What is not declared is the package's own affair. */
function functions(): string[] {
	return Object.entries(api).flatMap(([name, value]) => {
		if (typeof value === "object") return Object.entries(value).flatMap(([member, it]) => (typeof it === "function" ? [`${name}.${member}`] : []));
		if (typeof value !== "function") return [];
		if (!String(value).startsWith("class ")) return [name];
		const prototype = value.prototype as object;
		return Object.getOwnPropertyNames(prototype).filter((member) => member !== "constructor").map((member) => `${name}.${member}`).filter((member) => documented.has(member));
	});
}

/** All that the package exports, types among it. */
function exported(): string[] {
	const index = readFileSync(join(packageDirectory, "dist/index.d.ts"), "utf8");
	return [...index.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, names = ""]) => names.split(",").map((name) => name.trim().replace(/^type /, ""))).filter((name) => name !== "");
}

test("everything that is exported is documented", () => {
	const names = exported();
	assert.ok(names.length > 80, String(names.length));
	assert.deepEqual(names.filter((name) => !documented.get(name)), []);
});

test("every public function has an example", () => {
	const names = functions();
	assert.ok(names.length > 50, String(names.length));
	const without = names.filter((name) => !documented.get(name)?.includes("```ts") && !documented.get(name)?.includes("For whoever owns the channel"));
	assert.deepEqual(without, []);
});

test("every example compiles", async () => {
	const imports = `import { ${Object.keys(api).join(", ")} } from "@torkbot/sandbox";\n`;
	const globals = ["vm: SandboxVm", "options: SandboxOptions", "sandbox: SandboxBuilder"].map((one) => `declare const ${one.replace(": ", ': import("@torkbot/sandbox").')};\n`).join("");
	const programs = new Map([...documented].flatMap(([name, text]) => blocks(text, "ts").map((block, i) => [`${name.replace(".", "-")}-${i}`, imports + block] as const)));
	assert.ok(programs.size > 50, String(programs.size));
	(await compile("examples-check", programs, globals)).remove();
});
