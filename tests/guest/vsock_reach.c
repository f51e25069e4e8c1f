/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* tests/guest/vsock_reach.c - what a root workload gets by vsock: it tries the host's ports, init's own ports among them, and init's listener from inside.
 * Prints a line for each that lets it in, and "nothing" when none does. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int reaches(unsigned cid, unsigned port)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int yes;

	if (fd < 0)
		return 0;
	yes = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return yes;
}

int main(void)
{
	static const unsigned cids[] = { VMADDR_CID_HOST, VMADDR_CID_LOCAL, 3, 0, 4 };
	static const unsigned ports[] = { 1, 2, 22, 1023, 1024, 1025, 1026, 65535, 65536 + 1, 0xfffffffe };
	int found = 0;

	for (unsigned c = 0; c < sizeof(cids) / sizeof(cids[0]); c++)
		for (unsigned p = 0; p < sizeof(ports) / sizeof(ports[0]); p++)
			if (reaches(cids[c], ports[p]))
				found += printf("reached %u:%u\n", cids[c], ports[p]) > 0;
	if (!found)
		puts("nothing");
	return found > 0;
}
