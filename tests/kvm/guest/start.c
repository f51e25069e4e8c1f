/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Entry, command line, and the choice of the test. */
#include "guest.h"

__asm__(".globl _start\n"
	"_start:\n"
	"	mov $stack_end, %esp\n"
	"	mov %rsi, %rdi\n"
	"	call guest_main\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	".bss\n"
	".balign 16\n"
	"	.skip 16384\n"
	"stack_end:\n"
	".text\n");

void guest_main(const uint8_t *params);

unsigned cpus_wanted;

/* What follows @key in @s, or NULL. */
static const char *after(const char *s, const char *key)
{
	for (; *s; s++) {
		size_t i = 0;

		while (key[i] && s[i] == key[i])
			i++;
		if (!key[i])
			return s + i;
	}
	return NULL;
}

static int is_word(const char *s, const char *word)
{
	while (*word && *s == *word)
		s++, word++;
	return !*word && (*s == ' ' || !*s);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "bus", test_bus },
	{ "rng", test_rng },
	{ "irq", test_irq },
	{ "console", test_console },
	{ "evil", test_evil },
	{ "smp", test_smp },
	{ "ticker", test_ticker },
	{ "flood", test_flood },
	{ "kbd_reset", test_kbd_reset },
	{ "triple_fault", test_triple_fault },
	{ "wild_jump", test_wild_jump },
	{ "spin", test_spin },
};

void guest_main(const uint8_t *params)
{
	const char *cmdline = (const char *)(uintptr_t) * (const uint32_t *)(params + 0x228);
	const char *test = after(cmdline, "test="), *cpus = after(cmdline, "cpus=");

	for (; cpus && *cpus >= '0' && *cpus <= '9'; cpus++)
		cpus_wanted = cpus_wanted * 10 + (unsigned)(*cpus - '0');
	for (size_t i = 0; test && i < sizeof(tests) / sizeof(tests[0]); i++)
		if (is_word(test, tests[i].name))
			tests[i].run();
	print("guest done\n");
	test_triple_fault();
}
