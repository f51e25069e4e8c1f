#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# HTTPS of the guest's that is looked into, with the clients that people use, against this machine's Python on its loopback; its certificate is of an authority that
# only --ca-file names.

load helper

setup_file() {
	HTTP_IMAGE=$(client_image)
	export HTTP_IMAGE
	cd "$BATS_FILE_TMPDIR" || return
	make_certificates host.sandbox.internal other.example.com
	make_repository
	cat >server.py <<-'END'
		import http.server, json, ssl
		class Handler(http.server.SimpleHTTPRequestHandler):
		    protocol_version = 'HTTP/1.1'
		    def do_GET(self):
		        with open('got', 'a') as f:
		            f.write(json.dumps([self.requestline] + ['%s: %s' % h for h in self.headers.items()]) + '\n')
		        if self.path.startswith('/repo.git/'):
		            return super().do_GET()
		        body = b'"served"' if self.path == '/go' else b'served'
		        self.send_response(200)
		        self.send_header('Content-Length', str(len(body)))
		        self.end_headers()
		        self.wfile.write(body)
		    def log_message(self, *args):
		        pass
		server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain('server.pem', 'server.key')
		server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
		print(server.server_port, flush=True)
		server.serve_forever()
	END
	coproc SERVER { exec python3 server.py; }
	read -r PORT <&"${SERVER[0]}"
	export PORT SERVER_PID SITE=https://host.sandbox.internal:$PORT DIR=$BATS_FILE_TMPDIR
	export TOKEN=s3cret-d7a1 HEADER="https://host.sandbox.internal:$PORT=Authorization: Bearer \$TOKEN"
}

# A repository for clients of plain files.
make_repository() {
	git init -q work
	git -C work -c user.name=Test -c user.email=test@localhost commit -q --allow-empty -m first
	git clone -q --bare work repo.git
	git -C repo.git update-server-info
}

teardown_file() {
	kill "$SERVER_PID" 2>/dev/null || :
}

setup() {
	: >"$DIR/got"
}

# guest OPTION... -- COMMAND...: may reach the server.
guest() {
	SBX_TEST_LIMIT=600 sbx --image "$HTTP_IMAGE" --memory 1024 --allow "tcp:127.0.0.1/32:$PORT" --allow "tcp:::1/128:$PORT" --tmpfs /tmp --env HOME=/tmp "$@"
}

# How many requests came with the header, and without.
authorised() { grep -c '"Authorization: Bearer s3cret-d7a1"' "$DIR/got"; }
others() { grep -vc '"Authorization: Bearer s3cret-d7a1"' "$DIR/got"; }

@test "curl, Wget, Python, Node, Git, Go and Java trust the VM's authority, and the server gets the header of each" {
	run guest --header "$HEADER" --ca-file "$DIR/ca.pem" -- bash -euc "
		curl -sS $SITE/curl && echo
		wget -q -O - $SITE/wget && echo
		python3 -c 'import urllib.request as u; print(u.urlopen(\"$SITE/python\").read().decode())'
		node -e 'fetch(\"$SITE/node\").then(r => r.text()).then(console.log)'
		git clone -q $SITE/repo.git /tmp/clone && git -C /tmp/clone log --format=%s
		python3 -c 'import requests; print(requests.get(\"$SITE/requests\").text)'
		gron $SITE/go
		echo '<project><get src=\"$SITE/java\" dest=\"/tmp/java\" quiet=\"true\"/></project>' >/tmp/build.xml
		ant -q -f /tmp/build.xml >/tmp/ant.log || cat /tmp/ant.log
		cat /tmp/java"
	assert_status 0
	[ "$output" = $'served\nserved\nserved\nserved\nfirst\nserved\njson = "served";\nserved' ]
	[ "$(authorised)" -ge 10 ]
	[ "$(others)" -eq 0 ]
}

@test "busybox's client, which says nothing of signatures, is answered" {
	run sbx --allow "tcp:127.0.0.1/32:$PORT" --allow "tcp:::1/128:$PORT" --header "$HEADER" --ca-file "$DIR/ca.pem" -- wget -q -O - "$SITE/busybox"
	assert_output_has served
	[ "$(authorised)" -eq 1 ]
}

@test "on a writable root the files themselves have the authority, and keep it when packages make them anew" {
	# shellcheck disable=SC2016
	run guest --writable --header "$HEADER" --ca-file "$DIR/ca.pem" --env SSL_CERT_FILE=/mine -- bash -euc '
		! grep certs /proc/mounts
		grep -q sandbox /etc/ssl/certs/java/cacerts
		curl -sS --cacert /etc/ssl/certs/ca-certificates.crt "$0/" && echo
		update-ca-certificates --fresh >/tmp/log 2>&1
		curl -sS --cacert /etc/ssl/certs/ca-certificates.crt "$0/" && echo
		openssl verify -CApath /etc/ssl/certs /run/sandbox/ca.pem
		openssl x509 -in /run/sandbox/ca.pem -noout -ext nameConstraints
		echo "$SSL_CERT_FILE $CURL_CA_BUNDLE"' "$SITE"
	assert_status 0
	[ "$(grep -c "^served$" <<<"$output")" = 2 ]
	assert_output_has "/run/sandbox/ca.pem: OK"
	assert_output_has "DNS:host.sandbox.internal" # and no other
	assert_output_has "/mine /etc/ssl/certs/ca-certificates.crt"
}

# curl_image NAME: an image of busybox and this machine's curl, with what is in ./NAME.
curl_image() {
	local curl file
	curl=$(command -v curl)
	mkdir -p "$1"/{bin,proc,sys,dev,run,tmp,etc}
	cp /bin/busybox "$1/bin"
	for file in sh cat grep; do ln -s busybox "$1/bin/$file"; done
	for file in "$curl" $(ldd "$curl" | grep -o '/[^ ]*'); do cp -L --parents "$file" "$1"; done
	echo "hosts: files dns" >"$1/etc/nsswitch.conf"
	touch "$1"/etc/{hosts,resolv.conf}
	"$SANDBOX" image build "$1" "$1.erofs" --all-root -q
}

@test "in images laid out as Alpine's and Fedora's the bundle has the authority beside their own, and curl finds it" {
	local bundle layout root
	cd "$DIR"
	mkdir -p alpine/etc/ssl/certs fedora/etc/pki/{ca-trust/extracted/pem,tls/certs} fedora/etc/ssl
	echo 3.20 >alpine/etc/alpine-release
	cp ca.pem alpine/etc/ssl/certs/ca-certificates.crt
	ln -s certs/ca-certificates.crt alpine/etc/ssl/cert.pem
	cp ca.pem fedora/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
	ln -s /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem fedora/etc/pki/tls/certs/ca-bundle.crt
	ln -s ../pki/tls/certs fedora/etc/ssl/certs
	for layout in alpine=/etc/ssl/cert.pem fedora=/etc/pki/tls/certs/ca-bundle.crt; do
		bundle=${layout#*=}
		layout=${layout%%=*}
		curl_image "$layout"
		for root in "" --writable; do
			# shellcheck disable=SC2016
			run sbx --image "$layout.erofs" ${root:+"$root"} --allow "tcp:127.0.0.1/32:$PORT" --allow "tcp:::1/128:$PORT" --header "$HEADER" --ca-file ca.pem -- sh -c '
				curl -sS "$0/" && echo && curl -sS --cacert "$1" "$0/" && echo && grep -c BEGIN "$1"
				grep -c certs /proc/mounts || :' "$SITE" "$bundle"
			assert_status 0
			[ "${output%$'\n'*}" = $'served\nserved\n2' ]
			if [ -n "$root" ]; then
				[ "${lines[3]}" -eq 0 ] # the files themselves have it
			else
				[ "${lines[3]}" -gt 0 ]
			fi
		done
	done
	[ "$(authorised)" -eq 8 ]
}

@test "a VM without hooks has no authority, and nothing of its files" {
	run guest -- bash -c 'ls /run; env; cat /proc/mounts'
	assert_status 0
	[[ $output != *SSL_CERT_FILE* && $output != *certs* && $output != *$'sandbox\n'* ]]
}

@test "other names at the same server are relayed untouched" {
	# shellcheck disable=SC2094
	run guest --header "$HEADER" --ca-file "$DIR/ca.pem" --net-log "$DIR/flows" -i -- bash -euc "
		cat >/tmp/ca.pem
		curl -sS -v --cacert /tmp/ca.pem --resolve other.example.com:$PORT:10.0.2.1 https://other.example.com:$PORT/ 2>&1 | grep -E 'issuer|served'" <"$DIR/ca.pem"
	assert_status 0
	assert_output_has "issuer: CN=Test Root"
	assert_output_has served
	[ "$(authorised)" -eq 0 ]
	[ "$(jq -r "select(.dst_port == $PORT) | [.event, .flow, .name] | join(\" \")" "$DIR/flows")" = $'flow 1 \nend 1 other.example.com' ]
}

@test "a server that nobody vouches for is a 502 that says so, and hears nothing" {
	run guest --header "$HEADER" --http-log "$DIR/log" -- curl -sS -w '%{http_code}' "$SITE/"
	assert_output_has 502
	assert_output_has "certificate"
	[ ! -s "$DIR/got" ]
	[ "$(jq -r '[.status, .hooks] | join(" ")' "$DIR/log")" = "502 0" ]
}

@test "a Host that is not the name of TLS is misdirected" {
	run guest --header "$HEADER" --ca-file "$DIR/ca.pem" -- curl -sS -o /dev/null -w '%{http_code}' -H "Host: other.example.com:$PORT" "$SITE/"
	[ "$output" = 421 ]
	[ ! -s "$DIR/got" ]
}

@test "nothing that the guest has holds the credential: not its memory, files, environment, nor what it is answered" {
	# shellcheck disable=SC2016
	coproc VM { guest -v --header "$HEADER" --secret "KEY=TOKEN@$SITE" --ca-file "$DIR/ca.pem" --http-log "$DIR/log" --net-log "$DIR/flows" \
		--writable -i -- sh -c '
		curl -sSv "$0/curl" 2>&1
		curl -sSv -H "X-Key: $KEY" "$0/secret" 2>&1
		python3 -c "import requests; r = requests.get(\"$0/python\"); print(r.headers, r.request.headers, r.text)"
		git clone -q "$0/repo.git" /tmp/clone
		curl -sSi -o /tmp/kept "$0/kept"
		env
		cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\0" "\n"
		dmesg
		'"$LEAKS"'
		echo up; cat' "$SITE" 2>"$DIR/messages"; }
	vm_up "$DIR/out"
	[ "$(authorised)" -ge 5 ]
	grep -q '"X-Key: s3cret-d7a1", ' "$DIR/got"
	guest_memory_has 'Content-Length: 6' # the answers are in it, so it is the right one
	run guest_memory_has s3cret-d7a1
	[ "$status" -eq 1 ]
	vm_over
	run cat "$DIR/out"
	assert_output_has 'X-Key: sbx-secret-'
	assert_output_has 'no file has it'
	[ -s "$DIR/messages" ] # those of -v
	run grep -l s3cret "$DIR/out" "$DIR/messages" "$DIR/log" "$DIR/flows"
	[ "$status" -eq 1 ]
}
