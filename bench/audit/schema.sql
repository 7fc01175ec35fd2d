-- The same table four times: as it is, audited, and with the two usual shapes of audit triggers in plpgsql. Once as an ordinary
-- table (<shape>), once as an event table (<shape>_events).
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE EXTENSION hstore;

CREATE TABLE jsonb_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz DEFAULT now(), xid xid8 DEFAULT pg_current_xact_id(),
    who name DEFAULT session_user, relation regclass, op text, old jsonb, new jsonb);
CREATE FUNCTION jsonb_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jsonb_log (relation, op, old, new)
    VALUES (TG_RELID, TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL;
END
$$;

CREATE TABLE hstore_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz DEFAULT now(), xid xid8 DEFAULT pg_current_xact_id(),
    who name DEFAULT session_user, relation regclass, op text, row_data hstore, changed hstore);
CREATE FUNCTION hstore_log() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row_data hstore;
    changed hstore;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        row_data := hstore(OLD);
        changed := hstore(NEW) - row_data;
        IF changed = '' THEN
            RETURN NULL;
        END IF;
    ELSE
        row_data := CASE TG_OP WHEN 'DELETE' THEN hstore(OLD) ELSE hstore(NEW) END;
    END IF;
    INSERT INTO hstore_log (relation, op, row_data, changed) VALUES (TG_RELID, TG_OP, row_data, changed);
    RETURN NULL;
END
$$;

CREATE TABLE plain (id bigint PRIMARY KEY, name text, amount numeric(10, 2), at timestamptz, ok boolean, n int);
CREATE TABLE audited (LIKE plain INCLUDING ALL);
CREATE TABLE jsonb_trigger (LIKE plain INCLUDING ALL);
CREATE TABLE hstore_trigger (LIKE plain INCLUDING ALL);
SELECT format('CREATE TABLE %1$s_events (id bigint, name text, amount numeric(10, 2), at timestamptz, ok boolean, n int, PRIMARY KEY (id, at));'
    ' SELECT strata.create_event_table(%2$L, ''at'', accept_past => ''100 years''); SELECT strata.ensure_partitions(%2$L, ''2024-01-01'', ''2024-01-01'');', shape, shape || '_events')
FROM unnest('{plain, audited, jsonb_trigger, hstore_trigger}'::text[]) shape
\gexec
SELECT strata.enable_audit('audited'), strata.enable_audit('audited_events');
CREATE TRIGGER jsonb_log AFTER INSERT OR UPDATE OR DELETE ON jsonb_trigger FOR EACH ROW EXECUTE FUNCTION jsonb_log();
CREATE TRIGGER jsonb_log AFTER INSERT OR UPDATE OR DELETE ON jsonb_trigger_events FOR EACH ROW EXECUTE FUNCTION jsonb_log();
CREATE TRIGGER hstore_log AFTER INSERT OR UPDATE OR DELETE ON hstore_trigger FOR EACH ROW EXECUTE FUNCTION hstore_log();
CREATE TRIGGER hstore_log AFTER INSERT OR UPDATE OR DELETE ON hstore_trigger_events FOR EACH ROW EXECUTE FUNCTION hstore_log();

CREATE TABLE source AS SELECT i::bigint AS id, 'customer ' || i AS name, ((i % 1000) * 1.25)::numeric(10, 2) AS amount,
    '2024-01-01'::timestamptz + i * interval '0.5 s' AS at, i % 2 = 0 AS ok, i::int AS n FROM generate_series(1, 100000) i;
