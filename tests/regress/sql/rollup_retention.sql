-- Retention of rollups themselves, longer and shorter than that of the rows. Days are counted from today.
CREATE SCHEMA rollup_retention;
SET search_path = rollup_retention, public;
SET timezone = 'UTC';
CREATE FUNCTION days(ts timestamptz) RETURNS int LANGUAGE sql AS $$ SELECT extract(day FROM ts - date_trunc('day', now()))::int $$;
CREATE FUNCTION ago(n int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT date_trunc('day', now()) - n * interval '1 day' + interval '1 minute' $$;
CREATE FUNCTION reach(rollup regclass, OUT first int, OUT groups bigint) LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('SELECT days(min(bucket)), count(*) FROM %s', rollup) INTO first, groups; END $$;
CREATE TABLE visits (ts timestamptz NOT NULL, page text);
SELECT strata.create_event_table('visits', 'ts', '10 days', premake => 0, accept_past => '200 days');
SELECT strata.ensure_partitions('visits', ago(120), ago(0)) > 10 AS made;
INSERT INTO visits SELECT ago(n), 'p' || n % 3 FROM generate_series(0, 120) n;
SELECT refused($$SELECT strata.create_rollup('none', 'visits', '1 day', '{}', ARRAY['count(*) AS n'], retention => '-1 day')$$);
SELECT strata.create_rollup('shorter', 'visits', '1 day', ARRAY['page'], ARRAY['count(*) AS n']);
SELECT strata.create_rollup('recomputed', 'visits', '1 day', ARRAY['page'], ARRAY['count(DISTINCT page) AS n']);
SELECT strata.create_rollup('longer', 'visits', '1 day', ARRAY['page'], ARRAY['count(*) AS n'], retention => '100 days');
SELECT strata.create_rollup('for_ever', 'visits', '1 day', ARRAY['page'], ARRAY['count(*) AS n']);
CREATE TABLE before AS SELECT * FROM for_ever;
-- from its creation on
SELECT * FROM reach('longer');
SELECT rollup, retention, days(retained_from), days(exact_from) FROM strata.rollups WHERE source = 'visits'::regclass ORDER BY 1;
-- set later: nothing goes before maintenance
SELECT strata.alter_rollup('shorter', '40 days'), strata.alter_rollup('recomputed', '40 days'), strata.alter_rollup('for_ever');
SELECT * FROM reach('shorter');
CALL strata.maintain_partitions('visits');
SELECT * FROM reach('shorter');
SELECT * FROM reach('recomputed');
SELECT * FROM reach('for_ever');
SELECT min(l.lower) = date_trunc('month', date_trunc('day', now()) - interval '40 days') AS storage_ends FROM strata._leaves('shorter_storage') l;
SELECT rollup, retention, days(retained_from), days(exact_from) FROM strata.rollups WHERE source = 'visits'::regclass ORDER BY 1;
SELECT relation, action, days(lower), days(upper), reason, partition IS NOT NULL AS partition FROM strata.retention_log
WHERE relation ~ 'rollup_retention.(shorter|recomputed|longer|for_ever)' AND action <> 'dropped' ORDER BY at;
SELECT count(*) >= 2 AS dropped, bool_and(bytes > 0) AS sized FROM strata.retention_log WHERE relation = 'rollup_retention.shorter' AND action = 'dropped';
SELECT object, status FROM strata.health WHERE check_name = 'rollup_retention' ORDER BY 1;
-- rows below that are still there do not count, whatever happens to them; above, the rollup is its query
INSERT INTO visits VALUES (ago(60), 'late'), (ago(10), 'late');
UPDATE visits SET page = 'changed' WHERE ts IN (ago(70), ago(20));
DELETE FROM visits WHERE ts IN (ago(80), ago(30));
SELECT * FROM reach('shorter');
SELECT * FROM strata.verify_rollup('shorter');
SELECT * FROM strata.verify_rollup('recomputed');
SET client_min_messages = warning;
CALL strata.refresh_rollups('visits');
RESET client_min_messages;
SELECT * FROM strata.verify_rollup('shorter');
SELECT * FROM strata.verify_rollup('recomputed');
SELECT * FROM reach('shorter');
SELECT strata.rebuild_rollup('shorter') > 0 AS rebuilt;
SELECT * FROM reach('shorter');
SELECT strata.add_rollup_aggregate('shorter', 'min(page) AS first');
SELECT * FROM reach('shorter');
SET client_min_messages = warning;
CALL strata.refresh_rollups('visits');
RESET client_min_messages;
SELECT * FROM reach('shorter');
SELECT * FROM strata.verify_rollup('shorter');
SELECT strata.suspend_rollup('shorter');
SET client_min_messages = warning;
SELECT strata.resume_rollup('shorter') > 0 AS resumed;
RESET client_min_messages;
SELECT * FROM reach('shorter');
-- the rows go: what is longer than they are stays frozen, what is shorter goes on as it was
SET client_min_messages = warning;
SELECT strata.alter_event_table('visits', retention => '60 days', accept_past => '50 days');
CALL strata.maintain_partitions('visits');
RESET client_min_messages;
SELECT days(retained_from) BETWEEN -70 AND -60 AS retained FROM strata.event_tables WHERE relation = 'visits'::regclass;
SELECT * FROM reach('longer');
SELECT * FROM reach('for_ever');
SELECT * FROM reach('shorter');
SELECT count(*) FROM (SELECT * FROM before WHERE days(bucket) < -81 EXCEPT ALL SELECT * FROM for_ever) d;
SET client_min_messages = warning;
SELECT * FROM strata.verify_rollup('longer');
SELECT * FROM strata.verify_rollup('shorter');
RESET client_min_messages;
-- an override of the rows' gate moves no rollup back
SELECT days(exact_from) FROM strata.rollups WHERE rollup = 'shorter'::regclass;
-- longer again, or for ever: what is gone stays gone
SELECT strata.alter_rollup('shorter', '0'), strata.alter_rollup('recomputed', '90 days');
CALL strata.maintain_partitions('visits');
SELECT * FROM reach('shorter');
SELECT rollup, retention, days(retained_from) FROM strata.rollups WHERE source = 'visits'::regclass ORDER BY 1;
SELECT refused($$SELECT strata.alter_rollup('visits', '1 day')$$);
SELECT refused($$SELECT strata.alter_rollup('shorter', '-1 day')$$);
-- the step that a lock keeps waiting is tried again later
SELECT strata.alter_rollup('for_ever', '10 days');
SELECT strata._trim_rollups('visits');
SELECT * FROM reach('for_ever');
SELECT strata._trim_rollups('visits') AS dropped;
SET client_min_messages = warning;
DROP SCHEMA rollup_retention CASCADE;
