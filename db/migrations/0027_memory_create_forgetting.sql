-- database: lares
-- What is known of forgetting: reports without a word, bulk work that survives a crash, what was made of what, and
-- which memories stand in the nightly files. Ids, counts and states only.

-- up
CREATE TABLE memory.forget_report (
    id           uuid PRIMARY KEY,
    subject_id   uuid NOT NULL,
    -- Who has no part in the tier may not learn that there was a memory.
    tier         text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    state        text NOT NULL CHECK (state IN ('running', 'done')),
    memories     bigint NOT NULL,
    erased       jsonb NOT NULL DEFAULT '{}',
    found        jsonb NOT NULL DEFAULT '{}',
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    verified_at  timestamptz
);

-- Seals the ids that are exported, so that an import takes back only what this house gave out. It is two random UUIDs.
CREATE TABLE memory.exchange_key (
    id  boolean PRIMARY KEY DEFAULT true CHECK (id),
    key bytea NOT NULL CHECK (octet_length(key) = 32)
);
INSERT INTO memory.exchange_key (key)
SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

-- A bulk forget: for whom, by whose rights, and until when somebody is at it.
CREATE TABLE memory.forget_job (
    id          uuid PRIMARY KEY REFERENCES memory.forget_report (id) ON DELETE CASCADE,
    subject_id  uuid NOT NULL,
    db_role     text NOT NULL,
    client_kind text NOT NULL,
    client      text NOT NULL,
    leased_to   timestamptz NOT NULL
);
CREATE TABLE memory.forget_item (
    job_id    uuid NOT NULL REFERENCES memory.forget_job (id) ON DELETE CASCADE,
    memory_id uuid NOT NULL,
    PRIMARY KEY (job_id, memory_id)
);

-- What was made of what, kept beside the links themselves: those go when either end moves to another tier, and what
-- was made of a memory must still be found when the memory is forgotten.
CREATE TABLE memory.made_of (
    made_id    uuid NOT NULL,
    of_id      uuid NOT NULL,
    subject_id uuid NOT NULL,
    PRIMARY KEY (of_id, made_id)
);
CREATE INDEX made_of_back ON memory.made_of (made_id);
INSERT INTO memory.made_of (made_id, of_id, subject_id)
SELECT from_id, to_id, subject_id FROM convenience.memory_link
UNION SELECT from_id, to_id, subject_id FROM sensitive.memory_link;

CREATE FUNCTION memory.note_made_of() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.made_of (made_id, of_id, subject_id)
    SELECT from_id, to_id, subject_id FROM added
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER memory_link_made_of AFTER INSERT ON convenience.memory_link
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION memory.note_made_of();
CREATE TRIGGER memory_link_made_of AFTER INSERT ON sensitive.memory_link
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION memory.note_made_of();

-- Which memories stand in the nightly files. One that leaves its tier is stale there and is taken out within minutes;
-- the note is written by a trigger, so that nobody who forgets or moves a memory can forget the files.
CREATE TABLE memory.synced (
    memory_id  uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    round      uuid NOT NULL,
    stale      boolean NOT NULL DEFAULT false
);
CREATE INDEX synced_of ON memory.synced (subject_id);
CREATE INDEX synced_stale ON memory.synced (subject_id, memory_id) WHERE stale;
CREATE FUNCTION memory.note_stale() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE memory.synced SET stale = true FROM removed WHERE synced.memory_id = removed.id AND NOT stale;
    RETURN NULL;
END
$$;
CREATE TRIGGER memory_synced_stale AFTER DELETE ON convenience.memory
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION memory.note_stale();
CREATE TRIGGER memory_synced_stale AFTER DELETE ON sensitive.memory
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION memory.note_stale();

GRANT SELECT ON memory.exchange_key TO svc_memory;
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.forget_report, memory.forget_job, memory.forget_item,
    memory.made_of, memory.synced TO svc_memory;

-- Equal texts are found by their hash. Equality is leakproof, so the policies let the index be used.
CREATE INDEX memory_same_text ON convenience.memory USING hash (text);
CREATE INDEX memory_same_text ON sensitive.memory USING hash (text);

-- A nightly VACUUM takes what was deleted out of the files; it reads nothing.
DO $$
DECLARE
    tier text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        EXECUTE format('GRANT MAINTAIN ON ALL TABLES IN SCHEMA %I TO lares_app', tier);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT MAINTAIN ON TABLES TO lares_app', tier);
    END LOOP;
END
$$;

-- down
DO $$
DECLARE
    tier text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE MAINTAIN ON TABLES FROM lares_app', tier);
        EXECUTE format('REVOKE MAINTAIN ON ALL TABLES IN SCHEMA %I FROM lares_app', tier);
    END LOOP;
END
$$;
DROP INDEX convenience.memory_same_text, sensitive.memory_same_text;
DROP TRIGGER memory_synced_stale ON convenience.memory;
DROP TRIGGER memory_synced_stale ON sensitive.memory;
DROP FUNCTION memory.note_stale();
DROP TABLE memory.synced;
DROP TRIGGER memory_link_made_of ON convenience.memory_link;
DROP TRIGGER memory_link_made_of ON sensitive.memory_link;
DROP FUNCTION memory.note_made_of();
DROP TABLE memory.exchange_key;
DROP TABLE memory.made_of, memory.forget_item, memory.forget_job, memory.forget_report;
