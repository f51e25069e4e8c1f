// SPDX-License-Identifier: MIT OR Apache-2.0
/** What a program may reach, and a log of what it tried: policy.js PORT COMMAND... lets it connect to that port of this machine, and to nothing else. */
import { acceptTcp, projectInit, projectKernel, projectRootfs, spawnSandbox } from "@torkbot/sandbox";

const [port = "8080", command = "sh", ...args] = process.argv.slice(2);
await using vm = await spawnSandbox({
	kernel: projectKernel(),
	init: projectInit(),
	rootfs: projectRootfs(),
	network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr: "127.0.0.1/32", ports: [Number(port)] })] } },
});
vm.on("flow", ({ type, verdict, protocol, destination, name, reason }) => {
	if (type === "flow") console.error(`${verdict} ${protocol} ${name ?? destination?.ip}:${destination?.port}${reason ? ` (${reason})` : ""}`);
});
const { exitCode, stdout, stderr } = await vm.exec(command, args, { timeoutMs: 60_000 });
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = exitCode;
