-- Every statement of gpu-scheduler. A test prepares each as svc_gpu_scheduler.

-- name: next_epoch
SELECT nextval('inference.scheduler_epoch');

-- name: next_epochs
SELECT max(nextval('inference.scheduler_epoch')) FROM generate_series(1, $1::int);

-- name: read_peaks
SELECT node, model, fingerprint, peak_mib FROM inference.model_peak ORDER BY measured_at DESC LIMIT 2000;

-- name: keep_peak
INSERT INTO inference.model_peak (node, model, fingerprint, peak_mib) VALUES ($1, $2, $3, $4)
ON CONFLICT (node, model, fingerprint) DO UPDATE
SET peak_mib = GREATEST(inference.model_peak.peak_mib, EXCLUDED.peak_mib), measured_at = now();

-- name: read_leases
SELECT id, holder, agent, purpose, service_class, model, memory_mib, node, card, instance_id, fence, ttl_seconds,
       granted_at, expires_at
FROM inference.lease ORDER BY granted_at LIMIT 1000;

-- name: keep_lease
INSERT INTO inference.lease (id, holder, agent, purpose, service_class, model, memory_mib, node, card, instance_id,
                             fence, ttl_seconds, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::float8, now() + make_interval(secs => $12::float8));

-- name: renew_lease
UPDATE inference.lease SET expires_at = now() + make_interval(secs => ttl_seconds) WHERE id = $1;

-- name: end_lease
DELETE FROM inference.lease WHERE id = $1;

-- name: read_orders
SELECT kind, name, enabled FROM inference.standing_order LIMIT 2000;

-- name: keep_order
INSERT INTO inference.standing_order (kind, name, enabled) VALUES ($1, $2, $3)
ON CONFLICT (kind, name) DO UPDATE SET enabled = EXCLUDED.enabled, ordered_at = now();

-- name: read_words
SELECT node, said FROM inference.node_word LIMIT 64;

-- name: keep_word
INSERT INTO inference.node_word (node, said) VALUES ($1, $2)
ON CONFLICT (node) DO UPDATE SET said = EXCLUDED.said, said_at = now();

-- name: keep_decision
INSERT INTO inference.decision (at, epoch, verb, subject, why) VALUES ($1, $2, $3, $4, $5);

-- name: read_decisions
SELECT at, verb, subject, why FROM inference.decision WHERE at < $1 ORDER BY at DESC LIMIT $2;

-- name: forget_decisions
DELETE FROM inference.decision WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM inference.decision WHERE at < now() - make_interval(days => $1) LIMIT 10000));

-- name: keep_minute
INSERT INTO inference.card_minute (card, at, node, total_mib, used_mib, booked_mib, utilisation_percent, watts, parts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (card, at) DO NOTHING;

-- name: read_minutes
-- Of each card, in each span of $5 seconds, the fullest minute.
SELECT card, at, node, total_mib, used_mib, booked_mib, utilisation_percent, watts, parts
FROM (
    SELECT DISTINCT ON (card, floor(extract(epoch FROM at) / $5::int)) *
    FROM inference.card_minute WHERE at >= $1 AND at < $2 AND ($3::text IS NULL OR card = $3)
    ORDER BY card, floor(extract(epoch FROM at) / $5::int), used_mib DESC, at
) AS fullest
ORDER BY at LIMIT $4;

-- name: forget_minutes
DELETE FROM inference.card_minute WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM inference.card_minute WHERE at < now() - make_interval(days => $1) LIMIT 10000));
