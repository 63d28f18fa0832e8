-- Statements are written for convenience; search.py says the same of sensitive, and joins both where both are asked.
-- In every statement on memories $1 to $9 are the filters: namespaces, levels, source kinds, threads, since, until,
-- whether archived ones count, whether superseded ones count, and ids. What is null asks nothing. Every statement that
-- reads memories answers in one shape: beside which one it stands (of) and where (side: -1 before, 1 after, 0 found
-- itself, 2 wanted by its id), its vector or its nearness, and the memory in the order of `finding.Candidate`.

-- name: lexemes
-- role: lares_app
-- database: lares
SELECT tsvector_to_array(to_tsvector('english'::regconfig, $1::text));

-- name: opened
-- role: lares_app
-- database: lares
-- The terms of $1, and everything that is set for the statements that follow in the transaction: names and values.
SELECT tsvector_to_array(to_tsvector('english'::regconfig, $1::text)) AS terms,
       (SELECT count(set_config(name, value, true)) FROM unnest($2::text[], $3::text[]) AS setting (name, value)) AS settings;

-- name: said
-- role: lares_app
-- database: lares
-- Every posting of the terms, the rare ones first, as long as there are not too many; of a person who only asks for
-- words that are everywhere, the newest. Frequencies and the corpus ('') are counted whatever is read.
WITH block AS MATERIALIZED (
    SELECT term, last_seq, codes, octet_length(codes) / 8 AS uses,
           sum(octet_length(codes) / 8) OVER (PARTITION BY term ORDER BY last_seq DESC) AS newer
    FROM convenience.posting
    WHERE term = ANY ($1::text[]) AND ($2::text[] IS NULL OR namespace = ANY ($2))
), weighed AS MATERIALIZED (
    SELECT term, frequency, sum(frequency) OVER (ORDER BY frequency, term) AS upto,
           row_number() OVER (ORDER BY frequency, term) AS place
    FROM (SELECT term, sum(uses) AS frequency FROM block GROUP BY term) AS counted
), fresh AS MATERIALIZED (
    SELECT seq, words, lexemes FROM convenience.posting_fresh
    WHERE $2::text[] IS NULL OR namespace = ANY ($2)
)
SELECT term, frequency::bigint, 0::bigint AS words,
       (SELECT string_agg(codes, ''::bytea ORDER BY last_seq) FROM block
        WHERE block.term = weighed.term AND (upto <= $3::bigint OR place = 1 AND newer <= $3)) AS codes
FROM weighed
UNION ALL
SELECT lexeme, count(*), 0,
       string_agg(memory.posting(seq, cardinality(positions), words), ''::bytea ORDER BY seq)
FROM (SELECT seq, words, lexemes FROM fresh
      WHERE lexemes @@ (
          SELECT string_agg('''' || replace(replace(term, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
          FROM unnest($1::text[]) AS term)
      OFFSET 0) AS matching, unnest(lexemes)
WHERE lexeme = ANY ($1)
GROUP BY lexeme
UNION ALL
SELECT '', coalesce(sum(rows), 0)::bigint, coalesce(sum(words), 0)::bigint, NULL
FROM (SELECT rows, words FROM convenience.posting_total WHERE $2::text[] IS NULL OR namespace = ANY ($2)
      UNION ALL SELECT count(*), sum(words) FROM fresh) AS total;

-- name: naming
-- role: lares_app
-- database: lares
-- The memories in which something is named: $1 are the roots of entities.
SELECT DISTINCT mention.memory_id
FROM convenience.entity
JOIN convenience.mention ON mention.entity_id = entity.id
WHERE entity.root = ANY ($1::uuid[])
LIMIT $2;

-- name: passing
-- role: lares_app
-- database: lares
-- Which memories the filters let through, as long as they are few.
SELECT coalesce(array_agg(seq), '{}') AS seqs
FROM (SELECT m.seq FROM convenience.memory AS m
      WHERE (m.archived_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now()) OR $7::boolean)
        AND ($1::text[] IS NULL OR m.namespace = ANY ($1))
        AND ($2::text[] IS NULL OR m.level = ANY ($2))
        AND ($3::text[] IS NULL OR m.source_kind = ANY ($3))
        AND ($4::text[] IS NULL OR m.thread = ANY ($4))
        AND ($5::timestamptz IS NULL OR m.happened_at >= $5)
        AND ($6::timestamptz IS NULL OR m.happened_at < $6)
        AND ($8::boolean OR m.superseded_by IS NULL)
        AND ($9::uuid[] IS NULL OR m.id = ANY ($9))
      LIMIT $10) AS few;

-- name: at_hand
-- role: lares_app
-- database: lares
-- The vectors of the session and working levels, all of them or those of the ids in $2.
SELECT m.id, m.seq, halfvec_send(v.embedding) AS vector
FROM convenience.memory AS m
JOIN convenience.memory_vector AS v ON v.memory_id = m.id AND v.model = $1::smallint
WHERE m.level <> 'knowledge' AND m.level IN ('session', 'working') AND m.archived_at IS NULL
  AND ($2::uuid[] IS NULL OR m.id = ANY ($2))
LIMIT $3;

-- name: sizes
-- role: svc_memory
-- database: lares
-- From the catalogs: nobody's rows are looked at.
SELECT CASE class.relname WHEN 'memory' THEN 'texts' WHEN 'memory_vector' THEN 'vectors' ELSE 'words' END AS part,
       sum(pg_total_relation_size(class.oid))::bigint AS bytes
FROM pg_class AS class
JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
WHERE schema.nspname IN ('convenience', 'sensitive')
  AND class.relname IN ('memory', 'memory_vector', 'posting', 'posting_fresh', 'posting_total')
GROUP BY part
LIMIT 3;

-- name: merge
-- role: lares_app
-- database: lares
-- Again and again, until it says 0; one more fold than that is not worth it.
SELECT convenience.merge_postings($1, $2);

-- name: rebuild
-- role: lares_app
-- database: lares
SELECT convenience.rebuild_postings($1);

-- name: found
-- role: lares_app
-- database: lares
-- The memories of these numbers, and those beside the first of them in a conversation, each with its vector.
WITH hit AS MATERIALIZED (
    SELECT * FROM convenience.memory WHERE seq = ANY ($11::bigint[])
)
SELECT m.of, m.side, halfvec_send(v.embedding) AS vector,
       m.seq, m.id, m.text, m.word_count, m.thread, m.position, m.speaker, m.occurred_at,
       m.created_at, m.level, m.strength, m.accesses, m.accessed_at, m.valid_from, m.valid_to,
       m.superseded_by, m.superseded_at, m.namespace
FROM (SELECT NULL::uuid AS of, 0 AS side, hit.* FROM hit
      UNION ALL
      SELECT hit.id, beside.*
      FROM (SELECT * FROM hit WHERE seq = ANY ($12::bigint[]) AND thread IS NOT NULL) AS hit
      CROSS JOIN LATERAL (
          (SELECT -1 AS side, n.* FROM convenience.memory AS n
           WHERE n.subject_id = hit.subject_id AND n.namespace = hit.namespace AND n.thread = hit.thread
             AND n.position < hit.position
           ORDER BY n.position DESC LIMIT 1)
          UNION ALL
          (SELECT 1, n.* FROM convenience.memory AS n
           WHERE n.subject_id = hit.subject_id AND n.namespace = hit.namespace AND n.thread = hit.thread
             AND n.position > hit.position
           ORDER BY n.position LIMIT 1)) AS beside
     ) AS m
LEFT JOIN convenience.memory_vector AS v ON v.memory_id = m.id AND v.model = $10::smallint
WHERE (m.archived_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now()) OR $7::boolean)
  AND ($1::text[] IS NULL OR m.namespace = ANY ($1))
  AND ($2::text[] IS NULL OR m.level = ANY ($2))
  AND ($3::text[] IS NULL OR m.source_kind = ANY ($3))
  AND ($4::text[] IS NULL OR m.thread = ANY ($4))
  AND ($5::timestamptz IS NULL OR m.happened_at >= $5)
  AND ($6::timestamptz IS NULL OR m.happened_at < $6)
  AND ($8::boolean OR m.superseded_by IS NULL)
  AND ($9::uuid[] IS NULL OR m.id = ANY ($9));

-- name: meant_indexed
-- role: lares_app
-- database: lares
-- Nearest first along the index, past whatever the filters stop; then what stands beside the first of them, and what is
-- wanted besides ($14). The vector is read in a sub-select, once.
WITH hit AS MATERIALIZED (
    SELECT m.*, v.distance
    FROM (SELECT memory_id, embedding::halfvec(384) <=> (SELECT $10::real[]::halfvec(384)) AS distance
          FROM convenience.memory_vector
          WHERE vector_dims(embedding) = 384 AND model % 2 = 1 AND model = $11::smallint
          ORDER BY embedding::halfvec(384) <=> (SELECT $10::real[]::halfvec(384))) AS v
    JOIN convenience.memory AS m ON m.id = v.memory_id
    WHERE (m.archived_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now()) OR $7::boolean)
      AND ($1::text[] IS NULL OR m.namespace = ANY ($1))
      AND ($2::text[] IS NULL OR m.level = ANY ($2))
      AND ($3::text[] IS NULL OR m.source_kind = ANY ($3))
      AND ($4::text[] IS NULL OR m.thread = ANY ($4))
      AND ($5::timestamptz IS NULL OR m.happened_at >= $5)
      AND ($6::timestamptz IS NULL OR m.happened_at < $6)
      AND ($8::boolean OR m.superseded_by IS NULL)
      AND ($9::uuid[] IS NULL OR m.id = ANY ($9))
    ORDER BY v.distance
    LIMIT $12
)
SELECT NULL::uuid AS of, 0 AS side, 1 - hit.distance AS cosine,
       hit.seq, hit.id, hit.text, hit.word_count, hit.thread, hit.position, hit.speaker, hit.occurred_at,
       hit.created_at, hit.level, hit.strength, hit.accesses, hit.accessed_at, hit.valid_from, hit.valid_to,
       hit.superseded_by, hit.superseded_at, hit.namespace
FROM hit
UNION ALL
SELECT m.of, m.side, 1 - (v.embedding <=> (SELECT $10::real[]::halfvec(384))),
       m.seq, m.id, m.text, m.word_count, m.thread, m.position, m.speaker, m.occurred_at,
       m.created_at, m.level, m.strength, m.accesses, m.accessed_at, m.valid_from, m.valid_to,
       m.superseded_by, m.superseded_at, m.namespace
FROM (SELECT hit.id AS of, beside.*
      FROM (SELECT * FROM hit WHERE thread IS NOT NULL ORDER BY distance LIMIT $13) AS hit
      CROSS JOIN LATERAL (
          (SELECT -1 AS side, n.* FROM convenience.memory AS n
           WHERE n.subject_id = hit.subject_id AND n.namespace = hit.namespace AND n.thread = hit.thread
             AND n.position < hit.position
           ORDER BY n.position DESC LIMIT 1)
          UNION ALL
          (SELECT 1, n.* FROM convenience.memory AS n
           WHERE n.subject_id = hit.subject_id AND n.namespace = hit.namespace AND n.thread = hit.thread
             AND n.position > hit.position
           ORDER BY n.position LIMIT 1)) AS beside
      UNION ALL
      SELECT NULL, 2, wanted.* FROM convenience.memory AS wanted WHERE id = ANY ($14::uuid[])) AS m
LEFT JOIN convenience.memory_vector AS v ON v.memory_id = m.id AND v.model = $11::smallint
WHERE (m.archived_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now()) OR $7::boolean)
  AND ($1::text[] IS NULL OR m.namespace = ANY ($1))
  AND ($2::text[] IS NULL OR m.level = ANY ($2))
  AND ($3::text[] IS NULL OR m.source_kind = ANY ($3))
  AND ($4::text[] IS NULL OR m.thread = ANY ($4))
  AND ($5::timestamptz IS NULL OR m.happened_at >= $5)
  AND ($6::timestamptz IS NULL OR m.happened_at < $6)
  AND ($8::boolean OR m.superseded_by IS NULL)
  AND ($9::uuid[] IS NULL OR m.id = ANY ($9));

-- name: meant_exact
-- role: lares_app
-- database: lares
-- The same by comparing every memory that passes: k of k, always.
WITH hit AS MATERIALIZED (
    SELECT m.*, v.distance
    FROM (SELECT m.id, v.embedding <=> (SELECT $10::real[]::halfvec(384)) AS distance
          FROM convenience.memory AS m
          JOIN convenience.memory_vector AS v ON v.memory_id = m.id AND v.model = $11::smallint
          WHERE (m.archived_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now()) OR $7::boolean)
            AND ($1::text[] IS NULL OR m.namespace = ANY ($1))
            AND ($2::text[] IS NULL OR m.level = ANY ($2))
            AND ($3::text[] IS NULL OR m.source_kind = ANY ($3))
            AND ($4::text[] IS NULL OR m.thread = ANY ($4))
            AND ($5::timestamptz IS NULL OR m.happened_at >= $5)
            AND ($6::timestamptz IS NULL OR m.happened_at < $6)
            AND ($8::boolean OR m.superseded_by IS NULL)
            AND ($9::uuid[] IS NULL OR m.id = ANY ($9))
          ORDER BY distance, m.id
          LIMIT $12) AS v
    JOIN convenience.memory AS m ON m.id = v.id
)
SELECT NULL::uuid AS of, 0 AS side, 1 - hit.distance AS cosine,
       hit.seq, hit.id, hit.text, hit.word_count, hit.thread, hit.position, hit.speaker, hit.occurred_at,
       hit.created_at, hit.level, hit.strength, hit.accesses, hit.accessed_at, hit.valid_from, hit.valid_to,
       hit.superseded_by, hit.superseded_at, hit.namespace
FROM hit
UNION ALL
SELECT m.of, m.side, 1 - (v.embedding <=> (SELECT $10::real[]::halfvec(384))),
       m.seq, m.id, m.text, m.word_count, m.thread, m.position, m.speaker, m.occurred_at,
       m.created_at, m.level, m.strength, m.accesses, m.accessed_at, m.valid_from, m.valid_to,
       m.superseded_by, m.superseded_at, m.namespace
FROM (SELECT hit.id AS of, beside.*
      FROM (SELECT * FROM hit WHERE thread IS NOT NULL ORDER BY distance LIMIT $13) AS hit
      CROSS JOIN LATERAL (
          (SELECT -1 AS side, n.* FROM convenience.memory AS n
           WHERE n.subject_id = hit.subject_id AND n.namespace = hit.namespace AND n.thread = hit.thread
             AND n.position < hit.position
           ORDER BY n.position DESC LIMIT 1)
          UNION ALL
          (SELECT 1, n.* FROM convenience.memory AS n
           WHERE n.subject_id = hit.subject_id AND n.namespace = hit.namespace AND n.thread = hit.thread
             AND n.position > hit.position
           ORDER BY n.position LIMIT 1)) AS beside
      UNION ALL
      SELECT NULL, 2, wanted.* FROM convenience.memory AS wanted WHERE id = ANY ($14::uuid[])) AS m
LEFT JOIN convenience.memory_vector AS v ON v.memory_id = m.id AND v.model = $11::smallint
WHERE (m.archived_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now()) OR $7::boolean)
  AND ($1::text[] IS NULL OR m.namespace = ANY ($1))
  AND ($2::text[] IS NULL OR m.level = ANY ($2))
  AND ($3::text[] IS NULL OR m.source_kind = ANY ($3))
  AND ($4::text[] IS NULL OR m.thread = ANY ($4))
  AND ($5::timestamptz IS NULL OR m.happened_at >= $5)
  AND ($6::timestamptz IS NULL OR m.happened_at < $6)
  AND ($8::boolean OR m.superseded_by IS NULL)
  AND ($9::uuid[] IS NULL OR m.id = ANY ($9));
