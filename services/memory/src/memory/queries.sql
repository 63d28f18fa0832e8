-- Statements on a tier's table are written for convenience.memory; store.py says the same of sensitive.memory.
-- Statements on the books are written for the schema `memory`; the sacred database keeps the same in `sacred`.

-- name: insert_memory
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory
    (id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace, level,
     thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
     superseded_by, superseded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23);

-- name: get_memory
-- role: lares_app
-- database: lares
SELECT id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace,
       level, thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
       superseded_by, superseded_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = memory.id AND vector.revision = memory.revision) AS embedded
FROM convenience.memory
WHERE id = $1;

-- name: get_memories
-- role: lares_app
-- database: lares
SELECT id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace,
       level, thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
       superseded_by, superseded_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = memory.id AND vector.revision = memory.revision) AS embedded
FROM convenience.memory
WHERE id = ANY ($1::uuid[])
LIMIT 200;

-- name: merged_into
-- role: lares_app
-- database: lares
SELECT memory_id FROM convenience.memory_source WHERE merged_id = $1 LIMIT 1;

-- name: has_memory
-- role: lares_app
-- database: lares
SELECT EXISTS (SELECT FROM convenience.memory WHERE id = $1);

-- name: take_memory
-- role: lares_app
-- database: lares
-- The row with its newest embedding, held until the transaction ends: what a move carries along.
SELECT id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace,
       level, thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
       superseded_by, superseded_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = memory.id AND vector.revision = memory.revision) AS embedded,
       newest.embedding::text AS embedding, newest.model AS embedding_model
FROM convenience.memory
LEFT JOIN LATERAL (
    SELECT embedding, model FROM convenience.memory_vector AS vector
    WHERE vector.memory_id = memory.id AND vector.revision = memory.revision
    ORDER BY model DESC
    LIMIT 1) AS newest ON true
WHERE id = $1
FOR UPDATE OF memory;

-- name: page_memories
-- role: lares_app
-- database: lares
SELECT id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace,
       level, thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
       superseded_by, superseded_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = memory.id AND vector.revision = memory.revision) AS embedded
FROM convenience.memory
WHERE (created_at, id) < ($1::timestamptz, $2::uuid)
  AND ($4::text IS NULL OR namespace = $4)
  AND ($5::text IS NULL OR level = $5)
  AND ($6::text IS NULL OR source_kind = $6)
  AND ($7::text IS NULL OR thread = $7)
  AND ($8::timestamptz IS NULL OR happened_at >= $8)
  AND ($9::timestamptz IS NULL OR happened_at < $9)
  AND ($11::uuid[] IS NULL OR id IN (
      SELECT mention.memory_id FROM convenience.entity
      JOIN convenience.mention ON mention.entity_id = entity.id
      WHERE entity.root = ANY ($11)))
  AND CASE $10::text
      WHEN 'active' THEN archived_at IS NULL AND superseded_at IS NULL
      WHEN 'archived' THEN archived_at IS NOT NULL
      WHEN 'superseded' THEN superseded_at IS NOT NULL
      ELSE true END
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: page_happened
-- role: lares_app
-- database: lares
SELECT id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace,
       level, thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
       superseded_by, superseded_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = memory.id AND vector.revision = memory.revision) AS embedded
FROM convenience.memory
WHERE (happened_at, id) < ($1::timestamptz, $2::uuid)
  AND ($4::text IS NULL OR namespace = $4)
  AND ($5::text IS NULL OR level = $5)
  AND ($6::text IS NULL OR source_kind = $6)
  AND ($7::text IS NULL OR thread = $7)
  AND ($8::timestamptz IS NULL OR happened_at >= $8)
  AND ($9::timestamptz IS NULL OR happened_at < $9)
  AND ($11::uuid[] IS NULL OR id IN (
      SELECT mention.memory_id FROM convenience.entity
      JOIN convenience.mention ON mention.entity_id = entity.id
      WHERE entity.root = ANY ($11)))
  AND CASE $10::text
      WHEN 'active' THEN archived_at IS NULL AND superseded_at IS NULL
      WHEN 'archived' THEN archived_at IS NOT NULL
      WHEN 'superseded' THEN superseded_at IS NOT NULL
      ELSE true END
ORDER BY happened_at DESC, id DESC
LIMIT $3;

-- name: count_happened
-- role: lares_app
-- database: lares
-- Bounded by the limit on buckets and by what a person can have remembered; one scan of their own rows.
SELECT date_trunc($1::text, happened_at, 'UTC') AS start, level, count(*) AS count
FROM convenience.memory
WHERE archived_at IS NULL
  AND ($2::timestamptz IS NULL OR happened_at >= $2)
  AND ($3::timestamptz IS NULL OR happened_at < $3)
GROUP BY 1, 2
ORDER BY 1 DESC
LIMIT $4;

-- name: list_identity
-- role: lares_app
-- database: lares
SELECT id, subject_id, text, source_kind, source_ref, occurred_at, created_at, updated_at, revision, namespace,
       level, thread, position, speaker, strength, accesses, accessed_at, expires_at, archived_at, valid_from, valid_to,
       superseded_by, superseded_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = memory.id AND vector.revision = memory.revision) AS embedded
FROM convenience.memory
WHERE level = 'identity' AND archived_at IS NULL AND superseded_at IS NULL
ORDER BY created_at, id
LIMIT $1;

-- name: count_namespaces
-- role: lares_app
-- database: lares
SELECT namespace, count(*) AS count FROM convenience.memory GROUP BY namespace LIMIT 101;

-- name: has_namespace
-- role: lares_app
-- database: lares
SELECT EXISTS (SELECT FROM convenience.memory WHERE namespace = $1);

-- name: update_memory
-- role: lares_app
-- database: lares
-- A new text makes the old embeddings a lie: they go in the same statement.
WITH before AS (
    SELECT id, text FROM convenience.memory WHERE id = $1 FOR UPDATE
), gone AS (
    DELETE FROM convenience.memory_vector AS vector USING before
    WHERE vector.memory_id = before.id AND before.text <> $2
)
UPDATE convenience.memory
SET text = $2, occurred_at = $3, updated_at = $4, namespace = $5, level = $6, expires_at = $7, valid_from = $8,
    valid_to = $9, archived_at = $10, superseded_by = $11, superseded_at = $12,
    revision = revision + CASE WHEN before.text <> $2 THEN 1 ELSE 0 END
FROM before
WHERE memory.id = before.id
RETURNING revision, before.text = $2 AND EXISTS (
    SELECT FROM convenience.memory_vector AS vector WHERE vector.memory_id = before.id) AS embedded;

-- name: delete_memory
-- role: lares_app
-- database: lares
-- Its embeddings, sources and links go with it, by their foreign keys.
DELETE FROM convenience.memory WHERE id = $1
RETURNING (SELECT count(*) FROM convenience.memory_vector AS vector WHERE vector.memory_id = memory.id) AS embeddings;

-- name: set_embedding
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_vector (memory_id, subject_id, namespace, model, revision, embedding)
SELECT id, subject_id, namespace, $4, revision, $3::text::halfvec
FROM convenience.memory
WHERE id = $1 AND revision = $2
FOR SHARE
ON CONFLICT (memory_id, model) DO UPDATE SET revision = excluded.revision, embedding = excluded.embedding;

-- name: insert_sacred
-- role: lares_app
-- database: lares_sacred
INSERT INTO sacred.memory
    (id, subject_id, key_id, sealed, embedding_key_id, embedding_sealed, embedding_model, occurred_at, created_at,
     updated_at, revision, namespace, level, strength, accesses, accessed_at, expires_at, archived_at, valid_from,
     valid_to, superseded_by, superseded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22);

-- name: get_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id, subject_id, key_id, sealed, occurred_at, created_at, updated_at, revision, namespace, level, strength, accesses,
       accessed_at, expires_at, archived_at, valid_from, valid_to, superseded_by, superseded_at,
       embedding_sealed IS NOT NULL AS embedded
FROM sacred.memory
WHERE id = $1;

-- name: has_sacred
-- role: lares_app
-- database: lares_sacred
SELECT EXISTS (SELECT FROM sacred.memory WHERE id = $1);

-- name: take_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id, subject_id, key_id, sealed, occurred_at, created_at, updated_at, revision, namespace, level, strength, accesses,
       accessed_at, expires_at, archived_at, valid_from, valid_to, superseded_by, superseded_at,
       embedding_sealed IS NOT NULL AS embedded, embedding_key_id, embedding_sealed,
       embedding_model
FROM sacred.memory
WHERE id = $1
FOR UPDATE;

-- name: page_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id, subject_id, key_id, sealed, occurred_at, created_at, updated_at, revision, namespace, level, strength, accesses,
       accessed_at, expires_at, archived_at, valid_from, valid_to, superseded_by, superseded_at,
       embedding_sealed IS NOT NULL AS embedded
FROM sacred.memory
WHERE (created_at, id) < ($1::timestamptz, $2::uuid)
  AND ($4::text IS NULL OR namespace = $4)
  AND ($5::text IS NULL OR level = $5)
  AND ($6::timestamptz IS NULL OR happened_at >= $6)
  AND ($7::timestamptz IS NULL OR happened_at < $7)
  AND CASE $8::text
      WHEN 'active' THEN archived_at IS NULL AND superseded_at IS NULL
      WHEN 'archived' THEN archived_at IS NOT NULL
      WHEN 'superseded' THEN superseded_at IS NOT NULL
      ELSE true END
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: page_sacred_happened
-- role: lares_app
-- database: lares_sacred
SELECT id, subject_id, key_id, sealed, occurred_at, created_at, updated_at, revision, namespace, level, strength, accesses,
       accessed_at, expires_at, archived_at, valid_from, valid_to, superseded_by, superseded_at,
       embedding_sealed IS NOT NULL AS embedded
FROM sacred.memory
WHERE (happened_at, id) < ($1::timestamptz, $2::uuid)
  AND ($4::text IS NULL OR namespace = $4)
  AND ($5::text IS NULL OR level = $5)
  AND ($6::timestamptz IS NULL OR happened_at >= $6)
  AND ($7::timestamptz IS NULL OR happened_at < $7)
  AND CASE $8::text
      WHEN 'active' THEN archived_at IS NULL AND superseded_at IS NULL
      WHEN 'archived' THEN archived_at IS NOT NULL
      WHEN 'superseded' THEN superseded_at IS NOT NULL
      ELSE true END
ORDER BY happened_at DESC, id DESC
LIMIT $3;

-- name: has_sacred_namespace
-- role: lares_app
-- database: lares_sacred
SELECT EXISTS (SELECT FROM sacred.memory WHERE namespace = $1);

-- name: all_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id, subject_id, key_id, sealed, occurred_at, created_at, updated_at, revision, namespace, level, strength, accesses,
       accessed_at, expires_at, archived_at, valid_from, valid_to, superseded_by, superseded_at,
       embedding_sealed IS NOT NULL AS embedded, embedding_key_id, embedding_sealed,
       embedding_model, next_key_id, next_sealed, next_model
FROM sacred.memory
ORDER BY created_at DESC, id DESC
LIMIT $1;

-- name: update_sacred
-- role: lares_app
-- database: lares_sacred
UPDATE sacred.memory
SET key_id = $2, sealed = $3, occurred_at = $4, updated_at = $5, namespace = $7, level = $8, expires_at = $9,
    valid_from = $10, valid_to = $11, archived_at = $12, superseded_by = $13, superseded_at = $14,
    revision = revision + CASE WHEN $6::boolean THEN 1 ELSE 0 END,
    embedding_key_id = CASE WHEN $6::boolean THEN NULL ELSE embedding_key_id END,
    embedding_sealed = CASE WHEN $6::boolean THEN NULL ELSE embedding_sealed END,
    embedding_model = CASE WHEN $6::boolean THEN NULL ELSE embedding_model END,
    next_key_id = CASE WHEN $6::boolean THEN NULL ELSE next_key_id END,
    next_sealed = CASE WHEN $6::boolean THEN NULL ELSE next_sealed END,
    next_model = CASE WHEN $6::boolean THEN NULL ELSE next_model END
WHERE id = $1
RETURNING revision, embedding_sealed IS NOT NULL AS embedded;

-- name: delete_sacred
-- role: lares_app
-- database: lares_sacred
DELETE FROM sacred.memory WHERE id = $1 RETURNING embedding_sealed IS NOT NULL AS embedded;

-- name: set_sacred_embedding
-- role: lares_app
-- database: lares_sacred
UPDATE sacred.memory
SET embedding_key_id = $3, embedding_sealed = $4, embedding_model = $5,
    next_key_id = NULL, next_sealed = NULL, next_model = NULL
WHERE id = $1 AND revision = $2;

-- name: set_sacred_next_embedding
-- role: lares_app
-- database: lares_sacred
UPDATE sacred.memory SET next_key_id = $3, next_sealed = $4, next_model = $5 WHERE id = $1 AND revision = $2;

-- name: count_sacred
-- role: lares_app
-- database: lares_sacred
SELECT count(*) FROM (SELECT FROM sacred.memory LIMIT $1) AS bounded;

-- name: claim_key
-- role: svc_memory
-- database: lares
-- Waits for a concurrent request with the same key, then finds its row.
INSERT INTO memory.remember_key (subject_id, key_hash, memory_id, request_hash)
VALUES ($1, $2, $3, $4)
ON CONFLICT (subject_id, key_hash) DO NOTHING
RETURNING memory_id;

-- name: get_key
-- role: svc_memory
-- database: lares
SELECT memory_id, request_hash FROM memory.remember_key WHERE subject_id = $1 AND key_hash = $2;

-- name: prune_keys
-- role: svc_memory
-- database: lares
DELETE FROM memory.remember_key
WHERE (subject_id, key_hash) IN (
    SELECT subject_id, key_hash FROM memory.remember_key
    WHERE created_at < now() - interval '30 days'
    LIMIT 1000
    FOR UPDATE SKIP LOCKED);

-- name: put_pending
-- role: svc_memory
-- database: lares
INSERT INTO memory.pending_embedding (memory_id, subject_id, tier, revision)
VALUES ($1, $2, $3, $4)
ON CONFLICT (memory_id) DO UPDATE
SET tier = excluded.tier, revision = excluded.revision, tries = 0, due_at = now(), leased_until = NULL, related = false;

-- name: drop_pending
-- role: svc_memory
-- database: lares
DELETE FROM memory.pending_embedding WHERE memory_id = $1;

-- name: count_pending
-- role: svc_memory
-- database: lares
SELECT count(*) FROM (SELECT FROM memory.pending_embedding LIMIT 100000) AS bounded;

-- name: get_tombstone
-- role: svc_memory
-- database: lares
SELECT tier FROM memory.tombstone WHERE memory_id = $1 AND subject_id = $2;

-- name: hold_memory
-- role: svc_memory
-- database: lares
-- One changer at a time per memory, across both databases; let go when the transaction ends.
SELECT pg_advisory_xact_lock(20, hashtext($1));

-- name: try_hold_memory
-- role: svc_memory
-- database: lares
SELECT pg_try_advisory_xact_lock(20, hashtext($1));

-- name: begin_move
-- role: svc_memory
-- database: lares
INSERT INTO memory.tier_move (memory_id, subject_id, from_tier, to_tier) VALUES ($1, $2, $3, $4);

-- name: get_move
-- role: svc_memory
-- database: lares
SELECT memory_id, subject_id, from_tier, to_tier FROM memory.tier_move WHERE memory_id = $1;

-- name: hold_move
-- role: svc_memory
-- database: lares
SELECT memory_id FROM memory.tier_move WHERE memory_id = $1 FOR UPDATE;

-- name: list_moves
-- role: svc_memory
-- database: lares
SELECT memory_id, subject_id, from_tier, to_tier FROM memory.tier_move ORDER BY started_at LIMIT 100;

-- name: end_move
-- role: svc_memory
-- database: lares
DELETE FROM memory.tier_move WHERE memory_id = $1;

-- name: note_subject
-- role: svc_memory
-- database: lares
INSERT INTO memory.subject (subject_id) VALUES ($1) ON CONFLICT (subject_id) DO NOTHING;

-- name: list_subjects
-- role: svc_memory
-- database: lares
SELECT subject_id FROM memory.subject WHERE subject_id > $1 ORDER BY subject_id LIMIT $2;

-- name: get_active_model
-- role: svc_memory
-- database: lares
SELECT id, name, dimensions FROM memory.embedding_model WHERE state = 'active';

-- name: list_namespaces
-- role: svc_memory
-- database: lares
SELECT name, shared, clients, created_at FROM memory.namespace WHERE subject_id = $1 ORDER BY name LIMIT 100;

-- name: get_namespace
-- role: svc_memory
-- database: lares
SELECT name, shared, clients, created_at FROM memory.namespace WHERE subject_id = $1 AND name = $2;

-- name: put_namespace
-- role: svc_memory
-- database: lares
-- Nothing is written when the person has a hundred already and this is another.
INSERT INTO memory.namespace (subject_id, name, shared, clients)
SELECT $1, $2, $3, $4
WHERE (SELECT count(*) FROM memory.namespace WHERE subject_id = $1 AND name <> $2) < 100
ON CONFLICT (subject_id, name) DO UPDATE SET shared = excluded.shared, clients = excluded.clients
RETURNING name, shared, clients, created_at;

-- name: delete_namespace
-- role: svc_memory
-- database: lares
DELETE FROM memory.namespace WHERE subject_id = $1 AND name = $2;
