#!/usr/bin/env bash
# A tarball laid out as PostgreSQL and /usr/bin expect it, with licence, changelog and configuration reference.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/build.sh"
major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
name=pg_strata-$(version)-pg$major-$(uname -m)
stage=$TARGET/package/$name
rm -rf "$stage"
install -D -m 755 "$BIN/libpg_strata.so" "$stage/lib/pg_strata.so"
install -D -m 755 "$BIN/strata" "$stage/bin/strata"
install -D -m 644 -t "$stage/share/extension" "$ROOT/sql/pg_strata.control" "$TARGET/extension/pg_strata--$(version).sql"
install -D -m 644 -t "$stage" "$ROOT/LICENSE" "$ROOT/README.md" "$ROOT/CHANGELOG.md" "$ROOT/ingestor/strata.toml"
tar -C "$TARGET/package" --owner=0 --group=0 --sort=name -czf "$TARGET/package/$name.tar.gz" "$name"
say "$TARGET/package/$name.tar.gz"
