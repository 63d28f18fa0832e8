-- Statements on a tier's table are written for convenience.memory, those on the books for the schema `memory`;
-- store.py says the same of sensitive.memory, sacred.memory and the books of the sacred database.

-- name: observe_passing
-- role: lares_app
-- database: lares
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM convenience.memory
WHERE level IN ('session', 'working')
  AND (expires_at IS NULL OR expires_at <= $1
       OR (level = 'session' AND accesses >= $2) OR (level = 'working' AND accesses >= $3))
ORDER BY accessed_at, id
LIMIT $4;

-- name: observe_episodic
-- role: lares_app
-- database: lares
-- What has faded or lasted. The exponent is bounded: a power that underflows is an error and not a zero. `extract`
-- would count in numeric, ten times slower.
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM (
    SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at,
           strength * power(0.5::float8, least(greatest(
               date_part('epoch', $1::timestamptz - accessed_at) / $2::float8, 0), 300)) AS left_now
    FROM convenience.memory
    -- Within a half-life nothing loses more than half: most rows need no power at all.
    WHERE level = 'episodic' AND archived_at IS NULL
      AND (accessed_at < $1::timestamptz - $2::float8 * interval '1 second' OR strength < 2 * $3::float8
           OR accesses >= $4)
) AS faded
WHERE left_now < $3::float8
   OR (accesses >= $4 AND created_at <= $5::timestamptz AND left_now >= $6::float8)
ORDER BY accessed_at, id
LIMIT $7;

-- name: observe_used_again
-- role: lares_app
-- database: lares
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM convenience.memory
WHERE accessed_at > archived_at AND strength >= $1::real
ORDER BY accessed_at, id
LIMIT $2;

-- name: observe_weakest
-- role: lares_app
-- database: lares
-- Of a level that is full: those that score lowest, by the weights of decide.py.
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM (
    SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at,
           power(0.5::float8, least(greatest(
               date_part('epoch', $2::timestamptz - accessed_at) / $3::float8, 0), 300)) AS recency
    FROM convenience.memory
    WHERE level = $1 AND archived_at IS NULL
) AS held
ORDER BY $4::float8 * accesses / (accesses + 5.0) + $5::float8 * recency
         + $6::float8 * strength * CASE WHEN level = 'episodic' THEN recency ELSE 1 END / 8,
         created_at, id
LIMIT $7;

-- name: observe_identity
-- role: lares_app
-- database: lares
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at,
       char_length(text) AS characters
FROM convenience.memory
WHERE level = 'identity' AND archived_at IS NULL
ORDER BY accessed_at, id
LIMIT $1;

-- name: occupancy
-- role: lares_app
-- database: lares
SELECT level, count(*) FILTER (WHERE archived_at IS NULL) AS active,
       count(*) FILTER (WHERE archived_at IS NOT NULL) AS archived
FROM convenience.memory
GROUP BY level;

-- name: occupancy_passing
-- role: lares_app
-- database: lares
-- Without knowledge, which is most of all rows and changes least.
SELECT level, count(*) AS active, 0 AS archived
FROM convenience.memory
WHERE level <> 'knowledge'
GROUP BY level;

-- name: take_item
-- role: lares_app
-- database: lares
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM convenience.memory
WHERE id = $1
FOR UPDATE;

-- name: take_items
-- role: lares_app
-- database: lares
-- In one order, so that two who note uses at once never wait for each other in a circle.
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM convenience.memory
WHERE id = ANY ($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE;

-- name: put_item
-- role: lares_app
-- database: lares
UPDATE convenience.memory
SET level = $2, strength = $3, accesses = $4, accessed_at = $5, expires_at = $6, archived_at = $7
WHERE id = $1;

-- name: put_uses
-- role: lares_app
-- database: lares
UPDATE convenience.memory AS used
SET strength = noted.strength, accesses = noted.accesses, accessed_at = noted.accessed_at,
    expires_at = noted.expires_at
FROM unnest($1::uuid[], $2::real[], $3::integer[], $4::timestamptz[], $5::timestamptz[])
    AS noted (id, strength, accesses, accessed_at, expires_at)
WHERE used.id = noted.id;

-- name: note_subjects
-- role: svc_memory
-- database: lares
INSERT INTO memory.consolidation_turn (subject_id)
SELECT unnest($1::uuid[])
ON CONFLICT (subject_id) DO NOTHING;

-- name: next_subjects
-- role: svc_memory
-- database: lares
SELECT subject_id, looked_at FROM memory.consolidation_turn
ORDER BY looked_at NULLS FIRST, subject_id
LIMIT $1;

-- name: end_turn
-- role: svc_memory
-- database: lares
UPDATE memory.consolidation_turn SET looked_at = $2, occupancy = $3::jsonb WHERE subject_id = $1;

-- name: all_occupancy
-- role: svc_memory
-- database: lares
SELECT level, sum(held::bigint)::bigint AS held
FROM memory.consolidation_turn, jsonb_each_text(occupancy) AS counted (level, held)
GROUP BY level;

-- name: hold_memory
-- role: svc_memory
-- database: lares
-- The lock under which memories are edited, moved and forgotten, in either database.
SELECT pg_try_advisory_xact_lock(20, hashtext($1));

-- name: lead_rounds
-- role: svc_memory
-- database: lares
SELECT pg_try_advisory_xact_lock(26, 0);

-- name: try_subject
-- role: svc_memory
-- database: lares
SELECT pg_try_advisory_xact_lock(27, hashtext($1));

-- name: get_state
-- role: svc_memory
-- database: lares
SELECT enabled, mode, leader, round_at, next_round_at, round_seconds FROM memory.consolidation;

-- name: put_switch
-- role: svc_memory
-- database: lares
INSERT INTO memory.consolidation (enabled, switched_at) VALUES ($1, now())
ON CONFLICT (id) DO UPDATE SET enabled = excluded.enabled, switched_at = excluded.switched_at;

-- name: put_round
-- role: svc_memory
-- database: lares
INSERT INTO memory.consolidation (mode, leader, round_at, next_round_at, round_seconds) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE
SET mode = excluded.mode, leader = excluded.leader, round_at = coalesce(excluded.round_at, consolidation.round_at),
    next_round_at = excluded.next_round_at,
    round_seconds = coalesce(excluded.round_seconds, consolidation.round_seconds);

-- name: put_move
-- role: svc_memory
-- database: lares
INSERT INTO memory.consolidation_move
    (subject_id, memory_id, tier, namespace, kind, from_level, to_level, score, reason, into_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id, at;

-- name: count_move
-- role: svc_memory
-- database: lares
INSERT INTO memory.consolidation_count (kind, moves) VALUES ($1, 1)
ON CONFLICT (kind) DO UPDATE SET moves = consolidation_count.moves + 1;

-- name: list_counts
-- role: svc_memory
-- database: lares
SELECT kind, moves FROM memory.consolidation_count;

-- name: list_moves
-- role: svc_memory
-- database: lares
SELECT id, at, memory_id, tier, kind, from_level, to_level, score, reason, into_id
FROM memory.consolidation_move
WHERE subject_id = $1 AND tier = ANY ($2::text[]) AND namespace <> ALL ($3::text[])
  AND (at, id) < ($4::timestamptz, $5::bigint)
ORDER BY at DESC, id DESC
LIMIT $6;

-- name: hidden_namespaces
-- role: lares_app
-- database: lares
SELECT memory.hidden_namespaces();

-- name: prune_moves
-- role: svc_memory
-- database: lares
DELETE FROM memory.consolidation_move
WHERE id IN (SELECT id FROM memory.consolidation_move WHERE at < $1 ORDER BY at LIMIT $2);

-- name: last_chore
-- role: svc_memory
-- database: lares
SELECT began_at, ended_at, code FROM memory.chore WHERE name = $1;

-- name: begin_chore
-- role: svc_memory
-- database: lares
INSERT INTO memory.chore (name, began_at) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET began_at = excluded.began_at, ended_at = NULL, code = NULL;

-- name: end_chore
-- role: svc_memory
-- database: lares
UPDATE memory.chore SET ended_at = $2, code = $3 WHERE name = $1;

-- name: all_subjects
-- role: svc_memory
-- database: lares
SELECT subject_id FROM memory.subject ORDER BY seen_at DESC LIMIT $1;

-- name: observe_stale
-- role: lares_app
-- database: lares
-- What nobody has used for long and no summary stands for yet: faded, or archived for it lately.
SELECT stale.id, stale.namespace, stale.text, stale.thread, stale.revision, stale.happened_at,
       vector.embedding::text AS embedding
FROM convenience.memory AS stale
LEFT JOIN convenience.memory_vector AS vector
    ON vector.memory_id = stale.id AND vector.model = $1 AND vector.revision = stale.revision
WHERE stale.superseded_at IS NULL AND stale.source_kind <> 'lares.summary'
  AND ((stale.level = 'episodic' AND stale.archived_at IS NULL AND stale.created_at < $2::timestamptz
        AND stale.strength * power(0.5::float8, least(greatest(
            date_part('epoch', $3::timestamptz - stale.accessed_at) / $4::float8, 0), 300)) < $5::float8)
       OR (stale.id = ANY ($6::uuid[]) AND stale.archived_at IS NOT NULL))
  AND NOT EXISTS (
      SELECT FROM convenience.memory_link AS link WHERE link.to_id = stale.id AND link.kind = 'summarises')
ORDER BY stale.happened_at, stale.id
LIMIT $7;

-- name: take_stale
-- role: lares_app
-- database: lares
SELECT stale.id, stale.namespace, stale.level, stale.strength, stale.accesses, stale.accessed_at, stale.created_at,
       stale.expires_at, stale.archived_at, stale.revision
FROM convenience.memory AS stale
WHERE stale.id = ANY ($1::uuid[]) AND stale.superseded_at IS NULL
  AND NOT EXISTS (
      SELECT FROM convenience.memory_link AS link WHERE link.to_id = stale.id AND link.kind = 'summarises')
ORDER BY stale.id
FOR UPDATE OF stale;

-- name: put_links
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_link (from_id, to_id, subject_id, namespace, kind)
SELECT $1, unnest($2::uuid[]), $3, $4, 'summarises';

-- name: active_model
-- role: svc_memory
-- database: lares
SELECT id FROM memory.embedding_model WHERE state = 'active';

-- name: archived_lately
-- role: svc_memory
-- database: lares
SELECT DISTINCT memory_id FROM memory.consolidation_move
WHERE subject_id = $1 AND tier = $2 AND kind = 'archived' AND from_level = 'episodic' AND at >= $3
LIMIT $4;

-- name: risen_lately
-- role: svc_memory
-- database: lares
-- What came to another level and may meet its like there.
SELECT DISTINCT memory_id FROM memory.consolidation_move
WHERE subject_id = $1 AND tier = $2 AND kind IN ('promoted', 'demoted', 'restored') AND at >= $3
LIMIT $4;

-- name: observe_items
-- role: lares_app
-- database: lares
SELECT id, namespace, level, strength, accesses, accessed_at, created_at, expires_at, archived_at
FROM convenience.memory
WHERE id = ANY ($1::uuid[]);

-- name: same_claims
-- role: lares_app
-- database: lares
-- Of memories that came to a level, those that find another there which makes the same claim.
SELECT own.memory_id AS one, other.memory_id AS other
FROM convenience.memory_claim AS own
JOIN convenience.memory_claim AS other
    ON other.subject_id = own.subject_id AND other.namespace = own.namespace AND other.claim = own.claim
       AND other.memory_id <> own.memory_id
JOIN convenience.memory AS risen ON risen.id = own.memory_id
JOIN convenience.memory AS held ON held.id = other.memory_id AND held.level = risen.level
WHERE own.memory_id = ANY ($1::uuid[])
  AND risen.archived_at IS NULL AND held.archived_at IS NULL
  AND risen.superseded_at IS NULL AND held.superseded_at IS NULL
ORDER BY held.created_at, held.id
LIMIT $2;
