-- Statements on a tier's tables are written for convenience, on the books for the schema `memory`: store.py says the
-- same of sensitive, and of `sacred` for the books of the other database.

-- name: texts_to_embed
-- role: lares_app
-- database: lares
SELECT entry.id, entry.revision, entry.text, entry.created_at,
       EXISTS (SELECT FROM convenience.memory_vector AS vector
               WHERE vector.memory_id = entry.id AND vector.model = $2 AND vector.revision = entry.revision) AS embedded
FROM convenience.memory AS entry
WHERE entry.id = ANY ($1::uuid[]);

-- name: write_vectors
-- role: lares_app
-- database: lares
-- The rows are held, so that no edit comes between the comparison of revisions and the vector.
WITH held AS (
    SELECT id, subject_id, namespace, revision FROM convenience.memory
    WHERE id = ANY ($1::uuid[])
    ORDER BY id
    FOR SHARE
)
INSERT INTO convenience.memory_vector (memory_id, subject_id, namespace, model, revision, embedding)
SELECT held.id, held.subject_id, held.namespace, $4, held.revision, given.embedding::halfvec
FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS given (id, revision, embedding)
JOIN held ON held.id = given.id AND held.revision = given.revision
ORDER BY held.id
ON CONFLICT (memory_id, model) DO UPDATE
SET revision = excluded.revision, embedding = excluded.embedding, namespace = excluded.namespace
RETURNING memory_id;

-- name: without_vector
-- role: lares_app
-- database: lares
SELECT entry.id, entry.revision, entry.text, entry.created_at, false AS embedded
FROM convenience.memory AS entry
WHERE entry.id > $2
  AND entry.updated_at <= now() - $4 * interval '1 second'
  AND NOT EXISTS (SELECT FROM convenience.memory_vector AS vector
                  WHERE vector.memory_id = entry.id AND vector.model = $1 AND vector.revision = entry.revision)
ORDER BY entry.id
LIMIT $3;

-- name: count_vectors
-- role: lares_app
-- database: lares
SELECT (SELECT count(*) FROM convenience.memory) AS total,
       (SELECT count(*) FROM convenience.memory_vector WHERE model = $1) AS done;

-- name: drop_vectors
-- role: lares_app
-- database: lares
DELETE FROM convenience.memory_vector
WHERE ctid = ANY (ARRAY(SELECT ctid FROM convenience.memory_vector WHERE model = $1 LIMIT $2));

-- name: put_claims
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_claim (memory_id, subject_id, namespace, revision, claim)
SELECT entry.id, entry.subject_id, entry.namespace, entry.revision, given.claim
FROM unnest($1::uuid[], $2::uuid[]) AS given (id, claim)
JOIN convenience.memory AS entry ON entry.id = given.id
ORDER BY entry.id
ON CONFLICT (memory_id) DO UPDATE
SET namespace = excluded.namespace, revision = excluded.revision, claim = excluded.claim;

-- name: same_claims
-- role: lares_app
-- database: lares
-- Who made the same claim as one of these, oldest first; both texts are compared again by whoever asks.
SELECT own.memory_id AS id, other.memory_id AS other, 1 - (theirs.embedding <=> mine.embedding) AS cosine
FROM convenience.memory_claim AS own
JOIN convenience.memory_claim AS other
    ON other.subject_id = own.subject_id AND other.namespace = own.namespace AND other.claim = own.claim
   AND other.memory_id <> own.memory_id
JOIN convenience.memory_vector AS mine ON mine.memory_id = own.memory_id AND mine.model = $2
JOIN convenience.memory_vector AS theirs ON theirs.memory_id = other.memory_id AND theirs.model = $2
JOIN convenience.memory AS entry ON entry.id = other.memory_id
WHERE own.memory_id = ANY ($1::uuid[]) AND entry.superseded_at IS NULL AND entry.archived_at IS NULL
ORDER BY own.memory_id, entry.created_at, entry.id
LIMIT $3;

-- name: same_text
-- role: lares_app
-- database: lares
SELECT id FROM convenience.memory
WHERE subject_id = $1 AND namespace = $2 AND superseded_at IS NULL AND archived_at IS NULL
  AND said = md5(lower(regexp_replace(regexp_replace($3::text, '^[\s.\x21]+|[\s.\x21]+$', '', 'g'), '\s+', '_', 'g')))::uuid
ORDER BY created_at, id
LIMIT $4;

-- name: texts_said
-- role: lares_app
-- database: lares
-- Hashed beforehand: a function of another table's column is not leakproof, so below the policy no index would be used.
WITH given AS MATERIALIZED (
    SELECT place, namespace, md5(lower(regexp_replace(regexp_replace(text, '^[\s.\x21]+|[\s.\x21]+$', '', 'g'), '\s+', '_', 'g')))::uuid AS said
    FROM unnest($1::int[], $2::text[], $3::text[]) AS one (place, namespace, text)
)
SELECT DISTINCT given.place
FROM given
JOIN convenience.memory AS entry
    ON entry.subject_id = (SELECT current_setting('lares.subject')::uuid) AND entry.namespace = given.namespace
   AND entry.said = given.said
   AND entry.superseded_at IS NULL AND entry.archived_at IS NULL;

-- name: hold_text
-- role: lares_app
-- database: lares
-- Two who say the same at once are one after the other. A collision of the hash only makes somebody wait.
SELECT pg_advisory_xact_lock(28, hashtext($1));

-- name: add_source
-- role: lares_app
-- database: lares
-- A source that is there already is not added again, and there is room for so many and no more.
INSERT INTO convenience.memory_source
    (id, memory_id, subject_id, namespace, source_kind, source_ref, thread, position, speaker, text, occurred_at,
     learned_at, merged_id)
SELECT gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
WHERE (SELECT count(*) FROM (SELECT FROM convenience.memory_source WHERE memory_id = $1 LIMIT $13) AS bounded) < $13
  AND NOT EXISTS (
    SELECT FROM convenience.memory_source
    WHERE memory_id = $1 AND source_kind = $4 AND source_ref IS NOT DISTINCT FROM $5
      AND thread IS NOT DISTINCT FROM $6 AND position IS NOT DISTINCT FROM $7 AND speaker IS NOT DISTINCT FROM $8
      AND text IS NOT DISTINCT FROM $9 AND occurred_at IS NOT DISTINCT FROM $10
      AND merged_id IS NOT DISTINCT FROM $12)
RETURNING id;

-- name: move_sources
-- role: lares_app
-- database: lares
-- What had no text of its own said what the memory that goes says.
UPDATE convenience.memory_source SET memory_id = $2, text = coalesce(text, $3) WHERE memory_id = $1;

-- name: carry_sources_up
-- role: lares_app
-- database: lares
-- Where else a memory came from moves with it, while it stands in both tiers.
INSERT INTO sensitive.memory_source SELECT * FROM convenience.memory_source WHERE memory_id = $1;

-- name: carry_sources_down
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_source SELECT * FROM sensitive.memory_source WHERE memory_id = $1;

-- name: move_links_from
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_link (from_id, to_id, subject_id, namespace, kind, created_at)
SELECT $2, to_id, subject_id, namespace, kind, created_at FROM convenience.memory_link
WHERE from_id = $1 AND to_id <> $2
ON CONFLICT (from_id, to_id, kind) DO NOTHING;

-- name: move_links_to
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_link (from_id, to_id, subject_id, namespace, kind, created_at)
SELECT from_id, $2, subject_id, namespace, kind, created_at FROM convenience.memory_link
WHERE to_id = $1 AND from_id <> $2
ON CONFLICT (from_id, to_id, kind) DO NOTHING;

-- name: move_superseded
-- role: lares_app
-- database: lares
UPDATE convenience.memory SET superseded_by = $2 WHERE superseded_by = $1 AND id <> $2;

-- name: own_mark
-- role: svc_memory
-- database: lares
SELECT new_id, made_by, rule, valid_to_before, decided_at, restored_at FROM memory.supersession WHERE old_id = $1;

-- name: put_mark
-- role: svc_memory
-- database: lares
INSERT INTO memory.supersession (old_id, subject_id, new_id, made_by, rule, valid_to_before, decided_at, restored_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (old_id) DO NOTHING;

-- name: hide_mark
-- role: lares_app
-- database: lares
INSERT INTO sensitive.supersession (old_id, subject_id, namespace, new_id, made_by, rule, valid_to, decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (old_id) DO NOTHING;

-- name: hand_over_marks
-- role: svc_memory
-- database: lares
-- Not where it would be a mark of the survivor on itself: that goes.
UPDATE memory.supersession SET new_id = $2 WHERE new_id = $1 AND old_id <> $2;

-- name: hand_over_hidden
-- role: lares_app
-- database: lares
UPDATE sensitive.supersession SET new_id = $2 WHERE new_id = $1 AND old_id <> $2;

-- name: strengthen
-- role: lares_app
-- database: lares
-- What was said twice is as strong and as fresh as the stronger and the fresher of the two.
UPDATE convenience.memory
SET strength = greatest(strength, $2::real), accesses = accesses + $3, accessed_at = greatest(accessed_at, $4),
    occurred_at = coalesce(occurred_at, $5), expires_at = greatest(expires_at, $6)
WHERE id = $1;

-- name: count_sources
-- role: lares_app
-- database: lares
SELECT count(*) FROM convenience.memory_source WHERE memory_id = $1;

-- name: texts_to_embed_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id, revision, created_at, (embedding_model IS NOT DISTINCT FROM $2 OR next_model IS NOT DISTINCT FROM $2) AS embedded
FROM sacred.memory
WHERE id = ANY ($1::uuid[]);

-- name: without_vector_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id, revision, created_at, false AS embedded
FROM sacred.memory
WHERE id > $2 AND embedding_model IS DISTINCT FROM $1 AND next_model IS DISTINCT FROM $1
  AND updated_at <= now() - $4 * interval '1 second'
ORDER BY id
LIMIT $3;

-- name: count_vectors_sacred
-- role: lares_app
-- database: lares_sacred
SELECT count(*) AS total,
       count(*) FILTER (WHERE embedding_model IS NOT DISTINCT FROM $1 OR next_model IS NOT DISTINCT FROM $1) AS done
FROM sacred.memory;

-- name: drop_vectors_sacred
-- role: lares_app
-- database: lares_sacred
-- The next vector takes the place of the one that goes, whichever of the two the model is of.
UPDATE sacred.memory
SET embedding_key_id = CASE WHEN embedding_model = $1 THEN next_key_id ELSE embedding_key_id END,
    embedding_sealed = CASE WHEN embedding_model = $1 THEN next_sealed ELSE embedding_sealed END,
    embedding_model = CASE WHEN embedding_model = $1 THEN next_model ELSE embedding_model END,
    next_key_id = NULL, next_sealed = NULL, next_model = NULL
WHERE id = ANY (ARRAY(SELECT id FROM sacred.memory WHERE embedding_model = $1 OR next_model = $1 LIMIT $2));

-- name: claim_embeddings
-- role: svc_memory
-- database: lares
-- No more is leased than can soon be done: the rest waits in the table, where nothing expires. A lease whose holder is
-- gone ends by itself, later each time.
UPDATE memory.pending_embedding AS pending
SET tries = pending.tries + 1, leased_until = now() + interval '60 seconds',
    due_at = now() + least(60 * power(2, least(pending.tries, 10)), 3600) * interval '1 second'
WHERE memory_id IN (
    SELECT memory_id FROM memory.pending_embedding
    WHERE due_at <= now()
    ORDER BY due_at, memory_id
    LIMIT greatest($1 - (SELECT count(*) FROM memory.pending_embedding WHERE leased_until > now()), 0)
    FOR UPDATE SKIP LOCKED)
RETURNING memory_id, subject_id, tier, pending.tries > 2 AS doubtful;

-- name: finish_embedded
-- role: svc_memory
-- database: lares
-- Ticks off exactly these texts, and notes what follows in the same step.
WITH held AS (
    SELECT memory_id FROM memory.pending_embedding WHERE memory_id = ANY ($1::uuid[]) ORDER BY memory_id FOR UPDATE
), done AS (
    DELETE FROM memory.pending_embedding AS pending
    USING held, unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS given (id, revision, written_at)
    WHERE pending.memory_id = held.memory_id AND given.id = held.memory_id AND pending.revision <= given.revision
    RETURNING pending.memory_id, pending.subject_id, pending.tier, given.written_at
)
INSERT INTO memory.pending_relation (memory_id, subject_id, tier, written_at)
SELECT memory_id, subject_id, tier, written_at FROM done ORDER BY memory_id
ON CONFLICT (memory_id) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = now(), leased_until = NULL;

-- name: finish_embedded_sacred
-- role: svc_memory
-- database: lares_sacred
WITH held AS (
    SELECT memory_id FROM sacred.pending_embedding WHERE memory_id = ANY ($1::uuid[]) ORDER BY memory_id FOR UPDATE
)
DELETE FROM sacred.pending_embedding AS pending
USING held, unnest($1::uuid[], $2::bigint[]) AS given (id, revision)
WHERE pending.memory_id = held.memory_id AND given.id = held.memory_id AND pending.revision <= given.revision;

-- name: drop_gone
-- role: svc_memory
-- database: lares
-- Only what is leased: a note that was renewed a moment ago is about another text, or another tier.
WITH held AS (
    SELECT memory_id FROM memory.pending_embedding
    WHERE memory_id = ANY ($1::uuid[]) AND tier = $2 AND leased_until IS NOT NULL
    ORDER BY memory_id
    FOR UPDATE
)
DELETE FROM memory.pending_embedding AS pending USING held WHERE pending.memory_id = held.memory_id;

-- name: defer_embeddings
-- role: svc_memory
-- database: lares
-- What they need is away: the try does not count. Whoever holds a note is striking it or renewing it, here and below.
WITH held AS (
    SELECT memory_id FROM memory.pending_embedding
    WHERE memory_id = ANY ($1::uuid[]) AND leased_until IS NOT NULL
    ORDER BY memory_id
    FOR UPDATE SKIP LOCKED
)
UPDATE memory.pending_embedding AS pending
SET tries = greatest(tries - 1, 0), due_at = now() + $2 * interval '1 second', leased_until = NULL
FROM held
WHERE pending.memory_id = held.memory_id;

-- name: set_aside_embeddings
-- role: svc_memory
-- database: lares
-- The model does not take these texts: they are tried again, ever later, and are in nobody's way meanwhile.
WITH held AS (
    SELECT memory_id FROM memory.pending_embedding
    WHERE memory_id = ANY ($1::uuid[])
    ORDER BY memory_id
    FOR UPDATE SKIP LOCKED
)
UPDATE memory.pending_embedding AS pending SET leased_until = NULL FROM held WHERE pending.memory_id = held.memory_id;

-- name: relate_unembedded
-- role: svc_memory
-- database: lares
-- What needs no vector does not wait for one; once, since it is noted again when the vector is there.
WITH held AS (
    SELECT memory_id FROM memory.pending_embedding
    WHERE memory_id = ANY ($1::uuid[]) AND NOT related
    ORDER BY memory_id
    FOR UPDATE SKIP LOCKED
), waiting AS (
    UPDATE memory.pending_embedding AS pending SET related = true
    FROM held, unnest($1::uuid[], $2::timestamptz[]) AS given (id, written_at)
    WHERE pending.memory_id = held.memory_id AND given.id = held.memory_id
    RETURNING pending.memory_id, pending.subject_id, pending.tier, given.written_at
)
INSERT INTO memory.pending_relation (memory_id, subject_id, tier, written_at)
SELECT memory_id, subject_id, tier, written_at FROM waiting ORDER BY memory_id
ON CONFLICT (memory_id) DO NOTHING;

-- name: put_pendings
-- role: svc_memory
-- database: lares
INSERT INTO memory.pending_embedding (memory_id, subject_id, tier, revision)
SELECT id, $2, $3, revision FROM unnest($1::uuid[], $4::bigint[]) AS given (id, revision) ORDER BY id
ON CONFLICT (memory_id) DO NOTHING;

-- name: pending_among
-- role: svc_memory
-- database: lares
SELECT memory_id FROM memory.pending_embedding WHERE memory_id = ANY ($1::uuid[]);

-- name: claim_relations_turn
-- role: svc_memory
-- database: lares
SELECT pg_advisory_xact_lock(28, 1);

-- name: claim_relations
-- role: svc_memory
-- database: lares
-- One person's at a time, oldest first, and nobody's who is at it already: what follows a write has an order.
WITH chosen AS (
    SELECT subject_id, tier FROM memory.pending_relation AS due
    WHERE due_at <= now() AND NOT EXISTS (
        SELECT FROM memory.pending_relation AS busy
        WHERE busy.subject_id = due.subject_id AND busy.leased_until > now())
    ORDER BY due_at
    LIMIT 1
)
UPDATE memory.pending_relation AS pending
SET tries = pending.tries + 1, leased_until = now() + interval '60 seconds',
    due_at = now() + least(60 * power(2, least(pending.tries, 10)), 3600) * interval '1 second'
WHERE memory_id IN (
    SELECT memory_id FROM memory.pending_relation JOIN chosen USING (subject_id, tier)
    WHERE due_at <= now()
    ORDER BY written_at, memory_id
    LIMIT $1
    FOR UPDATE OF pending_relation SKIP LOCKED)
RETURNING memory_id, subject_id, tier, written_at;

-- name: finish_relations
-- role: svc_memory
-- database: lares
WITH held AS (
    SELECT memory_id FROM memory.pending_relation
    WHERE memory_id = ANY ($1::uuid[]) AND leased_until IS NOT NULL
    ORDER BY memory_id
    FOR UPDATE
)
DELETE FROM memory.pending_relation AS pending USING held WHERE pending.memory_id = held.memory_id;

-- name: release_relations
-- role: svc_memory
-- database: lares
WITH held AS (
    SELECT memory_id FROM memory.pending_relation WHERE memory_id = ANY ($1::uuid[]) ORDER BY memory_id FOR UPDATE
)
UPDATE memory.pending_relation AS pending SET leased_until = NULL FROM held WHERE pending.memory_id = held.memory_id;

-- name: waits_behind
-- role: svc_memory
-- database: lares
-- Whether anything of this person is still on its way through the pipeline, beside this memory.
SELECT EXISTS (SELECT FROM memory.pending_relation WHERE subject_id = $1 AND memory_id <> $2)
    OR EXISTS (SELECT FROM memory.pending_embedding WHERE subject_id = $1 AND memory_id <> $2);

-- name: moving
-- role: svc_memory
-- database: lares
SELECT EXISTS (SELECT FROM memory.tier_move WHERE memory_id = $1);

-- name: drop_relation
-- role: svc_memory
-- database: lares
DELETE FROM memory.pending_relation WHERE memory_id = $1;

-- name: rebind_keys
-- role: svc_memory
-- database: lares
UPDATE memory.remember_key SET memory_id = $2 WHERE memory_id = $1;

-- name: announce_all
-- role: svc_memory
-- database: lares
INSERT INTO memory.outbox (event_id, topic, payload, traceparent)
SELECT event_id, $1, jsonb_build_object('event_id', event_id, 'memory_id', memory_id, 'subject_id', $2::uuid,
                                        'tier', $3::text, 'change', $4::text), $5
FROM unnest($6::uuid[], $7::uuid[]) AS event (memory_id, event_id);

-- name: queue_state
-- role: svc_memory
-- database: lares
SELECT count(*) AS waiting, extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now()))::float8 AS oldest_seconds
FROM (SELECT due_at FROM memory.pending_embedding ORDER BY due_at LIMIT 100000) AS bounded;

-- name: relation_queue_state
-- role: svc_memory
-- database: lares
SELECT count(*) AS waiting, extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now()))::float8 AS oldest_seconds
FROM (SELECT due_at FROM memory.pending_relation ORDER BY due_at LIMIT 100000) AS bounded;

-- name: add_tally
-- role: svc_memory
-- database: lares
INSERT INTO memory.tally (name, n) SELECT name, n FROM unnest($1::text[], $2::bigint[]) AS given (name, n) ORDER BY name
ON CONFLICT (name) DO UPDATE SET n = tally.n + excluded.n;

-- name: list_tally
-- role: svc_memory
-- database: lares
SELECT name, n FROM memory.tally LIMIT 100;

-- name: list_models
-- role: svc_memory
-- database: lares
SELECT id, name, dimensions, state, done, total, changed_at FROM memory.embedding_model ORDER BY id LIMIT 100;

-- name: hold_models
-- role: svc_memory
-- database: lares
-- Whoever writes a vector holds its model's row for that long, so nothing is written past this.
SELECT id, name, dimensions, state, done, total, changed_at FROM memory.embedding_model ORDER BY id FOR UPDATE;

-- name: hold_model
-- role: svc_memory
-- database: lares
SELECT id FROM memory.embedding_model WHERE id = $1 AND name = $2 AND state = $3 FOR SHARE;

-- name: add_model
-- role: svc_memory
-- database: lares
INSERT INTO memory.embedding_model (id, name, dimensions, state, total) VALUES ($1, $2, $3, 'building', $4)
ON CONFLICT DO NOTHING;

-- name: set_model_state
-- role: svc_memory
-- database: lares
UPDATE memory.embedding_model SET state = $2, changed_at = now() WHERE id = $1;

-- name: set_model_progress
-- role: svc_memory
-- database: lares
UPDATE memory.embedding_model SET done = $2, total = $3 WHERE id = $1 AND state = 'building';

-- name: delete_model
-- role: svc_memory
-- database: lares
DELETE FROM memory.embedding_model WHERE id = $1 AND state = 'retired';

-- name: retired_long_enough
-- role: svc_memory
-- database: lares
SELECT changed_at < now() - $2 * interval '1 second' FROM memory.embedding_model WHERE id = $1 AND state = 'retired';

-- name: lease_change
-- role: svc_memory
-- database: lares
UPDATE memory.embedding_change SET worker = $1, leased_until = now() + $2 * interval '1 second'
WHERE worker = $1 OR leased_until IS NULL OR leased_until < now()
RETURNING worker;

-- name: note_problem
-- role: svc_memory
-- database: lares
UPDATE memory.embedding_change SET wanted = $1, problem = $2, noted_at = now()
WHERE wanted IS DISTINCT FROM $1 OR problem IS DISTINCT FROM $2;

-- name: get_problem
-- role: svc_memory
-- database: lares
SELECT wanted, problem FROM memory.embedding_change;
