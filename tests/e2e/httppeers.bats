#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Interception between programs that people use and servers that people run: nginx, a registry of npm's, an archive of apt's, Git's own back end, a WebSocket and a source
# of events. Every server asks for a credential that only the host has. Servers and VM have a network namespace of the test's own, whose loopback the guest reaches as
# host.sandbox.internal, on the ports of https and http.
# shellcheck disable=SC2016 # scripts of the guest and of a namespace expand there

load helper

setup_file() {
	have_namespaces || skip "namespaces are not to be had here"
	CLIENT_IMAGE=$(client_image)
	PROGRAMS_IMAGE=$(programs_image)
	export CLIENT_IMAGE PROGRAMS_IMAGE TOKEN=s3cret-d7a1 SITE=https://host.sandbox.internal
	cd "$BATS_FILE_TMPDIR" || return
	make_certificates host.sandbox.internal
}

setup() {
	have_namespaces || skip "namespaces are not to be had here"
	cd "$BATS_TEST_TMPDIR" || return
	cp "$BATS_FILE_TMPDIR"/{ca.pem,server.pem,server.key} .
}

teardown() {
	show_last_run
	assert_nothing_left
}

# beside SERVERS IMAGE OPTION... -- COMMAND...: in a guest whose requests to the site get the credential, beside servers (see in_namespace).
beside() {
	local servers=$1 image=$2
	shift 2
	in_namespace "$servers" timeout -k 5 600 "$SANDBOX" run --engine "$SBX_ENGINE" --image "$image" --memory 1024 --tmpfs /tmp --env HOME=/tmp --env "SITE=$SITE" \
		--allow tcp:127.0.0.1/32 --allow tcp:::1/128 --ca-file ca.pem --http-log log --header "$SITE=Authorization: Bearer \$TOKEN" \
		--header "http://host.sandbox.internal=Authorization: Bearer \$TOKEN" "$@"
}

# nginx with ./www, over HTTP/1.1 and HTTP/2, with TLS and without; ./access says what it was asked.
write_nginx() {
	mkdir -p www
	cat >nginx.conf <<-'END'
		user root;
		daemon off;
		pid nginx.pid;
		events {}
		http {
			client_body_temp_path temporary;
			proxy_temp_path temporary;
			fastcgi_temp_path temporary;
			uwsgi_temp_path temporary;
			scgi_temp_path temporary;
			log_format asked '$server_protocol $scheme $request_method $uri $status';
			access_log access asked;
			default_type application/json;
			server {
				listen 127.0.0.1:443 ssl http2;
				listen 127.0.0.1:80;
				ssl_certificate server.pem;
				ssl_certificate_key server.key;
				root www;
				if ($http_authorization != "Bearer s3cret-d7a1") {
					return 401;
				}
			}
		}
	END
}

NGINX='nginx -p "$PWD" -c nginx.conf -e errors & listening 443'

@test "nginx serves curl over HTTP/1.1 and HTTP/2: whole files, parts, many at once, and nothing that it has already" {
	write_nginx
	head -c 20000000 /dev/urandom >www/large
	head -c 2000 /dev/urandom >www/small
	run beside "$NGINX" "$CLIENT_IMAGE" -- bash -euc '
		for version in --http1.1 --http2; do
			curl -sS $version "$SITE/large" "$SITE/large" | sha256sum
			curl -sS $version -r 1000-1999 -o /tmp/part -w "%{http_code} %{size_download} %{http_version}\n" "$SITE/large"
			curl -sS $version --etag-save /tmp/etag -o /dev/null "$SITE/small"
			curl -sS $version --etag-compare /tmp/etag -o /dev/null -w "%{http_code}\n" "$SITE/small"
			curl -sS $version -I -o /dev/null -w "%{http_code}\n" "$SITE/large"
			mkdir /tmp/got$version
			curl -sS $version --parallel --parallel-max 8 -o "/tmp/got$version/#1" "$SITE/small?[1-60]" 2>/tmp/errors || { head /tmp/errors; exit 1; }
			sha256sum /tmp/got$version/* | cut -d " " -f 1 | sort | uniq -c
		done
		curl -sS -k -o /dev/null -w "%{http_code}\n" https://10.0.2.1/small'
	assert_status 0
	[ "$(grep -c "^$(cat www/large www/large | sha256sum)$" <<<"$output")" = 2 ]
	[ "$(grep -cE "^ *60 $(sha256sum <www/small | cut -d ' ' -f 1)$" <<<"$output")" = 2 ]
	assert_output_has "206 1000 1.1"
	assert_output_has "206 1000 2"
	[ "$(grep -cx 304 <<<"$output")" = 2 ]
	[ "$(grep -cx 200 <<<"$output")" = 2 ]
	[ "${lines[-1]}" = 401 ] # the same server under its address is another origin
	[ "$(grep -c '^HTTP/1.1 https GET /small 200$' access)" = 61 ]
	[ "$(grep -c '^HTTP/2.0 https GET /small 200$' access)" = 61 ]
	[ "$(jq -s '[.[] | select(.hooks == 1 and .changed)] | length' log)" = 132 ]
}

@test "apt installs a package from an archive behind nginx, over HTTPS and over HTTP" {
	write_nginx
	make_mirror www/apt
	run beside "$NGINX" "$CLIENT_IMAGE" --writable=256M -- bash -euc '
		rm -rf /etc/apt/sources.list.d
		for site in "$SITE" http://host.sandbox.internal; do
			echo "deb [trusted=yes] $site/apt ./" >/etc/apt/sources.list
			{
				apt-get -o APT::Sandbox::User=root -qq update
				apt-get -o APT::Sandbox::User=root -qq install -y tiny
			} >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
			sha256sum /usr/share/tiny/data | cut -d " " -f 1
			dpkg --purge tiny >/dev/null
			apt-get clean
		done'
	assert_status 0
	[ "$(grep -cx "$(sha256sum www/apt/data | cut -d ' ' -f 1)" <<<"$output")" = 2 ]
	grep -q '^HTTP/1.1 https GET /apt/./tiny.deb 200$\|^HTTP/1.1 https GET /apt/tiny.deb 200$' access
	grep -q '^HTTP/1.1 http GET /apt/./tiny.deb 200$\|^HTTP/1.1 http GET /apt/tiny.deb 200$' access
	run grep -c ' 401$' access
	[ "$output" = 0 ]
}

# publish NAME VERSION DEPENDENCIES: a package in the registry in ./www/registry.
publish() {
	local tarball=www/registry/tarballs/$1-$2.tgz dist
	mkdir -p package www/registry/tarballs
	printf '{"name":"%s","version":"%s","main":"index.js","dependencies":%s}' "$1" "$2" "$3" >package/package.json
	echo "module.exports = ['$1', ...Object.keys(require('./package.json').dependencies).flatMap(n => require(n))]" >package/index.js
	tar -czf "$tarball" package
	dist="{\"tarball\":\"$SITE/registry/tarballs/$1-$2.tgz\",\"integrity\":\"sha512-$(openssl dgst -sha512 -binary "$tarball" | base64 -w 0)\"}"
	jq -c --argjson dist "$dist" '{name, "dist-tags": {latest: .version}, versions: {(.version): (. + {dist: $dist})}}' package/package.json >"www/registry/$1"
}

@test "npm installs a package and what it needs from a registry over HTTPS" {
	write_nginx
	publish below 1.0.0 '{}'
	publish above 2.1.0 '{"below":"^1.0.0"}'
	run beside "$NGINX" "$PROGRAMS_IMAGE" -- bash -euc '
		mkdir /tmp/app
		cd /tmp/app
		echo "{}" >package.json
		npm install --registry "$SITE/registry/" --no-audit --no-fund --no-update-notifier --fetch-retries 0 above >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
		node -p "require(\"above\").join()"'
	assert_status 0
	[ "${lines[-1]}" = above,below ]
	[ "$(awk '{ print $2, $4, $5 }' access | sort -u)" = "https /registry/above 200
https /registry/below 200
https /registry/tarballs/above-2.1.0.tgz 200
https /registry/tarballs/below-1.0.0.tgz 200" ]
}

# A server of Python's on the port of https: Git's back end under /git/, and a WebSocket that says who it is and then what it hears.
write_python() {
	cat >server.py <<-'END'
		import http.server, os, ssl, subprocess
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = 'HTTP/1.1'
		    def body(self):
		        if self.headers.get('Transfer-Encoding') != 'chunked':
		            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
		        body = b''
		        while True:
		            size = int(self.rfile.readline().split(b';')[0], 16)
		            body += self.rfile.read(size)
		            self.rfile.readline()
		            if size == 0:
		                return body
		    def answer(self, status, headers, body):
		        self.send_response(status)
		        for name, value in headers + [('Content-Length', str(len(body)))]:
		            self.send_header(name, value)
		        self.end_headers()
		        self.wfile.write(body)
		    def git(self):
		        path, _, query = self.path.partition('?')
		        body = self.body()
		        with open('got', 'a') as f:
		            f.write(f"{self.command} {self.path} {self.headers.get('Transfer-Encoding')} {len(body) > 1000000}\n")
		        cgi = {'GIT_PROJECT_ROOT': os.getcwd(), 'GIT_HTTP_EXPORT_ALL': '1', 'PATH_INFO': path[len('/git'):], 'QUERY_STRING': query, 'REMOTE_USER': 'test',
		               'REQUEST_METHOD': self.command, 'CONTENT_TYPE': self.headers.get('Content-Type', ''), 'CONTENT_LENGTH': str(len(body)),
		               'HTTP_CONTENT_ENCODING': self.headers.get('Content-Encoding', ''), 'GIT_PROTOCOL': self.headers.get('Git-Protocol', '')}
		        out = subprocess.run(['git', 'http-backend'], input=body, env={**os.environ, **cgi}, stdout=subprocess.PIPE).stdout
		        head, _, rest = out.partition(b'\r\n\r\n')
		        headers = [tuple(line.split(': ', 1)) for line in head.decode().split('\r\n')]
		        status = next((int(value.split()[0]) for name, value in headers if name == 'Status'), 200)
		        self.answer(status, [h for h in headers if h[0] != 'Status'], rest)
		    def websocket(self):
		        from wsproto import ConnectionType, WSConnection, events
		        ws = WSConnection(ConnectionType.SERVER)
		        ws.initiate_upgrade_connection([(k.encode(), v.encode()) for k, v in self.headers.items()], self.path)
		        self.close_connection = True
		        while True:
		            for e in ws.events():
		                if isinstance(e, events.Request):
		                    self.connection.sendall(ws.send(events.AcceptConnection()) + ws.send(events.TextMessage('welcome')))
		                elif isinstance(e, events.Message):
		                    self.connection.sendall(ws.send(type(e)(e.data, message_finished=e.message_finished)))
		                elif isinstance(e, events.Ping):
		                    self.connection.sendall(ws.send(e.response()))
		                elif isinstance(e, events.CloseConnection):
		                    self.connection.sendall(ws.send(e.response()))
		                    return
		            ws.receive_data(self.connection.recv(65536) or None)
		    def do_GET(self):
		        if self.headers.get('Authorization') != 'Bearer s3cret-d7a1':
		            self.body()
		            self.answer(401, [], b'')
		        elif self.path == '/echo':
		            self.websocket()
		        else:
		            self.git()
		    do_POST = do_GET
		    def log_message(self, *args):
		        pass
		server = http.server.ThreadingHTTPServer(('127.0.0.1', 443), Handler)
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain('server.pem', 'server.key')
		server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
		server.serve_forever()
	END
}

PYTHON='/usr/bin/python3 server.py & listening 443'

@test "Git clones and pushes over HTTPS, a large pack in chunks" {
	write_python
	git init -q -b main work
	git -C work -c user.name=Test -c user.email=test@localhost commit -q --allow-empty -m first
	git clone -q --bare work repository
	run beside "$PYTHON" "$CLIENT_IMAGE" -- bash -euc '
		git config --global user.name Test
		git config --global user.email test@localhost
		git clone -q "$SITE/git/repository" /tmp/work
		cd /tmp/work
		for i in $(seq 60); do head -c 50000 /dev/urandom >file$i; done
		git add . && git commit -qm second && git push -q origin HEAD:main
		git clone -q "$SITE/git/repository" /tmp/again
		git -C /tmp/again fsck && git -C /tmp/again log --format=%s'
	assert_status 0
	[ "${lines[-2]}" = second ]
	[ "${lines[-1]}" = first ]
	[ "$(git -C repository log --format=%s main)" = $'second\nfirst' ]
	grep -qx 'POST /git/repository/git-receive-pack chunked True' got
}

@test "a WebSocket passes frames both ways as they come, and the server has got the header in its handshake" {
	write_python
	mkdir lent
	cp -r /usr/lib/python3/dist-packages/{wsproto,h11} lent
	cat >lent/client.py <<-'END'
		import os, socket, ssl
		from wsproto import ConnectionType, WSConnection, events
		s = ssl.create_default_context().wrap_socket(socket.create_connection(('host.sandbox.internal', 443)), server_hostname='host.sandbox.internal')
		ws = WSConnection(ConnectionType.CLIENT)
		def arrivals():
		    while True:
		        yield from ws.events()
		        ws.receive_data(s.recv(65536) or None)
		come = arrivals()
		def message():
		    parts = []
		    for e in come:
		        parts.append(e.data)
		        if e.message_finished:
		            return type(parts[0])().join(parts)
		s.sendall(ws.send(events.Request(host='host.sandbox.internal', target='/echo')))
		print(type(next(come)).__name__)
		print(message())
		for i in range(50):
		    s.sendall(ws.send(events.TextMessage(f'message {i}')))
		    assert message() == f'message {i}'
		large = os.urandom(1000000)
		for at in range(0, len(large), 10000):
		    s.sendall(ws.send(events.BytesMessage(large[at:at + 10000])))
		    assert message() == large[at:at + 10000]
		s.sendall(ws.send(events.Ping(b'there?')))
		print(type(next(come)).__name__)
		s.sendall(ws.send(events.CloseConnection(code=1000, reason='enough')))
		end = next(come)
		print(type(end).__name__, end.code)
	END
	run beside "$PYTHON" "$CLIENT_IMAGE" --mount lent:/mnt:ro -- env PYTHONPATH=/mnt python3 /mnt/client.py
	assert_status 0
	[ "$output" = $'AcceptConnection\nwelcome\nPong\nCloseConnection 1000' ]
	jq -e -s 'length == 1 and .[0].status == 101 and .[0].hooks == 1 and .[0].bytes_down > 1000000' log
}

@test "an event arrives while the answer goes on, over HTTP/1.1 and HTTP/2" {
	cat >server.js <<-'END'
		const fs = require('fs');
		let events;
		require('http2').createSecureServer({ key: fs.readFileSync('server.key'), cert: fs.readFileSync('server.pem'), allowHTTP1: true }, (q, r) => {
		  if (q.headers.authorization !== 'Bearer s3cret-d7a1') { r.writeHead(401); r.end(); return; }
		  if (q.url === '/events') { events = r; r.writeHead(200, { 'content-type': 'text/event-stream' }); r.write('data: first\n\n'); return; }
		  events.write('data: second ' + q.httpVersion + '\n\n');
		  if (q.url === '/last') events.end();
		  r.end();
		}).listen(443, '127.0.0.1');
	END
	# Each event is sent when the guest, which has got the one before, asks for it: one that were held back would never come.
	run beside 'node server.js & listening 443' "$CLIENT_IMAGE" -- bash -euc '
		for version in --http1.1 --http2; do
			exec 3< <(curl -sSN $version "$SITE/events")
			for ask in next next last; do
				read -r event <&3
				read -r empty <&3
				echo "$event$empty"
				curl -sS $version "$SITE/$ask"
			done
			cat <&3
		done'
	assert_status 0
	[ "$output" = 'data: first
data: second 1.1
data: second 1.1
data: second 1.1

data: first
data: second 2.0
data: second 2.0
data: second 2.0' ]
}
