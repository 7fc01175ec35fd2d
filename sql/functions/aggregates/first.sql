-- Promise: the value of the earliest row, the same in every plan and from every order of rows.
CREATE FUNCTION strata._first_row(state internal, value anyelement, at "any") RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_first_row';
COMMENT ON FUNCTION strata._first_row(internal, anyelement, "any") IS 'What strata.first does with a row.';

CREATE FUNCTION strata._first_combine(one internal, other internal) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_first_combine';
COMMENT ON FUNCTION strata._first_combine(internal, internal) IS 'What strata.first makes of two parts of a group.';

CREATE AGGREGATE strata.first(value anyelement, at "any") (
    SFUNC = strata._first_row,
    STYPE = internal,
    COMBINEFUNC = strata._first_combine,
    SERIALFUNC = strata._extreme_serialize,
    DESERIALFUNC = strata._extreme_deserialize,
    FINALFUNC = strata._extreme_value,
    FINALFUNC_EXTRA,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE strata.first(anyelement, "any") IS
'The value of the row with the lowest at: a time, or whatever has a default order (42883 otherwise). Rows whose at is NULL do not count; a NULL value does. Of rows with the same at the lowest value is taken, by the order of its type and where that is silent by its bytes, and NULL only if there is nothing else. NULL without rows.';

CREATE FUNCTION strata._first_of(value anyelement, at "any", other anyelement, other_at "any") RETURNS anyelement
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_first_of';
COMMENT ON FUNCTION strata._first_of(anyelement, "any", anyelement, "any") IS
'Which of two values strata.first would take: what folds two states of a rollup into one.';
