#!/usr/bin/env bats
# SPDX-License-Identifier: MIT OR Apache-2.0
# `sandbox image build` and `sandbox image inspect`: what goes in comes out, the same in gives the same out, and nothing is
# left behind however it ends. Only the last tests start a VM.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir tmp
	export TMPDIR=$PWD/tmp
	unset SOURCE_DATE_EPOCH
	umask 022
}

teardown() {
	show_last_run
	if mountpoint -q "$BATS_TEST_TMPDIR/mnt"; then
		umount "$BATS_TEST_TMPDIR/mnt"
	fi
	assert_no_traces
	assert_nothing_left
}

# Neither temporary files, nor unfinished images, nor processes.
assert_no_traces() {
	local left
	wait_for no_tools || {
		ps -eo pid,ppid,args
		return 1
	}
	left=$(ls -A "$BATS_TEST_TMPDIR/tmp" && find "$BATS_TEST_TMPDIR" -maxdepth 2 -name '.*.erofs.*')
	[ -z "$left" ] || {
		echo "left over: $left"
		return 1
	}
}

no_tools() {
	! pgrep -x 'sandbox|tar' && ! pgrep -x 'faked-.*' && ! pgrep -x 'mkfs.erofs' && ! pgrep -x 'mmdebstrap'
}
export -f no_tools

image() {
	"$SANDBOX" image "$@"
}

as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp "$@"
}

need() { # tool...
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

# look IMAGE: its files are below ./mnt
look() {
	mkdir -p mnt
	mount -o loop,ro "$1" mnt 2>mount.err || skip "this machine cannot mount EROFS: $(cat mount.err)"
}

# A small root file system with one of each.
make_tree() { # dir
	mkdir -p "$1"/{bin,etc,usr/lib,home/u,var/empty}
	cp "$(command -v busybox)" "$1/bin/busybox"
	ln -s busybox "$1/bin/sh"
	echo "made by the test" >"$1/etc/marker"
	ln "$1/etc/marker" "$1/etc/marker.link"
	ln -s ../../etc/marker "$1/home/u/link"
	chmod 4755 "$1/bin/busybox"
	chmod 1751 "$1/var/empty"
	printf 'x%.0s' {1..9000} >"$1/usr/lib/data"
	mkfifo "$1/var/fifo"
	if [ "$(id -u)" -eq 0 ]; then
		mknod "$1/var/null" c 1 3
		chown 1234:2345 "$1/home/u" "$1/usr/lib/data"
		chown -h 1234:2345 "$1/home/u/link"
		chmod 4755 "$1/bin/busybox"
	fi
	find "$1" -exec touch -h -d '2024-05-06 07:08:09.5 UTC' {} +
}

# Names, kinds, modes, owners, sizes, devices, times and link targets of everything below a directory.
listing() {
	(cd "$1" && find . -mindepth 1 \( -type d -printf '%p %M %U:%G\n' -o -printf '%p %M %U:%G %s %T@ %n %l\n' \) | sort &&
		find . -type c -exec stat -c '%n %t:%T' {} +)
}

@test "what is in a directory is in its image: kinds, modes, owners, times, links, devices" {
	make_tree root
	image build root out.erofs
	look out.erofs
	listing root >want
	listing mnt | grep -vE '^\./(proc|sys|dev|run|tmp|mnt|workspace) ' >got
	# A file's time within its second is not kept for the newest second.
	sed -i 's/\(\.[0-9]\{10\}\) /  /; s/\([0-9]\{10\}\)\.[0-9]\{10\}/\1/' want got
	diff want got
	cmp root/bin/busybox mnt/bin/busybox
	[ mnt/etc/marker -ef mnt/etc/marker.link ]
}

@test "extended attributes and file capabilities are in the image" {
	need setfattr getfattr
	make_tree root
	setfattr -n user.note -v hello root/etc/marker 2>/dev/null || skip "no extended attributes in $PWD"
	[ "$(id -u)" -ne 0 ] || setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= root/bin/busybox
	image build root out.erofs
	look out.erofs
	[ "$(getfattr --only-values -n user.note mnt/etc/marker)" = hello ]
	[ "$(id -u)" -ne 0 ] || getfattr -n security.capability mnt/bin/busybox
}

@test "the directories that a guest needs are added, and those that are there stay as they are" {
	make_tree root
	install -d -m 700 root/mnt
	image build root out.erofs
	look out.erofs
	for dir in proc sys dev run tmp mnt workspace; do
		[ -d "mnt/$dir" ]
	done
	[ "$(stat -c %a mnt/tmp mnt/mnt mnt/run | xargs)" = "1777 700 755" ]
	[ "$(ls -A root)" = "$(printf '%s\n' bin etc home mnt usr var)" ] # the source is untouched
}

@test "a complete directory is read where it is" {
	make_tree root
	mkdir root/{proc,sys,dev,run,tmp,mnt,workspace}
	run image build root out.erofs
	assert_status 0
	[[ $output != *copying* ]]
}

@test "the same tree gives the same bytes: directory, archive, compressed archive, standard input" {
	need gzip xz
	make_tree root
	image build root dir.erofs -q
	image build root again.erofs -q
	cmp dir.erofs again.erofs
	tar -C root --sort=name --format=posix -cf root.tar .
	gzip -k root.tar
	xz -k root.tar
	for source in root.tar root.tar.gz root.tar.xz; do
		image build "$source" "$source.erofs" -q
		cmp dir.erofs "$source.erofs"
	done
	image build - stdin.erofs -q <root.tar.gz
	cmp dir.erofs stdin.erofs
	image build - pipe.erofs -q < <(cat root.tar)
	cmp dir.erofs pipe.erofs
	if command -v zstd >/dev/null; then
		zstd -q root.tar
		image build root.tar.zst zst.erofs -q
		cmp dir.erofs zst.erofs
	fi
}

@test "the order of an archive and directories that it does not name do not matter" {
	make_tree root
	find root -exec touch -h -d '2024-05-06 07:08:09 UTC' {} +
	(cd root && find . -mindepth 1 ! -type d | sort | tar --no-recursion -T - -cf ../up.tar)
	(cd root && find . -mindepth 1 ! -type d | sort -r | tar --no-recursion -T - -cf ../down.tar)
	image build up.tar up.erofs -q
	image build up.tar again.erofs -q
	cmp up.erofs again.erofs
	image build down.tar down.erofs -q
	cmp up.erofs down.erofs
}

@test "times: SOURCE_DATE_EPOCH is the newest, --time is everyone's" {
	make_tree root
	SOURCE_DATE_EPOCH=1000000000 image build root old.erofs -q
	[ "$(image inspect --json old.erofs | jq .build_time_unix)" = 1000000000 ]
	touch root/etc/marker
	image build root a.erofs -q --time 1500000000
	touch root/bin/busybox
	SOURCE_DATE_EPOCH=77 image build root b.erofs -q --time 1500000000
	cmp a.erofs b.erofs
	look a.erofs
	[ "$(stat -c %Y mnt/etc/marker mnt/tmp mnt/usr | uniq)" = 1500000000 ]
}

@test "a normal user's image of an archive is the same as root's, owners and devices included" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be somebody else, too"
	need fakeroot setpriv
	make_tree root
	tar -C root -cf root.tar .
	image build root.tar root.erofs -q
	mkdir out
	chown 65534 out tmp
	chmod go+x . .. "$BATS_RUN_TMPDIR"
	as_nobody test -r root.tar || skip "nobody cannot read $PWD"
	as_nobody env TMPDIR="$TMPDIR" "$SANDBOX" image build root.tar out/user.erofs -q
	cmp root.erofs out/user.erofs
	as_nobody env TMPDIR="$TMPDIR" "$SANDBOX" image build root.tar out/all.erofs -q --all-root
	look out/all.erofs
	[ "$(find mnt ! -user 0 -o ! -group 0)" = "" ]
}

@test "a normal user without fakeroot is told about it" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be somebody else, too"
	need setpriv
	make_tree root
	tar -C root --exclude=./var/null -cf root.tar .
	mkdir out bin
	chown 65534 out tmp
	chmod go+x . .. "$BATS_RUN_TMPDIR"
	as_nobody test -r root.tar || skip "nobody cannot read $PWD"
	for tool in tar mkfs.erofs; do
		ln -s "$(command -v "$tool")" "bin/$tool"
	done
	run as_nobody env TMPDIR="$TMPDIR" PATH="$PWD/bin" "$SANDBOX" image build root.tar out/user.erofs
	assert_status 1
	assert_output_has "apt-get install fakeroot"
	as_nobody env TMPDIR="$TMPDIR" PATH="$PWD/bin" "$SANDBOX" image build root.tar out/user.erofs --all-root -q
	image inspect out/user.erofs
}

@test "compression is what was asked for" {
	make_tree root
	image build root none.erofs -q
	[ "$(image inspect --json none.erofs | jq -r .compression)" = none ]
	for how in lz4 lz4hc; do
		image build root "$how.erofs" -q --compress "$how"
		[ "$(image inspect --json "$how.erofs" | jq -r .compression)" = lz4 ]
		[ "$(stat -c %s "$how.erofs")" -lt "$(stat -c %s none.erofs)" ]
		fsck.erofs "$how.erofs"
	done
	fsck.erofs none.erofs
}

# layer NAME: what is in ./layer becomes a layer of ./save
layer() {
	mkdir -p save/blobs/sha256
	tar -C layer --sort=name -cf "save/blobs/sha256/$1" .
	rm -rf layer
	mkdir layer
}

# save_archive NAME...: ./save.tar as `docker save` writes it, with these layers, the lowest first
save_archive() {
	local list
	list=$(printf '"blobs/sha256/%s",' "$@")
	printf '[{"Config":"blobs/sha256/\\"Layers\\"","RepoTags":["a:b"],"Layers":[%s]}]' "${list%,}" >save/manifest.json
	echo '{"imageLayoutVersion":"1.0.0"}' >save/oci-layout
	tar -C save -cf save.tar .
}

@test "the layers of a docker save make one tree: the upper one wins, whiteouts hide what is below" {
	need gzip
	mkdir layer
	make_tree layer
	mkdir -p layer/{gone,emptied/deep,kept,again,linked}
	touch layer/gone/a layer/emptied/deep/b layer/kept/c layer/again/old layer/removed
	ln -s kept layer/way
	layer one
	mkdir -p layer/{emptied,again,kept}
	touch layer/.wh.gone layer/.wh.removed layer/emptied/.wh..wh..opq layer/emptied/new layer/kept/d layer/.wh.again
	echo second >layer/kept/e
	layer two
	mkdir -p layer/again layer/kept
	touch layer/again/fresh layer/removed
	chmod 700 layer/again
	echo third >layer/kept/e
	layer three
	gzip save/blobs/sha256/two
	mv save/blobs/sha256/two.gz save/blobs/sha256/two
	save_archive one two three
	image build save.tar out.erofs -q
	look out.erofs
	[ "$(cd mnt && find . -path './a*' -o -path './emptied*' -o -path './kept*' -o -path './gone*' -o -name '.wh*' -o -name removed |
		sort | xargs)" = "./again ./again/fresh ./emptied ./emptied/new ./kept ./kept/c ./kept/d ./kept/e ./removed" ]
	[ "$(cat mnt/kept/e)" = third ]
	[ "$(stat -c %a mnt/again)" = 700 ]
	[ "$(cat mnt/etc/marker)" = "made by the test" ]
	[ mnt/etc/marker -ef mnt/etc/marker.link ]
	umount mnt
	# Somebody else's is the same.
	if [ "$(id -u)" -eq 0 ] && command -v fakeroot setpriv >/dev/null; then
		mkdir user
		chown 65534 user tmp
		chmod go+x . .. "$BATS_RUN_TMPDIR"
		as_nobody env TMPDIR="$TMPDIR" "$SANDBOX" image build save.tar user/out.erofs -q
		cmp out.erofs user/out.erofs
	fi
}

@test "a layer does not reach through the links of another one" {
	mkdir layer outside
	ln -s "$PWD/outside" layer/way
	touch layer/first
	layer one
	mkdir layer/way
	echo gotcha >layer/way/file
	layer two
	mkdir layer/way
	touch layer/way/.wh.victim layer/way/.wh..wh..opq
	layer three
	touch outside/victim
	save_archive one two three
	image build save.tar out.erofs -q
	save_archive two one three
	image build save.tar out.erofs -q
	[ "$(ls -A outside)" = victim ]
	ln -s /etc/passwd save/blobs/sha256/four
	save_archive one four
	run image build save.tar out2.erofs
	assert_status 1
	assert_output_has "blobs/sha256/four cannot be opened"
	[ ! -e out2.erofs ]
}

@test "a container image that cannot be unpacked is refused with the way out" {
	mkdir layer
	touch layer/x
	layer one
	save_archive one
	rm save/manifest.json
	tar -C save -cf oci.tar .
	run image build oci.tar out.erofs
	assert_status 1
	assert_output_has "OCI layout"
	assert_output_has "docker load -i oci.tar; docker export"
	for manifest in '' '{' '[{"Layers":[]}]' '[{"Layers":["blobs/sha256/one"' '[{"Layers":[1]}]' '[{"Layers":"blobs/sha256/one"}]' '"Layers'; do
		printf %s "$manifest" >save/manifest.json
		tar -C save -cf bad.tar .
		run image build bad.tar out.erofs
		assert_status 1
		assert_output_has "makes no sense"
	done
	echo '[{"Layers":["blobs/sha256/one"]},{"Layers":["blobs/sha256/one"]}]' >save/manifest.json
	tar -C save -cf two.tar .
	run image build two.tar out.erofs
	assert_status 1
	assert_output_has "several images"
	for name in ../../../../etc/passwd /etc/passwd blobs/sha256/none blobs; do
		printf '[{"Layers":["%s"]}]' "$name" >save/manifest.json
		tar -C save -cf bad.tar .
		run image build bad.tar out.erofs
		assert_status 1
		assert_output_has "layer"
	done
	[ ! -e out.erofs ]
}

@test "an archive that reaches out of its directory does not get there" {
	mkdir evil outside
	ln -s "$PWD/outside" evil/way
	tar -C evil -cf evil.tar way
	rm evil/way
	mkdir evil/way
	echo gotcha >evil/way/file
	tar -C evil -rf evil.tar way/file
	echo gotcha >evil/up
	tar -C evil --transform 's,^up,../../../outside/up,' -P -rf evil.tar up
	image build evil.tar out.erofs -q || true
	[ -z "$(ls -A outside)" ]
	[ "$(find . -name up)" = ./evil/up ]
}

@test "a source that is none gets an error that says what to do" {
	run image build nothing out.erofs
	assert_status 1
	assert_output_has "nothing: No such file"
	run image build python:3.12 out.erofs
	assert_status 1
	assert_output_has "docker export"
	: >empty
	run image build empty out.erofs
	assert_output_has "is empty"
	head -c 5000 /dev/urandom >noise
	run image build noise out.erofs
	assert_output_has "neither a directory nor a tar archive"
	run image build debian:bookworm/x out.erofs
	assert_output_has "debian:bookworm"
	[ ! -e out.erofs ]
}

@test "an archive cut short gets the words of the tool that noticed, and leaves the old image alone" {
	make_tree root
	tar -C root -czf root.tar.gz .
	echo old >out.erofs
	head -c 100000 root.tar.gz >cut.tar.gz
	run image build cut.tar.gz out.erofs
	assert_status 1
	assert_output_has "unexpected end of file"
	[ "$(cat out.erofs)" = old ]
	image build root.tar.gz out.erofs -q
	image inspect out.erofs
	# Between two files tar itself does not notice.
	echo old >out.erofs
	tar -C root -cf root.tar etc/marker bin/busybox
	head -c 1024 root.tar >cut.tar
	run image build cut.tar out.erofs
	assert_status 1
	assert_output_has "cut.tar: the archive is cut short"
	run image build - out.erofs < <(cat cut.tar)
	assert_status 1
	assert_output_has "the archive is cut short"
	[ "$(cat out.erofs)" = old ]
	image build root.tar out.erofs -q
	image build - out.erofs -q < <(cat root.tar)
}

@test "places where the image cannot go are known before any work" {
	make_tree root
	run image build root root/out.erofs
	assert_status 1
	assert_output_has "lies inside of root"
	run image build root /no/such/dir/out.erofs
	assert_status 1
	assert_output_has "/no/such/dir"
	run image build root root
	assert_status 1
	assert_output_has "not a regular file"
	run env TMPDIR="$PWD/root/etc" "$SANDBOX" image build root out.erofs
	assert_status 1
	assert_output_has "set TMPDIR"
	run env TMPDIR=/no/such/dir "$SANDBOX" image build root out.erofs
	assert_status 1
	assert_output_has "set TMPDIR"
}

@test "a full disk is an error, and is left as it was" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to mount a small disk"
	make_tree root
	mkdir -p mnt
	mount -t tmpfs -o size=1m none mnt 2>/dev/null || skip "cannot mount here"
	run env TMPDIR="$PWD/mnt" "$SANDBOX" image build root out.erofs
	assert_status 1
	assert_output_has "No space left on device"
	[ -z "$(ls -A mnt)" ]
	run image build root mnt/out.erofs
	assert_status 1
	[ -z "$(ls -A mnt)" ]
}

@test "a missing tool is named with its package" {
	make_tree root
	mkdir bin
	ln -s "$(command -v tar)" bin/tar
	run env PATH="$PWD/bin" "$SANDBOX" image build root out.erofs
	assert_status 1
	assert_output_has "apt-get install erofs-utils"
	run env PATH="$PWD/bin" "$SANDBOX" image build debian:bookworm out.erofs
	assert_status 1
	assert_output_has "apt-get install mmdebstrap"
	gzip -c <(tar -C root -c .) >root.tar.gz
	run env PATH="$PWD/bin" "$SANDBOX" image build root.tar.gz out.erofs
	assert_status 1
	assert_output_has "apt-get install gzip"
}

@test "options at fault are named with their value" {
	local args says
	while IFS='|' read -r args says; do
		# shellcheck disable=SC2086
		run image build $args
		assert_status 2
		assert_output_has "$says"
	done <<-'END'
		--compress zip a b|--compress zip: not one of none, lz4, lz4hc
		--time soon a b|--time soon
		--include git a b|--include: only for a SOURCE like debian:bookworm
		--mirror http://x/ a b|--mirror: only for
		debian:bookworm --variant big b|--variant big: not one of
		debian:bookworm --include a;b b|--include a;b
		--nonsense a b|--nonsense: no such option
		--quiet=1 a b|--quiet=1: takes no value
		a|needs a SOURCE and an OUT
		a b c|not more
	END
	run env SOURCE_DATE_EPOCH=tomorrow "$SANDBOX" image build a b
	assert_status 2
	assert_output_has "SOURCE_DATE_EPOCH=tomorrow"
	run image
	assert_status 2
	run image build --help
	assert_status 0
	assert_output_has "usage: sandbox image build"
	run image inspect --help
	assert_status 0
}

# interrupt SIGNAL STATUS: while tar waits for the rest of its input
interrupt() {
	local pid status=0
	make_tree root
	tar -C root -cf root.tar .
	mkfifo pipe
	"$SANDBOX" image build - out.erofs <pipe 2>err 3>&- &
	pid=$!
	exec 7>pipe
	head -c 50000 root.tar >&7
	wait_for pgrep -x tar
	kill -"$1" "$pid"
	wait "$pid" || status=$?
	exec 7>&-
	[ "$status" -eq "$2" ]
	[ ! -e out.erofs ]
	wait_for no_tools
	wait_for test -z "$(ls -A tmp)"
}

@test "SIGTERM ends it by that signal, and nothing is left" {
	interrupt TERM 143
	assert_no_traces
}

@test "SIGHUP ends it by that signal, and nothing is left" {
	interrupt HUP 129
	assert_no_traces
}

empty() {
	[ -z "$(ls -A "$1")" ]
}
export -f empty

@test "SIGKILL ends it at once, and nothing is left a moment later" {
	interrupt KILL 137
	wait_for empty tmp
	assert_no_traces
}

@test "a tool that is killed is an error that says so" {
	make_tree root
	tar -C root -cf root.tar .
	mkfifo pipe
	"$SANDBOX" image build - out.erofs <pipe 2>err 3>&- &
	pid=$!
	exec 7>pipe
	head -c 50000 root.tar >&7
	wait_for pgrep -x tar
	pkill -KILL -x tar
	status=0
	wait "$pid" || status=$?
	exec 7>&-
	[ "$status" -eq 1 ]
	grep -q "tar was ended by signal 9" err
	[ ! -e out.erofs ]
}

@test "inspect says what the file is, as text and as JSON" {
	make_tree root
	image build root out.erofs -q --time 1700000000
	run image inspect out.erofs
	assert_status 0
	assert_output_has "build time   2023-11-14T22:13:20Z"
	assert_output_has "compression  none"
	image inspect out.erofs --json >json
	[ "$(jq -r '.file, .format, .block_bytes, .build_time_unix, .label' json | xargs)" = "out.erofs erofs 4096 1700000000" ]
	[ "$(jq .file_bytes json)" -eq "$(stat -c %s out.erofs)" ]
	[ "$(jq .image_bytes json)" -eq "$(stat -c %s out.erofs)" ]
	# One inode for each file, counting links once, and seven directories were added.
	[ "$(jq .inodes json)" -eq "$(($(find root -printf '%i\n' | sort -u | wc -l) + 7))" ]
}

@test "inspect refuses what is no image, is damaged, or is cut short" {
	make_tree root
	image build root out.erofs -q
	head -c 1500000 out.erofs >cut.erofs
	cp out.erofs damaged
	printf x | dd of=damaged bs=1 seek=1100 conv=notrunc status=none
	tar -C root -cf root.tar .
	mkfifo fifo
	local file says
	while IFS='|' read -r file says; do
		run image inspect "$file"
		assert_status 1
		assert_output_has "$says"
		assert_output_has "$file"
	done <<-'END'
		cut.erofs|cut short
		damaged|checksum
		root.tar|tar archive
		root|directory
		/etc/passwd|not an EROFS image
		/no/such/file|No such file
		fifo|not a regular file
		/dev/null|not a regular file
	END
}

@test "the default image is small, complete, and the same bytes for everyone" {
	[ -e "$SBX_BUILD/../image/default/build" ] || skip "the sources are not here"
	"$SBX_BUILD/../image/default/build" default.erofs
	cmp default.erofs "$SBX_BUILD/default.erofs"
	[ "$(stat -c %s default.erofs)" -lt 4000000 ]
	look default.erofs
	for dir in proc sys dev run tmp mnt workspace root etc var/tmp; do
		[ -d "mnt/$dir" ]
	done
	for name in sh ls cat sleep kill; do
		[ -x "mnt/bin/$name" ] || [ -x "mnt/usr/bin/$name" ] || [ "$(readlink "mnt/bin/$name")" = /bin/busybox ]
	done
	[ "$(find mnt ! -user 0 -o ! -group 0)" = "" ]
}

@test "an image made of an archive boots and runs a program" {
	make_tree root
	tar -C root -cf root.tar .
	image build root.tar out.erofs -q --compress lz4hc
	run sbx --image out.erofs -- /bin/busybox cat /home/u/link
	assert_status 0
	assert_output_has "made by the test"
}

@test "debian:bookworm is built by mmdebstrap, boots, and has what was included" {
	need mmdebstrap
	[ "$(id -u)" -eq 0 ] || need newuidmap
	run image build debian:bookworm deb.erofs --variant essential --include netbase
	if [[ $output =~ (Could not resolve|Temporary failure resolving|Could not connect|Unable to connect|Network is unreachable)[^$'\n']* ]]; then
		skip "no Debian archive can be reached: ${BASH_REMATCH[0]}"
	fi
	assert_status 0
	assert_output_has "installing Debian bookworm with mmdebstrap"
	[ "$(image inspect --json deb.erofs | jq -r .build_time)" = 2023-06-10T00:00:00Z ]
	if mkdir -p mnt && mount -o loop,ro deb.erofs mnt 2>/dev/null; then
		grep -q '^Package: netbase' mnt/var/lib/dpkg/status
		[ ! -e mnt/etc/hostname ]
		[ ! -s mnt/etc/resolv.conf ]
		umount mnt
	fi
	# shellcheck disable=SC2016
	run sbx --image deb.erofs -- /bin/sh -c '. /etc/os-release; echo "$VERSION_CODENAME"; dpkg -s netbase | grep ^Status'
	assert_status 0
	assert_output_has bookworm
	assert_output_has "install ok installed"
}
