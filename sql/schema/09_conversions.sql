-- Tables on their way to becoming event tables (strata.convert_to_event_table). The event table exists from the start,
-- under a name of its own (shadow), and takes the table's name once it holds all rows.
CREATE TABLE strata._conversions (
    relation regclass PRIMARY KEY,
    shadow regclass NOT NULL UNIQUE,
    -- how it was asked for: calling again must not ask for something else
    settings jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('preparing', 'copying', 'validating')),
    -- lower bounds, on the axis, of partitions still to be made for the rows
    partitions_wanted timestamptz[] NOT NULL DEFAULT '{}',
    -- rows are copied by the blocks they lie in; what lies at or behind end_block came in through the triggers
    next_block bigint NOT NULL DEFAULT 0,
    end_block bigint,
    rows_moved bigint NOT NULL DEFAULT 0,
    rows_estimated bigint,
    -- what must not change meanwhile
    fingerprint text,
    carry_function text,
    -- foreign keys of other tables, to be validated once the event table has its name
    unvalidated jsonb NOT NULL DEFAULT '[]',
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
SELECT pg_extension_config_dump('strata._conversions',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = relation) AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = shadow)');
