-- A table in use: whatever work() does to it, it does to its mirror in the same transaction.
\set ON_ERROR_STOP 1
CREATE EXTENSION pg_strata;
CREATE TABLE items (id bigint, ts timestamptz NOT NULL, v int, filler text, PRIMARY KEY (id, ts));
INSERT INTO items SELECT n, '2026-03-01 00:00+00'::timestamptz + n % 500 * interval '1 hour', 0, repeat('x', 100) FROM generate_series(1, 60000) n;
CREATE TABLE mirror (LIKE items INCLUDING ALL);
INSERT INTO mirror SELECT * FROM items;
CREATE SEQUENCE new_id START 1000000;
CREATE FUNCTION work() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    new_one bigint := nextval('new_id');
    changed bigint[];
    gone bigint := 1 + random() * 59999;
BEGIN
    INSERT INTO mirror SELECT new_one, now(), 1, 'new';
    INSERT INTO items (id, ts, v, filler) SELECT m.id, m.ts, m.v, m.filler FROM mirror m WHERE m.id = new_one;
    SELECT array_agg(1 + (random() * 59999)::bigint) INTO changed FROM generate_series(1, 3);
    UPDATE items SET v = v + 1, ts = ts + interval '1 minute' WHERE id = ANY (changed);
    UPDATE mirror SET v = v + 1, ts = ts + interval '1 minute' WHERE id = ANY (changed);
    DELETE FROM items WHERE id = gone;
    DELETE FROM mirror WHERE id = gone;
END
$$;
