"""Single-row transactions of many clients: how many, at which cost, what they wait for, and how far the sealer is behind.
Usage: clients.py <directory to work in> <seconds>"""

import statistics
import sys
import time
from collections import Counter

from server import Session, outcome, pgbench, rates

WORK, SECONDS = sys.argv[1], int(sys.argv[2])
ROUNDS = 3
SHAPES = ("plain", "audited", "jsonb_trigger", "hstore_trigger")
for shape in SHAPES:
    with open(f"{WORK}/{shape}.sql", "w", encoding="ascii") as script:
        script.write(f"INSERT INTO {shape} (id, name, n) VALUES ((random() * 9e18)::bigint, 'one', 1);\n")


def single_rows(clients: int) -> None:
    taken = {shape: [] for shape in SHAPES}
    for turn in range(ROUNDS):
        # whoever comes first has the emptier table: take turns
        for shape in SHAPES[turn % 4:] + SHAPES[:turn % 4]:
            taken[shape].append(rates(f"{WORK}/{shape}.sql", clients, SECONDS))
    middle = {shape: [statistics.median(values) for values in zip(*taken[shape])] for shape in SHAPES}
    for place, name in ((0, "a second"), (1, "CPU µs each")):
        plain = middle["plain"][place]
        print(f"{f'single-row INSERT, {clients} clients, {name}':46} {plain:9.0f}"
              + "".join(f"{middle[shape][place] / plain:16.2f}" for shape in SHAPES[1:]), flush=True)


# Who waits for a lock on what is ours, and all that writers wait for.
WAITS = """SELECT 'lock on ' || coalesce(l.relation::regclass::text, l.locktype) FROM pg_locks l
    LEFT JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND (l.relation IS NULL OR c.relnamespace = 'strata'::regnamespace OR c.relname LIKE '%history%')
UNION ALL SELECT a.wait_event_type || ' ' || a.wait_event FROM pg_stat_activity a WHERE a.application_name = 'pgbench' AND a.state = 'active' AND a.wait_event IS NOT NULL
UNION ALL SELECT 'samples of running clients' FROM pg_stat_activity a WHERE a.application_name = 'pgbench' AND a.state = 'active';"""
UNSEALED = "SELECT count(*) FROM strata._audit_chunks c WHERE c.chunk_id > (SELECT horizon FROM strata._audit_log) AND NOT EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = c.chunk_id);"


def beside_a_sealer() -> None:
    session, sealer = Session(), Session()
    sealer.run("SELECT strata.seal_audit();")
    running = pgbench(f"{WORK}/audited.sql", 16, 2 * SECONDS)
    waits, behind, seals, next_seal = Counter(), [], [], time.monotonic() + 1
    while running.poll() is None:
        for _ in range(10):
            waits.update(session.run(WAITS))
            time.sleep(0.01)
        if time.monotonic() >= next_seal:
            behind.append(session.value(UNSEALED))
            start = sealer.cpu(), time.monotonic()
            leaves = sealer.value("SELECT strata.seal_audit();")
            seals.append((leaves, sealer.cpu() - start[0], time.monotonic() - start[1], session.value(UNSEALED)))
            next_seal += 1
    tps = outcome(running)[0]
    print(f"\n16 clients beside a sealer that seals every second: {tps:.0f} transactions a second")
    print(f"  chunks waiting before a seal: median {statistics.median(behind):.0f}, most {max(behind):.0f}; "
          f"right after it: most {max(seal[3] for seal in seals):.0f}")
    print(f"  a seal took {statistics.median(seal[2] for seal in seals) * 1000:.0f} ms (median), "
          f"{max(seal[2] for seal in seals) * 1000:.0f} ms (most); {sum(seal[0] for seal in seals) / sum(seal[1] for seal in seals):.0f} leaves a CPU second")
    locks = {name: count for name, count in waits.items() if name.startswith("lock on ")}
    print(f"  {waits['samples of running clients']} samples of running clients; waits for locks on the log or a history: {locks or 'none'}")
    print("  what they waited for: " + ", ".join(f"{name} {count}" for name, count in waits.most_common(7) if not name.startswith(("lock on", "samples"))))
    session.close()
    sealer.close()


print(f"\n{'':46} {'plain':>9}" + "".join(f"{shape:>16}" for shape in SHAPES[1:]))
single_rows(1)
single_rows(16)
beside_a_sealer()
