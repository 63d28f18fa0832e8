-- The statements about which GPU nodes belong to the house. Times come from the service's own clock.

-- name: lock_nodes
-- role: svc_gpu_scheduler
SELECT pg_advisory_xact_lock(hashtext('inference.node'));

-- name: insert_token
-- role: svc_gpu_scheduler
INSERT INTO inference.node_token (hash, name, address, wakeable, made_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: end_other_tokens
-- role: svc_gpu_scheduler
UPDATE inference.node_token SET ended_at = $3 WHERE ended_at IS NULL AND (name = $1 OR address = $2);

-- name: drop_old_tokens
-- role: svc_gpu_scheduler
DELETE FROM inference.node_token WHERE expires_at < $1;

-- name: take_token
-- role: svc_gpu_scheduler
SELECT name, address, wakeable, expires_at, ended_at FROM inference.node_token WHERE hash = $1 FOR UPDATE;

-- name: end_token
-- role: svc_gpu_scheduler
UPDATE inference.node_token SET ended_at = $2 WHERE hash = $1;

-- name: insert_node
-- role: svc_gpu_scheduler
INSERT INTO inference.node (tls_name, name, address, wakeable, serial, fingerprint, signed_at, expires_at, joined_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7);

-- name: end_node
-- role: svc_gpu_scheduler
UPDATE inference.node SET left_at = $2 WHERE name = $1 AND left_at IS NULL RETURNING address;

-- name: renew_node
-- role: svc_gpu_scheduler
UPDATE inference.node SET serial = $2, fingerprint = $3, signed_at = $4, expires_at = $5
WHERE tls_name = $1 AND left_at IS NULL RETURNING name;

-- name: present_nodes
-- role: svc_gpu_scheduler
SELECT name, address, port, tls_name, wakeable, fingerprint, signed_at, expires_at, joined_at
FROM inference.node WHERE left_at IS NULL ORDER BY name LIMIT 16;

-- name: others_at_address
-- role: svc_gpu_scheduler
SELECT count(*) FILTER (WHERE address = $2 AND name <> $1) AS at_address, count(*) FILTER (WHERE name <> $1) AS others
FROM inference.node WHERE left_at IS NULL;
