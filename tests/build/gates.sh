#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The static checks themselves: in a small tree each rule is broken once, and its check must say so.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/build/tap.bash
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{src/base,src/proto,src/vmm,src/host,cli,guest,include,node/addon,node/src}
cp -r tools .clang-format "$tree/"
LICENCE='/* SPDX-License-Identifier: MIT OR Apache-2.0 */'

# Write a source with the given lines after the licence and an opening comment, run a check, expect it to fail there.
catches() { # tool file text
	local status=0 out
	printf '%s\n/* What it is. */\n%b\n' "$LICENCE" "$3" >"$tree/$2"
	out=$("$tree/tools/$1" 2>&1) || status=$?
	rm "$tree/$2"
	printf '%s\n' "$out"
	[ "$status" != 0 ] || grep -q '^not ok' <<<"$out"
}

accepts() { # tool file text
	! catches "$@"
}

check "an empty tree has the layers right" accepts check-layers src/base/a.c ''
check "base may not include proto" catches check-layers src/base/a.c '#include "proto/msg.h"'
check "proto may include base" accepts check-layers src/proto/a.c '#include "base/rd.h"'
check "vmm may not include http" catches check-layers src/vmm/a.c '#include "http/h1.h"'
check "cli may include sbx.h only" catches check-layers cli/a.c '#include "base/rd.h"'
check "the addon may include sbx.h only" catches check-layers node/addon/a.c '#include "base/rd.h"'
check "guest may include proto" accepts check-layers guest/a.c '#include "proto/msg.h"'
check "only kvm*.c knows the KVM interface" catches check-layers src/vmm/qemu.c '#include <linux/kvm.h>'
check "kvm.c knows the KVM interface" accepts check-layers src/vmm/kvm.c '#include <linux/kvm.h>'
check "an innocent source passes the style check" accepts check-style src/base/a.c 'int a(void);'
check "sprintf is banned" catches check-style src/base/a.c 'int a(void)\n{\n\treturn sprintf(b, "x");\n}'
check "sprintf in a comment or a literal is not" accepts check-style src/base/a.c '/* sprintf(x) */ const char *a = "sprintf(";'
check "strtoul is banned" catches check-style cli/a.c 'long a = strtoul(b, 0, 10);'
check "an exception with a reason is accepted" accepts check-style cli/a.c '/* style: strtoul: why */\nlong a = strtoul(b, 0, 10);'
check "open without O_CLOEXEC is caught" catches check-style src/base/a.c 'int a = open("x",\n\t\tO_RDONLY);'
check "open with O_CLOEXEC is fine" accepts check-style src/base/a.c 'int a = open("x",\n\t\tO_RDONLY | O_CLOEXEC);'
check "exit is banned in the core" catches check-style src/base/a.c 'void a(void) { exit(1); }'
check "exit is allowed in the command" accepts check-style cli/a.c 'void a(void) { exit(1); }'
check "typedefs are caught" catches check-style include/a.h 'typedef struct a b;'
check "a type that is none is caught" catches check-style node/src/a.ts 'const a = b as any;'
check "a list of what has no type is caught" catches check-style node/src/a.ts 'export function a(b: readonly any[]): void;'
check "the word in a name, a comment or a call is not" accepts check-style node/src/a.ts '// any\nconst company = AbortSignal.any([]);'
check "trailing blanks are caught" catches check-style src/base/a.c 'int a; '
check "good layout is accepted" accepts check-format src/base/a.c 'int a(int b)\n{\n\tif (b)\n\t\treturn 1;\n\treturn 0;\n}'
check "a brace on the wrong line is caught" catches check-format src/base/a.c 'int a(int b) {\n\treturn b;\n}'
check "indentation by blanks is caught" catches check-format src/base/a.c 'int a(int b)\n{\n        return b;\n}'
check "a header that needs another is caught" catches check-headers src/base/a.h 'size_t a(void);'
check "a header that stands alone is accepted" accepts check-headers src/base/a.h '#include <stddef.h>\nsize_t a(void);'
no_licence() {
	echo 'int a;' >"$tree/src/base/a.c"
	! "$tree/tools/check-style" | grep -q '^ok.*licence'
}
check "a source without the licence line is caught" no_licence
every_figure_is_there() {
	local out
	out=$(SBX_BUILD=$tree bench/run nonsense 2>&1) && return 1
	[[ $out == *"there is no figure 'nonsense'"* ]]
}
check "each figure of bench/run can be run, and others are refused" every_figure_is_there
finish
