-- database: lares_sacred
-- The journal of sacred moves, kept beside the rows so that both change in one transaction.

-- up
CREATE TABLE sacred.consolidation_move (
    -- From 2^52: no id is in both journals, and each is exact in JSON.
    id         bigint GENERATED ALWAYS AS IDENTITY (START WITH 4503599627370496) PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject_id uuid NOT NULL,
    memory_id  uuid NOT NULL,
    tier       text NOT NULL CHECK (tier = 'sacred'),
    namespace  text NOT NULL,
    kind       text NOT NULL CHECK (kind IN
        ('promoted', 'demoted', 'archived', 'expired', 'merged', 'compressed', 'restored')),
    from_level text NOT NULL,
    to_level   text NOT NULL,
    score      real NOT NULL,
    reason     text NOT NULL CHECK (reason ~ '^[a-z_]{1,40}$'),
    into_id    uuid
);
CREATE INDEX consolidation_move_newest ON sacred.consolidation_move (subject_id, at DESC, id DESC);
CREATE INDEX consolidation_move_of ON sacred.consolidation_move (memory_id);
CREATE INDEX consolidation_move_old ON sacred.consolidation_move (at);
CREATE TABLE sacred.consolidation_count (
    kind  text PRIMARY KEY,
    moves bigint NOT NULL DEFAULT 0
);
GRANT SELECT, INSERT, UPDATE, DELETE ON sacred.consolidation_move, sacred.consolidation_count TO svc_memory;
CREATE INDEX memory_occupancy ON sacred.memory (subject_id, level, namespace, archived_at);
CREATE INDEX memory_used_again ON sacred.memory (subject_id, accessed_at) WHERE accessed_at > archived_at;

-- down
DROP INDEX sacred.memory_used_again, sacred.memory_occupancy;
DROP TABLE sacred.consolidation_count;
DROP TABLE sacred.consolidation_move;
