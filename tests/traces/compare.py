#!/usr/bin/env python3
"""What the collector was sent is what the pipeline did: compare.py SPANS ROWS. Every batch that was committed has its copy, its commit
and the pages it came of; all rows are in one."""

import json
import sys
from pathlib import Path

spans = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
rows = int(sys.argv[2])
by_id = {span["id"]: span for span in spans}
named = {name: [span for span in spans if span["name"] == name] for name in ("page", "fetch", "decode", "batch", "prepare", "copy", "commit")}


def holds(what, condition):
    if not condition:
        sys.exit(f"not so: {what}")


for name, found in named.items():
    holds(f"there are spans {name}", found)
holds("nothing else is sent", sum(len(found) for found in named.values()) == len(spans))
holds("the service has its name", all(span["resource"]["service.name"] == "tested" for span in spans))
holds("headers are sent", all(span["header"] == "seven" for span in spans))
holds("ends come after beginnings", all(span["end"] >= span["start"] for span in spans))
for page in named["page"]:
    about = page["attributes"]
    holds(f"a page has stream and shard: {page}", about["stream"] == "clicks" and about["shard"].startswith("shardId-") and not page["parent"])
for decode in named["decode"]:
    page = by_id[decode["parent"]]
    holds(f"a decode belongs to a page: {decode}", page["name"] == "page")
    fetch = next(fetch for fetch in named["fetch"] if fetch["parent"] == page["id"])
    holds(f"and comes after its fetch, of as many records: {decode}", fetch["end"] <= decode["start"]
          and fetch["attributes"]["records"] >= decode["attributes"]["rows"] and fetch["attributes"]["bytes"] > 0)
for batch in named["batch"]:
    about = batch["attributes"]
    children = {span["name"]: span for span in spans if span["parent"] == batch["id"]}
    holds(f"a batch says where it went: {batch}", about["relation"] == "public.clicks" and about["batch_id"] > 0)
    holds(f"a batch has all its parts: {batch}", {"prepare", "copy", "commit"} <= children.keys())
    holds(f"the parts are in its trace: {batch}", all(child["trace"] == batch["trace"] for child in children.values()))
    holds("it commits after it copies", children["copy"]["end"] <= children["commit"]["start"])
    holds("it names its rows", children["copy"]["attributes"]["rows"] == about["rows"])
    holds(f"it comes of pages: {batch}", len(batch["links"]) == about["pages"] > 0 and all(by_id[link]["name"] == "page" for link in batch["links"]))
holds("all rows are in a batch", sum(batch["attributes"]["rows"] for batch in named["batch"]) == rows)
holds("all rows were decoded", sum(decode["attributes"]["rows"] for decode in named["decode"]) == rows)
print(f"{len(spans)} spans of {len(named['batch'])} batches and {len(named['page'])} pages tell of {rows} rows")
