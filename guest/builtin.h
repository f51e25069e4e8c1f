/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* guest/builtin.h - programs that are part of sandbox-init: the host's access to the guest's own tree, whatever the image holds. */
#ifndef GUEST_BUILTIN_H
#define GUEST_BUILTIN_H

/*
 * Runs a builtin in this process, a child of init that has its identity, directory and standard streams, and whose umask becomes 0. All arguments are positional:
 *
 *	read PATH              the file on stdout
 *	write PATH MODE        stdin to the file; MODE is octal, or "-": that of the file, 0644 for a new one
 *	stat PATH FOLLOW       one record (proto/object.h) on stdout; FOLLOW "1" follows a symbolic link at the end
 *	list PATH              one record an entry, in no order
 *	mkdir PATH MODE ALL    ALL "1": with everything above it that is missing, and no error if it is there
 *	remove PATH ALL        a file or an empty directory; ALL "1": with everything in it
 *	rename OLD NEW
 *	tar-out PATH           an archive (base/totar.h) on stdout
 *	tar-in DST NAME OWNER  unpacks stdin (base/untar.h): NAME "/" takes the archive's own names; OWNER is "-" (who runs this), "=" (the archive's), or
 *	                       whatever user_resolve() knows
 *
 * Returns the exit code: 0, or 1 with one line on stderr: "E<errno> what and why".
 */
int builtin_run(char *const *argv);

#endif
