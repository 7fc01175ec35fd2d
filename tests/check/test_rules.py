#!/usr/bin/env python3
"""Shows every rule failing on a bad sample and passing on a good one: a check that cannot fail is not a check."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "readme"))
import blocks  # noqa: E402
import errors  # noqa: E402
import layering  # noqa: E402
import pgspot  # noqa: E402
import sql_rules  # noqa: E402
import tree_rules  # noqa: E402


class Errors(unittest.TestCase):
    def faults(self, raised: str, listed: str, provoked: str) -> list[str]:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            for path, text in (("sql/a.sql", raised), ("docs/errors.md", listed), ("tests/regress/expected/a.out", provoked)):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            return errors.faults(root)

    def test_each_rule_fails(self):
        self.assertEqual([], self.faults("ERRCODE = 'ST001'", "| `ST001` | x |", "ST001: no"))
        self.assertEqual(1, len(self.faults("ERRCODE = 'ST001'", "", "ST001: no")))
        self.assertEqual(1, len(self.faults("ERRCODE = 'ST001'", "| `ST001` | x |\n| `ST002` | x |", "ST001: no")))
        self.assertEqual(1, len(self.faults("ERRCODE = 'ST001'", "| `ST001` | x |", "")))
        self.assertEqual(1, len(self.faults("", "", "")))


class Layering(unittest.TestCase):
    def faults(self, path: str, text: str) -> list[str]:
        with tempfile.TemporaryDirectory() as root:
            file = Path(root) / path
            file.parent.mkdir(parents=True)
            file.write_text(text)
            return layering.check(Path(root))

    def test_each_rule_fails(self):
        bad = [
            ("extension/core/src/a.rs", "use pgrx::prelude::*;"),
            ("extension/core/src/deep/a.rs", "use tokio::time;"),
            ("extension/core/src/a.rs", "let x = std::fs::read(p);"),
            ("extension/core/src/a.rs", "let t = SystemTime::now();"),
            ("extension/core/src/a.rs", "unsafe { x() }"),
            ("extension/src/a.rs", "std::thread::spawn(f);"),
            ("extension/src/a.rs", "tracing::info!(x);"),
            ("ingestor/src/a.rs", "use pgrx::Spi;"),
            ("ingestor/src/a.rs", 'client.execute("CREATE TEMP TABLE x (y int)")'),
            ("ingestor/src/a.rs", 'client.execute("ALTER TABLE x ADD y int")'),
            ("ingestor/src/batch/a.rs", "use aws_sdk_kinesis::Client;"),
            ("ingestor/src/a.rs", "use tokio_postgres::Client;"),
            ("tests/e2e/src/a.rs", "use strata::config::Config;"),
        ]
        for path, text in bad:
            with self.subTest(path=path, text=text):
                self.assertEqual(len(self.faults(path, text)), 1)

    def test_good_code_passes(self):
        good = [
            ("extension/core/src/a.rs", "// tokio and pgrx are for others\n/* unsafe */ fn f() {}"),
            ("ingestor/src/kinesis.rs", "use aws_sdk_kinesis::Client;"),
            ("ingestor/src/kinesis/reader.rs", "use aws_sdk_kinesis::Client;"),
            ("ingestor/src/postgres_copy.rs", "use tokio_postgres::Client;"),
            ("ingestor/src/logs.rs", 'let quiet = ["tokio_postgres"];'),
            ("ingestor/src/a.rs", "// the extension does CREATE TABLE\nlet s = \"INSERT INTO t\";"),
            ("tests/e2e/src/a.rs", "use strata_core::merkle;"),
        ]
        for path, text in good:
            with self.subTest(path=path, text=text):
                self.assertEqual(self.faults(path, text), [])

    def test_manifests(self):
        self.assertEqual(len(self.faults("ingestor/Cargo.toml", "[dependencies]\npgrx = { workspace = true }")), 1)
        self.assertEqual(len(self.faults("ingestor/Cargo.toml", '[dependencies]\nbytes = "1"')), 1)
        self.assertEqual(self.faults("ingestor/Cargo.toml", "[dependencies]\nbytes = { workspace = true }"), [])


GOOD = """-- What it promises.
CREATE FUNCTION strata.do_it(x int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN x;
END;
$$;
COMMENT ON FUNCTION strata.do_it(int) IS 'Does it;
where it does';
"""


class Sql(unittest.TestCase):
    path = "sql/functions/things/do_it.sql"

    def test_good_passes(self):
        self.assertEqual(sql_rules.check_file(self.path, GOOD), [])
        inlined = """CREATE FUNCTION strata._x() RETURNS int
    LANGUAGE sql -- no search_path: inlined
    AS $$ SELECT 1 $$;"""
        self.assertEqual(sql_rules.check_file("sql/functions/private/x.sql", inlined), [])

    def test_each_rule_fails(self):
        bad = {
            "OR REPLACE": GOOD.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
            "no COMMENT ON": GOOD.replace("COMMENT ON FUNCTION", "-- COMMENT ON FUNCTION").replace("where it does';", ""),
            "SECURITY DEFINER without": GOOD.replace("SET search_path = pg_catalog, pg_temp", ""),
            "neither SET search_path": GOOD.replace("SET search_path = pg_catalog, pg_temp", "").replace("SECURITY DEFINER", ""),
            "more than one public": GOOD + GOOD.replace("do_it", "do_more"),
            "upper case": GOOD.replace("    RETURN x", "    return x"),
            "whole name": GOOD.replace("CREATE FUNCTION strata.do_it", "CREATE FUNCTION do_it"),
            "tab": GOOD.replace("    RETURN", "\tRETURN"),
        }
        for says, sql in bad.items():
            with self.subTest(says=says):
                faults = sql_rules.check_file(self.path, sql)
                self.assertTrue(any(says in fault for fault in faults), faults)

    def test_file_is_named_after_its_function(self):
        self.assertEqual(len(sql_rules.check_file("sql/functions/things/other.sql", GOOD)), 1)


class Tree(unittest.TestCase):
    def test_each_rule_fails(self):
        rules = tree_rules.patterns(Path("/somewhere/odd/tree"))
        for line in ("see https://crates" + ".io/x", "cd /somewhere/odd/tree", "// TO" + "DO: later"):
            with self.subTest(line=line):
                self.assertEqual(len(tree_rules.check_text("f", line, rules)), 1)
        self.assertEqual(tree_rules.check_text("f", "cargo and PyPI; see docs/", rules), [])


class Pgspot(unittest.TestCase):
    def test_a_finding_not_on_the_list_fails(self):
        allowed = pgspot.allowed("PS010: Unsafe schema creation: strata  # our own\n# a comment\n")
        report = "PS010: Unsafe schema creation: strata at line 3\nPS017: Unqualified object reference: x at line 9\n"
        left, unused = pgspot.judge(report, allowed)
        self.assertEqual(left, ["PS017: Unqualified object reference: x at line 9"])
        self.assertEqual(unused, [])

    def test_a_script_it_cannot_parse_fails(self):
        left, _ = pgspot.judge("\n Errors: 0 Warnings: 0 Unknown: 0 \n syntax error at or near \"x\"\n", [])
        self.assertEqual(left, ['syntax error at or near "x"'])

    def test_an_entry_that_matches_nothing_is_stale(self):
        left, unused = pgspot.judge("", pgspot.allowed("PS001: gone  # was needed once"))
        self.assertEqual((left, unused), ([], ["PS001: gone"]))

    def test_an_entry_without_reason_is_refused(self):
        with self.assertRaises(ValueError):
            pgspot.allowed("PS001: Unsafe")


class Readme(unittest.TestCase):
    readme = "```sql\nSELECT 1;\n```\n\n```text\n 1\n```\n"

    def test_other_output_fails(self):
        self.assertEqual(blocks.compare(self.readme, " 1\n\n=== block 0 ends ===\n"), [])
        self.assertTrue(blocks.compare(self.readme, " 2\n=== block 0 ends ===\n"))
        self.assertTrue(blocks.compare(self.readme, " 1\n"), "it stopped before its end")
        self.assertTrue(blocks.compare("```sql\nSELECT 1;\n```\n", "=== block 0 ends ===\n"), "no output shown")


if __name__ == "__main__":
    unittest.main()
