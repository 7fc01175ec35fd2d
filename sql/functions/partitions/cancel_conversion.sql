-- Promise: the table is what it was before convert_to_event_table was called, with all its rows.
CREATE FUNCTION strata.cancel_conversion(relation regclass) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._cancel_conversion(strata._authorize(relation, 'OWNER')) $$;
COMMENT ON FUNCTION strata.cancel_conversion(regclass) IS
'Takes back a conversion by strata.convert_to_event_table that has not ended: the half-filled event table, triggers and column batch_id go, the table and its rows stay. Locks the table shortly against everyone. Takes ownership. Errors: 55000 if the table is not being converted, or is an event table already.';

CREATE FUNCTION strata._cancel_conversion(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    conversion strata._conversions;
    trigger_name name;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    SELECT c.* INTO conversion FROM strata._conversions c WHERE c.relation = _cancel_conversion.relation FOR UPDATE;
    IF NOT FOUND OR conversion.state = 'validating' THEN
        RAISE EXCEPTION USING
            ERRCODE = '55000',
            MESSAGE = format('%s is not being converted', relation),
            DETAIL = CASE conversion.state WHEN 'validating' THEN 'It is an event table already; foreign keys to it are still to be validated.'
                ELSE 'strata.conversions does not show it.' END,
            HINT = CASE conversion.state WHEN 'validating' THEN format('Run: CALL strata.convert_to_event_table(%L);', relation::text)
                ELSE 'Nothing has to be taken back.' END;
    END IF;
    PERFORM strata._execute_as(owner, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation));
    FOR trigger_name IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname LIKE 'strata\_carry\_%' LOOP
        PERFORM strata._execute_as(owner, format('DROP TRIGGER %I ON %s', trigger_name, relation));
    END LOOP;
    IF conversion.state = 'copying' THEN
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s DROP COLUMN IF EXISTS batch_id', relation));
    END IF;
    PERFORM strata._drop_conversion(relation, conversion.shadow, conversion.carry_function);
    PERFORM strata._forget_dropped_relations();
END
$$;
COMMENT ON FUNCTION strata._cancel_conversion(regclass) IS 'The writing half of cancel_conversion.';

CREATE FUNCTION strata._drop_conversion(relation regclass, shadow regclass, carry_function text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM strata._conversions c WHERE c.shadow = _drop_conversion.shadow;
    PERFORM strata._drop_carry(carry_function, coalesce(strata._owner(shadow), strata._owner(relation)));
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = shadow) THEN
        PERFORM strata._drop_triggers(shadow);
        PERFORM strata._execute_as(strata._owner(shadow), format('DROP TABLE %s', shadow));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._drop_conversion(regclass, regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._drop_conversion(regclass, regclass, text) IS 'Drops the twin of a table that does not become an event table after all.';

CREATE FUNCTION strata._drop_carry(carry_function text, owner regrole) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- (schemas can be renamed: the name may be somebody else's function by now)
    IF EXISTS (SELECT FROM pg_proc p WHERE p.oid = to_regprocedure(carry_function) AND p.proowner = owner) THEN
        PERFORM strata._execute_as(owner, format('DROP FUNCTION %s', carry_function));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._drop_carry(text, regrole) FROM PUBLIC;
COMMENT ON FUNCTION strata._drop_carry(text, regrole) IS 'Drops the function of the triggers that carried changes, if it is there.';
