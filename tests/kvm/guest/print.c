/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "guest.h"

void print(const char *s)
{
	while (*s)
		outb(PORT_SERIAL, (uint8_t)*s++);
}

void print_hex(const char *name, uint64_t v)
{
	char digits[18] = "0000000000000000\n";

	for (int i = 15; i >= 0; i--, v >>= 4)
		digits[i] = "0123456789abcdef"[v & 15];
	print(name);
	print("=");
	print(digits);
}

void check(int ok, const char *what)
{
	print(ok ? "ok " : "not ok ");
	print(what);
	print("\n");
}
