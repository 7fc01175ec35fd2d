#!/usr/bin/env bash
# Writes the extension's install script: the files of sql/ in the order of sql/order.txt. Prints where it went.
. "$(dirname "$0")/lib.sh"
out=$TARGET/extension/pg_strata--$(version).sql
mkdir -p "$(dirname "$out")"
cd "$ROOT/sql"

shopt -s nullglob globstar
files=()
while read -r pattern; do
    case $pattern in '' | '#'*) continue ;; esac
    # shellcheck disable=SC2206 # a pattern is a path or a glob; sorting is the shell's, fixed by LC_ALL
    LC_ALL=C matches=($pattern)
    [ ${#matches[@]} -gt 0 ] && [ -f "${matches[0]}" ] || die "sql/order.txt names $pattern, which is no file"
    for file in "${matches[@]}"; do
        case " ${files[*]-} " in *" $file "*) continue ;; esac # a glob after a path takes the rest
        files+=("$file")
    done
done < <(sed 's/[[:space:]]*#.*//' order.txt)

# A file that no line names would be missing from every database without a word.
for file in **/*.sql; do
    case $file in portable/* | upgrade/*) continue ;; esac
    case " ${files[*]} " in *" $file "*) ;; *) die "sql/order.txt does not name $file" ;; esac
done

{
    printf '%s\n' '\echo Use "CREATE EXTENSION pg_strata" to load this file. \quit'
    for file in "${files[@]}"; do
        printf '\n-- %s\n' "$file"
        cat "$file"
    done
} >"$out.part"
mv "$out.part" "$out"
echo "$out"
