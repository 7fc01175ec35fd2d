#!/usr/bin/env bash
# Writes what docs quote from where it lives: the annotated default configuration into docs/ingestor.md. A test compares.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
python3 - <<'PYTHON'
from pathlib import Path

page = Path("docs/ingestor.md")
text = page.read_text()
start = text.index("```toml\n# Settings of strata") + len("```toml\n")
end = text.index("```\n", start)
page.write_text(text[:start] + Path("ingestor/strata.toml").read_text() + text[end:])
PYTHON
say "docs/ingestor.md quotes ingestor/strata.toml"
