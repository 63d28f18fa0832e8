-- What a person does to entities. All of it is one transaction, in their role; merging and taking it back move pointers
-- alone.

-- name: roots_to_change
-- role: lares_app
-- database: lares
SELECT id, tier, namespace, kind, name, key, self FROM every.entity AS entity WHERE id = ANY ($1::uuid[]);

-- name: merge_root
-- role: lares_app
-- database: lares
UPDATE convenience.entity SET root = $1, merged_into = CASE WHEN id = $2 THEN $1 ELSE merged_into END WHERE root = $2;

-- name: unmerge
-- role: lares_app
-- database: lares
-- The entity and all that had been merged into it before it was merged itself.
WITH RECURSIVE part AS (
    SELECT id FROM convenience.entity WHERE id = $1 AND merged_into IS NOT NULL
    UNION
    SELECT child.id FROM convenience.entity AS child JOIN part ON child.merged_into = part.id
)
UPDATE convenience.entity SET root = $1, merged_into = CASE WHEN entity.id = $1 THEN NULL ELSE merged_into END
FROM part WHERE entity.id = part.id
RETURNING entity.id;

-- name: root_of
-- role: lares_app
-- database: lares
SELECT root FROM convenience.entity WHERE id = $1;

-- name: rename_root
-- role: lares_app
-- database: lares
UPDATE convenience.entity SET name = $2, key = CASE WHEN self THEN key ELSE $3 END, kind = $4 WHERE id = $1;

-- name: give_alias
-- role: lares_app
-- database: lares
INSERT INTO convenience.entity_alias (entity_id, key, subject_id, namespace, alias, given)
VALUES ($1, $2, $3, $4, $5, true)
ON CONFLICT (entity_id, key) DO UPDATE SET given = true, alias = excluded.alias;

-- name: take_alias
-- role: lares_app
-- database: lares
DELETE FROM convenience.entity_alias AS alias
WHERE entity_id = $1 AND key = $2
  AND NOT EXISTS (SELECT FROM convenience.mention
                  WHERE mention.entity_id = alias.entity_id AND mention.alias_key = alias.key);

-- name: name_taken
-- role: lares_app
-- database: lares
SELECT EXISTS (SELECT FROM convenience.entity
               WHERE namespace = $1 AND key = $2 AND kind = $3 AND merged_into IS NULL AND id <> $4);

-- name: note_change
-- role: lares_app
-- database: lares
INSERT INTO convenience.entity_change
    (subject_id, namespace, entity_id, other_id, change, before_name, before_key, before_kind)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: last_join
-- role: lares_app
-- database: lares
-- How an entity was called before it was joined to one of another tier.
SELECT before_name, before_key, before_kind FROM convenience.entity_change
WHERE entity_id = $1 AND change = 'merged' AND before_key IS NOT NULL
ORDER BY id DESC LIMIT 1;

-- name: merge_moment
-- role: lares_app
-- database: lares
-- When an entity was merged or joined last. All that one merge did, in both tiers, was done at one moment.
SELECT at FROM convenience.entity_change
WHERE change = 'merged' AND (other_id = $1 OR (entity_id = $1 AND before_key IS NOT NULL))
ORDER BY id DESC LIMIT 1;

-- name: merged_at
-- role: lares_app
-- database: lares
SELECT entity_id, other_id, before_key IS NOT NULL AS joined FROM convenience.entity_change
WHERE change = 'merged' AND at = $1
ORDER BY id;

-- name: drop_join
-- role: lares_app
-- database: lares
DELETE FROM convenience.entity_change WHERE entity_id = $1 AND change = 'merged' AND before_key IS NOT NULL;

-- name: new_entity
-- role: lares_app
-- database: lares
INSERT INTO convenience.entity (id, subject_id, namespace, kind, name, key, root) VALUES ($1, $2, $3, $4, $5, $6, $1);

-- name: mentions_to_move
-- role: lares_app
-- database: lares
-- What a split takes: under these names, or in these memories. `all_of` counts what there is.
SELECT mention.memory_id, mention.entity_id, mention.alias_key, alias.alias,
       ($2::text[] IS NULL OR mention.alias_key = ANY ($2)) AND ($3::uuid[] IS NULL OR mention.memory_id = ANY ($3))
           AND mention.alias_key <> ':self' AS moves
FROM convenience.entity AS entity
JOIN convenience.mention AS mention ON mention.entity_id = entity.id
JOIN convenience.entity_alias AS alias ON alias.entity_id = mention.entity_id AND alias.key = mention.alias_key
WHERE entity.root = $1
ORDER BY mention.memory_id, mention.alias_key, mention.entity_id
LIMIT 100000;

-- name: copy_aliases
-- role: lares_app
-- database: lares
INSERT INTO convenience.entity_alias (entity_id, key, subject_id, namespace, alias, given, created_at)
SELECT DISTINCT ON (old.key) $1::uuid, old.key, old.subject_id, old.namespace, old.alias, old.given AND $3, old.created_at
FROM convenience.entity_alias AS old
JOIN convenience.entity AS entity ON entity.id = old.entity_id
WHERE entity.root = $2 AND old.key = ANY ($4::text[])
ORDER BY old.key, old.created_at
ON CONFLICT (entity_id, key) DO NOTHING;

-- name: copy_mentions
-- role: lares_app
-- database: lares
INSERT INTO convenience.mention
    (memory_id, entity_id, alias_key, subject_id, namespace, role, uses, span_from, span_to, pinned, revision)
SELECT DISTINCT ON (old.memory_id, old.alias_key)
       old.memory_id, $1::uuid, old.alias_key, old.subject_id, old.namespace, old.role, old.uses, old.span_from, old.span_to,
       $2, old.revision
FROM unnest($3::uuid[], $4::uuid[], $5::text[]) AS moved (memory_id, entity_id, alias_key)
JOIN convenience.mention AS old USING (memory_id, entity_id, alias_key)
ORDER BY old.memory_id, old.alias_key, old.uses DESC;

-- name: pin_mentions
-- role: lares_app
-- database: lares
-- The memories that stay with one of two namesakes: as much was said of them as of those that went.
UPDATE convenience.mention SET pinned = true
FROM convenience.entity
WHERE entity.id = mention.entity_id AND entity.root = $1 AND mention.alias_key = ANY ($2::text[]) AND NOT pinned;

-- name: move_fact_subjects
-- role: lares_app
-- database: lares
UPDATE convenience.fact SET entity_id = $1
WHERE memory_id = ANY ($3::uuid[])
  AND entity_id IN (SELECT id FROM convenience.entity WHERE entity.root = $2);

-- name: move_fact_objects
-- role: lares_app
-- database: lares
UPDATE convenience.fact SET object_entity_id = $1
WHERE memory_id = ANY ($3::uuid[])
  AND object_entity_id IN (SELECT id FROM convenience.entity WHERE entity.root = $2);

-- name: drop_mentions
-- role: lares_app
-- database: lares
DELETE FROM convenience.mention AS old
USING unnest($1::uuid[], $2::uuid[], $3::text[]) AS moved (memory_id, entity_id, alias_key)
WHERE old.memory_id = moved.memory_id AND old.entity_id = moved.entity_id AND old.alias_key = moved.alias_key;

-- name: drop_given_aliases
-- role: lares_app
-- database: lares
DELETE FROM convenience.entity_alias AS alias
USING convenience.entity AS entity
WHERE entity.id = alias.entity_id AND entity.root = $1 AND alias.key = ANY ($2::text[]);

-- name: retire_fact
-- role: lares_app
-- database: lares
UPDATE convenience.fact SET retired_at = coalesce(retired_at, now()) WHERE id = $1 RETURNING id;

-- name: restore_fact
-- role: lares_app
-- database: lares
UPDATE convenience.fact SET retired_at = NULL WHERE id = $1 RETURNING id;
