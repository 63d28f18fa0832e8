-- Statements on a tier's table are written for convenience; store.py says the same of sensitive. Books: see ../queries.sql.

-- name: plan_topics
-- role: lares_app
-- database: lares
-- Every memory with its topic, in the order of the files: whoever or whatever $2 memories name, else the month.
WITH naming AS MATERIALIZED (
    SELECT mention.memory_id, entity.root
    FROM convenience.mention JOIN convenience.entity ON entity.id = mention.entity_id
    WHERE mention.role = 'named'
), known AS MATERIALIZED (
    SELECT root FROM naming GROUP BY root HAVING count(DISTINCT memory_id) >= $2
), chief AS MATERIALIZED (
    SELECT DISTINCT ON (naming.memory_id) naming.memory_id, entity.name
    FROM naming JOIN known USING (root) JOIN convenience.entity ON entity.id = naming.root
    WHERE NOT entity.self
    ORDER BY naming.memory_id, entity.created_at, entity.id
)
SELECT id, namespace, level, topic
FROM (
    SELECT memory.id, memory.namespace, memory.level, memory.happened_at,
           CASE memory.level
               WHEN 'identity' THEN ''
               WHEN 'knowledge' THEN coalesce(chief.name, to_char(memory.happened_at AT TIME ZONE 'UTC', 'YYYY-MM'))
               ELSE to_char(memory.happened_at AT TIME ZONE 'UTC', 'YYYY-MM') END AS topic
    FROM convenience.memory
    LEFT JOIN chief ON chief.memory_id = memory.id
    WHERE ($1::text[] IS NULL OR memory.namespace = ANY ($1))) AS filed
ORDER BY namespace, array_position(ARRAY['identity', 'knowledge', 'episodic', 'working', 'session'], level),
         topic COLLATE "C", happened_at, id
LIMIT $3;

-- name: plan_oldest_first
-- role: lares_app
-- database: lares
SELECT id FROM convenience.memory
WHERE ($1::text[] IS NULL OR namespace = ANY ($1))
ORDER BY created_at, id
LIMIT $2;

-- name: plan_sacred_topics
-- role: lares_app
-- database: lares_sacred
SELECT id, namespace, level, topic
FROM (
    SELECT id, namespace, level, happened_at,
           CASE level WHEN 'identity' THEN '' ELSE to_char(happened_at AT TIME ZONE 'UTC', 'YYYY-MM') END AS topic
    FROM sacred.memory
    WHERE ($1::text[] IS NULL OR namespace = ANY ($1))) AS filed
ORDER BY namespace, array_position(ARRAY['identity', 'knowledge', 'episodic', 'working', 'session'], level),
         topic COLLATE "C", happened_at, id
LIMIT $2;

-- name: plan_sacred_oldest_first
-- role: lares_app
-- database: lares_sacred
SELECT id FROM sacred.memory
WHERE ($1::text[] IS NULL OR namespace = ANY ($1))
ORDER BY created_at, id
LIMIT $2;

-- name: list_origins
-- role: lares_app
-- database: lares
SELECT id, memory_id, source_kind, source_ref, thread, position, speaker, text, occurred_at, learned_at, merged_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY memory_id ORDER BY learned_at, id) AS place
    FROM convenience.memory_source WHERE memory_id = ANY ($1::uuid[])) AS numbered
WHERE place <= $2
ORDER BY memory_id, learned_at, id
LIMIT 100000;

-- name: list_ties
-- role: lares_app
-- database: lares
SELECT from_id, to_id, kind
FROM (
    SELECT *, row_number() OVER (PARTITION BY from_id ORDER BY created_at, to_id) AS place
    FROM convenience.memory_link WHERE from_id = ANY ($1::uuid[])) AS numbered
WHERE place <= $2
ORDER BY from_id, created_at, to_id
LIMIT 200000;

-- name: put_origin
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_source
    (id, memory_id, subject_id, namespace, source_kind, source_ref, thread, position, speaker, text, occurred_at,
     learned_at, merged_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO NOTHING;

-- name: put_tie
-- role: lares_app
-- database: lares
INSERT INTO convenience.memory_link (from_id, to_id, subject_id, namespace, kind)
SELECT source.id, target.id, source.subject_id, source.namespace, $3
FROM convenience.memory AS source, convenience.memory AS target
WHERE source.id = $1 AND target.id = $2
ON CONFLICT DO NOTHING;

-- name: find_same_text
-- role: lares_app
-- database: lares
-- As it stands, or as one of those that were merged.
SELECT DISTINCT namespace, text FROM (
    SELECT namespace, text FROM convenience.memory WHERE text = ANY ($1::text[])
    UNION ALL
    SELECT namespace, text FROM convenience.memory_source WHERE text = ANY ($1::text[])) AS said
LIMIT 10000;

-- name: find_merged
-- role: lares_app
-- database: lares
SELECT merged_id FROM convenience.memory_source WHERE merged_id = ANY ($1::uuid[]) LIMIT 10000;

-- name: find_standing
-- role: lares_app
-- database: lares
SELECT id FROM convenience.memory WHERE id = ANY ($1::uuid[])
UNION
SELECT id FROM sensitive.memory WHERE id = ANY ($1::uuid[])
LIMIT 10000;

-- name: find_standing_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id FROM sacred.memory WHERE id = ANY ($1::uuid[]) LIMIT 10000;

-- name: find_tombstones
-- role: svc_memory
-- database: lares
SELECT memory_id FROM memory.tombstone WHERE subject_id = $1 AND memory_id = ANY ($2::uuid[]) LIMIT 10000;

-- name: lift_tombstone
-- role: svc_memory
-- database: lares
DELETE FROM memory.tombstone WHERE subject_id = $1 AND memory_id = $2;

-- name: get_seal_key
-- role: svc_memory
-- database: lares
SELECT key FROM memory.exchange_key;

-- name: find_made_of
-- role: svc_memory
-- database: lares
-- The memories themselves, and whatever was made of them, of that, and so on.
WITH RECURSIVE made (id) AS (
    SELECT unnest($2::uuid[])
    UNION
    SELECT made_of.made_id FROM memory.made_of JOIN made ON made_of.of_id = made.id WHERE made_of.subject_id = $1
)
SELECT id FROM made LIMIT $3;

-- name: find_made_from
-- role: svc_memory
-- database: lares
-- What else these were made of.
SELECT DISTINCT of_id FROM memory.made_of
WHERE subject_id = $1 AND made_id = ANY ($2::uuid[]) AND of_id <> ALL ($2::uuid[])
LIMIT $3;

-- name: drop_made_of
-- role: svc_memory
-- database: lares
DELETE FROM memory.made_of WHERE subject_id = $1 AND (of_id = ANY ($2::uuid[]) OR made_id = ANY ($2::uuid[]));

-- name: hold_memories
-- role: lares_app
-- database: lares
-- The same lock that every change of a memory takes, in one order for everybody.
SELECT pg_advisory_xact_lock(20, hashtext(id::text)) FROM (
    SELECT id FROM unnest($1::uuid[]) AS wanted (id) ORDER BY id LIMIT 10000) AS ordered;

-- name: find_visible
-- role: lares_mcp
-- database: lares
SELECT id FROM convenience.memory WHERE id = ANY ($1::uuid[]) LIMIT 10000;

-- name: find_survivors
-- role: lares_mcp
-- database: lares
SELECT merged_id, memory_id FROM convenience.memory_source WHERE merged_id = ANY ($1::uuid[]) LIMIT 10000;

-- name: find_swallowed
-- role: lares_app
-- database: lares
SELECT merged_id FROM convenience.memory_source
WHERE memory_id = ANY ($1::uuid[]) AND merged_id IS NOT NULL
LIMIT 100000;

-- name: find_terms
-- role: lares_app
-- database: lares
-- Where texts are indexed: each memory's number with each of its terms, to look for all of them when it is gone.
SELECT coalesce(array_agg(memory.seq), '{}') AS seqs, coalesce(array_agg(word.lexeme), '{}') AS terms
FROM convenience.memory
LEFT JOIN LATERAL unnest(to_tsvector('english'::regconfig, memory.text)) AS word ON true
WHERE memory.id = ANY ($1::uuid[]);

-- name: count_postings
-- role: lares_app
-- database: lares
SELECT (SELECT count(*) FROM convenience.posting_fresh WHERE seq = ANY ($1::bigint[]))
     + (SELECT count(*) FROM unnest($1::bigint[], $2::text[]) AS wanted (seq, term)
        WHERE EXISTS (
            SELECT FROM convenience.posting
            WHERE posting.term = wanted.term AND posting.last_seq >= wanted.seq
              AND memory.posting_place(posting.codes, wanted.seq) > 0));

-- name: hold_rows
-- role: lares_app
-- database: lares
-- All that an erasure deletes or changes, in the one order in which memories are held: also what one of them replaced.
SELECT FROM convenience.memory
WHERE id = ANY ($1::uuid[]) OR superseded_by = ANY ($2::uuid[])
ORDER BY id
FOR UPDATE;

-- name: delete_memories
-- role: lares_app
-- database: lares
DELETE FROM convenience.memory WHERE id = ANY ($1::uuid[]) RETURNING id;

-- name: delete_sacred_memories
-- role: lares_app
-- database: lares_sacred
WITH held AS (
    SELECT id FROM sacred.memory WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE
)
DELETE FROM sacred.memory AS entry USING held
WHERE entry.id = held.id
RETURNING entry.id, entry.embedding_sealed IS NOT NULL AS embedded;

-- name: wake_sources
-- role: lares_app
-- database: lares
-- What a summary stood for and what is not forgotten is looked at again by the next compression.
UPDATE convenience.memory SET archived_at = NULL
WHERE id = ANY ($1::uuid[]) AND archived_at IS NOT NULL
RETURNING id;

-- name: drop_events_of
-- role: svc_memory
-- database: lares
DELETE FROM memory.outbox WHERE payload ->> 'memory_id' = ANY ($1::text[]);

-- name: blank_keys_of
-- role: svc_memory
-- database: lares
WITH held AS (
    SELECT subject_id, key_hash FROM memory.remember_key
    WHERE memory_id = ANY ($1::uuid[]) AND request_hash IS NOT NULL
    ORDER BY subject_id, key_hash
    FOR UPDATE
)
UPDATE memory.remember_key AS known SET request_hash = NULL FROM held
WHERE known.subject_id = held.subject_id AND known.key_hash = held.key_hash;

-- name: bury_all
-- role: svc_memory
-- database: lares
INSERT INTO memory.tombstone (memory_id, subject_id, tier)
SELECT id, $1, $3 FROM unnest($2::uuid[]) AS gone (id) ORDER BY id
ON CONFLICT (memory_id) DO NOTHING;

-- name: get_tombstones
-- role: svc_memory
-- database: lares
SELECT memory_id, tier, forgotten_at FROM memory.tombstone
WHERE subject_id = $1 AND memory_id = ANY ($2::uuid[])
LIMIT 10000;

-- name: catalog_of_traces
-- role: lares_app
-- database: lares
-- One statement per table that says of which memory a row is, read from the catalog: no list in source can be forgotten
-- when somebody adds a table. In the books only what waits to be done counts: the rest of them is ids.
SELECT nspname AS place, relname AS name,
       format('SELECT count(*) FROM %I.%I WHERE %s', nspname, relname,
              string_agg(format('%I = ANY ($1::uuid[])', attname), ' OR ' ORDER BY attname)) AS counting,
       -- For the books alone, in the order of their keys, which are their first columns: so workers take them, too.
       format('DELETE FROM %1$I.%2$I WHERE memory_id IN'
              || ' (SELECT memory_id FROM %1$I.%2$I AS note WHERE memory_id = ANY ($1::uuid[]) ORDER BY note FOR UPDATE)',
              nspname, relname) AS deleting
FROM pg_catalog.pg_attribute
JOIN pg_catalog.pg_class ON pg_class.oid = attrelid AND relkind = 'r'
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY ($1::text[]) AND attnum > 0 AND NOT attisdropped AND atttypid = 'uuid'::regtype
  AND (attname = ANY ('{memory_id,from_id,to_id,merged_id}'::name[]) OR (relname = 'memory' AND attname = 'id'))
  AND (nspname = ANY ($2::text[]) OR starts_with(relname, 'pending') OR relname = 'memory')
GROUP BY nspname, relname
ORDER BY nspname, relname;

-- name: catalog_of_names
-- role: lares_app
-- database: lares
-- Tables of a person's words that no memory owns, and that go with the last memory that needs them.
SELECT nspname AS place, relname AS name, format('SELECT count(*) FROM %I.%I', nspname, relname) AS counting
FROM pg_catalog.pg_class
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY ($1::text[]) AND relkind = 'r' AND starts_with(relname, 'entity')
ORDER BY nspname, relname;

-- name: put_report
-- role: svc_memory
-- database: lares
INSERT INTO memory.forget_report (id, subject_id, tier, state, memories, erased, found, forgotten_at, verified_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE
SET state = excluded.state, memories = excluded.memories, erased = excluded.erased, found = excluded.found,
    forgotten_at = excluded.forgotten_at, verified_at = excluded.verified_at
WHERE memory.forget_report.subject_id = excluded.subject_id;

-- name: get_report
-- role: svc_memory
-- database: lares
SELECT id, tier, state, memories, erased, found, forgotten_at, verified_at
FROM memory.forget_report WHERE id = $1 AND subject_id = $2;

-- name: verify_report
-- role: svc_memory
-- database: lares
UPDATE memory.forget_report SET found = $3, verified_at = $4 WHERE id = $1 AND subject_id = $2;

-- name: count_synced
-- role: svc_memory
-- database: lares
SELECT count(*) FROM memory.synced WHERE memory_id = ANY ($1::uuid[]);

-- name: select_to_forget
-- role: lares_mcp
-- database: lares
SELECT memory.id FROM convenience.memory
WHERE ($1::uuid[] IS NULL OR memory.id = ANY ($1))
  AND ($2::text IS NULL OR memory.namespace = $2)
  AND ($3::text IS NULL OR memory.level = $3)
  AND ($4::text IS NULL OR memory.source_kind = $4)
  AND ($5::text IS NULL OR memory.source_ref = $5)
  AND ($6::text IS NULL OR memory.thread = $6)
  AND ($7::timestamptz IS NULL OR memory.happened_at >= $7)
  AND ($8::timestamptz IS NULL OR memory.happened_at < $8)
  AND ($9::uuid[] IS NULL OR EXISTS (
      SELECT FROM convenience.mention
      JOIN convenience.entity ON entity.id = mention.entity_id
      WHERE mention.memory_id = memory.id AND entity.root = ANY ($9)))
ORDER BY memory.id
LIMIT $10;

-- name: select_sacred_to_forget
-- role: lares_app
-- database: lares_sacred
SELECT id FROM sacred.memory
WHERE ($1::uuid[] IS NULL OR id = ANY ($1))
  AND ($2::text IS NULL OR namespace = $2)
  AND ($3::text IS NULL OR level = $3)
  AND ($4::timestamptz IS NULL OR happened_at >= $4)
  AND ($5::timestamptz IS NULL OR happened_at < $5)
ORDER BY id
LIMIT $6;

-- name: put_job
-- role: svc_memory
-- database: lares
INSERT INTO memory.forget_job (id, subject_id, db_role, client_kind, client, leased_to)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second');

-- name: put_items
-- role: svc_memory
-- database: lares
INSERT INTO memory.forget_item (job_id, memory_id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING;

-- name: lease_job
-- role: svc_memory
-- database: lares
-- A job whose worker died is taken up by whoever looks next.
UPDATE memory.forget_job SET leased_to = now() + $1 * interval '1 second'
WHERE id = (SELECT id FROM memory.forget_job WHERE leased_to < now() ORDER BY leased_to LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, subject_id, db_role, client_kind, client;

-- name: keep_lease
-- role: svc_memory
-- database: lares
UPDATE memory.forget_job SET leased_to = now() + $2 * interval '1 second' WHERE id = $1;

-- name: next_items
-- role: svc_memory
-- database: lares
SELECT memory_id FROM memory.forget_item WHERE job_id = $1 ORDER BY memory_id LIMIT $2;

-- name: drop_items
-- role: svc_memory
-- database: lares
DELETE FROM memory.forget_item WHERE job_id = $1 AND memory_id = ANY ($2::uuid[]);

-- name: advance_report
-- role: svc_memory
-- database: lares
UPDATE memory.forget_report SET erased = $2, found = $3, memories = $4 WHERE id = $1;

-- name: end_job
-- role: svc_memory
-- database: lares
WITH ended AS (DELETE FROM memory.forget_job WHERE id = $1 RETURNING id)
UPDATE memory.forget_report SET state = 'done', verified_at = $2
FROM ended WHERE forget_report.id = ended.id;

-- name: note_synced
-- role: svc_memory
-- database: lares
INSERT INTO memory.synced (memory_id, subject_id, round)
SELECT id, $2, $3 FROM unnest($1::uuid[]) AS read (id) ORDER BY id
ON CONFLICT (memory_id) DO UPDATE SET round = excluded.round, stale = false
WHERE memory.synced.subject_id = excluded.subject_id;

-- name: drop_synced
-- role: svc_memory
-- database: lares
WITH held AS (
    SELECT memory_id FROM memory.synced WHERE memory_id = ANY ($1::uuid[]) ORDER BY memory_id FOR UPDATE
)
DELETE FROM memory.synced USING held WHERE synced.memory_id = held.memory_id;

-- name: drop_synced_before
-- role: svc_memory
-- database: lares
WITH held AS (
    SELECT memory_id FROM memory.synced WHERE subject_id = $1 AND round <> $2 ORDER BY memory_id FOR UPDATE
)
DELETE FROM memory.synced USING held WHERE synced.memory_id = held.memory_id;

-- name: list_stale
-- role: svc_memory
-- database: lares
SELECT subject_id, memory_id FROM memory.synced WHERE stale ORDER BY subject_id, memory_id LIMIT $1;

-- name: report_files
-- role: svc_memory
-- database: lares
UPDATE memory.forget_report
SET erased = erased || jsonb_build_object(
    'nightly_files', coalesce((erased ->> 'nightly_files')::integer, 0) + 1)
WHERE id = ANY ($1::uuid[]);

-- name: forgotten_since
-- role: svc_memory
-- database: lares
SELECT EXISTS (SELECT FROM memory.tombstone WHERE forgotten_at > $1);

-- name: list_tables
-- role: lares_app
-- database: lares
SELECT format('%I.%I', nspname, relname) AS name
FROM pg_catalog.pg_class
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY ($1::text[]) AND relkind = 'r' AND has_table_privilege(pg_class.oid, 'MAINTAIN')
ORDER BY 1;

-- name: list_named
-- role: lares_mcp
-- database: lares
-- Whom a person merged, split or named, with all that is shown as one with them.
WITH touched AS (
    SELECT root FROM convenience.entity WHERE merged_into IS NOT NULL
    UNION SELECT entity.root FROM convenience.entity_alias JOIN convenience.entity ON entity.id = entity_id WHERE given
    UNION SELECT entity.root FROM convenience.entity_change JOIN convenience.entity ON entity.id = entity_id
    UNION SELECT entity.root FROM convenience.mention JOIN convenience.entity ON entity.id = entity_id WHERE pinned
)
SELECT id, namespace, kind, name, self, created_at, merged_into FROM convenience.entity
WHERE root IN (SELECT root FROM touched) AND ($1::text[] IS NULL OR namespace = ANY ($1))
ORDER BY created_at, id
LIMIT $2;

-- name: list_named_aliases
-- role: lares_mcp
-- database: lares
SELECT alias.* FROM unnest($1::uuid[]) AS given (id)
CROSS JOIN LATERAL (
    SELECT entity_id, key, alias, given FROM convenience.entity_alias
    WHERE entity_id = given.id
    ORDER BY entity_alias.given DESC, created_at, key
    LIMIT $2) AS alias;

-- name: list_named_mentions
-- role: lares_mcp
-- database: lares
SELECT mention.* FROM unnest($1::uuid[]) AS given (id)
CROSS JOIN LATERAL (
    SELECT entity_id, memory_id, alias_key, role, pinned FROM convenience.mention
    WHERE entity_id = given.id
    ORDER BY pinned DESC, memory_id, alias_key
    LIMIT $2) AS mention;

-- name: list_named_changes
-- role: lares_mcp
-- database: lares
SELECT change.* FROM unnest($1::uuid[]) AS given (id)
CROSS JOIN LATERAL (
    SELECT newest.* FROM (
        SELECT id AS place, entity_id, other_id, change, before_name, before_kind, at FROM convenience.entity_change
        WHERE entity_id = given.id
        ORDER BY id DESC
        LIMIT $2) AS newest
    ORDER BY newest.place) AS change;

-- name: find_named
-- role: lares_mcp
-- database: lares
-- By its id; else the person themselves; else whoever is called so and is not another one that the same import names.
SELECT coalesce(
    (SELECT id FROM convenience.entity WHERE id = $1),
    (SELECT id FROM convenience.entity WHERE $2::boolean AND self AND namespace = $3),
    (SELECT id FROM convenience.entity
     WHERE NOT $2 AND NOT self AND namespace = $3 AND key = $4 AND kind = $5 AND merged_into IS NULL
       AND id <> ALL ($6::uuid[])
     ORDER BY created_at, id LIMIT 1));

-- name: put_named
-- role: lares_mcp
-- database: lares
INSERT INTO convenience.entity (id, subject_id, namespace, kind, name, key, self, created_at, root)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $1);

-- name: put_named_alias
-- role: lares_mcp
-- database: lares
INSERT INTO convenience.entity_alias AS known (entity_id, key, subject_id, namespace, alias, given)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (entity_id, key) DO UPDATE SET given = known.given OR excluded.given WHERE NOT known.given AND excluded.given;

-- name: put_named_mention
-- role: lares_mcp
-- database: lares
INSERT INTO convenience.mention AS known
    (memory_id, entity_id, alias_key, subject_id, namespace, role, uses, pinned, revision)
VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8)
ON CONFLICT (memory_id, entity_id, alias_key) DO UPDATE SET pinned = known.pinned OR excluded.pinned;

-- name: put_named_change
-- role: lares_mcp
-- database: lares
INSERT INTO convenience.entity_change
    (subject_id, namespace, entity_id, other_id, change, before_name, before_key, before_kind, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: join_named
-- role: lares_mcp
-- database: lares
-- Unless it is merged already, or a person has taken the merge back since.
UPDATE convenience.entity AS part
SET merged_into = CASE WHEN part.id = $1 THEN $2 ELSE part.merged_into END, root = head.root
FROM convenience.entity AS head
WHERE head.id = $2 AND part.root = $1 AND head.root <> $1 AND head.namespace = part.namespace
  AND NOT EXISTS (SELECT FROM convenience.entity AS own WHERE own.id = $1 AND own.self)
  AND coalesce((SELECT change FROM convenience.entity_change
                WHERE other_id = $1 AND change IN ('merged', 'unmerged') ORDER BY id DESC LIMIT 1), 'merged') = 'merged';
