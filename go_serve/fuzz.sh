#!/usr/bin/env bash
# Fuzzes every target of the module, six at a time: [GO=go] go_serve/fuzz.sh [TIME]   (30s each unless told otherwise)
#
# Prints a line per target, and all that Go said about one that fails: it names the input that it saved beside the test, which
# from then on is one of the test's own. Exits with 1 if any target failed, or if there are none.
set -euo pipefail
cd "$(dirname "$0")"
export GO=${GO:-go} FUZZTIME=${1:-30s} GOTOOLCHAIN=local CGO_ENABLED=0

fuzz() {
    local package=$1 target=$2 log
    # Little time for making inputs smaller: Go also does that with all that only reach new code, and runs nothing meanwhile.
    log=$("$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 100x -parallel 1 "$package" 2>&1)
    # Go counts inputs only after those that it knew before; a package without the target passes, too, and counts nothing.
    if [ $? = 0 ] && runs=$(grep -oE 'execs: [0-9]+|coverage: [0-9]+/' <<<"$log" | tail -n 1 | grep -oE '[0-9]+'); then
        echo "ok     $target: $runs inputs ($package)"
    else
        printf 'FAILED %s (%s)\n%s\n' "$target" "$package" "$log"
        return 1
    fi
}
export -f fuzz

# go test -list prints names, then the package that has them.
targets=$("$GO" test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')
[ -n "$targets" ] || { echo "fuzz.sh: there are no fuzz targets" >&2; exit 1; }
xargs -P 6 -L 1 bash -c 'fuzz "$@"' fuzz <<<"$targets" || exit 1
