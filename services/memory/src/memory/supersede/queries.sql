-- Statements on a tier's table are written for convenience; store.py says the same of sensitive.

-- name: hold_person
-- role: svc_memory
-- database: lares
-- One at a time decides what of a person's memories replaced what; let go when the transaction ends.
SELECT pg_advisory_xact_lock(21, hashtext($1));

-- name: hold_rows
-- role: lares_app
-- database: lares
-- Before their marks, and in the one order in which memories are held: whoever forgets several of them does the same.
SELECT FROM convenience.memory WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: vectors_of
-- role: lares_app
-- database: lares
SELECT memory_id, halfvec_send(embedding) AS vector FROM convenience.memory_vector
WHERE memory_id = ANY ($1::uuid[]) AND model = $2;

-- name: terms_of
-- role: lares_app
-- database: lares
-- As the index of words makes them of each text.
SELECT tsvector_to_array(to_tsvector('english'::regconfig, text)) AS terms
FROM unnest($1::text[]) WITH ORDINALITY AS given (text, place)
ORDER BY place;

-- name: marked_among
-- role: svc_memory
-- database: lares
SELECT id FROM unnest($1::uuid[]) AS given (id)
WHERE EXISTS (SELECT FROM memory.supersession WHERE old_id = given.id)
   OR EXISTS (SELECT FROM memory.supersession WHERE new_id = given.id);

-- name: hidden_among
-- role: lares_app
-- database: lares
SELECT id FROM unnest($1::uuid[]) AS given (id)
WHERE EXISTS (SELECT FROM sensitive.supersession WHERE old_id = given.id)
   OR EXISTS (SELECT FROM sensitive.supersession WHERE new_id = given.id);

-- name: slot_mates
-- role: lares_app
-- database: lares
-- Memories of this tier with a fact of the same subject and predicate as one of each memory's.
SELECT given.id, mate.memory_id
FROM unnest($1::uuid[]) AS given (id)
CROSS JOIN LATERAL (
    SELECT DISTINCT other.memory_id
    FROM convenience.fact AS own
    JOIN convenience.entity AS mine ON mine.id = own.entity_id
    JOIN convenience.entity AS theirs ON theirs.root = mine.root
    JOIN convenience.fact AS other ON other.entity_id = theirs.id AND other.predicate = own.predicate
    WHERE own.memory_id = given.id AND other.memory_id <> given.id
    LIMIT $2) AS mate;

-- name: nearness
-- role: lares_app
-- database: lares
SELECT memory_id, 1 - (embedding <=> (SELECT $2::text::halfvec)) AS cosine
FROM convenience.memory_vector
WHERE memory_id = ANY ($1::uuid[]) AND model = $3;

-- name: mark
-- role: lares_app
-- database: lares
UPDATE convenience.memory
SET superseded_by = $2, superseded_at = $3,
    valid_to = greatest(least(coalesce($4, 'infinity'::timestamptz), $5), coalesce(valid_from, $5))
WHERE id = $1
RETURNING id;

-- name: unmark
-- role: lares_app
-- database: lares
UPDATE convenience.memory
SET superseded_by = NULL, superseded_at = NULL, valid_to = $2
WHERE id = $1 AND superseded_at IS NOT NULL
RETURNING id;

-- name: unmark_only
-- role: lares_app
-- database: lares
-- A mark that came with an import: nobody knows what `valid_to` was before it.
UPDATE convenience.memory
SET superseded_by = NULL, superseded_at = NULL
WHERE id = $1 AND superseded_at IS NOT NULL
RETURNING id;

-- name: unarchive
-- role: lares_app
-- database: lares
UPDATE convenience.memory SET archived_at = NULL, updated_at = $2 WHERE id = $1 AND archived_at IS NOT NULL RETURNING id;

-- name: books
-- role: svc_memory
-- database: lares
SELECT old_id, new_id, made_by, rule, valid_to_before, decided_at, restored_at
FROM memory.supersession
WHERE old_id = ANY ($1::uuid[]) OR new_id = ANY ($2::uuid[])
LIMIT 4000;

-- name: book
-- role: svc_memory
-- database: lares
-- What `valid_to` was before stays what it was before the first mark.
INSERT INTO memory.supersession AS known (old_id, new_id, subject_id, made_by, rule, valid_to_before, decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (old_id) DO UPDATE
SET new_id = excluded.new_id, made_by = excluded.made_by, rule = excluded.rule, decided_at = excluded.decided_at,
    valid_to_before = CASE WHEN known.restored_at IS NULL THEN known.valid_to_before ELSE excluded.valid_to_before END,
    restored_at = NULL;

-- name: unbook
-- role: svc_memory
-- database: lares
DELETE FROM memory.supersession WHERE old_id = $1 AND made_by = 'rule' AND restored_at IS NULL;

-- name: note_restored
-- role: svc_memory
-- database: lares
INSERT INTO memory.supersession AS known (old_id, new_id, subject_id, made_by, rule, decided_at, restored_at)
VALUES ($1, $2, $3, 'person', 'person', $4, $4)
ON CONFLICT (old_id) DO UPDATE SET restored_at = excluded.restored_at, made_by = 'person';

-- name: hidden
-- role: lares_app
-- database: lares
SELECT old_id, new_id, made_by, rule, valid_to, decided_at, restored_at
FROM sensitive.supersession
WHERE old_id = ANY ($1::uuid[]) OR new_id = ANY ($2::uuid[])
LIMIT 4000;

-- name: hidden_of
-- role: lares_readonly
-- database: lares
SELECT old_id, new_id, valid_to FROM sensitive.supersession
WHERE old_id = ANY ($1::uuid[]) AND restored_at IS NULL
LIMIT 500;

-- name: hide
-- role: lares_app
-- database: lares
INSERT INTO sensitive.supersession (old_id, new_id, subject_id, namespace, made_by, rule, valid_to, decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (old_id) DO UPDATE
SET new_id = excluded.new_id, made_by = excluded.made_by, rule = excluded.rule, valid_to = excluded.valid_to,
    decided_at = excluded.decided_at, restored_at = NULL;

-- name: unhide
-- role: lares_app
-- database: lares
DELETE FROM sensitive.supersession WHERE old_id = $1 AND made_by = 'rule' AND restored_at IS NULL;

-- name: restore_hidden
-- role: lares_app
-- database: lares
UPDATE sensitive.supersession SET restored_at = $2, made_by = 'person' WHERE old_id = $1 AND restored_at IS NULL RETURNING new_id;

-- name: relate_again
-- role: svc_memory
-- database: lares
INSERT INTO memory.pending_relation (memory_id, subject_id, tier, written_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (memory_id) DO UPDATE SET due_at = now(), tries = 0;
