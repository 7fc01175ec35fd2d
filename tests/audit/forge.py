"""Edits that make up for each other: rows changed so that the XOR of all row leaves stays what it was, and others so that the sum
of their first 64 bits does. Both are made here, in seconds, and each changed row must be found. Usage: forge.py <psql> (with
PGHOST and the like set; table forged, audited, with columns id and v)"""

import functools
import operator
import subprocess
import sys

PSQL = sys.argv[1]
LEAF = "strata._stored_leaf((SELECT table_uuid FROM strata._audited_tables WHERE relation = 'forged'::regclass), 'forged', f)"


def sql(text: str) -> list[list[str]]:
    done = subprocess.run([PSQL, "-XqAt", "-F", " ", "-v", "ON_ERROR_STOP=1"], input=text, stdout=subprocess.PIPE, text=True, check=True)
    return [line.split(" ") for line in done.stdout.splitlines()]


def leaves() -> dict[int, int]:
    return {int(row[0]): int(row[1], 16) for row in sql(f"SELECT f.id, encode({LEAF}, 'hex') FROM forged f;")}


def alternatives() -> dict[int, int]:
    """The leaves that rows would have with another value."""
    return {int(row[0]): int(row[1], 16) for row in sql(
        f"BEGIN; ALTER TABLE forged DISABLE TRIGGER USER; UPDATE forged SET v = v || '!'; SELECT f.id, encode({LEAF}, 'hex') FROM forged f; ROLLBACK;")}


def equal_xor(changes: dict[int, int]) -> set[int]:
    """Rows whose changes cancel by XOR: more of them than bits are dependent, and elimination says which."""
    basis: dict[int, tuple[int, frozenset[int]]] = {}
    for row, change in changes.items():
        used = frozenset({row})
        while change:
            other = basis.get(change.bit_length())
            if other is None:
                basis[change.bit_length()] = (change, used)
                break
            change, used = change ^ other[0], used ^ other[1]
        else:
            return set(used)
    raise SystemExit("too few rows")


def equal_sum(changes: dict[int, int]) -> set[int]:
    """Rows whose changes add up to nothing: pairs whose sums are small, pairs of such, and so on."""
    span = 1 << 63
    known = sorted((change - (1 << 64) if change >= span else change, (row,)) for row, change in changes.items())
    for _ in range(5):
        paired, low, high = [], 0, len(known) - 1
        near = max(4 * span // len(known), 1)
        while low < high:
            total = known[low][0] + known[high][0]
            if total == 0:
                return set(known[low][1] + known[high][1])
            if abs(total) <= near:
                paired.append((total, known[low][1] + known[high][1]))
                low, high = low + 1, high - 1
            elif total < 0:
                low += 1
            else:
                high -= 1
        known, span = sorted(paired), near
    raise SystemExit("too few rows")


def forge(rows: set[int]) -> None:
    ids = ", ".join(map(str, sorted(rows)))
    sql(f"BEGIN; ALTER TABLE forged DISABLE TRIGGER USER; UPDATE forged SET v = v || '!' WHERE id IN ({ids}); ALTER TABLE forged ENABLE ALWAYS TRIGGER strata_audit; ALTER TABLE forged ENABLE ALWAYS TRIGGER strata_audit_truncate; COMMIT;")


def found() -> set[int]:
    faults = sql("SELECT fault, place #>> '{key,id}' FROM strata.verify_audit() WHERE relation = 'forged'::regclass;")
    if any(fault != "edited" for fault, _ in faults):
        raise SystemExit(f"not only edited rows: {faults[:5]}")
    return {int(row) for _, row in faults}


def xor(rows: dict[int, int]) -> int:
    return functools.reduce(operator.xor, rows.values())


def head_sum(rows: dict[int, int]) -> int:
    return sum(leaf >> 192 for leaf in rows.values()) % (1 << 64)


was, might_be = leaves(), alternatives()
some = sorted(was)[:400]
by_xor = equal_xor({row: was[row] ^ might_be[row] for row in some})
by_sum = equal_sum({row: ((might_be[row] >> 192) - (was[row] >> 192)) % (1 << 64) for row in was if row not in some})
for name, rows, fooled in (("XOR", by_xor, xor), ("the sum", by_sum, head_sum)):
    before, known = leaves(), found()
    forge(rows)
    if fooled(before) != fooled(leaves()):
        raise SystemExit(f"{name} changed: nothing was forged")
    if found() != known | rows:
        raise SystemExit(f"{len(rows)} rows forged under {name}, and others were found")
    print(f"{len(rows)} rows edited so that {name} of {len(before)} leaves stays the same: each found")
