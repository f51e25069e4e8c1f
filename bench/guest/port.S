/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bench/guest/port.S - the smallest kernel: its first instructions print one byte on the serial port, then it halts. The bytes mean the same in 32-bit
 * mode, where QEMU enters by the PVH note, and in 64-bit mode, where an ELF kernel's own entry is. */
	.section .note.pvh, "a", @note
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start

	.section .text, "ax", @progbits
	.globl start
	.code32
start:
	movl $0x3f8, %edx
	movb $'!', %al
	outb %al, %dx
1:	hlt
	jmp 1b
