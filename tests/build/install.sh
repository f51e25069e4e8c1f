#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What a user of the library does: install, ask pkg-config, compile and run a program, against the shared and the static
# library, as C and as C++; and the same against the build tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/build/tap.bash
B=${SBX_BUILD:-$PWD/build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/user.c" <<'END'
#include <sbx.h>
#include <stdio.h>
#include <string.h>

/* A name that the library uses inside must stay free for its user. */
int err_set(void);
int err_set(void) { return 7; }

int main(void)
{
	printf("%s\n", sbx_version());
	return strcmp(sbx_version(), SBX_VERSION) == 0 && err_set() == 7 ? 0 : 1;
}
END

install_to() { # DESTDIR
	${MAKE:-make} install BUILD="${BUILD:-build}" DESTDIR="$1"
}

pc() { # pkg-config directory, options
	local dir=$1
	shift
	PKG_CONFIG_PATH=$dir PKG_CONFIG_SYSROOT_DIR=${sysroot:-} pkg-config "$@"
}

files_are_there() {
	local f
	for f in bin/sandbox lib/libsbx.a lib/libsbx.so lib/pkgconfig/sbx.pc include/sbx.h \
		lib/sandbox/sandbox-host lib/sandbox/sandbox-init lib/sandbox/vmlinux lib/sandbox/default.erofs; do
		[ -e "$tmp/root/usr/local/$f" ] || { echo "missing: $f"; return 1; }
	done
}

compile_and_run() { # pkg-config-dir compiler output link-flags...
	local dir=$1 compiler=$2 out=$3 flags
	shift 3
	flags=$(pc "$dir" --cflags sbx)
	# shellcheck disable=SC2086
	$compiler -Wall -Wextra -Werror $flags -o "$out" "$tmp/user.c" "$@"
	LD_LIBRARY_PATH=$libs "$out"
}

shared() { # compiler
	# shellcheck disable=SC2046
	compile_and_run "$pcdir" "$1" "$tmp/shared" $(pc "$pcdir" --libs sbx)
	readelf -d "$tmp/shared" | grep -F libsbx.so
}

static() { # compiler
	# shellcheck disable=SC2046
	compile_and_run "$pcdir" "$1" "$tmp/static" $(pc "$pcdir" --libs-only-L sbx) -l:libsbx.a
	! readelf -d "$tmp/static" | grep -F libsbx.so
}

wholly_static() {
	# shellcheck disable=SC2046
	compile_and_run "$pcdir" gcc "$tmp/whole" -static $(pc "$pcdir" --static --libs sbx)
	! readelf -l "$tmp/whole" | grep -F INTERP
}

follows_prefix() { # also where it was made for another one before
	local prefix pc=$tmp/build/sbx.pc
	for prefix in /usr/local /opt/one; do
		${MAKE:-make} BUILD="$tmp/build" prefix="$prefix" "$pc"
		cat "$pc"
		[ "$(pkg-config --variable=libdir "$pc")" = "$prefix/lib" ] || return
	done
}

version_agrees() {
	[ "$(pc "$pcdir" --modversion sbx)" = "$(sed -n 's/^#define SBX_VERSION "\(.*\)"/\1/p' include/sbx.h)" ]
}

check "make install succeeds" install_to "$tmp/root"
check "everything is installed" files_are_there
sysroot=$tmp/root libs=$tmp/root/usr/local/lib pcdir=$tmp/root/usr/local/lib/pkgconfig
check "the installed library has the header's version" version_agrees
check "a C program links the installed shared library" shared gcc
check "a C program links the installed static library" static gcc
check "a C program links the installed static library and nothing shared" wholly_static
check "a C++ program links the installed static library" static "g++ -x c++"
sysroot='' libs=$B pcdir=$B
check "a C program links the shared library of the build tree" shared clang
check "a C program links the static library of the build tree" static clang
check "what pkg-config says follows the prefix" follows_prefix
finish
