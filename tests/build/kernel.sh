#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# image/kernel/build around the compilation itself, which takes minutes: when it is due, and what is said when it cannot be.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/build/tap.bash
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset XDG_CACHE_HOME SBX_CACHE_DIR
cp -r image/kernel "$tmp/kernel"
build=$tmp/kernel/build

key_depends_on() { # file of the inputs
	local before
	before=$("$build" --key)
	[ "$before" = "$("$build" --key)" ] || return
	echo '# changed' >>"$1"
	[ "$before" != "$("$build" --key)" ]
}

takes_what_is_there() {
	local entry file
	entry=$tmp/cache/kernel/$("$build" --key)
	mkdir -p "$entry"
	for file in vmlinux bzImage kernel.config; do echo "$file" >"$entry/$file"; done
	SBX_CACHE_DIR=$tmp/cache "$build" "$tmp/out/vmlinux"
	for file in vmlinux bzImage kernel.config; do cmp "$entry/$file" "$tmp/out/$file" || return; done
	touch -d 2020-01-01 "$tmp/out/vmlinux" # make must not think that it is still to be made
	SBX_CACHE_DIR=$tmp/cache "$build" "$tmp/out/vmlinux"
	[ "$tmp/out/vmlinux" -nt "$build" ]
}

refuses() { # message environment...
	local says=$1 out
	shift
	out=$(env "$@" "$build" "$tmp/none" 2>&1) && return 1
	echo "$out"
	[[ $out == *"$says"*"Remedy: set SBX_CACHE_DIR"* ]]
}

check "another fragment has another key" key_depends_on "$tmp/kernel/fragment.config"
check "another patch has another key" key_depends_on "$(compgen -G "$tmp/kernel/patches/*.patch" | head -n 1)"
check "another script has another key" key_depends_on "$build"
check "what the cache has is not built again" takes_what_is_there
check "a cache with a blank in its name is refused" refuses "there is a blank or a colon in it" HOME="$tmp/a b"
check "no cache at all is refused" refuses "there is no HOME" -u HOME
check "a cache that cannot be made is refused" refuses "cannot be made" HOME=/dev/null
finish
