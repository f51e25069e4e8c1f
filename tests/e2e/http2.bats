#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# HTTP/2 of the guest's that is looked into, with clients that people use: curl, Node and gRPC. The servers are this machine's Node and gRPC on its loopback, with a certificate
# of an authority that only --ca-file names.

load helper

setup_file() {
	local ports
	HTTP_IMAGE=$(client_image)
	export HTTP_IMAGE
	cd "$BATS_FILE_TMPDIR" || return
	make_certificates host.sandbox.internal
	node_server
	grpc_server
	coproc SERVER { exec node server.js; }
	export SERVER_PID
	read -r -a ports <&"${SERVER[0]}"
	coproc GRPC { exec /usr/bin/python3 grpc_server.py; }
	export GRPC_PID
	read -r GRPC_PORT <&"${GRPC[0]}"
	export H2_PORT=${ports[0]} H1_PORT=${ports[1]} H2C_PORT=${ports[2]} ONLY_PORT=${ports[3]} GRPC_PORT HOST=host.sandbox.internal DIR=$BATS_FILE_TMPDIR TOKEN=s3cret-d7a1
}

# Four ports: HTTP/2 over TLS, HTTP/1.1 over TLS, HTTP/2 in clear, HTTP/2 over TLS to who offers it and an alert to others. Without the credential it is a 401.
node_server() {
	cat >server.js <<-'END'
		const fs = require('fs'), h2 = require('http2'), https = require('https');
		const tls = { key: fs.readFileSync('server.key'), cert: fs.readFileSync('server.pem') };
		function stream(s, h) {
		  s.on('error', () => {});
		  if (h['authorization'] !== 'Bearer s3cret-d7a1') { s.respond({ ':status': 401 }); s.end(); return; }
		  if (h[':path'] === '/reset') { s.close(h2.constants.NGHTTP2_ENHANCE_YOUR_CALM); return; }
		  if (h[':path'] === '/goaway') { s.respond({ ':status': 200 }); s.end('last'); s.session.goaway(0); return; }
		  let n = 0;
		  s.on('data', d => n += d.length);
		  s.on('end', () => {
		    s.respond({ ':status': 200 }, { waitForTrailers: true });
		    s.on('wantTrailers', () => s.sendTrailers({ 'x-got': String(n) }));
		    s.end(h[':path'] === '/large' ? Buffer.alloc(5000000, 'x') : 'version ' + (s.session.alpnProtocol || 'h2c'));
		  });
		}
		function plain(q, r) {
		  if (q.headers.authorization !== 'Bearer s3cret-d7a1') { r.end('no'); return; }
		  let n = 0;
		  q.on('data', d => n += d.length);
		  q.on('end', () => {
		    if (q.url === '/reset') { q.socket.destroy(); return; }
		    r.writeHead(200, { Trailer: 'x-got' });
		    r.write(q.url === '/large' ? Buffer.alloc(5000000, 'x') : 'HTTP/' + q.httpVersion);
		    r.addTrailers({ 'x-got': n + (q.trailers['x-up'] ? ' ' + q.trailers['x-up'] : '') });
		    r.end();
		  });
		}
		const servers = [h2.createSecureServer(tls).on('stream', stream),
		  https.createServer(tls, plain),
		  h2.createServer().on('stream', stream),
		  h2.createSecureServer({ ...tls, ALPNCallback: ({ protocols }) => protocols.includes('h2') ? 'h2' : undefined }).on('stream', stream)];
		let left = servers.length;
		servers.forEach(s => s.listen(0, '127.0.0.1', () => --left || console.log(servers.map(s => s.address().port).join(' '))));
	END
}

grpc_server() {
	cat >grpc_server.py <<-'END'
		import grpc
		from concurrent import futures
		def known(context):
		    if ('authorization', 'Bearer s3cret-d7a1') not in context.invocation_metadata():
		        context.abort(grpc.StatusCode.UNAUTHENTICATED, 'who is it?')
		def one(request, context):
		    known(context)
		    context.set_trailing_metadata((('x-size', str(len(request))),))
		    return request[:100] * 2
		def fail(request, context):
		    known(context)
		    context.abort(grpc.StatusCode.NOT_FOUND, 'nothing of that name')
		def down(request, context):
		    known(context)
		    for i in range(int(request)):
		        yield b'%d' % i
		def up(requests, context):
		    known(context)
		    return b'%d' % sum(len(r) for r in requests)
		def both(requests, context):
		    known(context)
		    for r in requests:
		        yield r[::-1]
		server = grpc.server(futures.ThreadPoolExecutor(8))
		server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('test.Test', {
		    'One': grpc.unary_unary_rpc_method_handler(one), 'Fail': grpc.unary_unary_rpc_method_handler(fail),
		    'Down': grpc.unary_stream_rpc_method_handler(down), 'Up': grpc.stream_unary_rpc_method_handler(up),
		    'Both': grpc.stream_stream_rpc_method_handler(both)}),))
		with open('server.key', 'rb') as key, open('server.pem', 'rb') as certificate:
		    credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
		port = server.add_secure_port('127.0.0.1:0', credentials)
		server.start()
		print(port, flush=True)
		server.wait_for_termination()
	END
}

teardown_file() {
	kill "$SERVER_PID" "$GRPC_PID" 2>/dev/null || :
}

# guest PORT SCHEME OPTION... -- COMMAND...: may reach the server, whose requests get the credential.
guest() {
	local port=$1 scheme=$2
	shift 2
	# shellcheck disable=SC2016
	SBX_TEST_LIMIT=600 sbx --image "$HTTP_IMAGE" --memory 1024 --allow "tcp:127.0.0.1/32:$port" --allow "tcp:::1/128:$port" --tmpfs /tmp --env HOME=/tmp \
		--ca-file "$DIR/ca.pem" --header "$scheme://$HOST:$port=Authorization: Bearer \$TOKEN" --http-log "$DIR/log" "$@"
}

@test "curl speaks HTTP/2 over TLS to a server that does, and the other version to one that does not" {
	run guest "$H2_PORT" https -- curl -sS --http2 -w ' HTTP/%{http_version}' "https://$HOST:$H2_PORT/"
	assert_status 0
	[ "$output" = "version h2 HTTP/2" ]
	[ "$(jq -r '[.method, .status, .hooks, .changed] | join(" ")' "$DIR/log")" = "GET 200 1 true" ]
	run guest "$H1_PORT" https -- curl -sS --http2 -w ' HTTP/%{http_version}' "https://$HOST:$H1_PORT/"
	assert_status 0
	[ "$output" = "HTTP/1.1 HTTP/1.1" ]
}

@test "curl speaks it by prior knowledge without TLS" {
	run guest "$H2C_PORT" http -- curl -sS --http2-prior-knowledge -w ' HTTP/%{http_version}' "http://$HOST:$H2C_PORT/"
	assert_status 0
	[ "$output" = "version h2c HTTP/2" ]
}

# A program of Node.js that asks the server named by its argument over one connection: ask() gives status, length, the trailer that came and the
# code of the end. Trailers in `last` go behind each body. The program itself is read from standard input.
node_client() {
	cat <<-'END'
		const h2 = require('http2');
		const session = h2.connect(process.argv[2]);
		let last;
		function ask(path, body) {
		  return new Promise(done => {
		    const s = session.request({ ':path': path, ':method': body ? 'POST' : 'GET' }, { waitForTrailers: !!(body && last) });
		    let n = 0, status = 'none', trailers = {};
		    s.on('wantTrailers', () => s.sendTrailers(last));
		    s.on('response', h => status = h[':status']);
		    s.on('trailers', t => trailers = t);
		    s.on('data', d => n += d.length);
		    s.on('error', () => {});
		    s.on('close', () => done([status, n, trailers['x-got'], s.rstCode].join(' ')));
		    s.end(body);
		  });
		}
	END
	cat
}

@test "many streams of one connection each get the credential, with bodies, trailers, resets and the server's goodbye" {
	node_client >"$DIR/client.js" <<-'END'
		session.on('goaway', code => console.log('goaway', code));
		(async () => {
		  const all = await Promise.all([...Array(30).keys()].map(i => ask('/', Buffer.alloc(i * 10000 + 1))));
		  console.log(all.every((line, i) => line === `200 10 ${i * 10000 + 1} 0`) ? 'thirty' : all);
		  console.log(await ask('/large'));
		  console.log(await ask('/reset'));
		  console.log(await ask('/goaway'));
		  session.close();
		})();
	END
	run guest "$H2_PORT" https -i -- sh -c "cat >/tmp/client.js; node --use-openssl-ca /tmp/client.js https://$HOST:$H2_PORT" <"$DIR/client.js"
	assert_status 0
	[ "${lines[0]}" = thirty ]
	[ "${lines[1]}" = "200 5000000 0 0" ]
	[ "${lines[2]}" = "none 0  11" ]
	assert_output_has "200 4  0"
	assert_output_has "goaway 0"
	[ "$(jq -s '[.[] | select(.hooks == 1 and .changed)] | length' "$DIR/log")" -eq 33 ]
}

@test "a client of HTTP/2 alone reaches a server of HTTP/1.1, with many requests at once, bodies, trailers and resets" {
	node_client >"$DIR/client.js" <<-'END'
		last = { 'x-up': 'z' };
		(async () => {
		  const all = await Promise.all([...Array(30).keys()].map(i => ask('/', Buffer.alloc(i * 10000 + 1))));
		  console.log(all.every((line, i) => line === `200 8 ${i * 10000 + 1} z 0`) ? 'thirty' : all);
		  console.log(await ask('/large'));
		  console.log(await ask('/reset', Buffer.alloc(10)));
		  console.log(await ask('/'), session.alpnProtocol);
		  session.close();
		})();
	END
	run guest "$H1_PORT" https -i -- sh -c "cat >/tmp/client.js; node --use-openssl-ca /tmp/client.js https://$HOST:$H1_PORT" <"$DIR/client.js"
	assert_status 0
	[ "${lines[0]}" = thirty ]
	[ "${lines[1]}" = "200 5000000 0 0" ]
	[[ ${lines[2]} == "502 "* ]]
	[ "${lines[3]}" = "200 8 0 0 h2" ]
	[ "$(jq -s '[.[] | select(.hooks == 1 and .changed)] | length' "$DIR/log")" -eq 33 ]
}

@test "a client of HTTP/1.1 reaches a server that refuses everything but HTTP/2" {
	run guest "$ONLY_PORT" https -- sh -c "curl -sS --http1.1 -w ' HTTP/%{http_version}\n' https://$HOST:$ONLY_PORT/
		head -c 3000000 /dev/zero >/tmp/body
		curl -sS --http1.1 -D - -H 'Transfer-Encoding: chunked' -T /tmp/body https://$HOST:$ONLY_PORT/large -o /tmp/got; wc -c </tmp/got
		curl -sS --http1.1 -o /dev/null -w '%{http_code}\n' https://$HOST:$ONLY_PORT/reset"
	assert_output_has "version h2 HTTP/1.1"
	assert_output_has 5000000
	[ "${lines[-1]}" = 502 ]
	[ "$(jq -s '[.[] | select(.hooks == 1 and .changed)] | length' "$DIR/log")" -eq 3 ]
}

@test "gRPC: one answer or many to one request or many, trailers, errors, cancelling" {
	cat >"$DIR/client.py" <<-'END'
		import grpc, sys, threading
		with open('/etc/ssl/certs/ca-certificates.crt', 'rb') as roots:
		    channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(roots.read()))
		answer, call = channel.unary_unary('/test.Test/One').with_call(b'ab', wait_for_ready=True)
		print('one', answer, dict(call.trailing_metadata()))
		print('large', len(channel.unary_unary('/test.Test/One')(b'x' * 1500000)))
		print('down', sum(int(x) for x in channel.unary_stream('/test.Test/Down')(b'1000')))
		print('up', channel.stream_unary('/test.Test/Up')(b'x' * 30000 for i in range(40)))
		answered = threading.Semaphore(1)
		def questions():
		    for i in range(5):
		        answered.acquire()
		        yield b'ab%d' % i
		answers = []
		for a in channel.stream_stream('/test.Test/Both')(questions()):
		    answers.append(a.decode())
		    answered.release()
		print('both', *answers)
		try:
		    channel.unary_unary('/test.Test/Fail')(b'')
		except grpc.RpcError as e:
		    print('fail', e.code().name, e.details())
		endless = channel.unary_stream('/test.Test/Down')(b'100000000')
		next(endless)
		endless.cancel()
		print('after', channel.unary_unary('/test.Test/One')(b'z'))
	END
	run guest "$GRPC_PORT" https -i -- sh -c "cat >/tmp/client.py; python3 /tmp/client.py $HOST:$GRPC_PORT" <"$DIR/client.py"
	assert_status 0
	[ "$output" = "one b'abab' {'x-size': '2'}
large 200
down 499500
up b'1200000'
both 0ba 1ba 2ba 3ba 4ba
fail NOT_FOUND nothing of that name
after b'zz'" ]
}

@test "the guest's memory and files have no credential after requests of HTTP/2" {
	coproc VM { guest "$H2_PORT" https -i -- sh -c "curl -sS --http2 https://$HOST:$H2_PORT/1 https://$HOST:$H2_PORT/2; echo; $LEAKS; echo up; cat"; }
	vm_up "$DIR/out"
	guest_memory_has 'version h2'
	run guest_memory_has s3cret-d7a1
	[ "$status" -eq 1 ]
	vm_over
	run cat "$DIR/out"
	assert_output_has 'no file has it'
}
