#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The guest's network: what a rule admits works, what none does is told so. The other end is a server on this machine's loopback
# (tests/guest/netpeer.c), which the guest reaches as its gateway.

load helper

setup_file() {
	export PEER=$SBX_BUILD/tests/guest/netpeer
	export GW=10.0.2.1 GW6=fd53:4258:a00:2::1
	coproc SERVER { exec "$PEER" serve; }
	read -r PORT <&"${SERVER[0]}"
	export PORT SERVER_IN=${SERVER[1]} SERVER_PID
}

teardown_file() {
	kill "$SERVER_PID" 2>/dev/null || :
}

# guest RULE... -- SCRIPT: with netpeer as /tmp/peer.
guest() {
	local rules=()
	while [ "$1" != -- ]; do
		rules+=(--allow "$1")
		shift
	done
	sbx --net "${rules[@]}" -i -- sh -c "cat >/tmp/peer && chmod +x /tmp/peer && $2" <"$PEER"
}

@test "without a network there is no interface" {
	run sbx -- ls /sys/class/net
	assert_status 0
	[ "$output" = lo ]
}

@test "the interface is configured, for IPv4 and IPv6" {
	run sbx --net -- sh -c 'ip addr show eth0; ip route; ip -6 route; cat /etc/resolv.conf'
	assert_status 0
	assert_output_has "inet 10.0.2.2/24"
	assert_output_has "inet6 fd53:4258:a00:2::2/64"
	assert_output_has "mtu 65520"
	assert_output_has "default via 10.0.2.1"
	assert_output_has "default via $GW6"
	assert_output_has "nameserver 10.0.2.1"
}

@test "the resolver's file is there on a writable root, and can be replaced" {
	run sbx --net --writable -- sh -c 'cat /etc/resolv.conf; echo mine >/etc/x && mv /etc/x /etc/resolv.conf && cat /etc/resolv.conf'
	assert_status 0
	[ "$output" = $'nameserver 10.0.2.1\nmine' ]
}

@test "the gateway answers pings of every size" {
	run sbx --net -- sh -c "ping -c 1 $GW && ping -c 1 -s 65000 $GW && ping6 -c 1 $GW6 && ping6 -c 1 -s 30000 $GW6"
	assert_status 0
}

@test "100 MB come from the host, and go there" {
	run guest "tcp:127.0.0.1/32:$PORT" -- "/tmp/peer download $GW $PORT 100000000 && /tmp/peer upload $GW $PORT 100000000"
	assert_status 0
}

@test "bytes go both ways at once" {
	run guest "tcp:127.0.0.1/32:$PORT" -- "/tmp/peer echo $GW $PORT 20000000"
	assert_status 0
}

@test "the host's loopback is reached over IPv6, too" {
	run guest "tcp:::1/128:$PORT" "udp:::1/128:$PORT" -- "/tmp/peer echo $GW6 $PORT 1000000 && /tmp/peer udp $GW6 $PORT 1000"
	assert_status 0
}

@test "a reset is a reset, and a port that is closed refuses" {
	run guest tcp:127.0.0.1/32 -- "/tmp/peer reset $GW $PORT && /tmp/peer refused $GW 1"
	assert_status 0
}

@test "datagrams of every size go to the host and back" {
	run guest "udp:127.0.0.1/32:$PORT" -- "for n in 0 1 1472 9000 65000 65507; do /tmp/peer udp $GW $PORT \$n || exit 1; done"
	assert_status 0
}

@test "two hundred connections at once" {
	run guest "tcp:127.0.0.1/32:$PORT" -- "for i in \$(seq 200); do /tmp/peer echo $GW $PORT 10000 & p=\"\$p \$!\"; done; for i in \$p; do wait \$i || exit 1; done"
	assert_status 0
}

@test "a guest that floods harms neither its other connections nor the host" {
	local line host high
	coproc VM { exec timeout 180 "$SANDBOX" run --engine "$SBX_ENGINE" --memory 192 --mount "$SBX_BUILD/tests/guest:/mnt" --allow tcp:127.0.0.1/32 \
		--allow "udp:127.0.0.1/32:$PORT" -i -- sh -c "
			cp /mnt/netpeer /mnt/netevil /tmp
			(while [ ! -e /tmp/stop ]; do /tmp/netpeer echo $GW $PORT 1000000 || exit 1; done; echo unharmed) &
			for kind in spoof checksum fragments scan udp dns sizes; do /tmp/netevil \$kind $PORT 10000 || echo \$kind; done
			for kind in window syn; do /tmp/netevil \$kind 1 10000 || echo \$kind; done
			/tmp/netevil syn $PORT 100 # the server has a process for each
			touch /tmp/stop
			wait
			/tmp/netpeer upload $GW $PORT 1000000 && echo after
			read line" 2>&1; }
	local vm=$VM_PID
	for want in unharmed after; do
		read -r line <&"${VM[0]}"
		[ "$line" = "$want" ] || {
			echo "'$line' instead of '$want'"
			return 1
		}
	done
	host=$(pgrep -x sandbox-host)
	high=$(awk '/VmHWM/ { print $2 }' "/proc/$host/status")
	[ "$high" -le $(((192 + 96) * 1024)) ] # the guest's memory, which is mapped there, and what connections may hold
	eval "exec ${VM[1]}>&-"
	wait "$vm" || :
	assert_nothing_left
}

@test "what no rule admits is refused at once: TCP by a reset, UDP by ICMP" {
	run guest "tcp:127.0.0.1/32:$PORT" -- "/tmp/peer refused 192.0.2.1 443 && /tmp/peer refused $GW 1 && /tmp/peer refused 2001:db8::1 443 &&
		/tmp/peer udp-denied $GW $PORT && /tmp/peer udp-denied 192.0.2.1 53 && /tmp/peer udp-denied 2001:db8::1 53"
	assert_status 0
}

@test "plain HTTP that no rule admits is told so" {
	run sbx --net -- sh -c 'printf "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" | nc 192.0.2.1 80; wget -q -O - http://192.0.2.1:8080/'
	assert_output_has "HTTP/1.1 403 Forbidden"
	assert_output_has "outbound denied"
}

@test "addresses of the guest's own network that nobody has refuse, too" {
	run guest -- "/tmp/peer refused 10.0.2.77 81"
	assert_status 0
}

@test "a rule that makes no sense is told before anything starts, with the option, the value and what to write" {
	local rule remedy
	while read -r rule remedy; do
		run sbx --allow public --allow "$rule" -- true
		assert_status 125
		assert_output_has "sandbox run: --allow '$rule': invalid"
		assert_output_has "$remedy"
	done <<-'EOF'
		tcp:10.0.0.1/8 did you mean 10.0.0.0/8?
		tcp:10.0.0.0/8: write 443 or 80,8000-8010, or no ':' for every port
		tcp:10.0.0.0/8:80, write 443 or 80,8000-8010, or no ':' for every port
		tcp:10.0.0.0/8:90-80 write FIRST-LAST
		tcp:10.0.0.0/8:80x write 443 or 80,8000-8010
		tcp:10.0.0.0/8:0 ports are 1 to 65535
		tcp:10.0.0.0/ write ADDRESS/PREFIX
		tcp:/8 write ADDRESS/PREFIX
		tcp:192.0.2.1:443 write 192.0.2.1/32
		tcp:example.com:443 write host:example.com:443
		host:192.0.2.1 write tcp:192.0.2.1/32
		tcp: write ADDRESS/PREFIX
		public: write 443 or 80,8000-8010, or no ':' for every port
		host: write NAME or *.NAME
		host::443 write NAME or *.NAME
		icmp:10.0.0.0/8 write tcp:CIDR, udp:CIDR, public or host:NAME
	EOF
}

# logged FILE JQ-FILTER: some line of the log passes it. Every line is JSON.
logged() {
	jq -e -s "any(.[]; $2)" <"$1" >/dev/null || {
		echo "no line with $2 in:"
		cat "$1"
		return 1
	}
}

@test "the log has a line for each decision and each end" {
	local log=$BATS_TEST_TMPDIR/log
	run sbx --net-log "$log" --allow "tcp:127.0.0.1/32:$PORT" -i -- sh -c "cat >/tmp/peer && chmod +x /tmp/peer && /tmp/peer download $GW $PORT 1000000 &&
		/tmp/peer upload $GW $PORT 2000000 && /tmp/peer refused 192.0.2.1 443 && /tmp/peer udp-denied 2001:db8::1 53" <"$PEER"
	assert_status 0
	logged "$log" ".event == \"flow\" and .verdict == \"allow\" and .src == \"10.0.2.2\" and .dst_port == $PORT and .rule == \"tcp:127.0.0.1/32:$PORT\""
	logged "$log" '.event == "end" and .bytes_in == 1000000 and .reason == "closed"'
	logged "$log" '.event == "end" and .bytes_out >= 2000000 and .duration_ms >= 0'
	logged "$log" '.verdict == "deny" and .dst == "192.0.2.1" and .dst_port == 443 and .protocol == "tcp" and .reason == "no rule admits it"'
	logged "$log" '.verdict == "deny" and .dst == "2001:db8::1" and .protocol == "udp"'
}

@test "a log that cannot be written is told before anything starts" {
	run sbx --net-log /nowhere/log -- true
	assert_status 125
	assert_output_has "--net-log /nowhere/log: No such file or directory"
}

# page ADDRESS PORT: /x of a web server.
page() {
	exec 5<>"/dev/tcp/$1/$2"
	printf 'GET /x HTTP/1.0\r\n\r\n' >&5
	tail -n 1 <&5
	exec 5>&-
}

@test "a port of the guest is reached by a port of this machine" {
	local port
	coproc VM { exec timeout 120 "$SANDBOX" run --engine "$SBX_ENGINE" --publish 0:80 --publish '[::1]:0:80' -i -- \
		sh -c 'mkdir /tmp/www && echo hello >/tmp/www/x && httpd -p 80 -h /tmp/www && echo up && cat' 2>&1; }
	local vm=$VM_PID
	read -r line <&"${VM[0]}"
	[[ $line =~ ^"sandbox: port "([0-9]+)" of 127.0.0.1 is port 80 of the guest"$ ]]
	port=${BASH_REMATCH[1]}
	read -r line <&"${VM[0]}"
	[[ $line =~ ^"sandbox: port "([0-9]+)" of ::1 is port 80 of the guest"$ ]]
	read -r line <&"${VM[0]}"
	[ "$line" = up ]
	[ "$(page 127.0.0.1 "$port")" = hello ]
	[ "$(page ::1 "${BASH_REMATCH[1]}")" = hello ]
	eval "exec ${VM[1]}>&-"
	wait "$vm"
}

# visit PORT: what is answered to a datagram that says "question".
visit() {
	exec 5<>"/dev/udp/127.0.0.1/$1"
	printf question >&5
	timeout 30 head -c 8 <&5
	exec 5>&-
}

@test "a port of UDP of the guest is reached by a port of this machine" {
	local port
	coproc VM { exec timeout 120 "$SANDBOX" run --engine "$SBX_ENGINE" --publish 0:7000/udp -i -- \
		sh -c 'cat >/tmp/peer && chmod +x /tmp/peer && exec /tmp/peer echo-udp 7000' <"$PEER" 2>&1; }
	local vm=$VM_PID
	read -r line <&"${VM[0]}"
	[[ $line =~ ^"sandbox: port "([0-9]+)" of 127.0.0.1 is UDP port 7000 of the guest"$ ]]
	port=${BASH_REMATCH[1]}
	read -r line <&"${VM[0]}"
	[ "$line" = up ]
	[ "$(visit "$port")" = question ]
	[ "$(visit "$port")" = question ]
	kill "$vm"
	wait "$vm" || :
}

@test "a port that cannot be published is told with the reason" {
	run sbx --publish "$PORT:80" -- true
	assert_status 125
	assert_output_has "--publish $PORT:80: cannot publish port $PORT of 127.0.0.1: it is in use"
	local value
	for value in 80 :80 1:2:3:4 ::1:80:80 '[::1:80:80' 65536:80 80:0 80:x -1:80 '[]:80:80' ' 80:80' udp:53:53 53:53/sctp 53:53/ 53/udp 53:53/udp/tcp; do
		run sbx --publish "$value" -- true
		assert_status 125
		assert_output_has "--publish $value: write [ADDRESS:]PORT:GUEST-PORT"
	done
	run sbx --publish example.com:80:80 -- true
	assert_status 125
	assert_output_has "cannot publish at 'example.com'"
}
