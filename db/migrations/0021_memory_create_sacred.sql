-- database: lares_sacred
-- Sacred memories: what they say, where they come from and their embeddings are sealed by the application.

-- up
CREATE TABLE sacred.memory (
    id               uuid PRIMARY KEY,
    subject_id       uuid NOT NULL,
    key_id           text NOT NULL CHECK (octet_length(key_id) <= 32),
    -- AES-GCM over the text and its source; the row's id, its subject and the column's name are bound to it.
    sealed           bytea NOT NULL CHECK (octet_length(sealed) BETWEEN 29 AND 65536),
    embedding_key_id text CHECK (octet_length(embedding_key_id) <= 32),
    embedding_sealed bytea CHECK (octet_length(embedding_sealed) = 384 * 4 + 28),
    occurred_at      timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    revision         bigint NOT NULL DEFAULT 1 CHECK (revision >= 1),
    CHECK ((embedding_key_id IS NULL) = (embedding_sealed IS NULL))
);
CREATE INDEX memory_newest ON sacred.memory (subject_id, created_at DESC, id DESC);

ALTER TABLE sacred.memory ENABLE ROW LEVEL SECURITY;
ALTER TABLE sacred.memory FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON sacred.memory
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON sacred.memory TO lares_app;

-- The same books as in the other database, kept here so that they change in one transaction with the row.
CREATE TABLE sacred.pending_embedding (
    memory_id  uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    tier       text NOT NULL CHECK (tier = 'sacred'),
    revision   bigint NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX pending_embedding_due ON sacred.pending_embedding (due_at);

CREATE TABLE sacred.tombstone (
    memory_id    uuid PRIMARY KEY,
    subject_id   uuid NOT NULL,
    tier         text NOT NULL CHECK (tier = 'sacred'),
    forgotten_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sacred.remember_key (
    subject_id   uuid NOT NULL,
    key_hash     bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    memory_id    uuid NOT NULL,
    request_hash bytea CHECK (octet_length(request_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject_id, key_hash)
);
CREATE INDEX remember_key_by_memory ON sacred.remember_key (memory_id);
CREATE INDEX remember_key_by_time ON sacred.remember_key (created_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    sacred.pending_embedding, sacred.tombstone, sacred.remember_key TO svc_memory;

-- down
DROP TABLE sacred.remember_key;
DROP TABLE sacred.tombstone;
DROP TABLE sacred.pending_embedding;
DROP TABLE sacred.memory;
