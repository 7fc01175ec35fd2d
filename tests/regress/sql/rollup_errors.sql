-- Every error of create_rollup quotes the piece and says how to write it.
\set SHOW_CONTEXT never
CREATE TABLE events (ts timestamptz NOT NULL, k int, f double precision, t text, j jsonb);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', '{}', ARRAY['count(*) AS n'])$refused$);
SELECT strata.create_event_table('events', 'ts') \gset
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['k'], ARRAY['1 + count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n, count(*) AS m'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['random() AS k'], ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['ts::date AS d'], ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n'], filter => 'ts < now()')$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['j'], ARRAY['count(*) AS n'])$refused$);
CREATE COLLATION ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['t COLLATE ignoring_case AS t'], ARRAY['count(*) AS n'])$refused$);
DROP COLLATION ignoring_case;
SELECT refused($refused$SELECT * FROM strata._definition_columns('pg_class')$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['nothing'], ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY['(SELECT 1) AS k'], ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', '{}', '{}')$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', ARRAY[NULL], ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '-1 day', '{}', ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', '{}', ARRAY['count(*) AS n'], timezone => 'Nowhere')$refused$);
SELECT refused($refused$SELECT strata.create_rollup('a.b.c', 'events', '1 day', '{}', ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.create_rollup('events', 'events', '1 day', '{}', ARRAY['count(*) AS n'])$refused$);
SELECT strata.create_rollup('r', 'events', '1 day', '{}', ARRAY['count(*) AS n']);
SELECT refused($refused$SELECT strata.create_rollup('r', 'events', '1 day', '{}', ARRAY['count(*) AS n'])$refused$);
SELECT refused($refused$SELECT strata.refresh_rollup('events')$refused$);
SELECT refused($refused$SELECT strata.drop_rollup('events')$refused$);
SELECT refused($refused$SELECT strata.rollup_query('events')$refused$);
SELECT refused($refused$SELECT * FROM strata.verify_rollup('events')$refused$);
SELECT refused($refused$SELECT strata.release_event_table('events')$refused$);
SELECT strata.drop_rollup('r');
SELECT strata.release_event_table('events');
SELECT refused($refused$SELECT strata._authorized('events', 'OWNER')$refused$);
DROP TABLE events;
