// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * An agent's loop: a model asks for tools, the guest runs what it wrote, the host edits the workspace, which exists in memory only. The model is a list of
 * steps here; put yours in its place.
 */
import { fs, mount, projectInit, projectKernel, projectRootfs, spawnSandbox } from "@torkbot/sandbox";

type Step =
	| { readonly tool: "run"; readonly command: string }
	| { readonly tool: "edit"; readonly path: string; readonly oldText: string; readonly newText: string }
	| { readonly tool: "done"; readonly say: string };

/** Sees the transcript, says what to do next. */
function model(transcript: readonly string[]): Step {
	const last = transcript.at(-1) ?? "";
	if (transcript.length === 0) return { tool: "run", command: "sh test.sh" };
	if (last.includes("wrong")) return { tool: "edit", path: "add.sh", oldText: "$1 - $2", newText: "$1 + $2" };
	if (last.includes("edited")) return { tool: "run", command: "sh test.sh" };
	return { tool: "done", say: `the tests say: ${last.trim()}` };
}

await using vm = await spawnSandbox({
	kernel: projectKernel(),
	init: projectInit(),
	rootfs: projectRootfs(),
	mounts: [
		mount(
			"/workspace",
			fs.memory({ files: { "add.sh": "echo $(($1 - $2))\n", "test.sh": '[ "$(sh add.sh 2 3)" = 5 ] && echo right || echo wrong\n' } }),
		),
	],
});
const workspace = vm.mounts.host("/workspace");
const transcript: string[] = [];
for (let turn = 0; turn < 10; turn++) {
	const step = model(transcript);
	if (step.tool === "done") {
		console.log(step.say);
		break;
	}
	if (step.tool === "run") {
		const { exitCode, stdout, stderr } = await vm.exec("sh", ["-c", step.command], { cwd: "/workspace", timeoutMs: 10_000 });
		transcript.push(`exit ${exitCode}\n${stdout}${stderr}`);
	} else {
		await workspace.patch({ path: step.path, edits: [{ oldText: step.oldText, newText: step.newText }] });
		transcript.push(`edited ${step.path}`);
	}
}
