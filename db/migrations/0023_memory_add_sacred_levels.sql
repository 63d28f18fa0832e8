-- database: lares_sacred
-- What 0022 gives the other tiers. Where a sacred memory came from, its thread and speaker stay inside what is sealed.

-- up
CREATE TABLE sacred.subject (
    subject_id uuid PRIMARY KEY,
    seen_at    timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON sacred.subject TO svc_memory;

ALTER TABLE sacred.memory
    ADD COLUMN namespace       text NOT NULL DEFAULT 'home' CHECK (namespace ~ '^[a-z][a-z0-9_-]{0,39}$'),
    ADD COLUMN level           text NOT NULL DEFAULT 'knowledge'
        CHECK (level IN ('identity', 'session', 'working', 'episodic', 'knowledge')),
    ADD COLUMN strength        real NOT NULL DEFAULT 1 CHECK (strength >= 0 AND strength <= 8),
    ADD COLUMN accesses        integer NOT NULL DEFAULT 0 CHECK (accesses >= 0),
    ADD COLUMN accessed_at     timestamptz,
    ADD COLUMN expires_at      timestamptz,
    ADD COLUMN archived_at     timestamptz,
    ADD COLUMN valid_from      timestamptz,
    ADD COLUMN valid_to        timestamptz CHECK (valid_to >= valid_from),
    ADD COLUMN superseded_by   uuid,
    ADD COLUMN superseded_at   timestamptz,
    ADD COLUMN happened_at     timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(occurred_at, created_at)) STORED,
    ADD COLUMN embedding_model smallint;
ALTER TABLE sacred.memory NO FORCE ROW LEVEL SECURITY;
UPDATE sacred.memory
SET accessed_at = created_at, embedding_model = CASE WHEN embedding_sealed IS NULL THEN NULL ELSE 1 END;
INSERT INTO sacred.subject (subject_id) SELECT DISTINCT subject_id FROM sacred.memory;
ALTER TABLE sacred.memory FORCE ROW LEVEL SECURITY;
ALTER TABLE sacred.memory
    ALTER COLUMN accessed_at SET NOT NULL,
    ALTER COLUMN accessed_at SET DEFAULT now(),
    DROP CONSTRAINT memory_embedding_sealed_check,
    -- 256 to 1024 numbers of four bytes, a nonce and a tag.
    ADD CONSTRAINT memory_embedding_sealed_check
        CHECK (octet_length(embedding_sealed) IN (1052, 1564, 2076, 3100, 4124)),
    ADD CONSTRAINT memory_embedding_model_check CHECK ((embedding_model IS NULL) = (embedding_sealed IS NULL));
CREATE INDEX memory_levels ON sacred.memory (subject_id, level, accessed_at) WHERE level <> 'knowledge';

-- down
ALTER TABLE sacred.memory NO FORCE ROW LEVEL SECURITY;
UPDATE sacred.memory SET embedding_sealed = NULL, embedding_key_id = NULL, embedding_model = NULL
WHERE octet_length(embedding_sealed) <> 1564;
ALTER TABLE sacred.memory FORCE ROW LEVEL SECURITY;
DROP INDEX sacred.memory_levels;
ALTER TABLE sacred.memory
    DROP CONSTRAINT memory_embedding_model_check,
    DROP CONSTRAINT memory_embedding_sealed_check,
    ADD CONSTRAINT memory_embedding_sealed_check CHECK (octet_length(embedding_sealed) = 384 * 4 + 28),
    DROP COLUMN embedding_model, DROP COLUMN happened_at, DROP COLUMN superseded_at, DROP COLUMN superseded_by,
    DROP COLUMN valid_to, DROP COLUMN valid_from, DROP COLUMN archived_at, DROP COLUMN expires_at,
    DROP COLUMN accessed_at, DROP COLUMN accesses, DROP COLUMN strength, DROP COLUMN level, DROP COLUMN namespace;
DROP TABLE sacred.subject;
