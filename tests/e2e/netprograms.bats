#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# Real network programs of a Debian image against real servers of this machine. Servers and VM have a network namespace of the test's own, whose loopback the guest
# reaches as its gateway.
# shellcheck disable=SC2016 # scripts of the guest and of a namespace expand there

load helper

setup_file() {
	have_namespaces || skip "namespaces are not to be had here"
	NET_IMAGE=$(debian_image netprograms apt,bind9-dnsutils,ca-certificates,curl,git,iperf3,iputils-ping,netcat-openbsd,openssh-client,postgresql-client,traceroute)
	export NET_IMAGE GW=10.0.2.1 GW6=fd53:4258:a00:2::1
}

setup() {
	have_namespaces || skip "namespaces are not to be had here"
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir lent
}

teardown() {
	show_last_run
	assert_nothing_left
}

# beside SERVERS RULES -- SCRIPT: the script in a guest whose /mnt is ./lent, beside servers (see in_namespace).
beside() {
	local servers=$1 rules=()
	shift
	while [ "$1" != -- ]; do
		rules+=(--allow "$1")
		shift
	done
	in_namespace "$servers" timeout -k 5 300 "$SANDBOX" run --engine "$SBX_ENGINE" --image "$NET_IMAGE" --memory 1024 --writable=256M --mount lent:/mnt --cwd /mnt \
		--env "GW=$GW" --env "GW6=$GW6" "${rules[@]}" -- bash -euc "$2"
}

# ssh has its host key and ours, for whom it runs as.
ssh_keys() {
	ssh-keygen -q -t ed25519 -N '' -f hostkey
	ssh-keygen -q -t ed25519 -N '' -f lent/key
	cp lent/key.pub authorized
	chmod 600 authorized hostkey lent/key
}

@test "Git clones and pushes over SSH" {
	ssh_keys
	git init -q --bare repository
	run beside 'mkdir /run/sshd; /usr/sbin/sshd -D -e -f /dev/null -p 22 -h "$PWD/hostkey" -o ListenAddress=127.0.0.1 -o AuthorizedKeysFile="$PWD/authorized" -o StrictModes=no \
		-o UsePAM=no 2>sshd.log & listening 22' tcp:127.0.0.1/32:22 -- '
		cp key /tmp/key && chmod 600 /tmp/key
		export HOME=/tmp GIT_SSH_COMMAND="ssh -i /tmp/key -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/tmp/known"
		git config --global user.name Test
		git config --global user.email test@localhost
		git clone -q "ssh://root@host.sandbox.internal'"$PWD"'/repository" /tmp/work
		cd /tmp/work
		for i in $(seq 100); do head -c 50000 /dev/urandom >file$i; done
		git add . && git commit -qm all && git push -q origin HEAD:main
		git clone -q -b main "ssh://root@host.sandbox.internal'"$PWD"'/repository" /tmp/again
		git -C /tmp/again fsck && git -C /tmp/again log --oneline | wc -l'
	assert_status 0
	[ "${lines[-1]}" = 1 ]
	[ "$(git -C repository rev-list --count main)" = 1 ]
}

@test "psql speaks with a PostgreSQL server" {
	local bin
	bin=$(echo /usr/lib/postgresql/*/bin)
	[ -x "$bin/initdb" ] || skip "there is no PostgreSQL server here"
	run beside 'install -d -o postgres /run/db; as() { setpriv --reuid=postgres --regid=postgres --clear-groups env -C /run/db "$@"; }
		as '"$bin"'/initdb -D /run/db/data -A trust >/dev/null
		as '"$bin"'/postgres -D /run/db/data -k /run/db -c listen_addresses=127.0.0.1 >/run/db/log 2>&1 & listening 5432' tcp:127.0.0.1/32:5432 -- '
		psql -h $GW -U postgres -v ON_ERROR_STOP=1 -qAt -c "create table t as select i, md5(i::text) as m from generate_series(1, 20000) i" \
			-c "select count(*), min(m) < max(m) from t" -c "copy t to stdout" >/tmp/out
		head -n 1 /tmp/out; wc -l </tmp/out'
	assert_status 0
	[ "${lines[-2]}" = "20000|t" ]
	[ "${lines[-1]}" = 20001 ]
}

@test "apt installs a package from a mirror" {
	make_mirror mirror
	run beside 'busybox httpd -p 127.0.0.1:8000 -h mirror; listening 8000' tcp:127.0.0.1/32:8000 -- '
		echo "deb [trusted=yes] http://$GW:8000 ./" >/etc/apt/sources.list
		rm -rf /etc/apt/sources.list.d
		apt-get -o APT::Sandbox::User=root -qq update
		apt-get -o APT::Sandbox::User=root -qq install -y tiny >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
		sha256sum /usr/share/tiny/data | cut -d " " -f 1'
	assert_status 0
	[ "${lines[-1]}" = "$(sha256sum mirror/data | cut -d ' ' -f 1)" ]
}

@test "curl fetches three thousand files in parallel, and a large one" {
	mkdir www
	head -c 50000000 /dev/urandom >www/large
	head -c 2000 /dev/urandom >www/small
	run beside 'busybox httpd -p 127.0.0.1:8000 -h www; listening 8000' tcp:127.0.0.1/32:8000 -- '
		curl -sS http://host.sandbox.internal:8000/large | sha256sum
		mkdir /tmp/got
		curl -sS --parallel --parallel-max 200 --no-keepalive -o "/tmp/got/#1" "http://$GW:8000/small?[1-3000]" 2>/tmp/err || { head /tmp/err; exit 1; }
		sha256sum /tmp/got/* | cut -d " " -f 1 | sort | uniq -c'
	assert_status 0
	assert_output_has "$(sha256sum <www/large)"
	[[ ${lines[-1]} =~ ^" "*"3000 $(sha256sum <www/small | cut -d ' ' -f 1)"$ ]]
}

@test "iperf3, netcat over TCP and UDP" {
	run beside 'iperf3 -s -B 127.0.0.1 >/dev/null & socat TCP-LISTEN:7000,bind=127.0.0.1,fork,reuseaddr EXEC:cat & socat -u UDP-RECV:7001,bind=127.0.0.1 OPEN:datagram,creat &
		socat TCP6-LISTEN:7002,bind=[::1],fork,reuseaddr SYSTEM:"echo hello" &
		listening 5201; listening 7000; listening 7001; listening 7002' tcp:127.0.0.1/32 udp:127.0.0.1/32 tcp:::1/128 -- '
		for args in "" -R "-P 8" "-P 8 -R" "-u -b 20M"; do iperf3 -c $GW -t 1 $args >/tmp/iperf || { cat /tmp/iperf; exit 1; }; done
		grep -q receiver /tmp/iperf
		head -c 5000000 /dev/urandom >/tmp/data
		nc -N $GW 7000 </tmp/data | cmp - /tmp/data && echo same
		echo datagram | nc -u -w 1 $GW 7001
		nc -6 -w 5 $GW6 7002 </dev/null'
	assert_status 0
	[ "${lines[-2]}" = same ]
	[ "${lines[-1]}" = hello ]
	[ "$(cat datagram)" = datagram ]
}

@test "dig, ping and traceroute say what is so" {
	run beside : tcp:127.0.0.1/32:1 -- '
		dig +short host.sandbox.internal A; dig +short +tcp host.sandbox.internal AAAA
		dig +noall +comments leak.example.org | grep -o "status: [A-Z]*"
		ping -q -c 3 -i 0.2 $GW | grep -o "3 received"; ping -q -6 -c 3 -i 0.2 -s 20000 $GW6 | grep -o "3 received"
		ping -c 1 192.0.2.1 || :
		traceroute -n -q 1 -m 3 192.0.2.1 | tail -n 1
		traceroute -n -q 1 -m 3 -T -p 443 192.0.2.1 | tail -n 1'
	assert_status 0
	[ "${lines[0]}" = 10.0.2.1 ]
	[ "${lines[1]}" = fd53:4258:a00:2::1 ]
	assert_output_has "3 received"$'\n'"3 received"
	assert_output_has "Packet filtered"
	[[ ${lines[-2]} == *"!X"* ]]
	[[ ${lines[-1]} == *"192.0.2.1 "* ]]
}
