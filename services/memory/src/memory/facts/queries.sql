-- What writes names convenience.*; store.py says the same of sensitive. What reads names every.*: one table of the
-- tiers that the reader has a part in, each row with its tier. Row-level security holds for both alike.

-- name: claim_extractions
-- role: svc_memory
-- database: lares
-- Whoever waits for several notes takes them in the order of (memory_id, stage), here and in the triggers: nobody then
-- waits in a circle. A claim waits for none. It is a lease: whoever crashes with it lets it fall due again, later each time.
UPDATE memory.pending_extraction AS pending
SET tries = pending.tries + 1,
    due_at = now() + least(15 * power(2, least(pending.tries, 12)), 3600) * interval '1 second'
WHERE (memory_id, stage) IN (
    SELECT memory_id, stage FROM memory.pending_extraction
    WHERE stage = $1 AND due_at <= now()
    ORDER BY due_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED)
RETURNING memory_id, subject_id, tier, tries;

-- name: noted_extractions
-- role: svc_memory
-- database: lares
SELECT memory_id FROM memory.pending_extraction WHERE stage = $1 AND tier = $2 AND memory_id = ANY ($3::uuid[]);

-- name: finish_extractions
-- role: svc_memory
-- database: lares
WITH held AS (
    SELECT memory_id FROM memory.pending_extraction
    WHERE stage = $1 AND tier = $2 AND memory_id = ANY ($3::uuid[])
    ORDER BY memory_id
    FOR UPDATE
)
DELETE FROM memory.pending_extraction AS pending USING held
WHERE pending.memory_id = held.memory_id AND pending.stage = $1;

-- name: defer_extractions
-- role: svc_memory
-- database: lares
-- Whoever holds a note is striking it or renewing it: there is nothing to put off.
WITH held AS (
    SELECT memory_id FROM memory.pending_extraction
    WHERE stage = $1 AND memory_id = ANY ($2::uuid[])
    ORDER BY memory_id
    FOR UPDATE SKIP LOCKED
)
UPDATE memory.pending_extraction AS pending
SET tries = greatest(tries - 1, 0), due_at = now() + $3 * interval '1 second'
FROM held
WHERE pending.memory_id = held.memory_id AND pending.stage = $1;

-- name: queue_extractions
-- role: svc_memory
-- database: lares
-- A note that is there stays as it is, but is held: whoever takes more of the same memories later comes by it first.
INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier, due_at)
SELECT memory_id, $1, $2, $3, now() FROM unnest($4::uuid[]) AS memory_id ORDER BY memory_id
ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier WHERE false;

-- name: queue_both_again
-- role: svc_memory
-- database: lares
-- Both stages in one go, which is in one order. What waits for the rules already stays as it is.
INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier, due_at)
SELECT memory_id, stage, $1, $2, now()
FROM unnest($3::uuid[]) AS memory_id CROSS JOIN unnest(ARRAY['model', 'rules']) AS stage
ORDER BY memory_id, stage
ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = now()
WHERE excluded.stage = 'model';

-- name: settle_extraction
-- role: svc_memory
-- database: lares
-- The note stays and is never due: it says that a model was asked about this text.
UPDATE memory.pending_extraction SET due_at = 'infinity' WHERE memory_id = $1 AND stage = 'model' AND tier = $2;

-- name: extraction_queue_state
-- role: svc_memory
-- database: lares
SELECT count(*) AS waiting, extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now()))::float8 AS oldest_seconds
FROM (SELECT due_at FROM memory.pending_extraction WHERE due_at < 'infinity' ORDER BY due_at LIMIT 100000) AS bounded;

-- name: count_extractions
-- role: svc_memory
-- database: lares
SELECT count(*) FROM (SELECT FROM memory.pending_extraction WHERE stage = 'rules' LIMIT 100000) AS bounded;

-- name: begin_walks
-- role: svc_memory
-- database: lares
-- Every person's memories are to be read once by each version of the extractors; those of a new person are new anyway.
INSERT INTO memory.extraction_walk (subject_id, tier, version)
SELECT subject_id, tier, $1 FROM memory.subject CROSS JOIN unnest(ARRAY['convenience', 'sensitive']) AS tier
ORDER BY subject_id, tier
ON CONFLICT (subject_id, tier) DO UPDATE SET version = excluded.version, after_seq = 0, done = false
WHERE extraction_walk.version <> excluded.version;

-- name: open_walks
-- role: svc_memory
-- database: lares
SELECT subject_id, tier, after_seq FROM memory.extraction_walk
WHERE NOT done AND version = $1
ORDER BY subject_id, tier
LIMIT 8;

-- name: move_walk
-- role: svc_memory
-- database: lares
UPDATE memory.extraction_walk SET after_seq = greatest(after_seq, $4), done = $5
WHERE subject_id = $1 AND tier = $2 AND version = $3;

-- name: walk_memories
-- role: lares_app
-- database: lares
SELECT id, seq FROM convenience.memory WHERE seq > $1 ORDER BY seq LIMIT $2;

-- name: hold_names
-- role: lares_app
-- database: lares
-- One at a time names the entities of a person's namespace in a tier: two at once would make everybody twice.
SELECT pg_advisory_xact_lock(25, hashtext($1));

-- name: texts_to_read
-- role: lares_app
-- database: lares
-- Held against an edit until the facts are written, in the one order in which memories are held. A summary restates
-- what was read from its sources.
WITH held AS (
    SELECT id, subject_id, namespace, text, speaker, revision, occurred_at, created_at, updated_at, valid_from
    FROM convenience.memory
    WHERE id = ANY ($1::uuid[]) AND source_kind <> 'lares.summary'
    ORDER BY id
    FOR NO KEY UPDATE
)
SELECT * FROM held ORDER BY created_at, id;

-- name: text_to_ask_about
-- role: lares_app
-- database: lares
SELECT id, subject_id, namespace, text, speaker, revision, occurred_at, created_at, updated_at, valid_from
FROM convenience.memory WHERE id = $1 AND source_kind <> 'lares.summary';

-- name: names_known
-- role: lares_app
-- database: lares
SELECT alias.key AS alias_key, entity.id, entity.root, entity.self, root.kind, root.key,
       EXISTS (SELECT FROM convenience.entity_alias AS own
               WHERE own.entity_id = root.id AND own.key = root.key AND own.given) AS given,
       (SELECT count(*) FROM (SELECT FROM convenience.mention WHERE mention.entity_id = entity.id LIMIT 1000) AS bounded)
           AS mentions
FROM convenience.entity_alias AS alias
JOIN convenience.entity AS entity ON entity.id = alias.entity_id
JOIN convenience.entity AS root ON root.id = entity.root
WHERE alias.namespace = $1 AND (alias.key = ANY ($2::text[]) OR split_part(alias.key, ' ', 1) = ANY ($3::text[]))
ORDER BY entity.created_at, entity.id
LIMIT 5000;

-- name: kin_known
-- role: lares_app
-- database: lares
-- Who was ever said to be "my sister" and the like; two are as good as many.
SELECT fact.predicate, (array_agg(fact.object_entity_id))[1] AS entity_id, (array_agg(DISTINCT other.root))[1:2] AS roots
FROM convenience.fact AS fact
JOIN convenience.entity AS entity ON entity.id = fact.entity_id
JOIN convenience.entity AS me ON me.id = entity.root
JOIN convenience.entity AS other ON other.id = fact.object_entity_id
WHERE me.namespace = $1 AND me.self AND fact.polarity AND other.kind = 'person' AND fact.retired_at IS NULL
GROUP BY fact.predicate
LIMIT 200;

-- name: pinned_mentions
-- role: lares_app
-- database: lares
SELECT memory_id, alias_key, entity_id FROM convenience.mention WHERE memory_id = ANY ($1::uuid[]) AND pinned;

-- name: insert_entities
-- role: lares_app
-- database: lares
INSERT INTO convenience.entity (id, subject_id, namespace, kind, name, key, self, root)
SELECT id, $1, $2, kind, name, key, self, id
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::boolean[]) AS new (id, kind, name, key, self);

-- name: sharpen_entities
-- role: lares_app
-- database: lares
UPDATE convenience.entity SET kind = new.kind
FROM unnest($1::uuid[], $2::text[]) AS new (id, kind)
WHERE entity.root = (SELECT root FROM convenience.entity AS own WHERE own.id = new.id) AND entity.kind IN ('topic', 'thing');

-- name: lengthen_names
-- role: lares_app
-- database: lares
-- A person known by a first name is shown by the full one once it is said; what a person chose stays.
UPDATE convenience.entity SET name = new.name, key = new.key
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, name, key)
WHERE entity.id = new.id AND NOT entity.self AND entity.kind = 'person'
  AND starts_with(new.key, entity.key || ' ')
  AND NOT EXISTS (SELECT FROM convenience.entity_alias AS alias
                  WHERE alias.entity_id = entity.id AND alias.key = entity.key AND alias.given);

-- name: insert_aliases
-- role: lares_app
-- database: lares
-- As it is written where it is read first.
INSERT INTO convenience.entity_alias (entity_id, key, subject_id, namespace, alias)
SELECT DISTINCT ON (entity_id, key) entity_id, key, $1::uuid, $2, alias
FROM unnest($3::uuid[], $4::text[], $5::text[]) WITH ORDINALITY AS new (entity_id, key, alias, place)
ORDER BY entity_id, key, place
ON CONFLICT (entity_id, key) DO NOTHING;

-- name: insert_mentions
-- role: lares_app
-- database: lares
INSERT INTO convenience.mention
    (memory_id, entity_id, alias_key, subject_id, namespace, role, uses, span_from, span_to, revision)
SELECT memory_id, entity_id, alias_key, $1, $2, role, uses, span_from, span_to, revision
FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::integer[], $9::integer[], $10::integer[])
    AS new (memory_id, revision, entity_id, alias_key, role, uses, span_from, span_to)
-- A name is held in this order, too, by whoever strikes it.
ORDER BY entity_id, alias_key
ON CONFLICT (memory_id, entity_id, alias_key) DO UPDATE
SET role = excluded.role, uses = excluded.uses, span_from = excluded.span_from, span_to = excluded.span_to,
    revision = excluded.revision;

-- name: drop_other_mentions
-- role: lares_app
-- database: lares
-- After the new ones are in: an entity that is still named keeps its row, and with it what a person did to it.
DELETE FROM convenience.mention
WHERE memory_id = ANY ($1::uuid[])
  AND NOT EXISTS (SELECT FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS kept (memory_id, entity_id, alias_key)
                  WHERE kept.memory_id = mention.memory_id AND kept.entity_id = mention.entity_id
                    AND kept.alias_key = mention.alias_key);

-- name: insert_facts
-- role: lares_app
-- database: lares
-- The same fact read again keeps its id, when it was learned, and that a person said it is wrong.
INSERT INTO convenience.fact
    (id, subject_id, namespace, memory_id, revision, entity_id, predicate, qualifier, chain, polarity, object_text,
     object_key, object_kind, object_entity_id, valid_from, valid_to, learned_at, confidence, extractor, span_from, span_to)
SELECT id, $1, $2, memory_id, revision, entity_id, predicate, qualifier, chain, polarity, object_text, object_key,
       object_kind, object_entity_id, valid_from, valid_to, learned_at, confidence, extractor, span_from, span_to
FROM unnest($3::uuid[], $4::bigint[], $5::timestamptz[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[],
            $11::boolean[], $12::text[], $13::text[], $14::text[], $15::uuid[], $16::timestamptz[], $17::timestamptz[],
            $18::real[], $19::text[], $20::integer[], $21::integer[])
    AS new (memory_id, revision, learned_at, id, entity_id, predicate, qualifier, chain, polarity, object_text,
            object_key, object_kind, object_entity_id, valid_from, valid_to, confidence, extractor, span_from, span_to)
ON CONFLICT (id) DO UPDATE
SET revision = excluded.revision, entity_id = excluded.entity_id, object_entity_id = excluded.object_entity_id,
    object_text = excluded.object_text, object_kind = excluded.object_kind, valid_from = excluded.valid_from,
    valid_to = excluded.valid_to, confidence = excluded.confidence, extractor = excluded.extractor,
    span_from = excluded.span_from, span_to = excluded.span_to;

-- name: drop_other_facts
-- role: lares_app
-- database: lares
-- Of the rules' facts those that are no longer read go; what a model found stays until the text changes or it is asked again.
DELETE FROM convenience.fact
USING unnest($1::uuid[], $2::bigint[]) AS read (memory_id, revision)
WHERE fact.memory_id = read.memory_id AND id <> ALL ($3::uuid[])
  AND (fact.revision <> read.revision OR starts_with(extractor, $4));

-- name: clear_derived_facts
-- role: lares_app
-- database: lares
DELETE FROM convenience.fact WHERE memory_id = ANY ($1::uuid[]);

-- name: clear_derived_mentions
-- role: lares_app
-- database: lares
DELETE FROM convenience.mention WHERE memory_id = ANY ($1::uuid[]);

-- name: rebase_mentions
-- role: lares_app
-- database: lares
INSERT INTO convenience.mention
    (memory_id, entity_id, alias_key, subject_id, namespace, role, uses, span_from, span_to, pinned, revision)
SELECT survivor.id, gone.entity_id, gone.alias_key, gone.subject_id, gone.namespace, gone.role, gone.uses, NULL, NULL,
       gone.pinned, survivor.revision
FROM convenience.mention AS gone
JOIN convenience.memory AS survivor ON survivor.id = $2 AND survivor.namespace = gone.namespace
WHERE gone.memory_id = $1
ON CONFLICT (memory_id, entity_id, alias_key) DO UPDATE
SET uses = mention.uses + excluded.uses, pinned = mention.pinned OR excluded.pinned;

-- name: rebase_facts_known
-- role: lares_app
-- database: lares
-- What both say was true since the earlier of the two, and known since.
UPDATE convenience.fact AS kept
SET valid_from = least(kept.valid_from, gone.valid_from), learned_at = least(kept.learned_at, gone.learned_at),
    confidence = greatest(kept.confidence, gone.confidence)
FROM convenience.fact AS gone
WHERE kept.memory_id = $2 AND gone.memory_id = $1 AND kept.entity_id = gone.entity_id AND kept.chain = gone.chain
  AND kept.object_key = gone.object_key AND kept.polarity = gone.polarity;

-- name: rebase_facts
-- role: lares_app
-- database: lares
UPDATE convenience.fact AS gone
SET memory_id = survivor.id, revision = survivor.revision
FROM convenience.memory AS survivor
WHERE gone.memory_id = $1 AND survivor.id = $2 AND survivor.namespace = gone.namespace
  AND NOT EXISTS (SELECT FROM convenience.fact AS kept
                  WHERE kept.memory_id = $2 AND kept.entity_id = gone.entity_id AND kept.chain = gone.chain
                    AND kept.object_key = gone.object_key AND kept.polarity = gone.polarity);
