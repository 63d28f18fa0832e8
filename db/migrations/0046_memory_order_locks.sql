-- database: lares
-- One order in which several rows are waited for: by their keys. So a forgetting, a worker and another worker who meet
-- in the same books wait for one another in a row and never in a circle, which one of them would be thrown out of.

-- up
-- The notes, (memory_id, stage) ascending.
CREATE OR REPLACE FUNCTION memory.note_new_texts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)
    SELECT id, 'rules', subject_id, TG_TABLE_SCHEMA FROM added ORDER BY id
    ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = excluded.due_at;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION memory.note_changed_text() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A model is asked about the new words, whatever it said of the old.
    DELETE FROM memory.pending_extraction AS pending WHERE pending.memory_id = NEW.id AND pending.stage = 'model';
    INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)
    VALUES (NEW.id, 'rules', NEW.subject_id, TG_TABLE_SCHEMA)
    ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = excluded.due_at;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION memory.drop_extraction_notes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH held AS (
        SELECT memory_id, stage FROM memory.pending_extraction
        WHERE memory_id = ANY (ARRAY(SELECT id FROM gone)) AND tier = TG_TABLE_SCHEMA
        ORDER BY memory_id, stage
        FOR UPDATE
    )
    DELETE FROM memory.pending_extraction AS pending USING held
    WHERE pending.memory_id = held.memory_id AND pending.stage = held.stage;
    RETURN NULL;
END
$$;
-- What stands in the nightly files.
CREATE OR REPLACE FUNCTION memory.note_stale() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH held AS (
        SELECT memory_id FROM memory.synced
        WHERE memory_id = ANY (ARRAY(SELECT id FROM removed)) AND NOT stale
        ORDER BY memory_id
        FOR UPDATE
    )
    UPDATE memory.synced SET stale = true FROM held WHERE synced.memory_id = held.memory_id;
    RETURN NULL;
END
$$;
-- The memories first, then what is noted about them.
CREATE OR REPLACE FUNCTION memory.release_superseded() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM convenience.memory AS memory
    WHERE memory.superseded_by = OLD.id AND memory.id <> OLD.id ORDER BY memory.id FOR NO KEY UPDATE;
    PERFORM FROM sensitive.memory AS memory
    WHERE memory.superseded_by = OLD.id AND memory.id <> OLD.id ORDER BY memory.id FOR NO KEY UPDATE;
    INSERT INTO memory.pending_relation (memory_id, subject_id, tier, written_at)
    SELECT id, subject_id, tier, created_at
    FROM (SELECT id, subject_id, 'convenience' AS tier, created_at FROM convenience.memory
          WHERE superseded_by = OLD.id AND id <> OLD.id
          UNION ALL SELECT id, subject_id, 'sensitive', created_at FROM sensitive.memory
          WHERE superseded_by = OLD.id AND id <> OLD.id) AS released
    ORDER BY id
    ON CONFLICT (memory_id) DO UPDATE SET due_at = now(), tries = 0;
    UPDATE convenience.memory AS memory
    SET superseded_by = NULL, superseded_at = NULL,
        valid_to = CASE WHEN EXISTS (SELECT FROM memory.supersession WHERE old_id = memory.id)
            THEN (SELECT valid_to_before FROM memory.supersession WHERE old_id = memory.id) ELSE memory.valid_to END
    WHERE memory.superseded_by = OLD.id AND memory.id <> OLD.id;
    UPDATE sensitive.memory AS memory
    SET superseded_by = NULL, superseded_at = NULL,
        valid_to = CASE WHEN EXISTS (SELECT FROM memory.supersession WHERE old_id = memory.id)
            THEN (SELECT valid_to_before FROM memory.supersession WHERE old_id = memory.id) ELSE memory.valid_to END
    WHERE memory.superseded_by = OLD.id AND memory.id <> OLD.id;
    DELETE FROM memory.supersession WHERE new_id = OLD.id OR old_id = OLD.id;
    RETURN NULL;
END
$$;

-- Names that go with their last mention are held in the order in which whoever reads texts writes mentions of them.
CREATE FUNCTION convenience.hold_orphans() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM convenience.entity_alias AS alias
    WHERE (alias.entity_id, alias.key) IN (SELECT entity_id, alias_key FROM gone) AND NOT alias.given
      AND NOT EXISTS (SELECT FROM convenience.mention AS other
                      WHERE other.entity_id = alias.entity_id AND other.alias_key = alias.key)
    ORDER BY alias.entity_id, alias.key
    FOR UPDATE;
    PERFORM FROM convenience.entity
    WHERE entity.id IN (SELECT entity_id FROM gone)
      AND NOT EXISTS (SELECT FROM convenience.mention AS other WHERE other.entity_id = entity.id)
    ORDER BY entity.id
    FOR UPDATE;
    RETURN NULL;
END
$$;
CREATE FUNCTION sensitive.hold_orphans() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM sensitive.entity_alias AS alias
    WHERE (alias.entity_id, alias.key) IN (SELECT entity_id, alias_key FROM gone) AND NOT alias.given
      AND NOT EXISTS (SELECT FROM sensitive.mention AS other
                      WHERE other.entity_id = alias.entity_id AND other.alias_key = alias.key)
    ORDER BY alias.entity_id, alias.key
    FOR UPDATE;
    PERFORM FROM sensitive.entity
    WHERE entity.id IN (SELECT entity_id FROM gone)
      AND NOT EXISTS (SELECT FROM sensitive.mention AS other WHERE other.entity_id = entity.id)
    ORDER BY entity.id
    FOR UPDATE;
    RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION convenience.hold_orphans() TO lares_app, lares_remote_rw, lares_mcp;
GRANT EXECUTE ON FUNCTION sensitive.hold_orphans() TO lares_app, lares_remote_rw;
-- By its name ahead of `orphans_dropped`.
CREATE TRIGGER orphans_ahead AFTER DELETE ON convenience.mention
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION convenience.hold_orphans();
CREATE TRIGGER orphans_ahead AFTER DELETE ON sensitive.mention
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sensitive.hold_orphans();

-- down
DROP TRIGGER orphans_ahead ON sensitive.mention;
DROP TRIGGER orphans_ahead ON convenience.mention;
DROP FUNCTION sensitive.hold_orphans();
DROP FUNCTION convenience.hold_orphans();
CREATE OR REPLACE FUNCTION memory.release_superseded() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.pending_relation (memory_id, subject_id, tier, written_at)
    SELECT id, subject_id, tier, created_at
    FROM (SELECT id, subject_id, 'convenience' AS tier, created_at FROM convenience.memory
          WHERE superseded_by = OLD.id AND id <> OLD.id
          UNION ALL SELECT id, subject_id, 'sensitive', created_at FROM sensitive.memory
          WHERE superseded_by = OLD.id AND id <> OLD.id) AS released
    ON CONFLICT (memory_id) DO UPDATE SET due_at = now(), tries = 0;
    UPDATE convenience.memory AS memory
    SET superseded_by = NULL, superseded_at = NULL,
        valid_to = CASE WHEN EXISTS (SELECT FROM memory.supersession WHERE old_id = memory.id)
            THEN (SELECT valid_to_before FROM memory.supersession WHERE old_id = memory.id) ELSE memory.valid_to END
    WHERE memory.superseded_by = OLD.id AND memory.id <> OLD.id;
    UPDATE sensitive.memory AS memory
    SET superseded_by = NULL, superseded_at = NULL,
        valid_to = CASE WHEN EXISTS (SELECT FROM memory.supersession WHERE old_id = memory.id)
            THEN (SELECT valid_to_before FROM memory.supersession WHERE old_id = memory.id) ELSE memory.valid_to END
    WHERE memory.superseded_by = OLD.id AND memory.id <> OLD.id;
    DELETE FROM memory.supersession WHERE new_id = OLD.id OR old_id = OLD.id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION memory.note_stale() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE memory.synced SET stale = true FROM removed WHERE synced.memory_id = removed.id AND NOT stale;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION memory.drop_extraction_notes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM memory.pending_extraction AS pending USING gone
    WHERE pending.memory_id = gone.id AND pending.tier = TG_TABLE_SCHEMA;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION memory.note_changed_text() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)
    VALUES (NEW.id, 'rules', NEW.subject_id, TG_TABLE_SCHEMA)
    ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = excluded.due_at;
    -- A model is asked about the new words, whatever it said of the old.
    DELETE FROM memory.pending_extraction AS pending WHERE pending.memory_id = NEW.id AND pending.stage = 'model';
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION memory.note_new_texts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)
    SELECT id, 'rules', subject_id, TG_TABLE_SCHEMA FROM added
    ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = excluded.due_at;
    RETURN NULL;
END
$$;
