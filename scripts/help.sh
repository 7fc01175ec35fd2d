#!/usr/bin/env bash
# Lists the targets of the Makefile with the text behind their `##`.
set -euo pipefail
echo "make <target>, one of:"
sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' "$1" | awk -F'|' '{ printf "%-14s%s\n", $1, $2 }'
