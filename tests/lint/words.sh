#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lint/words.sh – no path of the machine it was written on, no number of a ticket.
#
# usage: words.sh SOURCE_DIR [BUILD_DIR]
set -euo pipefail

machine='(^|[^[:alnum:]_.])/(wor[k]|tmp/b-[a-z])'
ticket='\b[Ii]ssue #?[0-9]'

offending() { # offending TREE: the lines that name a machine or a ticket
    grep -rnIE --exclude-dir=.git --exclude-dir=build --exclude-dir=corpus \
        --exclude-dir=__pycache__ "$machine|$ticket" "$1" || true
}

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
for planted in '/wor''k/x' 'see /tmp/b-''mine' 'iss''ue #2'; do
    echo "$planted" >"$scratch/planted"
    [ -n "$(offending "$scratch")" ] || { echo "this lint is blind to '$planted'" >&2; exit 1; }
done

found=$(offending "${1:-$(dirname "$0")/../..}")
[ -z "$found" ] && exit 0
printf 'these lines mean something on one machine only:\n%s\n' "$found" >&2
exit 1
