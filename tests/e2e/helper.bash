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

# client_image: the path of an image with the programs that people fetch things with. It is made once, and kept beside the other caches.
client_image() {
	local packages=ca-certificates,curl,wget,git,python3,python3-requests,python3-grpcio,nodejs,openssl,gron,ant
	local cache=${SBX_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/sandbox}/tests image
	image=$cache/http-$(sha256sum <<<"$packages" | head -c 16).erofs
	if [ ! -e "$image" ]; then
		mkdir -p "$cache"
		"$SANDBOX" image build debian:bookworm "$image.$$" --include "$packages" -q >&2
		mv "$image.$$" "$image"
	fi
	echo "$image"
}

# make_certificates NAME...: an authority and a server's certificate for these names: ca.pem, server.pem, server.key.
make_certificates() {
	local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes) names
	printf -v names ',DNS:%s' "$@"
	openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 2 -subj "/CN=Test Root"
	openssl req "${curve[@]}" -keyout server.key -out server.csr -subj "/CN=server"
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile <(echo "subjectAltName=${names#,}")
} 2>/dev/null
