-- Ids of our own for what a row leaf names (docs/formats.md): given once, never used again, so that hashes survive renames,
-- dump and restore. The native library reads these tables by position.

-- Columns of tables, and attributes of composite types.
CREATE TABLE strata._attribute_ids (
    relation regclass NOT NULL,
    attribute_id int NOT NULL,
    attribute_number smallint NOT NULL,
    attribute_name name NOT NULL,
    dropped boolean NOT NULL DEFAULT false,
    -- the relation's OID as a number: it differs from relation after dump and restore, where attribute numbers may differ too
    relation_oid oid NOT NULL,
    -- the bytes of the default of the ADD COLUMN that made it, which older rows have; NULL for NULL
    absent bytea,
    PRIMARY KEY (relation, attribute_id)
);

CREATE TABLE strata._label_ids (
    enum_type regtype NOT NULL,
    label_id int NOT NULL,
    label_oid oid NOT NULL,
    label name NOT NULL,
    PRIMARY KEY (enum_type, label_id)
);

SELECT pg_extension_config_dump('strata._attribute_ids', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = relation)');
SELECT pg_extension_config_dump('strata._label_ids', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_type WHERE oid = enum_type)');
