# SPDX-License-Identifier: MIT OR Apache-2.0
#
# C source without comments and without the contents of string and character literals; the lines stay where they were,
# so that a finding can name them. With table=1, each line is FILE <tab> LINE <tab> WORD <tab> CODE, where WORD is that of a
# comment "style: WORD: reason" on this line or the one above. For tools/check-style and tools/report-sizes.
FNR == 1 {
	in_comment = 0
	above = ""
}
{
	line = $0
	here = match($0, /style: [a-z0-9_]+:/) ? substr($0, RSTART + 7, RLENGTH - 8) : ""
	out = ""
	while (line != "") {
		if (in_comment) {
			end = index(line, "*/")
			if (!end) {
				line = ""
				break
			}
			in_comment = 0
			line = substr(line, end + 2)
			out = out " "
			continue
		}
		if (!match(line, /\/\*|\/\/|"|'/)) {
			out = out line
			break
		}
		mark = substr(line, RSTART, RLENGTH)
		out = out substr(line, 1, RSTART - 1)
		line = substr(line, RSTART + RLENGTH)
		if (mark == "//")
			break
		if (mark == "/*") {
			in_comment = 1
			continue
		}
		# A literal: to the closing quote that no backslash precedes.
		while (line != "" && substr(line, 1, 1) != mark)
			line = substr(line, substr(line, 1, 1) == "\\" ? 3 : 2)
		line = substr(line, 2)
		out = out mark mark
	}
	print (table ? FILENAME "\t" FNR "\t" (here != "" ? here : above) "\t" : "") out
	above = here
}
