/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/guest/off.c - the init of the bare QEMU that `sandbox run` is measured against: it ends the machine at once. */
#include <sys/reboot.h>

int main(void)
{
	return reboot(RB_AUTOBOOT);
}
