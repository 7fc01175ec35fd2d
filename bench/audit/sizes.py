"""What takes how much of the disk, and how fast tables and log are verified."""

from server import Session

session = Session()
session.run("SET client_min_messages = warning; TRUNCATE plain, audited, jsonb_trigger, hstore_trigger, jsonb_log, hstore_log;")
LOG = "pg_total_relation_size('strata._audit_chunks')"
HISTORY = "pg_total_relation_size('audited_history')"


def grown(work: str, sizes: list[str]) -> list[float]:
    before = [session.value(f"SELECT {size};") for size in sizes]
    session.run(work)
    return [session.value(f"SELECT {size};") - was for size, was in zip(sizes, before)]


print("\nbytes on disk a row:")
for name, work, rows in (
    ("INSERT of 100,000 rows", "INSERT INTO TABLE SELECT * FROM source;", 100000),
    ("UPDATE of 50,000 rows", "UPDATE TABLE SET n = n + 1 WHERE id <= 50000;", 50000),
):
    log, history = grown(work.replace("TABLE", "audited"), [LOG, HISTORY])
    triggers = [grown(work.replace("TABLE", f"{shape}_trigger"), [f"pg_total_relation_size('{shape}_log')"])[0] for shape in ("jsonb", "hstore")]
    print(f"  {name}: log {log / rows:.0f}, history {history / rows:.0f}; jsonb trigger {triggers[0] / rows:.0f}, hstore trigger {triggers[1] / rows:.0f}")
table = session.value("SELECT pg_total_relation_size('audited');") / session.value("SELECT count(*) FROM audited;")
print(f"  the table itself, with its key: {table:.0f} (old versions of updated rows not vacuumed yet)")


def cpu(sql: str) -> tuple[float, float]:
    """The best of three runs: what it returned, and CPU seconds."""
    best = float("inf")
    for _ in range(3):
        start = session.cpu()
        result = session.value(sql)
        best = min(best, session.cpu() - start)
    return result, best


session.run("VACUUM ANALYZE audited;")
while session.value("SELECT strata.seal_audit();") > 0:
    pass
rows, seconds = cpu("SELECT strata._audit_rows(strata._audit_scan('audited'));")
print(f"\ntable verification: {rows:.0f} rows of six columns in {seconds * 1000:.0f} ms CPU: {rows / seconds / 1e6:.2f} M a second and core")
entries = session.value("SELECT sum(added_count + removed_count) FROM strata._audit_chunks;")
leaves = session.value("SELECT size FROM strata._audit_log;")
_, seconds = cpu("SELECT count(*) FROM strata._verify_log(ARRAY(SELECT r FROM strata._audit_replay() r));")
print(f"log verification: {leaves:.0f} leaves with {entries:.0f} rows that came or went in {seconds * 1000:.0f} ms CPU: "
      f"{leaves / seconds / 1e3:.0f} k leaves or {entries / seconds / 1e6:.2f} M rows a second and core")
faults, seconds = cpu("SELECT count(*) FROM strata.verify_audit();")
print(f"verify_audit as a whole: {seconds * 1000:.0f} ms CPU, {faults:.0f} faults")
session.close()
