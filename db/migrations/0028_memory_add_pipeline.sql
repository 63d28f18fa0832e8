-- database: lares
-- Behind a write: exact repeats by a hash beside the text, what waits in which order, and the change of the embedding model.

-- up
-- Letters' size, spaces and a closing full stop do not make another text. It stands in the row and goes with it.
ALTER TABLE convenience.memory ADD COLUMN said uuid NOT NULL GENERATED ALWAYS AS
    (md5(lower(regexp_replace(regexp_replace(text, '^[\s.\x21]+|[\s.\x21]+$', '', 'g'), '\s+', '_', 'g')))::uuid) STORED;
ALTER TABLE sensitive.memory ADD COLUMN said uuid NOT NULL GENERATED ALWAYS AS
    (md5(lower(regexp_replace(regexp_replace(text, '^[\s.\x21]+|[\s.\x21]+$', '', 'g'), '\s+', '_', 'g')))::uuid) STORED;
CREATE INDEX memory_said ON convenience.memory (subject_id, namespace, said)
    WHERE superseded_at IS NULL AND archived_at IS NULL;
CREATE INDEX memory_said ON sensitive.memory (subject_id, namespace, said)
    WHERE superseded_at IS NULL AND archived_at IS NULL;

-- The words that make a memory's claim, as a hash: near-duplicates are found by it and confirmed by their vectors.
CREATE TABLE convenience.memory_claim (
    memory_id  uuid PRIMARY KEY REFERENCES convenience.memory (id) ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    revision   bigint NOT NULL,
    claim      uuid NOT NULL
);
CREATE TABLE sensitive.memory_claim (
    memory_id  uuid PRIMARY KEY REFERENCES sensitive.memory (id) ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    revision   bigint NOT NULL,
    claim      uuid NOT NULL
);
CREATE INDEX memory_claim_same ON convenience.memory_claim (subject_id, namespace, claim);
CREATE INDEX memory_claim_same ON sensitive.memory_claim (subject_id, namespace, claim);
DO $$
DECLARE
    tier text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        EXECUTE format('ALTER TABLE %I.memory_claim ENABLE ROW LEVEL SECURITY', tier);
        EXECUTE format('ALTER TABLE %I.memory_claim FORCE ROW LEVEL SECURITY', tier);
        EXECUTE format('CREATE POLICY own_rows ON %1$I.memory_claim'
            ' USING (subject_id = (SELECT current_setting(%2$L)::uuid)'
            '   AND namespace <> ALL ((SELECT memory.hidden_namespaces())::text[]))'
            ' WITH CHECK (subject_id = (SELECT current_setting(%2$L)::uuid)'
            '   AND namespace <> ALL ((SELECT memory.hidden_namespaces())::text[]))', tier, 'lares.subject');
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.memory_claim TO lares_app', tier);
    END LOOP;
END
$$;

-- A lease says that somebody is at it now; `related` that what needs no vector was not made to wait for one.
ALTER TABLE memory.pending_embedding
    ADD COLUMN leased_until timestamptz,
    ADD COLUMN related boolean NOT NULL DEFAULT false;
CREATE INDEX pending_embedding_leased ON memory.pending_embedding (leased_until) WHERE leased_until IS NOT NULL;

-- What follows the embedding, one person at a time and oldest first: facts, supersession, duplicates. Ids only.
CREATE TABLE memory.pending_relation (
    memory_id    uuid PRIMARY KEY,
    subject_id   uuid NOT NULL,
    tier         text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    written_at   timestamptz NOT NULL,
    tries        integer NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz
);
CREATE INDEX pending_relation_due ON memory.pending_relation (due_at);
CREATE INDEX pending_relation_of ON memory.pending_relation (subject_id, tier, written_at);
CREATE INDEX pending_relation_leased ON memory.pending_relation (subject_id) WHERE leased_until IS NOT NULL;
-- What was there before goes the same way. Row-level security binds the owner too, so it is lifted for two statements.
ALTER TABLE convenience.memory NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory NO FORCE ROW LEVEL SECURITY;
INSERT INTO memory.pending_relation (memory_id, subject_id, tier, written_at)
SELECT id, subject_id, 'convenience', created_at FROM convenience.memory
UNION ALL SELECT id, subject_id, 'sensitive', created_at FROM sensitive.memory
ON CONFLICT (memory_id) DO NOTHING;
ALTER TABLE convenience.memory FORCE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory FORCE ROW LEVEL SECURITY;

-- How far a new model has come, who is at it, and when its state last changed.
ALTER TABLE memory.embedding_model
    ADD COLUMN done       bigint NOT NULL DEFAULT 0,
    ADD COLUMN total      bigint NOT NULL DEFAULT 0,
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();

-- One row: which worker changes models now, and why the wanted model cannot be used, if it cannot.
CREATE TABLE memory.embedding_change (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    worker       uuid,
    leased_until timestamptz,
    wanted       text CHECK (char_length(wanted) <= 100),
    problem      text CHECK (problem ~ '^[a-z_]+\.[a-z_]+$'),
    noted_at     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO memory.embedding_change DEFAULT VALUES;

-- What the worker counts: it listens to nobody, so the service shows its numbers.
CREATE TABLE memory.tally (
    name text PRIMARY KEY CHECK (name ~ '^[a-z_]{1,60}$'),
    n    bigint NOT NULL DEFAULT 0
);

GRANT SELECT, INSERT, UPDATE, DELETE ON memory.pending_relation, memory.tally TO svc_memory;
GRANT SELECT, UPDATE ON memory.embedding_change TO svc_memory;

-- down
DROP TABLE memory.tally;
DROP TABLE memory.embedding_change;
ALTER TABLE memory.embedding_model DROP COLUMN changed_at, DROP COLUMN total, DROP COLUMN done;
DROP TABLE memory.pending_relation;
DROP INDEX memory.pending_embedding_leased;
ALTER TABLE memory.pending_embedding DROP COLUMN related, DROP COLUMN leased_until;
DROP TABLE sensitive.memory_claim, convenience.memory_claim;
ALTER TABLE sensitive.memory DROP COLUMN said;
ALTER TABLE convenience.memory DROP COLUMN said;
