#!/usr/bin/env python3
"""The house rules for sql/: one public function a file, documented, locked, loud.

Usage: sql_rules.py [root of the tree]; prints one line a violation, exit code 1 if there is any.
A function that cannot lock its search_path (inlined SQL, a procedure that commits) says why, in a comment
`-- no search_path: reason` between CREATE and its body, and qualifies every name instead.
"""

import re
import sys
from pathlib import Path

CREATE = re.compile(
    r"\bCREATE\s+(?P<replace>OR\s+REPLACE\s+)?(?P<kind>FUNCTION|PROCEDURE)\s+(?P<name>[\w.\"]+)\s*\(", re.I)
# Words that open a line of SQL, hardly ever the name of anything.
KEYWORDS = re.compile(
    r"^\s*(select|insert into|update|delete from|create|alter|from|where|order by|group by|returns|language|"
    r"begin|end|declare|raise|return|grant|revoke|comment on)\b", re.M)


def blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def without_comments(sql: str) -> str:
    """Blanks comments, but leaves strings and dollar-quoted bodies; offsets are kept."""
    token = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.S)
    return token.sub(lambda m: blank(m.group(0)) if m.group(0)[0] != "'" else m.group(0), sql)


def without_strings(sql: str) -> str:
    return re.sub(r"'(?:[^']|'')*'", lambda m: blank(m.group(0)), sql, flags=re.S)


def statement_at(sql: str, start: int) -> str:
    """From start to the semicolon that ends the statement, dollar-quoted bodies included."""
    token = re.compile(r"'(?:[^']|'')*'|(\$\w*\$).*?\1|;|\bBEGIN\s+ATOMIC\b.*?\bEND\s*;", re.S)
    for match in token.finditer(sql, start):
        if match.group(0).endswith(";"):
            return sql[start:match.end()]
    return sql[start:]


def header_of(statement: str) -> str:
    """The statement without its body."""
    return re.sub(r"(\$\w*\$).*?\1", "$$$$", statement, flags=re.S)


def functions(sql: str):
    code = without_comments(sql)
    for match in CREATE.finditer(code):
        statement = statement_at(code, match.start())
        raw = sql[match.start():match.start() + len(statement)]
        yield match, statement, header_of(statement), raw


def check_file(path: str, sql: str) -> list[str]:
    faults = []
    code = without_comments(sql)
    public = set()

    def fault(offset: int, text: str) -> None:
        faults.append(f"{path}:{sql.count(chr(10), 0, offset) + 1}: {text}")

    for match, _, header, raw in functions(sql):
        name, kind = match["name"], match["kind"].upper()
        bare = name.split(".")[-1]
        if not name.startswith("strata."):
            fault(match.start(), f"{name} must be created in schema strata by its whole name")
        if match["replace"]:
            fault(match.start(), f"{name}: CREATE, never CREATE OR REPLACE, on install")
        if not bare.startswith("_"):
            public.add(bare)
            if not re.search(rf"\bCOMMENT\s+ON\s+{kind}\s+strata\.{bare}\s*\(", code, re.I):
                fault(match.start(), f"{name} has no COMMENT ON {kind}")
        locked = re.search(r"\bSET\s+search_path\s*(?:=|TO)", header, re.I)
        if re.search(r"\bSECURITY\s+DEFINER\b", header, re.I) and not locked:
            fault(match.start(), f"{name} is SECURITY DEFINER without SET search_path")
        elif re.search(r"\bLANGUAGE\s+'?(?:plpgsql|sql)\b", header, re.I) and not locked \
                and not re.search(r"--\s*no search_path:\s*\S", raw):
            fault(match.start(), f"{name} has neither SET search_path nor a comment '-- no search_path: reason'")

    if len(public) > 1 and "/functions/" in f"/{path}" and not path.endswith("native.sql"):
        fault(0, "holds more than one public function: " + ", ".join(sorted(public)))
    if len(public) == 1 and "/functions/" in f"/{path}" and not path.endswith("native.sql") \
            and Path(path).stem not in public:
        fault(0, f"must be named after its function {next(iter(public))}")
    for match in KEYWORDS.finditer(without_strings(code)):
        fault(match.start(1), f"keywords are upper case: {match.group(1)}")
    for match in re.finditer(r"\t", sql):
        fault(match.start(), "four spaces, not a tab")
    return faults


def check(root: Path) -> list[str]:
    faults = []
    for path in sorted((root / "sql").rglob("*.sql")):
        name = path.relative_to(root).as_posix()
        if not name.startswith("sql/upgrade/"):
            faults += check_file(name, path.read_text())
    return faults


if __name__ == "__main__":
    faults = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(faults) or "SQL rules: clean")
    sys.exit(1 if faults else 0)
