#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# Real programs of a Debian image on a directory that the host lends.

load helper

setup_file() {
	PROGRAMS_IMAGE=$(programs_image)
	export PROGRAMS_IMAGE
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	mkdir lent
}

teardown() {
	show_last_run
	assert_nothing_left
}

# in_guest MOUNT_OPTIONS SCRIPT: the script in the lent directory.
in_guest() {
	SBX_TEST_LIMIT=600 sbx --image "$PROGRAMS_IMAGE" --memory 1024 --mount "lent:/mnt$1" --tmpfs /tmp --cwd /mnt --env HOME=/tmp -- bash -euc "$2"
}

@test "Git commits, clones and finds nothing wrong" {
	run in_guest "" '
		git config --global user.name Test
		git config --global user.email test@localhost
		git config --global init.defaultBranch main
		git init -q one
		cd one
		for i in $(seq 200); do mkdir -p dir$((i % 7)); echo "file $i" >dir$((i % 7))/file$i; done
		git add .
		git commit -qm first
		for i in $(seq 50); do echo more >>dir$((i % 7))/file$i; done
		git commit -qam second
		git gc -q
		cd ..
		git clone -q one two
		cd two
		git fsck --strict
		git status --porcelain
		git log --oneline | wc -l
		cat dir1/file1'
	assert_status 0
	[ "${lines[-3]}" = 2 ]
	[ "${lines[-2]}" = "file 1" ]
	diff -r --exclude=.git lent/one lent/two
}

@test "a program is compiled, linked and run" {
	mkdir lent/src
	for i in $(seq 10); do echo "int part$i(void) { return $i; }" >"lent/src/part$i.c"; done
	{
		for i in $(seq 10); do echo "int part$i(void);"; done
		echo '#include <stdio.h>'
		echo "int main(void) { printf(\"%d\\n\", $(printf 'part%d() + ' $(seq 10)) 0); }"
	} >lent/src/main.c
	# shellcheck disable=SC2016
	printf 'prog: $(patsubst %%.c,%%.o,$(wildcard src/*.c))\n\tgcc -o $@ $^\n' >lent/Makefile
	run in_guest "" 'make -j2 >make.log; ./prog; make | tail -n 1'
	assert_status 0
	[ "${lines[0]}" = 55 ]
	[[ ${lines[1]} == *"is up to date"* ]]
}

sqlite_modes() { # MOUNT_OPTIONS
	run in_guest "$1" '
		for mode in delete truncate persist memory wal off; do
			db=$mode.db
			sqlite3 $db "PRAGMA journal_mode=$mode; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);"
			for round in 1 2 3; do
				sqlite3 -cmd ".timeout 60000" $db "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t (b) SELECT hex(randomblob(50)) FROM n; COMMIT;" &
				sqlite3 -cmd ".timeout 60000" $db "SELECT count(*) FROM t;" >/dev/null
				wait $!
			done
			echo "$(sqlite3 $db "PRAGMA integrity_check; SELECT count(*) FROM t;" | paste -sd " ")"
		done'
	assert_status 0
	[ "$(grep -c '^ok 1500$' <<<"$output")" = 6 ]
}

@test "SQLite keeps its databases whole in every journal mode" {
	sqlite_modes ""
}

@test "SQLite does so past the guest's page cache" {
	sqlite_modes ,cache=none
}

@test "npm packs a tree of local packages and installs it" {
	local i
	for ((i = 1; i <= 12; i++)); do
		mkdir -p "lent/packages/p$i/lib"
		printf '{"name":"p%d","version":"1.0.%d","main":"lib/index.js","bin":{"p%d":"lib/index.js"}%s}\n' "$i" "$i" "$i" \
			"$([ "$i" = 1 ] || echo ",\"dependencies\":{\"p$((i - 1))\":\"1.0.$((i - 1))\"}")" >"lent/packages/p$i/package.json"
		echo "module.exports = $i + $([ "$i" = 1 ] && echo 0 || echo "require('p$((i - 1))')");" >"lent/packages/p$i/lib/index.js"
	done
	mkdir lent/app
	echo '{"name":"app","version":"1.0.0"}' >lent/app/package.json
	run in_guest "" '
		cd app
		{ npm pack -s ../packages/p* && npm install --offline --no-audit --no-fund ./*.tgz; } >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
		node -p "require(\"p12\")"'
	assert_status 0
	[ "${lines[-1]}" = 78 ]
	[ -f lent/app/node_modules/p1/lib/index.js ]
}

@test "two programs of the guest and one of the host write to one tree" {
	local host
	echo "host 0" >lent/shared
	(
		i=0
		while [ ! -e lent/done ]; do
			i=$((i + 1))
			echo "host $i" >lent/.host && mv lent/.host lent/shared
			echo "host $i" >lent/own-host
		done
	) &
	host=$!
	run in_guest "" '
		writer() {
			for i in $(seq 100); do
				echo "$1 $i" >.$1
				mv .$1 shared
				echo "$1 $i" >>log-$1
			done
		}
		writer one &
		one=$!
		writer two &
		two=$!
		bad=0
		while kill -0 $one 2>/dev/null || kill -0 $two 2>/dev/null; do
			# A name that is replaced twice while it is being opened is stale.
			line=$(cat shared 2>/tmp/err) || { grep -q Stale /tmp/err && continue; }
			[[ $line =~ ^(one|two|host)\ [0-9]+$ ]] || { echo "torn: $line"; bad=1; }
		done
		wait $one $two
		touch done
		wc -l <log-one
		wc -l <log-two
		exit $bad'
	touch lent/done
	wait "$host"
	assert_status 0
	[ "$output" = $'100\n100' ] || { echo "$output"; false; }
	[ "$(tail -n 1 lent/log-two)" = "two 100" ]
}
