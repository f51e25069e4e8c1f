#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Properties of what was built that nothing else would notice: static programs, hardening, sizes, exported names.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/build/tap.bash
B=${SBX_BUILD:-$PWD/build}
INIT_BYTES_MAX=$((150 * 1024))

no_dynamic_dependency() { # file
	local dynamic headers ldd
	dynamic=$(readelf --wide --dynamic "$1")
	headers=$(readelf --wide --program-headers "$1")
	! grep -F '(NEEDED)' <<<"$dynamic" || return 1
	! grep -F INTERP <<<"$headers" || return 1
	ldd=$(ldd "$1" 2>&1) || true # its status for a static program depends on whether that is position-independent
	grep -E 'statically linked|not a dynamic executable' <<<"$ldd"
}

is_pie() { # file
	readelf --wide --file-header "$1" | grep -q 'Type: *DYN'
}

is_hardened() { # file: full RELRO, no executable stack, no writable and executable segment
	local headers
	headers=$(readelf --wide --program-headers "$1")
	grep -q GNU_RELRO <<<"$headers" || { echo "no RELRO"; return 1; }
	! grep -E '(LOAD|GNU_STACK).* RWE ' <<<"$headers" || return 1
	readelf --wide --dynamic "$1" | grep -qE 'BIND_NOW|FLAGS.*NOW' || { echo "lazy binding"; return 1; }
}

is_small() { # file limit
	local size
	size=$(stat -c %s "$1")
	echo "$size bytes, at most $2"
	[ "$size" -lt "$2" ]
}

is_stripped() { # file
	! readelf --wide --sections "$1" | grep -F .symtab
}

dynamic_names() {
	nm --dynamic --defined-only --format=posix "$B/libsbx.so" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | sort -u
}

static_names() {
	nm --extern-only --defined-only --format=posix "$B/libsbx.a" | awk 'NF > 2 { print $1 }' | sort -u
}

declared_names() { # the functions of sbx.h
	gcc -E -P -Iinclude include/sbx.h | tr '\n' ' ' | sed 's/[;{}]/\n/g' | grep -F visibility |
		grep -oE '\bsbx_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u
}

exports_only_the_api() { # names-function
	diff -u --label "declared in sbx.h" <(declared_names) --label "exported by the library" <("$1")
}

needs_libc_only() {
	! readelf --wide --dynamic "$B/libsbx.so" | grep -F '(NEEDED)' | grep -v 'libc\.so'
}

has_soname() {
	readelf --wide --dynamic "$B/libsbx.so" | grep -E 'SONAME.*\[libsbx\.so\.[0-9]+\]'
}

check "sandbox-host has no dynamic dependency" no_dynamic_dependency "$B/sandbox-host"
check "sandbox-host is position-independent" is_pie "$B/sandbox-host"
check "sandbox-host is hardened" is_hardened "$B/sandbox-host"
check "sandbox has no dynamic dependency" no_dynamic_dependency "$B/sandbox"
check "sandbox is hardened" is_hardened "$B/sandbox"
check "sandbox-init has no dynamic dependency" no_dynamic_dependency "$B/sandbox-init"
check "sandbox-init is smaller than 150 KiB" is_small "$B/sandbox-init" $INIT_BYTES_MAX
check "sandbox-init carries no symbols" is_stripped "$B/sandbox-init"
check "libsbx.so exports what sbx.h declares and nothing else" exports_only_the_api dynamic_names
check "libsbx.a exports what sbx.h declares and nothing else" exports_only_the_api static_names
check "libsbx.so needs libc only" needs_libc_only
check "libsbx.so has a versioned soname" has_soname
finish
