#!/usr/bin/env python3
"""Who may know whom. Reads Rust sources and manifests as text, builds nothing.

Each rule names the files it holds for and what must not occur in their code; comments do not count.
Usage: layering.py [root of the tree]; prints one line a violation, exit code 1 if there is any.
"""

import re
import sys
import tomllib
from pathlib import Path

CLOCK = r"SystemTime|Instant\s*::\s*now|Timestamp::now|Zoned::now"
AWS = r"\baws_(?:config|credential|runtime|sdk|sig|smithy|types)\w*"
# CREATE EXTENSION is not among them: hints tell people to type it.
DDL = (
    r"\b(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+|TEMP(?:ORARY)?\s+|UNLOGGED\s+|UNIQUE\s+)*"
    r"(?:TABLE|INDEX|SCHEMA|ROLE|VIEW|SEQUENCE|TRIGGER|TYPE|FUNCTION|PROCEDURE)\b|\bTRUNCATE\s+(?:TABLE\s+)?[a-z]"
)

# (what the rule says, where it holds, where it does not, the pattern that breaks it)
RULES = [
    ("core is pure: no pgrx", "extension/core/src/**/*.rs", None, r"\bpgrx\b"),
    ("core is pure: no async runtime", "extension/core/src/**/*.rs", None, r"\btokio\b"),
    ("core is pure: no I/O", "extension/core/src/**/*.rs", None, r"\bstd::(?:fs|net|io|env|process|thread)\b"),
    ("core is pure: no clock", "extension/core/src/**/*.rs", None, CLOCK),
    ("core is pure: no unsafe", "extension/core/src/**/*.rs", None, r"\bunsafe\b"),
    ("a backend has one thread and no driver", "extension/src/**/*.rs", None,
     rf"\btokio(?:_postgres)?\b|{AWS}|\btracing\b|\bstd::thread\b"),
    ("the sidecar meets the extension over the wire only", "ingestor/src/**/*.rs", None, r"\bpgrx\b"),
    ("the sidecar sends no DDL", "ingestor/src/**/*.rs", None, DDL),
    ("only kinesis and s3 files name the AWS SDK", "ingestor/src/**/*.rs", r"(?:^|/)(?:kinesis|s3)[^/]*(?:/|\.rs$)", AWS),
    ("only postgres files name the driver", "ingestor/src/**/*.rs", r"(?:^|/)postgres[^/]*(?:/|\.rs$)", r"\btokio_postgres\s*::|\buse\s+tokio_postgres\b"),
    ("tests do not import what they test", "tests/**/*.rs", None, r"\buse\s+(?:strata|pg_strata)\s*::|\bextern\s+crate\s+(?:pg_)?strata\b"),
]

# Dependencies a manifest must not have, build and dev dependencies included.
MANIFESTS = [
    ("extension/core/Cargo.toml", r"pgrx|tokio|aws-.*|tracing|strata|pg_strata"),
    ("extension/Cargo.toml", r"tokio.*|aws-.*|tracing.*|strata"),
    ("ingestor/Cargo.toml", r"pgrx.*|pg_strata"),
    ("tests/e2e/Cargo.toml", r"pgrx.*|pg_strata|strata|kinesis-endpoint"),
    ("tests/kinesis/Cargo.toml", r"pgrx.*|pg_strata|strata|strata-core|tokio-postgres"),
]

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|\'(?:\\.|[^\\\'])\'', re.S)


def code_of(source: str) -> str:
    """The source without comments; strings stay, since SQL lives in them. Line numbers are kept."""
    def blank(match: re.Match) -> str:
        text = match.group(0)
        return "\n" * text.count("\n") if text.startswith("/") else text
    return TOKEN.sub(blank, source)


def sources(root: Path) -> list[str]:
    found = []
    for top in ("extension", "ingestor", "tests"):
        found += [path.relative_to(root).as_posix() for path in sorted((root / top).rglob("*.rs"))]
    return found


def glob(pattern: str) -> re.Pattern:
    return re.compile("^" + re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*") + "$")


def check(root: Path) -> list[str]:
    faults = []
    for path in sources(root):
        code = code_of((root / path).read_text())
        for says, where, but_not, pattern in RULES:
            if not glob(where).match(path) or (but_not and re.search(but_not, path)):
                continue
            for match in re.finditer(pattern, code):
                line = code.count("\n", 0, match.start()) + 1
                faults.append(f"{path}:{line}: {says}, found: {match.group(0)}")
    for manifest, forbidden in MANIFESTS:
        if not (root / manifest).exists():
            continue
        parsed = tomllib.loads((root / manifest).read_text())
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name in parsed.get(section, {}):
                if re.fullmatch(forbidden, name):
                    faults.append(f"{manifest}: must not depend on {name}")
                version = parsed[section][name]
                if not (isinstance(version, dict) and version.get("workspace")):
                    faults.append(f"{manifest}: {name} must take its version from the workspace")
    return faults


if __name__ == "__main__":
    faults = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(faults) or "layering: clean")
    sys.exit(1 if faults else 0)
