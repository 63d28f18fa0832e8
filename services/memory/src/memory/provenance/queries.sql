-- Written for convenience; store.py says the same of sensitive.

-- name: list_replaced
-- role: lares_app
-- database: lares
SELECT id FROM convenience.memory WHERE superseded_by = $1 ORDER BY happened_at DESC, id LIMIT $2;

-- name: list_replaced_sacred
-- role: lares_app
-- database: lares_sacred
SELECT id FROM sacred.memory WHERE superseded_by = $1 ORDER BY happened_at DESC, id LIMIT $2;

-- name: list_links
-- role: lares_app
-- database: lares
(SELECT to_id AS other, true AS summarises FROM convenience.memory_link WHERE from_id = $1
 ORDER BY created_at, to_id LIMIT $2)
UNION ALL
(SELECT from_id, false FROM convenience.memory_link WHERE to_id = $1 ORDER BY created_at, from_id LIMIT $2);

-- name: list_sources
-- role: lares_app
-- database: lares
SELECT source_kind, source_ref, thread, position, speaker, text, occurred_at, learned_at, merged_id
FROM convenience.memory_source
WHERE memory_id = $1
ORDER BY learned_at, id
LIMIT $2;
