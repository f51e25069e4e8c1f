// SPDX-License-Identifier: MIT OR Apache-2.0
import { createSandbox, linuxOverlayFs, prebuiltRootfs, projectInit, projectKernel, scratchFs } from "@torkbot/sandbox";

await using sandbox = createSandbox({
	kernel: projectKernel(),
	init: projectInit(),
	rootfs: linuxOverlayFs({
		lower: prebuiltRootfs("dist/rootfs/base.erofs", { format: "erofs" }),
		upper: scratchFs(),
	}),
});
await using vm = await sandbox.run();
await vm.control.exec({
	id: "install-toolchain",
	argv: ["/bin/sh", "-lc", "apk add --no-cache git nodejs"],
});

// Not the seed's: what has been written to the root.
console.log((await vm.control.exec({ argv: ["cat", "/etc/installed"] })).stdout);
