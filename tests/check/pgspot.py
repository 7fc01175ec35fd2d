#!/usr/bin/env python3
"""Runs pgspot over the assembled install script and holds its findings against an annotated list.

Usage: pgspot.py <pgspot executable> <install script> <list>
The list has one finding a line, as pgspot prints it without its line number, then `  # ` and why it is harmless.
An entry that matches nothing any more is a fault too.
"""

import re
import subprocess
import sys
from pathlib import Path

COUNT = re.compile(r"Errors: \d+ Warnings: \d+ Unknown: \d+$")


def allowed(text: str) -> list[str]:
    entries = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        finding, separator, reason = line.partition("  # ")
        if not separator or not reason.strip():
            raise ValueError(f"no reason given: {line}")
        entries.append(finding.strip())
    return entries


def findings(report: str) -> list[str]:
    """Every line but the count: pgspot counts no error when it cannot parse the script, it only says so."""
    return [line.strip() for line in report.splitlines() if line.strip() and not COUNT.match(line.strip())]


def judge(report: str, entries: list[str]) -> tuple[list[str], list[str]]:
    """The findings nobody allowed, and the entries nothing was found for."""
    used, left = set(), []
    for finding in findings(report):
        bare = re.sub(r"\s+at line \d+$", "", finding)
        match = next((entry for entry in entries if bare == entry), None)
        if match is None:
            left.append(finding)
        else:
            used.add(match)
    return left, [entry for entry in entries if entry not in used]


def main(executable: str, script: str, listed: str) -> int:
    # psql's own commands are not SQL.
    sql = re.sub(r"^\\.*$", "", Path(script).read_text(), flags=re.M).replace("@extowner@", "extowner")
    run = subprocess.run([executable, "--ignore-lang", "c", "/dev/stdin"], input=sql, capture_output=True, text=True)
    if run.stderr.strip() or "Errors: " not in run.stdout:
        print(run.stdout, run.stderr, sep="\n", file=sys.stderr)
        return 1
    left, unused = judge(run.stdout, allowed(Path(listed).read_text()))
    for finding in left:
        print(finding)
    for entry in unused:
        print(f"{listed}: nothing is found for: {entry}")
    if not left and not unused:
        print("pgspot: clean")
    return 1 if left or unused else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
