-- Promise: enough for a bug report.
CREATE FUNCTION strata.version(OUT extension_version text, OUT flavour text, OUT build text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'pg_strata'), 'native', strata._build()
$$;
COMMENT ON FUNCTION strata.version() IS 'Version of the extension in this database, its flavour (native), and the build of the library.';
