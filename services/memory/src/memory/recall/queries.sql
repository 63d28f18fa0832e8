-- Written for convenience; speakers.py says the same of sensitive.

-- name: speakers
-- role: lares_app
-- database: lares
-- Who speaks in the memories the caller sees, each once: the index is left after every name and entered at the next.
WITH RECURSIVE spoken AS (
    (SELECT speaker FROM convenience.memory WHERE speaker IS NOT NULL ORDER BY speaker LIMIT 1)
    UNION ALL
    SELECT (SELECT next.speaker FROM convenience.memory AS next
            WHERE next.speaker > spoken.speaker ORDER BY next.speaker LIMIT 1)
    FROM spoken
    WHERE spoken.speaker IS NOT NULL
)
SELECT speaker FROM spoken WHERE speaker IS NOT NULL LIMIT 200;
