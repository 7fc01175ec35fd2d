-- What strata.first and strata.last share.
CREATE FUNCTION strata._extreme_value(state internal, value anyelement, at "any") RETURNS anyelement
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_extreme_value';
COMMENT ON FUNCTION strata._extreme_value(internal, anyelement, "any") IS 'The result of strata.first and strata.last.';

CREATE FUNCTION strata._extreme_serialize(state internal) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_extreme_serialize';
COMMENT ON FUNCTION strata._extreme_serialize(internal) IS 'A state of strata.first or strata.last, for another process of the same server.';

CREATE FUNCTION strata._extreme_deserialize(bytes bytea, state internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_extreme_deserialize';
COMMENT ON FUNCTION strata._extreme_deserialize(bytea, internal) IS 'The way back from _extreme_serialize.';
