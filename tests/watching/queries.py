#!/usr/bin/env python3
"""Runs every query of the dashboard and every alert's expression against a Prometheus: queries.py http://127.0.0.1:9090

A panel must show something while a sidecar is at work, unless it shows what does not happen; an alert's expression must be
understood, the names of its metrics must exist, and the one for dead letters must be raised, since some are produced."""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent.parent / "docs/examples"
# What a sidecar that does well, and only just began, need not have.
MAY_BE_EMPTY = {"Events passed over", "Retries by kind"}
# (those of the audit log are a sealing sidecar's: tests/audit/run_seals.sh looks for them)
ABSENT = {"strata_skipped_events_total", "strata_retries_total", "strata_audit_seal_failures_total", "strata_audit_digest_timestamp_seconds"}
PATIENCE = 90


def ask(base: str, path: str, **parameters: str):
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{parameters}: {json.load(error)['error']}") from error


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            # As Grafana fills them in.
            query = target["expr"].replace("$__rate_interval", "10s").replace("$relation", ".*")
            found.append((panel["title"], query))
    return found


def until(what: str, look):
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        try:
            if look():
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise SystemExit(f"waited {PATIENCE} s in vain for {what}")


def main(base: str) -> None:
    until("the first scrape with rows", lambda: ask(base, "query", query="sum(strata_rows_total) > 500")["result"])
    until("dead letters to be an alert", lambda: any(
        alert["labels"]["alertname"] == "StrataDeadLetters" and alert["state"] == "firing" for alert in ask(base, "alerts")["alerts"]))
    queries = panels()
    shown = len(queries)
    assert len(queries) > 15, "the dashboard has hardly any panel"

    def all_shown() -> bool:
        nonlocal queries
        queries = [(title, query) for title, query in queries
                   if not ask(base, "query", query=query)["result"] and title not in MAY_BE_EMPTY]
        return not queries
    try:
        until("every panel to show something", all_shown)
    except SystemExit as error:
        raise SystemExit(f"{error}: {queries}") from error
    names = set(ask(base, "label/__name__/values"))
    rules = [rule for group in ask(base, "rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule["health"] != "ok":
            raise SystemExit(f"{rule['name']}: {rule.get('lastError')}")
        for name in re.findall(r"\bstrata_\w+", rule["query"]):
            if name not in names | ABSENT:
                raise SystemExit(f"{rule['name']}: there is no metric {name}")
    raised = {alert["labels"]["alertname"] for alert in ask(base, "alerts")["alerts"] if alert["state"] == "firing"}
    if raised != {"StrataDeadLetters"}:
        raise SystemExit(f"raised: {raised}")
    print(f"{shown} queries of panels show what they should, {len(rules)} alerts are understood")


if __name__ == "__main__":
    main(sys.argv[1])
