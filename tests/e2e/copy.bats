#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# `sandbox run --copy-in` and `--copy-out`.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	show_last_run
	assert_nothing_left
}

# bats test_tags=lab
@test "a file goes in and a file comes out" {
	echo hello >in
	run sbx --copy-in in:/tmp/file --copy-out /tmp/result:out -- sh -c 'tr a-z A-Z </tmp/file >/tmp/result; stat -c "%a %U" /tmp/file'
	assert_status 0
	assert_output_has "644 root"
	[ "$(cat out)" = HELLO ]
	[ "$(stat -c %u out)" = "$(id -u)" ]
}

@test "a tree comes back as it went in" {
	mkdir -p tree/sub/empty tree/with\ blank
	echo content >tree/file
	ln tree/file tree/sub/hard
	ln -s ../file tree/sub/link
	ln -s /no/where tree/dangling
	printf odd >"$(printf 'tree/odd\n\tname\377')"
	head -c 100000 /dev/urandom >"tree/with blank/random"
	chmod 751 tree/sub
	chmod 600 tree/file
	touch -d '2001-09-09 01:46:40.123456789' tree/file
	touch -d '2001-09-09 01:46:41' tree/sub
	run sbx --copy-in tree:/tmp --copy-out /tmp/tree:back -- sh -c '[ /tmp/tree/file -ef /tmp/tree/sub/hard ] && ls -A /tmp'
	assert_status 0
	[ "$output" = tree ]
	diff -r --no-dereference tree back
	[ back/file -ef back/sub/hard ]
	[ "$(cd tree && find . -printf '%P %m %y %l\n' | sort)" = "$(cd back && find . -printf '%P %m %y %l\n' | sort)" ]
	[ "$(stat -c %y tree/file tree/sub)" = "$(stat -c %y back/file back/sub)" ]
}

@test "where a copy lands is as with cp -a" {
	mkdir src into
	echo x >src/f
	run sbx --copy-in src:/tmp --copy-in src/.:/tmp/contents --copy-in src/f:/tmp/as-this --copy-in src/f:/tmp/contents/ \
		--copy-out /tmp/src:into --copy-out /tmp/src/.:here --copy-out /tmp/as-this:into/ --copy-out /tmp/src:new/ -- \
		sh -c 'cd /tmp; find . -type f | sort'
	assert_status 0
	[ "$output" = $'./as-this\n./contents/f\n./src/f' ]
	[ "$(find into here new -type f | sort)" = $'here/f\ninto/as-this\ninto/src/f\nnew/f' ]
}

@test "a command without root's rights owns what was copied in" {
	mkdir src
	echo x >src/f
	run sbx --user nobody --copy-in src:/tmp -- sh -c 'echo more >>/tmp/src/f && touch /tmp/src/new && stat -c %U /tmp/src /tmp/src/f'
	assert_status 0
	[ "$output" = $'nobody\nnobody' ]
}

@test "200 MB go in and come out whole" {
	head -c 200000000 /dev/urandom >big
	run sbx --memory 900 --copy-in big:/tmp/big --copy-out /tmp/big:back -- sh -c 'wc -c </tmp/big'
	assert_status 0
	[ "$output" = 200000000 ]
	cmp big back
}

@test "the command's exit status stays, and copies out are made whatever it is" {
	run sbx --copy-out /tmp/f:out -- sh -c 'echo partial >/tmp/f; exit 7'
	assert_status 7
	[ "$(cat out)" = partial ]
	run sbx --copy-out /tmp/f:killed --timeout 1 -- sh -c 'echo partial >/tmp/f; sleep 1000'
	assert_status 124
	[ "$(cat killed)" = partial ]
	run -127 sbx --copy-out /etc/passwd:passwd -- no-such-program
	grep -q root passwd
}

@test "a copy out that fails is 125 after a success, and the command's status else; the other copies are made" {
	run sbx --copy-out /tmp/none:x --copy-out /etc/passwd:passwd -- true
	assert_status 125
	assert_output_has "--copy-out /tmp/none:x: in the guest: cannot look at '/tmp/none': No such file or directory"
	[ -e passwd ]
	run sbx --copy-out /tmp/none:x -- sh -c 'exit 3'
	assert_status 3
	assert_output_has "--copy-out /tmp/none:x: "
	[ ! -e x ]
}

@test "a copy in that fails is 125, and the command does not run" {
	echo x >f
	run sbx --copy-in f:/etc/f -- echo ran
	assert_status 125
	assert_output_has "--copy-in f:/etc/f: in the guest: "
	assert_output_has "Read-only file system"
	[[ $output != *ran* ]]
	run sbx --copy-in f:/tmp/no/such/f -- echo ran
	assert_status 125
	assert_output_has "'/tmp/no/such/f'"
	[[ $output != *ran* ]]
}

@test "a writable root takes copies anywhere" {
	echo x >f
	run sbx --writable --copy-in f:/etc/f --copy-in f:/usr/bin/ -- cat /etc/f /usr/bin/f
	assert_status 0
	[ "$output" = $'x\nx' ]
}

@test "what cannot be copied is said before anything starts" {
	run sbx --copy-in none:/tmp -- true
	assert_status 125
	assert_output_has "--copy-in none:/tmp: none: No such file or directory"
	run sbx --copy-out /tmp/x:no/such/place -- true
	assert_status 125
	assert_output_has "there is no directory 'no/such' here"
	for value in x :/x x: x:y; do
		run sbx --copy-in "$value" -- true
		assert_status 125
		assert_output_has "--copy-in $value: must be SRC:DST"
	done
	for value in x /x :x /x: x:/y; do
		run sbx --copy-out "$value" -- true
		assert_status 125
		assert_output_has "--copy-out $value: must be SRC:DST"
	done
	run sbx --copy-limit much -- true
	assert_status 125
	assert_output_has "--copy-limit much"
}

@test "colons: of the host's path going in, of the host's path coming out" {
	mkdir a:b
	echo x >a:b/c:d
	run sbx --copy-in a:b/c:d:/tmp/f --copy-out /tmp/f:a:b/e:f -- true
	assert_status 0
	[ "$(cat a:b/e:f)" = x ]
}

@test "more than the limit does not come out" {
	run sbx --copy-limit 1M --copy-out /tmp/big:big -- sh -c 'head -c 3000000 /dev/zero >/tmp/big'
	assert_status 125
	assert_output_has "--copy-limit allows more"
	[ ! -e big ]
}

@test "devices, pipes and special bits stay behind, and are spoken of" {
	run sbx --copy-out /tmp/t:t -- sh -c 'mkdir /tmp/t; cd /tmp/t; mkfifo pipe; mknod null c 1 3; echo x >f; chmod 6777 f; mkdir d; chmod 1777 d'
	assert_status 0
	assert_output_has "left out 2 devices and pipes, 't/null' first"
	[ "$(cd t && find . -printf '%P %m\n' | sort)" = $' 755\nd 777\nf 777' ]
}

@test "names of the guest cannot send escapes to the terminal" {
	run sbx --copy-out "/tmp/t:t" -- sh -c 'mkdir /tmp/t; mkfifo "/tmp/t/$(printf "\033]0;x\007")"'
	assert_status 0
	assert_output_has "'t/?]0;x?'"
}

@test "a guest cannot write outside of the destination" {
	mkdir out victim
	echo untouched >victim/f
	ln -s ../victim out/trap
	run sbx --copy-out /tmp/t/.:out -- sh -c 'mkdir -p /tmp/t/trap; echo evil >/tmp/t/trap/f; echo evil >/tmp/t/trap/g'
	assert_status 125
	assert_output_has "'trap' is no directory here"
	[ "$(cat victim/f)" = untouched ]
	[ "$(ls -A victim)" = f ]
	run sbx --copy-out /tmp/t/.:out -- sh -c 'mkdir /tmp/t; echo new >/tmp/t/trap; ln -s ../victim /tmp/t/also'
	assert_status 0
	[ "$(cat out/trap)" = new ]
	[ ! -L out/trap ]
	[ -L out/also ]
	[ "$(cat victim/f)" = untouched ]
}

@test "a guest that swaps directories for links while they are copied gets nothing out of place" {
	mkdir out victim
	echo untouched >victim/f
	run sbx --copy-out /tmp/t/.:out --copy-out /tmp/t/.:out --copy-out /tmp/t/.:out --copy-out /tmp/t/.:out -- sh -c '
		mkdir -p /tmp/t/d
		cd /tmp/t
		head -c 3000000 /dev/zero >d/f
		(while :; do
			mv d x; ln -s ../victim d; rm d; ln -s / d; rm d; mv x d
			ln -s ../victim l; rm l; mkdir l; echo evil >l/f; rm -r l
		done) >/dev/null 2>&1 &'
	# Whether they succeed is the guest's matter.
	[ "$status" -eq 0 ] || [ "$status" -eq 125 ]
	[ "$(cat victim/f)" = untouched ]
	[ "$(ls -A victim)" = f ]
	[ "$(ls -A)" = $'out\nvictim' ]
}

@test "a signal while it copies ends it" {
	local code=0
	"$SANDBOX" run --engine "$SBX_ENGINE" --copy-limit 200G --copy-out /tmp/big:out -- truncate -s 100G /tmp/big 3>&- &
	local cli=$!
	wait_for test -s out
	kill -TERM $cli
	wait $cli || code=$?
	[ "$code" -eq 143 ]
}
