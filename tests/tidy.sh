#!/bin/sh
# The rules of the house that a script can check. Prints each breach; exits 1 if there is one.
cd "$(dirname "$0")/.." || exit 2
bad=0
say() {
    echo "tidy: $*"
    bad=1
}
sources=$(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.l' '*.y' '*.def' | while read -r f; do [ -f "$f" ] && echo "$f"; done)

extra=$(git ls-files --cached --others --exclude-standard | sed 's#/.*##' | sort -u |
    grep -vxE 'compiler|runtime|grammar|examples|tests|docs|Makefile|README\.md|\..*')
[ -z "$extra" ] || say "at the top level beyond what was agreed: $extra"

for file in $sources; do
    lines=$(wc -l <"$file")
    case $file in
    *.def | */spcc.h | */spcd.h | tests/*) ;; # tables and the two headers are read from the top
    *) [ "$lines" -le 500 ] || say "$file has $lines lines: split it by noun" ;;
    esac
    case $file in
    *.def) width=130 ;; # a row of a table reads better whole
    *) width=120 ;;
    esac
    grep -nE ".{$((width + 1))}" "$file" /dev/null | sed "s/:\([0-9]*\):.*/:\1: longer than $width characters/" |
        sed 's/^/tidy: /' | grep . && bad=1
    grep -nP '\t| +$' "$file" /dev/null | sed 's/:\([0-9]*\):.*/:\1: a tab or a space at the end/' | sed 's/^/tidy: /' | grep . && bad=1
    grep -nE 'TODO|FIXME|XXX' "$file" /dev/null && say "something was left for later in $file"
done

# compiler/ and runtime/ meet in grammar/ only; each foreign library has one home.
grep -ln 'spcd\.h' compiler/* && say "compiler/ includes spcd.h"
grep -ln 'spcc\.h' runtime/*.? runtime/tls/* && say "runtime/ includes spcc.h"
grep -ln '<ev\.h>' runtime/*.? runtime/tls/* | grep -v '^runtime/spcd.h$' && say "ev.h comes through spcd.h"
grep -ln 'pcre2\.h' compiler/*.? runtime/*.? runtime/tls/* | grep -vE '^(compiler/value|compiler/regex|runtime/regex)\.c$' && say "pcre2.h is at home in compiler/value.c and the two regex.c"
grep -ln '<openssl/' compiler/* runtime/*.? | grep -vE '^compiler/tls(_choice)?\.c$' && say "BoringSSL is at home in compiler/tls*.c and runtime/tls/"
grep -ln 'xxhash\.h' compiler/*.? runtime/*.? runtime/tls/* grammar/* | grep -v '^grammar/blob.c$' && say "xxhash.h is at home in grammar/blob.c"

# A function has at most 60 lines, and begins at column 0.
for file in $(echo "$sources" | grep -E '^(compiler|runtime|grammar)/.*\.c$'); do
    awk -v file="$file" '/^\{/ { start = NR } /^\}/ && start { if (NR - start > 62) { print "tidy: " file ":" start ": a function of " NR - start - 1 " lines"; bad = 1 } start = 0 } END { exit bad }' "$file" || bad=1
done

command -v mandoc >/dev/null && for page in docs/*.[158]; do
    [ -f "$page" ] || continue
    mandoc -Tlint -Wwarning "$page" | sed 's/^/tidy: /' | grep . && bad=1
done
exit $bad
