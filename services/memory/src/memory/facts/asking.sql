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
-- $1 known at, $2 roots, $3 predicate, $4 and $5 the cursor, $6 limit, $7 memory. In order and cut first: all else is
-- looked up for one page alone.
SELECT fact.id, fact.tier, fact.namespace, fact.memory_id, fact.entity_id, fact.object_entity_id, fact.predicate,
       fact.qualifier, fact.chain, fact.polarity, fact.object_text, fact.object_key, fact.valid_from, fact.valid_to,
       fact.learned_at, fact.retired_at, fact.confidence, fact.extractor, fact.span_from, fact.span_to,
       memory.source_kind, memory.source_ref, memory.revision = fact.revision AS fresh,
       least(fact.valid_to, CASE
           WHEN memory.superseded_by IS NULL THEN memory.valid_to
           WHEN memory.superseded_at > $1 THEN NULL
           -- What replaced the memory speaks of the same things: then fact stands against fact, one by one.
           WHEN EXISTS (SELECT FROM every.fact AS newer JOIN every.fact AS older
                            ON older.chain = newer.chain AND older.memory_id = memory.id
                        WHERE newer.memory_id = memory.superseded_by) THEN NULL
           ELSE coalesce(memory.valid_to, memory.superseded_at) END) AS ends_at
FROM (
    SELECT own.* FROM every.fact AS own
    WHERE own.learned_at <= $1::timestamptz AND (own.retired_at IS NULL OR own.retired_at > $1)
      AND ($2::uuid[] IS NULL
           OR own.entity_id IN (SELECT id FROM every.entity AS part WHERE part.root = ANY ($2))
           OR own.object_entity_id IN (SELECT id FROM every.entity AS part WHERE part.root = ANY ($2)))
      AND ($3::text IS NULL OR own.predicate = $3)
      AND ($7::uuid IS NULL OR own.memory_id = $7)
      AND ($4::timestamptz IS NULL OR (own.learned_at, own.id) < ($4, $5::uuid))
    ORDER BY own.learned_at DESC, own.id DESC
    LIMIT $6
) AS fact
JOIN every.memory AS memory ON memory.id = fact.memory_id
ORDER BY fact.learned_at DESC, fact.id DESC;

-- name: facts_in_line
-- role: lares_app
-- database: lares
-- All that is known of some chains: what a page's facts are judged by.
SELECT fact.id, fact.tier, fact.namespace, fact.memory_id, fact.entity_id, fact.object_entity_id, fact.predicate,
       fact.qualifier, fact.chain, fact.polarity, fact.object_text, fact.object_key, fact.valid_from, fact.valid_to,
       fact.learned_at, fact.retired_at, fact.confidence, fact.extractor, fact.span_from, fact.span_to,
       memory.source_kind, memory.source_ref, memory.revision = fact.revision AS fresh,
       least(fact.valid_to, CASE
           WHEN memory.superseded_by IS NULL THEN memory.valid_to
           WHEN memory.superseded_at > $1 THEN NULL
           -- What replaced the memory speaks of the same things: then fact stands against fact, one by one.
           WHEN EXISTS (SELECT FROM every.fact AS newer JOIN every.fact AS older
                            ON older.chain = newer.chain AND older.memory_id = memory.id
                        WHERE newer.memory_id = memory.superseded_by) THEN NULL
           ELSE coalesce(memory.valid_to, memory.superseded_at) END) AS ends_at
FROM (
    SELECT own.* FROM every.fact AS own
    JOIN unnest($2::text[], $3::text[]) AS line (namespace, chain)
      ON own.namespace = line.namespace AND own.chain = line.chain
    WHERE own.learned_at <= $1::timestamptz AND (own.retired_at IS NULL OR own.retired_at > $1)
    ORDER BY own.learned_at DESC, own.id DESC
    LIMIT $4
) AS fact
JOIN every.memory AS memory ON memory.id = fact.memory_id;

-- name: nodes_of_entities
-- role: lares_app
-- database: lares
SELECT node.entity_id, node.node_id FROM every.node AS node WHERE node.entity_id = ANY ($1::uuid[]);

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
WITH uses AS MATERIALIZED (
    SELECT entity_id, count(DISTINCT memory_id) AS memories FROM every.mention AS mention GROUP BY entity_id
), node AS MATERIALIZED (
    SELECT node.tier, node.entity_id, node.node_id FROM every.node AS node
), named AS MATERIALIZED (
    SELECT DISTINCT node.node_id FROM node
    WHERE $1::text IS NULL OR node.entity_id IN (
        SELECT alias.entity_id FROM every.entity_alias AS alias WHERE strpos(alias.key, $1) > 0)
), counted AS MATERIALIZED (
    SELECT node.node_id, array_agg(DISTINCT node.tier) AS tiers, coalesce(sum(uses.memories), 0)::bigint AS mentions
    FROM named
    JOIN node USING (node_id)
    LEFT JOIN uses USING (entity_id)
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
WHERE entity.root = ANY ($1::uuid[]) AND alias.key <> ':self'
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
SELECT memory.id, memory.tier
FROM (SELECT DISTINCT bounded.memory_id FROM (
          SELECT mention.memory_id FROM every.entity AS entity
          JOIN every.mention AS mention ON mention.entity_id = entity.id
          WHERE entity.root = ANY ($1::uuid[])
          LIMIT 5000) AS bounded) AS mentioning
JOIN every.memory AS memory ON memory.id = mentioning.memory_id
WHERE memory.created_at <= $2
ORDER BY memory.created_at DESC, memory.id DESC
LIMIT $3;

-- name: mentioned_with
-- role: lares_app
-- database: lares
-- Whom the same memories mention, the most often first; of somebody whom thousands mention, by two thousand of them.
WITH own AS MATERIALIZED (
    SELECT entity.id, entity.root FROM convenience.entity AS entity WHERE entity.root = ANY ($1::uuid[])
), said AS MATERIALIZED (
    SELECT DISTINCT own.root, mentioned.memory_id
    FROM own CROSS JOIN LATERAL (
        SELECT mention.memory_id FROM convenience.mention WHERE mention.entity_id = own.id LIMIT 2000) AS mentioned
)
SELECT said.root, entity.root AS other_root, count(DISTINCT said.memory_id) AS weight
FROM said
JOIN convenience.memory AS memory ON memory.id = said.memory_id AND memory.created_at <= $2
JOIN convenience.mention AS mention ON mention.memory_id = said.memory_id
JOIN convenience.entity AS entity ON entity.id = mention.entity_id
WHERE entity.root <> said.root
GROUP BY said.root, entity.root
ORDER BY weight DESC, said.root, entity.root
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
-- The memories that mention any of these, with how telling that is. Whom thousands mention tells nothing: left out.
WITH asked AS MATERIALIZED (
    SELECT entity.id, entity.root FROM convenience.entity AS entity WHERE entity.root = ANY ($1::uuid[])
), said AS MATERIALIZED (
    SELECT DISTINCT asked.root, mentioned.memory_id
    FROM asked CROSS JOIN LATERAL (
        SELECT mention.memory_id FROM convenience.mention WHERE mention.entity_id = asked.id LIMIT 2001) AS mentioned
), spread AS MATERIALIZED (
    SELECT root, count(*)::float8 AS memories FROM said GROUP BY root HAVING count(*) <= 2000
)
SELECT memory.id, memory.created_at, sum(1 / (1 + ln(1 + spread.memories))) AS weight
FROM spread
JOIN said USING (root)
JOIN convenience.memory AS memory ON memory.id = said.memory_id
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
