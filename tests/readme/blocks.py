#!/usr/bin/env python3
"""Takes README.md, or another page, apart, and compares what it prints with what happened.

  blocks.py sql README.md           the SQL of all ```sql blocks, each followed by a marker
  blocks.py toml README.md          the text of all ```toml blocks
  blocks.py compare README.md OUT   each ```text block right behind a ```sql block against that block's output in OUT
  blocks.py accept README.md OUT    puts that output into README.md instead
"""

import difflib
import re
import sys
from pathlib import Path

MARKER = "=== block {} ends ==="


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)


def lines(text: str) -> list[str]:
    """Without trailing blanks and empty lines: Markdown and psql differ there."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def outputs(output: str) -> list[str]:
    """What each SQL block printed; a block that did not reach its end is not there."""
    return re.split(r"^=== block \d+ ends ===\n?", output, flags=re.M)[:-1]


def accept(readme: str, output: str) -> str:
    parts = iter(outputs(output))

    def fill(match: re.Match) -> str:
        printed = next(parts)
        return match.group(0) if match["text"] is None else f"{match['sql']}```text\n{printed.strip(chr(10))}\n```\n"
    return re.sub(r"(?P<sql>^```sql\n.*?^```\n\s*)(?:```text\n(?P<text>.*?)^```\n)?", fill, readme, flags=re.M | re.S)


def compare(readme: str, output: str) -> list[str]:
    faults = []
    parts = outputs(output)
    number, pending, compared = 0, None, 0
    for kind, body in blocks(readme):
        if kind == "sql":
            pending, number = number, number + 1
        elif kind == "text" and pending is not None:
            found = lines(parts[pending]) if pending < len(parts) else ["(it did not get there)"]
            difference = list(difflib.unified_diff(lines(body), found, "the page", f"SQL block {pending + 1}", lineterm=""))
            faults += difference
            pending, compared = None, compared + 1
        else:
            pending = None
    faults += [f"SQL block {n + 1}: {line}" for n, part in enumerate(parts) for line in part.splitlines()
               if re.match(r"(psql:.*)?(ERROR|WARNING|FATAL):", line) and line not in readme]
    if not compared:
        faults.append("the page shows no output of its SQL")
    return faults


if __name__ == "__main__":
    what, readme = sys.argv[1], Path(sys.argv[2]).read_text()
    if what == "sql":
        for number, body in enumerate(body for kind, body in blocks(readme) if kind == "sql"):
            print(body + f"\\echo {MARKER.format(number)}")
    elif what == "toml":
        print("\n".join(body for kind, body in blocks(readme) if kind == "toml"))
    elif what == "accept":
        Path(sys.argv[2]).write_text(accept(readme, Path(sys.argv[3]).read_text()))
    else:
        faults = compare(readme, Path(sys.argv[3]).read_text())
        print("\n".join(faults) or f"{sys.argv[2]}: its SQL prints what it says")
        sys.exit(1 if faults else 0)
