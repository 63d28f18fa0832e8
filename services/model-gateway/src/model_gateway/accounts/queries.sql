-- What the gateway says to Postgres, as svc_model_gateway.

-- name: add_call
INSERT INTO inference.call (
    id, at, endpoint, model, way, caller, service, agent, service_class, tier, outcome, tokens_read, tokens_written,
    audio_seconds, characters, images, seconds, queue_seconds, watt_hours, cost_micros, falls, correlation_id
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: reserve
-- $6 and $7 are the limits; no row comes back where one of them would be passed.
INSERT INTO inference.budget_use AS used (day, budget, caller, tokens, cost_micros)
SELECT $1, $2, $3, $4, $5
WHERE $4::bigint <= $6::bigint AND $5::bigint <= $7::bigint
ON CONFLICT (day, budget, caller) DO UPDATE
SET tokens = used.tokens + excluded.tokens, cost_micros = used.cost_micros + excluded.cost_micros
WHERE used.tokens + excluded.tokens <= $6::bigint AND used.cost_micros + excluded.cost_micros <= $7::bigint
RETURNING used.tokens, used.cost_micros;

-- name: settle
UPDATE inference.budget_use
SET tokens = greatest(0, tokens + $4), cost_micros = greatest(0, cost_micros + $5)
WHERE day = $1 AND budget = $2 AND caller = $3;

-- name: used
SELECT tokens, cost_micros FROM inference.budget_use WHERE day = $1 AND budget = $2 AND caller = $3;

-- name: used_today
SELECT budget, caller, tokens, cost_micros FROM inference.budget_use WHERE day = $1 ORDER BY budget, caller LIMIT $2;

-- name: sum_old_calls
-- At most $2 rows at once, so that no run holds the table for long. Of a batch every row is summed and every row goes.
WITH old AS (
    DELETE FROM inference.call
    WHERE id IN (SELECT id FROM inference.call WHERE at < $1 ORDER BY at LIMIT $2)
    RETURNING *
), added AS (
    INSERT INTO inference.call_day AS kept
    SELECT (at AT TIME ZONE 'UTC')::date, caller, model, way, service_class,
        count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(tokens_read), sum(tokens_written),
        sum(audio_seconds), sum(characters), sum(images), sum(seconds), sum(queue_seconds),
        coalesce(sum(watt_hours), 0), sum(cost_micros)
    FROM old GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (day, caller, model, way, service_class) DO UPDATE SET
        calls = kept.calls + excluded.calls, failed = kept.failed + excluded.failed,
        tokens_read = kept.tokens_read + excluded.tokens_read,
        tokens_written = kept.tokens_written + excluded.tokens_written,
        audio_seconds = kept.audio_seconds + excluded.audio_seconds,
        characters = kept.characters + excluded.characters, images = kept.images + excluded.images,
        seconds = kept.seconds + excluded.seconds, queue_seconds = kept.queue_seconds + excluded.queue_seconds,
        watt_hours = kept.watt_hours + excluded.watt_hours, cost_micros = kept.cost_micros + excluded.cost_micros
)
SELECT count(*) FROM old;

-- name: forget_old_budgets
DELETE FROM inference.budget_use WHERE day < $1;

-- name: usage
-- $4 names what is told apart; everything else is added up.
WITH kept AS (
    SELECT (at AT TIME ZONE 'UTC')::date AS day, caller, model, way, service_class, 1 AS calls,
        (outcome <> 'ok')::int AS failed, tokens_read, tokens_written, audio_seconds, characters, images, seconds,
        queue_seconds, coalesce(watt_hours, 0) AS watt_hours, cost_micros
    FROM inference.call WHERE at >= $1 AND at < $2
    UNION ALL
    SELECT day, caller, model, way, service_class, calls, failed, tokens_read, tokens_written, audio_seconds, characters,
        images, seconds, queue_seconds, watt_hours, cost_micros
    FROM inference.call_day
    WHERE day >= ($1 AT TIME ZONE 'UTC')::date AND day < ($2 AT TIME ZONE 'UTC')::date
)
SELECT CASE WHEN 'day' = ANY ($4::text[]) THEN day END AS day,
    CASE WHEN 'caller' = ANY ($4::text[]) THEN caller END AS caller,
    CASE WHEN 'model' = ANY ($4::text[]) THEN model END AS model,
    CASE WHEN 'way' = ANY ($4::text[]) THEN way END AS way,
    CASE WHEN 'service_class' = ANY ($4::text[]) THEN service_class END AS service_class,
    sum(calls)::bigint AS calls, sum(failed)::bigint AS failed,
    sum(tokens_read)::bigint AS tokens_read, sum(tokens_written)::bigint AS tokens_written,
    sum(audio_seconds)::double precision AS audio_seconds, sum(characters)::bigint AS characters,
    sum(images)::bigint AS images, sum(seconds)::double precision AS seconds,
    sum(queue_seconds)::double precision AS queue_seconds, sum(watt_hours)::double precision AS watt_hours,
    sum(cost_micros)::bigint AS cost_micros
FROM kept GROUP BY 1, 2, 3, 4, 5
ORDER BY 1 DESC NULLS LAST, cost_micros DESC, calls DESC, 2, 3, 4, 5 LIMIT $3;
