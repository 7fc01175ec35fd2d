"""The comparisons: view against query, reader against owner, storage after a refresh, frozen groups against what they were."""
from model import a_key, difference, exact_from, lookup_difference


class Differs(Exception):
    """The promise does not hold: the test has found something."""


SKIPPED = ("55P03", "ST010", "ST004", "42P01", "40001")


class Comparison:
    def __init__(self, session, catalog, changing):
        # changing() tells whether somebody is at a TRUNCATE or DDL
        self.session, self.catalog, self.changing = session, catalog, changing
        # by rollup (its oid): (bound, number of columns, rows below the bound as text)
        self.frozen = {}
        self.done = self.skipped = self.frozen_groups = 0

    def table(self, table, refresh, only=None):
        """The rollups of a table, or one of them."""
        for rollup, relation, suspended, columns in self.catalog():
            if relation == table.name and not suspended and only in (None, rollup):
                try:
                    self.rollup_twice(rollup, columns, refresh)
                    self.done += 1
                except RuntimeError as error:
                    if not str(error).startswith(SKIPPED):
                        raise
                    self.skipped += 1
                finally:
                    if self.session.state != "idle":
                        self.session.run("ROLLBACK")

    def rollup_twice(self, rollup, columns, refresh):
        changing = self.changing()
        try:
            self.rollup(rollup, columns, refresh)
        except Differs:
            # what became empty or went away while we waited for it is not seen by an old snapshot, a new one tells
            if not changing:
                raise
            self.session.run("ROLLBACK")
            self.rollup(rollup, columns, refresh)

    def rollup(self, rollup, columns, refresh):
        run = self.session.run
        run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        oid, bound, suspended = run(f"SELECT rollup::oid, greatest(t.retained_from, r.exact_from), r.suspended_at IS NOT NULL FROM strata.rollups r "
                         f"JOIN strata.event_tables t ON t.relation = r.source WHERE rollup = $${rollup}$$::regclass")[0]
        if suspended == "t":
            run("ROLLBACK")
            return
        query = "(" + run(f"SELECT strata.rollup_query($${rollup}$$)")[0][0].rstrip("; \n") + ") q"
        self.equal(rollup, query, bound, "view")
        hashed = f"SELECT count(*), md5(string_agg(v::text, '|' ORDER BY v::text)) FROM {rollup} v"
        mine = run(hashed)
        theirs = run("SET LOCAL ROLE reader; " + hashed)
        if mine != theirs:
            raise Differs(f"{rollup}: a reader sees {theirs}, the owner {mine}")
        run("RESET ROLE")
        self.compare_frozen(rollup, oid, bound, columns)
        self.lookup(rollup)
        run("COMMIT")
        if refresh:
            run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            run(f"SELECT strata.refresh_rollup($${rollup}$$)")
            pending, filled = run(f"SELECT pending_batches, filled_from IS NULL FROM strata.rollups WHERE rollup = $${rollup}$$::regclass")[0]
            if pending != "0":
                raise Differs(f"{rollup}: {pending} batches pending after a refresh")
            self.equal(rollup, query, bound, "storage")
            run("COMMIT")

    def lookup(self, rollup):
        for place in range(3):
            key = self.session.run(a_key(rollup, (self.done + 1) * 1009 + place))
            if key and self.session.run(lookup_difference(rollup, key[0][0])) != [("0",)]:
                rows = self.session.run(lookup_difference(rollup, key[0][0], rows=True))
                raise Differs(f"a lookup of {key[0][0][:200]} in {rollup} differs from the view:\n" + "\n".join(f"  {side:5} {row[:300]}" for side, row in rows))

    def equal(self, rollup, query, bound, what):
        bound = f"'{bound}'::timestamptz"
        if self.session.run(difference(rollup, query, bound)) != [("0",)]:
            rows = self.session.run(difference(rollup, query, bound, rows=True))
            raise Differs(f"{rollup} ({what}) differs from its query:\n" + "\n".join(f"  {side:5} {row[:300]}" for side, row in rows))

    def compare_frozen(self, rollup, oid, bound, columns):
        known = self.frozen.get(oid)
        if known and known[1] == columns:
            now = self.below(rollup, known[0])
            if now != known[2]:
                gone, come = sorted(set(known[2]) - set(now)), sorted(set(now) - set(known[2]))
                raise Differs(f"{rollup}: frozen groups below {known[0]} changed\n  were {gone[:9]}\n  are  {come[:9]}")
            self.frozen_groups += len(now)
        self.frozen[oid] = (bound, columns, self.below(rollup, bound))

    def below(self, rollup, bound):
        return [row for row, in self.session.run(f"SELECT v::text FROM {rollup} v WHERE bucket < '{bound}'::timestamptz ORDER BY 1")]

    def expect_frozen(self, table):
        """Before retention, with nobody at work: what the groups are that it may freeze, by their query."""
        expected = {}
        for rollup, relation, suspended, columns in self.catalog():
            if relation == table.name and not suspended:
                expected[rollup] = (columns, self.session.run(
                    f"SELECT bucket, q::text FROM (SELECT d.* FROM ({self.session.run(f'SELECT strata.rollup_query($${rollup}$$)')[0][0].rstrip('; ')}) d) q "
                    f"WHERE bucket >= {exact_from(rollup)}"))
        return expected

    def froze(self, expected):
        """After it: the groups below retained_from are those."""
        for rollup, (columns, rows) in expected.items():
            bound, = self.session.run(f"SELECT {exact_from(rollup)}")[0]
            below = [row for row, in self.session.run(
                f"SELECT row FROM unnest({self.array(b for b, _ in rows)}::timestamptz[], {self.array(r for _, r in rows)}::text[]) u (bucket, row) "
                f"WHERE bucket < '{bound}' ORDER BY row")] if rows else []
            found = self.below(rollup, bound)
            lost = [row for row in below if row not in set(found)]
            if lost:
                raise Differs(f"{rollup}: groups below {bound} froze as something else\n  were {lost[:9]}\n  are  {[r for r in found if r not in set(below)][:9]}")

    def array(self, values):
        return "ARRAY[" + ", ".join("$q$" + value + "$q$" for value in values) + "]"
