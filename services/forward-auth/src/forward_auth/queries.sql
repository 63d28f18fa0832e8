-- name: find_session
-- role: svc_forward_auth
SELECT aal, auth_time, expire_date, subject, username, role
FROM edge.session_decision
WHERE session_key = $1 AND expire_date > now() AND auth_time IS NOT NULL

-- name: find_token
-- role: svc_forward_auth
SELECT secret_hash, scopes, tiers, created_at, expires_at, last_used_at, subject, username, role
FROM edge.token_decision
WHERE id = $1 AND expires_at > now()

-- name: touch_token
-- role: svc_forward_auth
UPDATE edge.access_token SET last_used_at = now() WHERE id = $1

-- name: record_refusal
-- role: svc_forward_auth
INSERT INTO edge.audit_event (at, event, outcome, subject, session_id, client_ip, user_agent, detail, correlation_id)
VALUES (now(), $1, 'denied', $2, $3, $4::text::inet, $5, $6, $7)
