#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# HTTP of the guest's that is looked into: what a server gets, what the guest gets, and what neither must. The servers are this machine's Python on its loopback,
# which the guest reaches as host.sandbox.internal.

load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	cat >server.py <<-'END'
		import http.server, json, sys
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = 'HTTP/1.1'
		    def do_GET(self):
		        if self.path == '/redirect':
		            self.send_response(302)
		            self.send_header('Location', 'http://10.0.2.1:%d/landed' % self.server.server_port)
		            self.send_header('Content-Length', '0')
		            self.end_headers()
		            return
		        body = json.dumps([self.requestline] + ['%s: %s' % h for h in self.headers.items()]).encode()
		        with open('got', 'ab') as f:
		            f.write(body + b'\n')
		        self.send_response(200)
		        self.send_header('Content-Length', str(len(body)))
		        self.end_headers()
		        self.wfile.write(b'.' * len(body) if self.path == '/quiet' else body)
		    def do_POST(self):
		        n = 0
		        if self.headers.get('Transfer-Encoding') == 'chunked':
		            while True:
		                size = int(self.rfile.readline().split(b';')[0], 16)
		                n += len(self.rfile.read(size))
		                self.rfile.readline()
		                if size == 0:
		                    break
		        else:
		            n = len(self.rfile.read(int(self.headers['Content-Length'])))
		        body = b'%d' % n
		        self.send_response(200)
		        self.send_header('Content-Length', str(len(body)))
		        self.end_headers()
		        self.wfile.write(body)
		    def log_message(self, *args):
		        pass
		server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
		print(server.server_port, flush=True)
		server.serve_forever()
	END
	coproc SERVER { exec python3 server.py; }
	read -r PORT <&"${SERVER[0]}"
	export PORT SERVER_PID SITE=http://host.sandbox.internal:$PORT DIR=$BATS_FILE_TMPDIR
	export TOKEN=s3cret-d7a1 HEADER="http://host.sandbox.internal:$PORT=Authorization: Bearer \$TOKEN"
}

teardown_file() {
	kill "$SERVER_PID" 2>/dev/null || :
}

setup() {
	: >"$DIR/got"
}

# guest OPTION... -- COMMAND...: may reach the server.
guest() {
	sbx --allow "tcp:127.0.0.1/32:$PORT" --allow "tcp:::1/128:$PORT" "$@"
}

@test "a header is added for its origin, and the guest has it nowhere" {
	# shellcheck disable=SC2016
	run guest --header "$HEADER" --http-log "$DIR/log" --env TOKEN=mine -- sh -c '
		wget -q -O - "$0/quiet"; echo; env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\0" "\n"; ls -R /proc/1/fd' "$SITE"
	assert_status 0
	[[ $output != *s3cret* ]]
	grep -q '"Authorization: Bearer s3cret-d7a1"' "$DIR/got"
	[ "$(jq -r '[.event,.method,.url,.status,.hooks,.changed]|join(" ")' "$DIR/log")" = "request GET $SITE/quiet 200 1 true" ]
	run grep -r s3cret "$DIR/log"
	[ "$status" -eq 1 ]
}

@test "the log of flows has the guest's connections, also those that are looked into" {
	run guest --header "$HEADER" --net-log "$DIR/flows" -- wget -q -O /dev/null "$SITE/quiet"
	assert_status 0
	[ "$(jq -r "select(.dst_port == $PORT) | [.event, .flow, .verdict, .reason] | join(\" \")" "$DIR/flows")" = $'flow 1 allow \nend 1 allow closed' ]
	jq -e -s '.[1] | .name == "host.sandbox.internal" and .bytes_out > 50 and .bytes_in > 100 and .duration_ms >= 0' <"$DIR/flows"
}

@test "no list of processes on the host shows it" {
	mkfifo "$DIR/in"
	guest --header "$HEADER" -i -- sh -c 'echo up; cat' <"$DIR/in" >"$DIR/out" &
	local vm=$!
	exec 9>"$DIR/in"
	wait_for grep -q up "$DIR/out"
	cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' >"$DIR/processes"
	exec 9>&-
	wait "$vm"
	grep -q sandbox-host "$DIR/processes"
	run grep s3cret "$DIR/processes"
	[ "$status" -eq 1 ]
}

@test "another origin at the same server gets nothing, nor does one that is redirected to" {
	run guest --header "$HEADER" -- sh -c "wget -q -O /dev/null http://10.0.2.1:$PORT/other && wget -q -O /dev/null $SITE/redirect"
	assert_status 0
	grep -q landed "$DIR/got"
	run grep -c Authorization "$DIR/got"
	[ "$output" = 0 ]
}

@test "what the guest says of the header is replaced" {
	run guest --header "$HEADER" -- wget -q -O - --header 'authorization: guess' "$SITE/"
	assert_status 0
	[[ $output != *guess* ]]
}

@test "bodies go up and come down, chunked or not" {
	run guest --header "$HEADER" -- sh -c "head -c 3000000 /dev/zero | tr '\0' x >/tmp/f && wget -q -O - --post-file /tmp/f $SITE/; echo
		printf 'POST / HTTP/1.1\r\nHost: host.sandbox.internal:$PORT\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n' |
			nc 10.0.2.1 $PORT | tail -n 1"
	assert_status 0
	[ "$output" = $'3000000\n5' ]
}

@test "what could be read in two ways is refused, and the log says why" {
	# name: request line and headers (printf), then the status
	local cases=(
		'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n' 400
		'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' 400
		'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde' 400
		'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd' 400
		'GET / HTTP/1.1\nHost: a\n\n' 400
		'GET / HTTP/1.1\r\nHost : a\r\n\r\n' 400
		'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n' 400
		'GET / HTTP/1.1\r\nX: y\r\n\r\n' 400
		'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n' 400
		'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n' 501
		'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n' 400
		'GET / HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n' 400
		'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n' 405
		'GET / HTTP/1.2\r\nHost: a\r\n\r\n' 505
	) script='' want='' i
	for ((i = 0; i < ${#cases[@]}; i += 2)); do
		script+="printf '${cases[i]}GET /smuggled HTTP/1.1\r\nHost: host.sandbox.internal:$PORT\r\n\r\n' | nc 10.0.2.1 $PORT | head -n 1 | cut -d ' ' -f 2;"
		want+="${cases[i + 1]}"$'\n'
	done
	run guest --header "$HEADER" --http-log "$DIR/log" -- sh -c "$script"
	[ "$output" = "${want%$'\n'}" ]
	[ ! -s "$DIR/got" ]
	[ "$(jq -r 'select(.reason == null) | .status' "$DIR/log" | wc -l)" = 0 ]
	[ "$(wc -l <"$DIR/log")" = $((${#cases[@]} / 2)) ]
}

@test "hosts that no rule admits are denied, and nobody is called" {
	run guest --header "$HEADER" -- sh -c "printf 'GET / HTTP/1.1\r\nHost: 10.1.2.3:$PORT\r\nConnection: close\r\n\r\n' | nc 10.0.2.1 $PORT; \
		printf 'GET / HTTP/1.1\r\nHost: host.sandbox.internal:1\r\nConnection: close\r\n\r\n' | nc 10.0.2.1 $PORT"
	assert_output_has "HTTP/1.1 403 Forbidden"
	assert_output_has "outbound denied"
	assert_output_has "HTTP/1.1 421 Misdirected Request"
	[ ! -s "$DIR/got" ]
}

@test "a placeholder becomes the secret in headers to its origin, and goes nowhere else" {
	# shellcheck disable=SC2016
	run guest --secret "KEY=TOKEN@$SITE" --http-log "$DIR/log" -- sh -c '
		wget -q -O /dev/null --header "X-Api-Key: $KEY" "$0/plain"
		wget -q -O /dev/null --header "Authorization: Basic $(printf "user:%s" "$KEY" | base64 -w 0)" "$0/basic"
		wget -O - --header "X-Api-Key: $KEY" "http://10.0.2.1:'"$PORT"'/elsewhere" 2>&1
		echo "$KEY"' "$SITE"
	[[ $output != *s3cret* ]]
	[[ ${lines[-1]} == sbx-secret-* ]]
	assert_output_has "403 Forbidden"
	grep -q '/plain.*"X-Api-Key: s3cret-d7a1"' "$DIR/got"
	grep -q "/basic.*\"Authorization: Basic $(printf user:s3cret-d7a1 | base64 -w 0)\"" "$DIR/got"
	run grep -c elsewhere "$DIR/got"
	[ "$output" = 0 ]
	[ "$(jq -r 'select(.status == 403) | .reason' "$DIR/log")" = "a secret's placeholder is not for this origin" ]
}

@test "a header that hooks may not write is told before anything starts" {
	run sbx --header 'https://a.example=Host: b' -- true
	assert_status 125
	assert_output_has "Host"
	# shellcheck disable=SC2016
	run sbx --header 'https://a.example=X: $NO_SUCH_VARIABLE_HERE' -- true
	assert_status 125
	assert_output_has NO_SUCH_VARIABLE_HERE
	run sbx --header 'a.example=X: y' -- true
	assert_status 125
	assert_output_has "https://HOST"
}

@test "an origin, a secret, an authority or a log that is none is told before anything starts" {
	local cases=(
		--header 'https://bücher.example=X: y' 'xn--'
		--header 'https://127.1=X: y' '127.1'
		--header 'https://a.example:0=X: y' 'from 1 to 65535'
		--header 'https://a.example=X' 'NAME: VALUE'
		--secret 'KEY' 'NAME=VARIABLE@ORIGIN'
		--secret 'KEY=NO_SUCH_VARIABLE_HERE@https://a.example' 'NO_SUCH_VARIABLE_HERE'
		--secret 'KEY=TOKEN@ftp://a.example' 'ftp://a.example'
		--secret 'KEY=TOKEN@https://a.example/path' 'path'
		--ca-file "$DIR/none" 'No such file'
		--ca-file /etc/passwd 'no certificate'
		--http-log "$DIR/none/log" 'No such file'
	) i
	for ((i = 0; i < ${#cases[@]}; i += 3)); do
		run sbx --header 'https://a.example=X: y' "${cases[i]}" "${cases[i + 1]}" -- true
		assert_status 125
		assert_output_has "${cases[i + 2]}"
		[[ $output != *s3cret* ]]
	done
	run sbx --http-log "$DIR/log" -- true
	assert_status 125
	assert_output_has "no hook or header"
}
