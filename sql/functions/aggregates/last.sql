-- Promise: the value of the latest row, the same in every plan and from every order of rows.
CREATE FUNCTION strata._last_row(state internal, value anyelement, at "any") RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_last_row';
COMMENT ON FUNCTION strata._last_row(internal, anyelement, "any") IS 'What strata.last does with a row.';

CREATE FUNCTION strata._last_combine(one internal, other internal) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_last_combine';
COMMENT ON FUNCTION strata._last_combine(internal, internal) IS 'What strata.last makes of two parts of a group.';

CREATE AGGREGATE strata.last(value anyelement, at "any") (
    SFUNC = strata._last_row,
    STYPE = internal,
    COMBINEFUNC = strata._last_combine,
    SERIALFUNC = strata._extreme_serialize,
    DESERIALFUNC = strata._extreme_deserialize,
    FINALFUNC = strata._extreme_value,
    FINALFUNC_EXTRA,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE strata.last(anyelement, "any") IS
'The value of the row with the highest at: a time, or whatever has a default order (42883 otherwise). Rows whose at is NULL do not count; a NULL value does. Of rows with the same at the highest value is taken, by the order of its type and where that is silent by its bytes, and NULL only if there is nothing else. NULL without rows.';

CREATE FUNCTION strata._last_of(value anyelement, at "any", other anyelement, other_at "any") RETURNS anyelement
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_last_of';
COMMENT ON FUNCTION strata._last_of(anyelement, "any", anyelement, "any") IS
'Which of two values strata.last would take: what folds two states of a rollup into one.';
