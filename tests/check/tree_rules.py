#!/usr/bin/env python3
"""What must never be committed: host names of package registries, paths of one machine, things left open.

Usage: tree_rules.py [root of the tree]; looks at the files git knows, lock files aside.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# A tree that names a registry cannot be built behind another one.
PUBLIC = [r"crates[.]io", r"npmjs[.](?:org|com)", r"pypi[.](?:org|python)", r"pythonhosted[.]org", r"proxy[.]golang[.]org"]
OPEN = [r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bunimplemented!", r"\bto" + r"do!\s*\("]


def configured_hosts() -> list[str]:
    """Hosts this machine takes packages from, whatever they are called."""
    texts = [os.environ.get(name, "") for name in os.environ if re.search(r"INDEX|REGISTR|PROXY|FIND_LINKS", name)]
    home = Path.home()
    for name in (".cargo/config.toml", ".cargo/config", ".npmrc", ".config/pip/pip.conf", ".pip/pip.conf"):
        if (home / name).is_file():
            texts.append((home / name).read_text(errors="replace"))
    if Path("/etc/pip.conf").is_file():
        texts.append(Path("/etc/pip.conf").read_text(errors="replace"))
    hosts = {host for text in texts for host in re.findall(r"[a-z+]+://(?:[^@/\s\"']*@)?([\w.-]+)", text)}
    return sorted(host for host in hosts if host not in ("localhost", "127.0.0.1", "github.com"))


def patterns(root: Path) -> list[tuple[str, re.Pattern]]:
    hosts = PUBLIC + [re.escape(host) for host in configured_hosts()]
    places = {str(root.resolve().parent) + "/"}
    if len(Path.home().parts) > 1:
        places.add(str(Path.home()) + "/")
    return [
        ("names a package registry", re.compile("|".join(hosts))),
        ("names a path of one machine", re.compile("|".join(rf"(?<![\w.$}}]){re.escape(p)}" for p in sorted(places) if p != "//"))),
        ("left open", re.compile("|".join(OPEN))),
    ]


def check_text(path: str, text: str, rules: list[tuple[str, re.Pattern]]) -> list[str]:
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        for says, pattern in rules:
            match = pattern.search(line)
            if match:
                faults.append(f"{path}:{number}: {says}: {match.group(0)}")
    return faults


def check(root: Path) -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True).stdout
    rules = patterns(root)
    faults = []
    for path in filter(None, listed.split("\0")):
        file = root / path
        if path.endswith((".lock", "package-lock.json")) or not file.is_file():
            continue
        data = file.read_bytes()
        if b"\0" not in data[:8000]:
            faults += check_text(path, data.decode(errors="replace"), rules)
    return faults


if __name__ == "__main__":
    faults = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(faults) or "tree: clean")
    sys.exit(1 if faults else 0)
