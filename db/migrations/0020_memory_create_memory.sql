-- database: lares
-- What a person wants remembered, one table per tier, and memory's own bookkeeping beside it (ids only).

-- up
CREATE TABLE convenience.memory (
    id          uuid PRIMARY KEY,
    subject_id  uuid NOT NULL,
    text        text NOT NULL CHECK (char_length(text) BETWEEN 1 AND 8000),
    source_kind text NOT NULL CHECK (source_kind ~ '^[a-z][a-z0-9_.-]{0,39}$'),
    source_ref  text CHECK (char_length(source_ref) BETWEEN 1 AND 200),
    occurred_at timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    -- Counts the texts this memory has had: an embedding of an older text is refused.
    revision    bigint NOT NULL DEFAULT 1 CHECK (revision >= 1),
    embedding   halfvec(384),
    -- One dictionary for query and text alike; a word of another language keeps its own form and still matches.
    lexemes     tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english'::regconfig, text)) STORED,
    word_count  integer NOT NULL GENERATED ALWAYS AS
                    (array_length(regexp_split_to_array(btrim(text), '\s+'), 1)) STORED
);
-- Serves the list, the page cursor and every search: row-level security reduces each to its subject first. A GIN
-- index on the lexemes would never be used, because `@@` is not leakproof and may not run before the policy.
CREATE INDEX memory_newest ON convenience.memory (subject_id, created_at DESC, id DESC) INCLUDE (word_count);
CREATE INDEX memory_by_meaning ON convenience.memory
    USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);

CREATE TABLE sensitive.memory (LIKE convenience.memory INCLUDING ALL);

ALTER TABLE convenience.memory ENABLE ROW LEVEL SECURITY;
ALTER TABLE convenience.memory FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON convenience.memory
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));
ALTER TABLE sensitive.memory ENABLE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON sensitive.memory
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));

GRANT SELECT, INSERT, UPDATE, DELETE ON convenience.memory TO lares_app, lares_remote_rw, lares_mcp;
GRANT SELECT ON convenience.memory TO lares_readonly;
GRANT SELECT, INSERT, UPDATE, DELETE ON sensitive.memory TO lares_app, lares_remote_rw;
GRANT SELECT ON sensitive.memory TO lares_readonly;

-- Written with the row, deleted with the embedding: whatever becomes of the queue, this says what is still due.
CREATE TABLE memory.pending_embedding (
    memory_id  uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    tier       text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    revision   bigint NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX pending_embedding_due ON memory.pending_embedding (due_at);

-- That a memory was forgotten, and nothing of what it said.
CREATE TABLE memory.tombstone (
    memory_id    uuid PRIMARY KEY,
    subject_id   uuid NOT NULL,
    tier         text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    forgotten_at timestamptz NOT NULL DEFAULT now()
);

-- One row per Idempotency-Key: a retried remember returns the first memory. The request's hash goes when its
-- memory is forgotten, since a short text can be guessed from it; the key stays, so that no retry brings it back.
CREATE TABLE memory.remember_key (
    subject_id   uuid NOT NULL,
    key_hash     bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    memory_id    uuid NOT NULL,
    request_hash bytea CHECK (octet_length(request_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject_id, key_hash)
);
CREATE INDEX remember_key_by_memory ON memory.remember_key (memory_id);
CREATE INDEX remember_key_by_time ON memory.remember_key (created_at);

-- A move between the two databases that has begun and not ended.
CREATE TABLE memory.tier_move (
    memory_id  uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    from_tier  text NOT NULL,
    to_tier    text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((from_tier = 'sacred') <> (to_tier = 'sacred'))
);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    memory.pending_embedding, memory.tombstone, memory.remember_key, memory.tier_move TO svc_memory;

-- down
DROP TABLE memory.tier_move;
DROP TABLE memory.remember_key;
DROP TABLE memory.tombstone;
DROP TABLE memory.pending_embedding;
DROP TABLE sensitive.memory;
DROP TABLE convenience.memory;
