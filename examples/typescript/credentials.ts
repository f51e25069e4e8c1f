// SPDX-License-Identifier: MIT OR Apache-2.0
/** A credential that the guest uses and never has: this program adds it to requests to one origin, and nowhere else. credentials.js PORT is an API at this machine's port. */
import { acceptTcp, createSandbox, projectInit, projectKernel, projectRootfs } from "@torkbot/sandbox";

const [port = "8080"] = process.argv.slice(2);
const origin = `http://10.0.2.1:${port}`; // the guest's gateway stands for this machine's loopback
await using sandbox = createSandbox({
	kernel: projectKernel(),
	init: projectInit(),
	rootfs: projectRootfs(),
	network: { outbound: { policy: "deny", rules: [acceptTcp({ cidr: "127.0.0.1/32", ports: [Number(port)] })] } },
});
sandbox.http.onRequest({ origin }, ({ headers, url }) => {
	if (url.pathname.startsWith("/v1/")) headers.set("authorization", `Bearer ${process.env["API_TOKEN"]}`);
});
await using vm = await sandbox.run();
const { stdout } = await vm.exec("sh", ["-c", `wget -qO- ${origin}/v1/me; env; cat /proc/self/environ`]);
console.log(stdout);
