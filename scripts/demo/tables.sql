CREATE EXTENSION pg_strata;

CREATE TABLE clicks (
    event_id uuid NOT NULL,
    ts timestamptz NOT NULL,
    user_id bigint NOT NULL,
    session_id uuid,
    item_id int,
    kind text NOT NULL,
    device text,
    amount numeric(10, 2),
    properties jsonb
);
CREATE INDEX ON clicks (user_id, ts);

SELECT strata.create_event_table('clicks', 'ts');

SELECT strata.create_rollup(
    'clicks_by_user_day', source => 'clicks', bucket => '1 day', group_by => ARRAY['user_id'],
    aggregates => ARRAY[
        'count(*) AS events',
        $$count(*) FILTER (WHERE kind = 'purchase') AS purchases$$,
        'sum(amount) AS spend',
        'max(ts) AS last_seen'
    ]
);
