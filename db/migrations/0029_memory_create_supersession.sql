-- database: lares
-- What replaced what: who decided it and how to undo it exactly; and what only those may notice who see the newer memory.

-- up
-- Ids only. One mark per memory: the earliest that replaces it. `restored_at` says that a person took it back, so that
-- no rule sets it again for anything that was known then.
CREATE TABLE memory.supersession (
    old_id          uuid PRIMARY KEY,
    new_id          uuid NOT NULL,
    subject_id      uuid NOT NULL,
    made_by         text NOT NULL CHECK (made_by IN ('rule', 'person')),
    rule            text NOT NULL CHECK (rule IN ('fact', 'ended', 'gone', 'value', 'changed', 'person')),
    valid_to_before timestamptz,
    decided_at      timestamptz NOT NULL DEFAULT now(),
    restored_at     timestamptz
);
CREATE INDEX supersession_new ON memory.supersession (new_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.supersession TO svc_memory;

-- A sensitive memory that replaces one of convenience: known where the newer one is known, and nowhere else.
CREATE TABLE sensitive.supersession (
    old_id     uuid PRIMARY KEY,
    new_id     uuid NOT NULL REFERENCES sensitive.memory (id) ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    made_by    text NOT NULL CHECK (made_by IN ('rule', 'person')),
    rule       text NOT NULL CHECK (rule IN ('fact', 'ended', 'gone', 'value', 'changed', 'person')),
    valid_to   timestamptz NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    restored_at timestamptz
);
CREATE INDEX supersession_new ON sensitive.supersession (new_id);
ALTER TABLE sensitive.supersession ENABLE ROW LEVEL SECURITY;
ALTER TABLE sensitive.supersession FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON sensitive.supersession
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid)
        AND namespace <> ALL ((SELECT memory.hidden_namespaces())::text[]))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid)
        AND namespace <> ALL ((SELECT memory.hidden_namespaces())::text[]));
GRANT SELECT, INSERT, UPDATE, DELETE ON sensitive.supersession TO lares_app, lares_remote_rw;
GRANT SELECT ON sensitive.supersession TO lares_readonly;

-- A memory that goes takes its marks along: what it had replaced stands again, and is compared anew with what is left.
CREATE FUNCTION memory.release_superseded() RETURNS trigger
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
CREATE TRIGGER memory_release_superseded AFTER DELETE ON convenience.memory
    FOR EACH ROW EXECUTE FUNCTION memory.release_superseded();
CREATE TRIGGER memory_release_superseded AFTER DELETE ON sensitive.memory
    FOR EACH ROW EXECUTE FUNCTION memory.release_superseded();

-- down
DROP TRIGGER memory_release_superseded ON sensitive.memory;
DROP TRIGGER memory_release_superseded ON convenience.memory;
DROP FUNCTION memory.release_superseded();
DROP TABLE sensitive.supersession;
DROP TABLE memory.supersession;
