# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# What the end-to-end suites share. SANDBOX is the command under test, SBX_ENGINE the engine, SBX_BUILD the build's directory.
# A suite has its own process namespace (tools/test), so that whatever is left over is its own.

bats_require_minimum_version 1.5.0

: "${SANDBOX:?}" "${SBX_ENGINE:?}" "${SBX_BUILD:?}"

PATIENCE=1
[ -z "${SBX_LAB:-}" ] || PATIENCE=6 # the laboratory is an emulated machine: everything takes longer there

# sandbox run on the engine under test. One that hangs is ended: it costs its test, not its suite.
sbx() {
	timeout --foreground -k 5 "${SBX_TEST_LIMIT:-180}" "$SANDBOX" run --engine "$SBX_ENGINE" "$@"
}

vm_processes() {
	pgrep -x sandbox-host || true
	pgrep -x qemu-system-x86 || true
}

# Nothing of a VM is left. What is being killed may take a moment to vanish: wait for it, by pid, with a bound.
assert_nothing_left() {
	local pid
	for pid in $(vm_processes); do
		timeout $((5 * PATIENCE)) tail --pid="$pid" -f /dev/null || {
			echo "left over: $(ps -o pid,ppid,stat,args -p "$pid")"
			return 1
		}
	done
	[ -z "$(vm_processes)" ]
}

# assert_output_has TEXT: $output (of run) holds it.
assert_output_has() {
	[[ $output == *"$1"* ]] || {
		printf 'no "%s" in:\n%s\n' "$1" "$output"
		return 1
	}
}

assert_status() {
	[ "$status" -eq "$1" ] || {
		printf 'status %s instead of %s:\n%s\n' "$status" "$1" "$output"
		return 1
	}
}

# wait_for COMMAND…: until it succeeds, at most 20 s (PATIENCE times that).
wait_for() {
	timeout $((20 * PATIENCE)) bash -c 'until "$@" >/dev/null 2>&1; do read -rt 0.02 <> <(:) || :; done' _ "$@"
}

# debian_image NAME PACKAGES: the path of an image with these. It is made once, and kept beside the other caches.
debian_image() {
	local packages=$2 cache=${SBX_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/sandbox}/tests image
	image=$cache/$1-$(sha256sum <<<"$packages" | head -c 16).erofs
	if [ ! -e "$image" ]; then
		mkdir -p "$cache"
		"$SANDBOX" image build debian:bookworm "$image.$$" --include "$packages" -q >&2
		mv "$image.$$" "$image"
	fi
	echo "$image"
}

# Images that several suites use: with the programs that people fetch things with, and with those that build.
client_image() { debian_image http ca-certificates,curl,wget,git,python3,python3-requests,python3-grpcio,nodejs,openssl,gron,ant; }
programs_image() { debian_image programs ca-certificates,git,gcc,libc6-dev,make,sqlite3,npm; }

# have_namespaces: whether in_namespace can be used.
have_namespaces() {
	unshare --net --mount true 2>/dev/null
}

# in_namespace SERVERS COMMAND...: the command in namespaces of its own, network included, beside servers that the shell code SERVERS starts in the background. What it
# starts ends with it; it may wait for a port by `listening PORT`.
in_namespace() {
	# shellcheck disable=SC2016
	unshare --net --mount --pid --fork --mount-proc bash -euc '
		listening() { timeout 300 bash -c "until ss -ltnu | grep -q \":$1 \"; do :; done"; }
		ip link set lo up
		mount -t tmpfs tmpfs /run
		eval "$1"
		shift
		"$@"' _ "$@"
}

# Shell code for a guest: says which of its files have the credential of the suites, s3cret-d7a1, without having it itself (grep makes one text of s3cre[t]).
# shellcheck disable=SC2034,SC2016
LEAKS='find / \( -path /proc -o -path /sys \) -prune -o -type f -size -20000k -newer /proc/1 -print0 2>/dev/null | xargs -0 -r grep -l "s3cre[tT]-d7a1" || echo no file has it'

# vm_up FILE: what the coprocess VM prints, a command in a guest, goes into FILE until it says "up". vm_over: ends its input and waits for it.
vm_up() {
	local line=
	until [ "$line" = up ]; do
		read -r line <&"${VM[0]}" || return
		echo "$line"
	done >"$1"
}

vm_over() {
	local in=${VM[1]} vm=$VM_PID
	exec {in}>&-
	wait "$vm"
}

# guest_memory_has TEXT: whether it is in the memory of the guest, of which there is one. That is a memfd, which its host process maps.
guest_memory_has() {
	# shellcheck disable=SC2046
	python3 - "$1" $(pgrep -x sandbox-host) <<-'END'
		import os, re, sys
		text = sys.argv[1].encode()
		size = 0
		for pid in sys.argv[2:]:
		    if not os.path.exists(f'/proc/{pid}/mem'):
		        continue
		    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
		        for line in maps:
		            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) .*memfd', line)
		            if not m or int(m[2], 16) - int(m[1], 16) < 64 << 20:
		                continue
		            for at in range(int(m[1], 16), int(m[2], 16), 1 << 24):
		                mem.seek(at)
		                try:
		                    data = mem.read(min((1 << 24) + len(text), int(m[2], 16) - at))
		                except OSError:  # a mapping that is longer than its file
		                    break
		                size += len(data)
		                if text in data:
		                    sys.exit(0)
		sys.exit(1 if size > 0 else 2)
	END
}

# make_mirror DIR: an archive for apt with one package, tiny, whose /usr/share/tiny/data is DIR/data.
make_mirror() {
	local package=$1/package
	mkdir -p "$package/DEBIAN" "$package/usr/share/tiny"
	head -c 3000000 /dev/urandom | tee "$1/data" >"$package/usr/share/tiny/data"
	printf 'Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a test\n' >"$package/DEBIAN/control"
	dpkg-deb --build --root-owner-group "$package" "$1/tiny.deb" >/dev/null
	{
		dpkg-deb -f "$1/tiny.deb"
		printf 'Filename: ./tiny.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s "$1/tiny.deb")" "$(sha256sum "$1/tiny.deb" | cut -d ' ' -f 1)"
	} >"$1/Packages"
}

# make_certificates NAME...: an authority and a server's certificate for these names: ca.pem, server.pem, server.key.
make_certificates() {
	local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes) names
	printf -v names ',DNS:%s' "$@"
	openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 2 -subj "/CN=Test Root"
	openssl req "${curve[@]}" -keyout server.key -out server.csr -subj "/CN=server"
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile <(echo "subjectAltName=${names#,}")
} 2>/dev/null

# For the start of a teardown: what a test that failed had run last.
show_last_run() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || printf 'the last run printed:\n%s\n' "${output:-}"
}

teardown() {
	show_last_run
}
