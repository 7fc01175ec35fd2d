-- Promise: every value that is not NULL is counted exactly once.
CREATE FUNCTION strata._histogram_row(state internal, value double precision, low double precision, high double precision, buckets int)
    RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_histogram_row';
COMMENT ON FUNCTION strata._histogram_row(internal, double precision, double precision, double precision, int) IS 'Counts one value for strata.histogram.';

CREATE FUNCTION strata._histogram_combine(one internal, other internal) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_histogram_combine';
COMMENT ON FUNCTION strata._histogram_combine(internal, internal) IS 'What strata.histogram makes of two parts of a group.';

CREATE FUNCTION strata._histogram_value(state internal) RETURNS bigint[]
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_histogram_value';
COMMENT ON FUNCTION strata._histogram_value(internal) IS 'The result of strata.histogram.';

CREATE FUNCTION strata._histogram_serialize(state internal) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_histogram_serialize';
COMMENT ON FUNCTION strata._histogram_serialize(internal) IS 'A state of strata.histogram, for another process of the same server.';

CREATE FUNCTION strata._histogram_deserialize(bytes bytea, state internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'strata_histogram_deserialize';
COMMENT ON FUNCTION strata._histogram_deserialize(bytea, internal) IS 'The way back from _histogram_serialize.';

CREATE AGGREGATE strata.histogram(value double precision, low double precision, high double precision, buckets int) (
    SFUNC = strata._histogram_row,
    STYPE = internal,
    COMBINEFUNC = strata._histogram_combine,
    SERIALFUNC = strata._histogram_serialize,
    DESERIALFUNC = strata._histogram_deserialize,
    FINALFUNC = strata._histogram_value,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE strata.histogram(double precision, double precision, double precision, int) IS
'How many values lie below low, in each of so many ranges of equal width from low (inclusive) to high (exclusive), and at or above high: an array of buckets + 2 counts, of which width_bucket(value, low, high, buckets) says the place (counted from 0). NaN counts as above, as PostgreSQL orders it; NULL does not count. NULL where no value counts. Errors: 22023 for bounds that are NULL, infinite, in the wrong order or differ between rows of a group, and for buckets outside 1 to 10000.';

-- How two histograms become one in a rollup.
CREATE FUNCTION strata._add_elements(one bigint[], other bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT array_agg(o.count + t.count ORDER BY o.place) FROM unnest(one) WITH ORDINALITY AS o (count, place) JOIN unnest(other) WITH ORDINALITY AS t (count, place) USING (place) $$;
COMMENT ON FUNCTION strata._add_elements(bigint[], bigint[]) IS 'The sums of the elements of two arrays of the same length.';

CREATE AGGREGATE strata._sum_elements(bigint[]) (SFUNC = strata._add_elements, STYPE = bigint[], COMBINEFUNC = strata._add_elements, PARALLEL = SAFE);
COMMENT ON AGGREGATE strata._sum_elements(bigint[]) IS 'The sums of the elements of arrays of the same length.';
