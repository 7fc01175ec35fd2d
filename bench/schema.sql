-- The table both benchmarks fill: what a clickstream needs, indexed for reads by user.
-- psql variable `table` names it.
CREATE TABLE :"table" (
    event_id uuid NOT NULL,
    ts timestamptz NOT NULL,
    user_id bigint NOT NULL,
    session_id uuid,
    item_id int,
    kind text NOT NULL,
    device text,
    amount numeric(10, 2),
    properties jsonb
) PARTITION BY RANGE (ts);
CREATE INDEX ON :"table" (user_id, ts);
