-- What is asked of entities and facts. every.x is one table of the tiers that the reader has a part in; every.node is
-- each entity with the one it is shown as: the root of its merges and, for a reader of both tiers, the entity of the
-- less private tier that has the same name and kind. Nobody who reads the less private tier alone can tell.

-- name: find_roots
-- role: lares_app
-- database: lares
-- All roots that are shown as the same node as one of these entities.
WITH asked AS (
    SELECT root.id, root.tier, root.namespace, root.kind, root.key
    FROM every.entity AS entity
    JOIN every.entity AS root ON root.id = entity.root
    WHERE entity.id = ANY ($1::uuid[])
), shown AS (
    SELECT root.id, root.tier, root.namespace, root.kind, root.key
    FROM every.entity AS root
    JOIN asked USING (namespace, kind, key)
    WHERE root.merged_into IS NULL AND (root.id = asked.id OR root.tier <> asked.tier)
)
SELECT node.node_id, array_agg(DISTINCT shown.id) AS roots
FROM shown JOIN every.node AS node ON node.entity_id = shown.id
WHERE node.node_id IN (SELECT node_id FROM every.node AS own WHERE own.entity_id = ANY ($1::uuid[]))
GROUP BY node.node_id
LIMIT 1000;

-- name: list_facts
-- role: lares_app
-- database: lares
-- $1 as of, $2 known at, $3 roots, $4 predicate, $5 with what does not hold, $6 and $7 the cursor, $8 limit,
-- $9 memory. A later fact of the same chain ends an earlier one if the two differ and it is not over itself.
WITH known AS NOT MATERIALIZED (
    SELECT fact.*, node.node_id, memory.source_kind, memory.source_ref,
           least(fact.valid_to, CASE
               WHEN memory.superseded_by IS NULL THEN memory.valid_to
               WHEN memory.superseded_at > $2 THEN NULL
               -- What replaced the memory speaks of the same things: then fact stands against fact, one by one.
               WHEN EXISTS (SELECT FROM every.fact AS newer JOIN every.fact AS older
                                ON older.chain = newer.chain AND older.memory_id = memory.id
                            WHERE newer.memory_id = memory.superseded_by) THEN NULL
               ELSE coalesce(memory.valid_to, memory.superseded_at) END) AS ends_at
    FROM every.fact AS fact
    JOIN every.node AS node ON node.entity_id = fact.entity_id
    JOIN every.memory AS memory ON memory.id = fact.memory_id AND memory.revision = fact.revision
    WHERE fact.learned_at <= $2::timestamptz AND (fact.retired_at IS NULL OR fact.retired_at > $2)
)
SELECT fact.id, fact.tier, fact.namespace, fact.memory_id, fact.node_id, fact.predicate, fact.qualifier, fact.polarity,
       fact.object_text, object.node_id AS object_node_id, fact.valid_from, fact.ends_at, fact.learned_at,
       fact.retired_at, fact.confidence, fact.extractor, fact.span_from, fact.span_to, fact.source_kind, fact.source_ref,
       next.id AS superseded_by, next.valid_from AS superseded_from, held.holds
FROM known AS fact
LEFT JOIN every.node AS object ON object.entity_id = fact.object_entity_id
LEFT JOIN LATERAL (
    SELECT later.id, later.valid_from FROM known AS later
    WHERE later.namespace = fact.namespace AND later.chain = fact.chain AND later.node_id = fact.node_id
      AND (later.valid_from, later.learned_at, later.id) > (fact.valid_from, fact.learned_at, fact.id)
      AND later.ends_at IS NULL
      AND CASE WHEN later.object_key = fact.object_key THEN later.polarity <> fact.polarity
               ELSE later.polarity AND fact.polarity END
    ORDER BY later.valid_from, later.learned_at, later.id
    LIMIT 1
) AS next ON true
CROSS JOIN LATERAL (
    SELECT fact.valid_from <= $1::timestamptz AND (fact.ends_at IS NULL OR fact.ends_at > $1) AND NOT EXISTS (
        SELECT FROM known AS later
        WHERE later.namespace = fact.namespace AND later.chain = fact.chain AND later.node_id = fact.node_id
          AND (later.valid_from, later.learned_at, later.id) > (fact.valid_from, fact.learned_at, fact.id)
          AND later.valid_from <= $1 AND (later.ends_at IS NULL OR later.ends_at > $1)
          AND CASE WHEN later.object_key = fact.object_key THEN later.polarity <> fact.polarity
                   ELSE later.polarity AND fact.polarity END
    ) AS holds
) AS held
WHERE ($3::uuid[] IS NULL
       OR fact.entity_id IN (SELECT id FROM every.entity AS own WHERE own.root = ANY ($3))
       OR fact.object_entity_id IN (SELECT id FROM every.entity AS own WHERE own.root = ANY ($3)))
  AND ($4::text IS NULL OR fact.predicate = $4)
  AND ($9::uuid IS NULL OR fact.memory_id = $9)
  AND ($5::boolean OR held.holds)
  AND ($6::timestamptz IS NULL OR (fact.learned_at, fact.id) < ($6, $7::uuid))
ORDER BY fact.learned_at DESC, fact.id DESC
LIMIT $8;

-- name: get_nodes
-- role: lares_app
-- database: lares
-- Nodes as they are shown, with the tiers they lie in and how many memories mention them, ten thousand at most.
SELECT shown.id, shown.name, shown.kind, shown.self, shown.namespace,
       (SELECT array_agg(DISTINCT root.tier) FROM every.entity AS root
        WHERE root.merged_into IS NULL AND root.namespace = shown.namespace AND root.kind = shown.kind
          AND root.key = shown.key AND (root.id = shown.id OR root.tier <> shown.tier)) AS tiers,
       (SELECT count(DISTINCT memory_id) FROM (
            SELECT mention.memory_id FROM every.entity AS root
            JOIN every.entity AS part ON part.root = root.id
            JOIN every.mention AS mention ON mention.entity_id = part.id
            WHERE root.merged_into IS NULL AND root.namespace = shown.namespace AND root.kind = shown.kind
              AND root.key = shown.key AND (root.id = shown.id OR root.tier <> shown.tier)
            LIMIT 10000) AS bounded) AS mentions
FROM every.entity AS shown
WHERE shown.id = ANY ($1::uuid[])
LIMIT 1000;

-- name: list_entities
-- role: lares_app
-- database: lares
WITH named AS MATERIALIZED (
    SELECT DISTINCT node.node_id FROM every.node AS node
    WHERE $1::text IS NULL OR EXISTS (
        SELECT FROM every.entity_alias AS alias WHERE alias.entity_id = node.entity_id AND strpos(alias.key, $1) > 0)
), counted AS (
    SELECT node.node_id, array_agg(DISTINCT node.tier) AS tiers, count(DISTINCT mention.memory_id) AS mentions
    FROM named
    JOIN every.node AS node USING (node_id)
    LEFT JOIN every.mention AS mention ON mention.entity_id = node.entity_id
    GROUP BY node.node_id
)
SELECT shown.id, shown.name, shown.kind, shown.self, shown.namespace, counted.tiers, counted.mentions
FROM counted
JOIN every.entity AS shown ON shown.id = counted.node_id
WHERE ($2::text IS NULL OR shown.kind = $2)
  AND ($3::bigint IS NULL OR (counted.mentions, shown.id) < ($3, $4::uuid))
ORDER BY counted.mentions DESC, shown.id DESC
LIMIT $5;

-- name: list_aliases
-- role: lares_app
-- database: lares
SELECT alias.key, min(alias.alias) AS alias, bool_or(alias.given) AS given, count(DISTINCT mention.memory_id) AS mentions
FROM every.entity AS entity
JOIN every.entity_alias AS alias ON alias.entity_id = entity.id
LEFT JOIN every.mention AS mention ON mention.entity_id = alias.entity_id AND mention.alias_key = alias.key
WHERE entity.root = ANY ($1::uuid[]) AND alias.key <> '@self'
GROUP BY alias.key
ORDER BY mentions DESC, alias.key
LIMIT 200;

-- name: list_merged
-- role: lares_app
-- database: lares
SELECT id, name, kind, self FROM every.entity AS entity
WHERE entity.root = ANY ($1::uuid[]) AND entity.merged_into IS NOT NULL
ORDER BY entity.created_at, entity.id
LIMIT 200;

-- name: list_changes
-- role: lares_app
-- database: lares
SELECT change.at, change.change, change.other_id, change.before_name, change.before_kind
FROM every.entity AS entity
JOIN every.entity_change AS change ON change.entity_id = entity.id
WHERE entity.root = ANY ($1::uuid[])
ORDER BY change.at DESC, change.id DESC
LIMIT 50;

-- name: list_mentioning
-- role: lares_app
-- database: lares
SELECT memory.id
FROM (SELECT DISTINCT mention.memory_id FROM every.entity AS entity
      JOIN every.mention AS mention ON mention.entity_id = entity.id
      WHERE entity.root = ANY ($1::uuid[])) AS mentioning
JOIN every.memory AS memory ON memory.id = mentioning.memory_id
WHERE memory.created_at <= $2
ORDER BY memory.created_at DESC, memory.id DESC
LIMIT $3;

-- name: mentioned_with
-- role: lares_app
-- database: lares
-- Whom the same memories mention, the most often first; of an entity that everything mentions, the newest memories.
SELECT own.node_id, other.node_id AS other_id, count(DISTINCT one.memory_id) AS weight
FROM every.node AS own
CROSS JOIN LATERAL (SELECT mention.memory_id, mention.tier FROM every.mention AS mention
                    JOIN every.memory AS memory ON memory.id = mention.memory_id AND memory.created_at <= $2
                    WHERE mention.entity_id = own.entity_id
                    ORDER BY memory.created_at DESC
                    LIMIT 2000) AS one
JOIN every.mention AS two ON two.memory_id = one.memory_id
JOIN every.node AS other ON other.entity_id = two.entity_id
WHERE own.root_id = ANY ($1::uuid[]) AND other.node_id <> own.node_id
GROUP BY own.node_id, other.node_id
ORDER BY weight DESC, own.node_id, other.node_id
LIMIT $3;

-- name: names_in_question
-- role: lares_app
-- database: lares
-- Who bears one of these names, whole or as a first name.
SELECT DISTINCT alias.key, node.node_id
FROM every.entity_alias AS alias
JOIN every.node AS node ON node.entity_id = alias.entity_id
WHERE (alias.key = ANY ($1::text[]) OR split_part(alias.key, ' ', 1) = ANY ($1::text[]))
  AND ($2::text[] IS NULL OR alias.namespace = ANY ($2))
LIMIT 500;

-- name: memories_of
-- role: lares_app
-- database: lares
-- The memories that mention any of these, with how telling that is: who is mentioned everywhere says little.
WITH asked AS (
    SELECT entity.id, entity.root FROM every.entity AS entity WHERE entity.root = ANY ($1::uuid[])
), spread AS (
    SELECT asked.root, count(DISTINCT mention.memory_id)::float8 AS memories
    FROM asked JOIN every.mention AS mention ON mention.entity_id = asked.id
    GROUP BY asked.root
)
SELECT memory.id, sum(1 / (1 + ln(1 + spread.memories))) AS weight
FROM asked
JOIN spread USING (root)
JOIN every.mention AS mention ON mention.entity_id = asked.id
JOIN every.memory AS memory ON memory.id = mention.memory_id
GROUP BY memory.id, memory.created_at
ORDER BY weight DESC, memory.created_at DESC, memory.id
LIMIT $2;

-- name: entities_of_memory
-- role: lares_app
-- database: lares
SELECT DISTINCT node.node_id
FROM every.mention AS mention
JOIN every.node AS node ON node.entity_id = mention.entity_id
WHERE mention.memory_id = $1
LIMIT 100;
