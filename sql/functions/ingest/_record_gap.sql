-- Records that may be lost, written down: the decision of a sidecar told to go on.
CREATE FUNCTION strata._record_gap(
    relation regclass, stream text, shard text, epoch bigint, after_sequence text, lower_time timestamptz, upper_time timestamptz, gone boolean
) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._write_gap(strata._authorize(relation, 'INGEST'), stream, shard, epoch, after_sequence, lower_time, upper_time, gone) $$;
COMMENT ON FUNCTION strata._record_gap(regclass, text, text, bigint, text, timestamptz, timestamptz, boolean) IS
'Writes down that records of a shard which arrived between two times may be lost: the stream keeps none so old. gone: the whole shard is, and counts as ended. Nothing is written if the epoch is not the checkpoint''s (NULL: any).';

CREATE FUNCTION strata._write_gap(
    relation regclass, stream text, shard text, epoch bigint, after_sequence text, lower_time timestamptz, upper_time timestamptz, gone boolean
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := strata._ingest_id(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    UPDATE strata._checkpoints c SET ended = c.ended OR gone, epoch = c.epoch + gone::int
    WHERE c.table_id = target_id AND c.stream = _write_gap.stream AND c.shard = _write_gap.shard AND NOT c.ended
      AND (_write_gap.epoch IS NULL OR c.epoch = _write_gap.epoch);
    IF FOUND THEN
        INSERT INTO strata._gaps (table_id, stream, shard, after_sequence, lower_time, upper_time)
        VALUES (target_id, _write_gap.stream, _write_gap.shard, _write_gap.after_sequence, _write_gap.lower_time, _write_gap.upper_time);
    END IF;
END
$$;
COMMENT ON FUNCTION strata._write_gap(regclass, text, text, bigint, text, timestamptz, timestamptz, boolean) IS 'The writing half of _record_gap.';
