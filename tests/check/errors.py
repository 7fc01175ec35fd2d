#!/usr/bin/env python3
"""Every SQLSTATE of class ST that the SQL raises is explained in docs/errors.md and provoked by a test, and no other.

Usage: errors.py [root]
"""

import re
import sys
from pathlib import Path

RAISED = re.compile(r"ERRCODE = '(ST\d{3})'")
LISTED = re.compile(r"^\| `(ST\d{3})`", re.M)


def faults(root: Path) -> list[str]:
    raised = {code for file in (root / "sql").rglob("*.sql") for code in RAISED.findall(file.read_text())}
    listed = set(LISTED.findall((root / "docs/errors.md").read_text()))
    provoked = "".join(file.read_text() for file in (root / "tests").glob("*/expected/*.out"))
    found = [f"{code} is raised, and docs/errors.md does not list it" for code in sorted(raised - listed)]
    found += [f"{code} is listed in docs/errors.md, and nothing raises it" for code in sorted(listed - raised)]
    found += [f"{code} is provoked by no test" for code in sorted(raised) if code not in provoked]
    return found or ([] if raised else ["no code found at all: the pattern does not fit any more"])


if __name__ == "__main__":
    problems = faults(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(problems) or "errors: clean")
    sys.exit(bool(problems))
