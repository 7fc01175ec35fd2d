-- Shards shared out among workers: fair numbers, no needless moves, takeover by the server's clock, 1,000 shards on 10 workers.
\set SHOW_CONTEXT never
CREATE TABLE shared (ts timestamptz NOT NULL, n int);
SELECT strata.create_event_table('shared', 'ts');
-- what a worker does at each look: it takes its share, and gives up what is over it
CREATE FUNCTION pg_temp.look(worker text, shards text[], OUT took int, OUT gave int, OUT quota int, OUT unclaimed int) LANGUAGE plpgsql AS $$
DECLARE
    held text[] := ARRAY(SELECT s.shard FROM strata.shards s WHERE s.relation = 'shared'::regclass AND s.worker = look.worker
                         AND s.expires_at > clock_timestamp() AND NOT s.ended ORDER BY s.shard);
    share record;
BEGIN
    took := 0;
    FOR share IN SELECT * FROM strata._share_shards('shared', 'arn:s', worker, 60000, shards,
        array_fill('TRIM_HORIZON'::text, ARRAY[cardinality(shards)]), held, false)
    LOOP
        IF share.shard IS NULL THEN
            quota := share.quota;
            unclaimed := share.unclaimed;
        ELSE
            took := took + 1;
        END IF;
    END LOOP;
    gave := strata._release_shards('shared', worker, 'arn:s', held[quota + 1:]);
END
$$;
CREATE FUNCTION pg_temp.held() RETURNS TABLE (worker text, shards bigint) LANGUAGE sql AS $$
    SELECT s.worker, count(*) FROM strata.shards s
    WHERE s.relation = 'shared'::regclass AND s.expires_at > clock_timestamp() AND NOT s.ended GROUP BY 1 ORDER BY 1
$$;
SELECT array_agg('shard-' || n ORDER BY n) AS shards FROM generate_series(1, 8) n \gset
-- one takes all, a second is given half, a third its part; the odd ones stay where they are
SELECT * FROM pg_temp.look('a', :'shards');
SELECT * FROM pg_temp.look('b', :'shards');
SELECT * FROM pg_temp.look('a', :'shards');
SELECT * FROM pg_temp.look('b', :'shards');
SELECT * FROM pg_temp.held();
SELECT * FROM pg_temp.look('c', :'shards');
SELECT gave FROM pg_temp.look('a', :'shards');
SELECT gave FROM pg_temp.look('b', :'shards');
SELECT * FROM pg_temp.look('c', :'shards');
SELECT array_agg(shards ORDER BY shards) AS held FROM pg_temp.held();
-- nothing moves any more
SELECT sum(took) AS took, sum(gave) AS gave, sum(quota) AS quota, max(unclaimed) AS unclaimed
FROM unnest(ARRAY['a', 'b', 'c', 'a', 'b', 'c']) AS w, pg_temp.look(w, :'shards');
-- an ended shard is nobody's any more
UPDATE strata._checkpoints SET ended = true WHERE stream = 'arn:s' AND shard IN ('shard-1', 'shard-2');
SELECT count(*) FROM unnest(ARRAY['a', 'b', 'c', 'a', 'b', 'c']) AS w, pg_temp.look(w, :'shards');
SELECT array_agg(shards ORDER BY shards) AS held FROM pg_temp.held();
UPDATE strata._checkpoints SET ended = false WHERE stream = 'arn:s';
SELECT count(*) FROM unnest(ARRAY['a', 'b', 'c', 'a', 'b', 'c']) AS w, pg_temp.look(w, :'shards');
-- one leaves in order: its shards are free at once
SELECT strata._release_leases('b', 'shared') BETWEEN 2 AND 3 AS released;
SELECT count(*) FROM unnest(ARRAY['a', 'c', 'a', 'c']) AS w, pg_temp.look(w, :'shards');
SELECT * FROM pg_temp.held();
-- one dies: nothing of it is free before its lease runs out, all of it then; its epochs are gone
SELECT max(epoch) AS epoch FROM strata.shards WHERE relation = 'shared'::regclass AND worker = 'c' \gset
SELECT took, unclaimed FROM pg_temp.look('a', :'shards');
UPDATE strata._leases SET expires_at = clock_timestamp() - interval '1 ms' WHERE worker = 'c';
UPDATE strata._workers SET expires_at = clock_timestamp() - interval '1 ms' WHERE worker = 'c';
SELECT * FROM pg_temp.look('a', :'shards');
SELECT * FROM pg_temp.held();
SELECT max(epoch) > :epoch AS raised FROM strata.shards WHERE relation = 'shared'::regclass;
-- a process that comes back under its name has its shards at once
SELECT count(*) FILTER (WHERE shard IS NOT NULL) AS claimed, max(quota) AS quota
FROM strata._share_shards('shared', 'arn:s', 'a', 60000, :'shards', array_fill('TRIM_HORIZON'::text, ARRAY[8]), '{}', false);
-- who looks at a stream for the first time is told when somebody else has begun with it
SELECT count(*) FROM strata._share_shards('shared', 'arn:s', 'd', 60000, '{shard-9}', '{"AT:2026-01-01T00:00:00Z"}', '{}', true);
SELECT count(*) FROM strata._share_shards('shared', 'arn:new', 'd', 60000, '{shard-9}', '{"AT:2026-01-01T00:00:00Z"}', '{}', true);
SELECT stream, shard, initial_position, worker FROM strata.shards WHERE stream = 'arn:new';
SELECT refused($refused$SELECT strata._share_shards('shared', 'arn:s', 'a', 0, '{}', '{}', '{}', false)$refused$);
-- 1,000 shards on 10 workers that come one after the other, look in turn, and are even after a few looks each
SELECT strata._release_leases('a'), strata._release_leases('d');
DELETE FROM strata._checkpoints WHERE stream = 'arn:s';
SELECT array_agg('shard-' || n ORDER BY n) AS shards FROM generate_series(1, 1000) n \gset
SELECT count(*) FROM generate_series(1, 10) n, pg_temp.look('w' || n, :'shards');
SELECT sum(took) AS took, sum(gave) AS gave FROM generate_series(0, 29) n, pg_temp.look('w' || n % 10 + 1, :'shards');
SELECT count(*) AS workers, min(shards), max(shards) FROM pg_temp.held();
-- two of them leave
SELECT strata._release_leases('w3') + strata._release_leases('w7') AS released;
SELECT sum(took) AS took, sum(gave) AS gave FROM unnest('{1,2,4,5,6,8,9,10,1,2,4,5,6,8,9,10}'::int[]) n, pg_temp.look('w' || n, :'shards');
SELECT count(*) AS workers, min(shards), max(shards) FROM pg_temp.held();
SELECT count(*) AS lost FROM strata._renew_leases('w1', 60000, array_fill('shared'::regclass, ARRAY[125]), array_fill('arn:s'::text, ARRAY[125]),
    ARRAY(SELECT shard FROM strata.shards WHERE worker = 'w1' AND expires_at > now() ORDER BY shard),
    ARRAY(SELECT epoch FROM strata.shards WHERE worker = 'w1' AND expires_at > now() ORDER BY shard));
-- a worker that has stopped feeding the table, until it takes its share again; one that never came back is not told of
SELECT strata._record_stop('shared', 'w', 'permission denied', now() + interval '1 hour');
SELECT strata._record_stop('shared', 'w', repeat('x', 2000), now() + interval '2 hours');
SELECT strata._record_stop('shared', 'gone', 'gone', now() - interval '2 minutes');
SELECT relation, worker, length(reason), next_try_at > now() + interval '1 hour' AS later, stopped_at <= now() AS stopped FROM strata.ingest_stops;
SELECT quota FROM strata._share_shards('shared', 'arn:s', 'w', 60000, '{}', '{}', '{}', false);
SELECT count(*) FROM strata.ingest_stops;
DROP TABLE shared;
