-- Every statement of the orchestrator. A person's words are touched as lares_app under row-level security, which
-- is why none of those statements names the subject in a WHERE; the bookkeeping is the service's own and must.

-- name: insert_conversation
-- role: lares_app
INSERT INTO sensitive.conversation (id, subject_id, title) VALUES ($1, $2, $3)
ON CONFLICT (id) DO NOTHING;

-- name: touch_conversation
-- role: lares_app
UPDATE sensitive.conversation SET updated_at = now() WHERE id = $1 RETURNING id;

-- name: insert_turn
-- role: lares_app
INSERT INTO sensitive.turn (id, conversation_id, subject_id, intent, user_text, status, correlation_id)
VALUES ($1, $2, $3, $4, $5, 'running', $6);

-- name: get_turn
-- role: lares_app
SELECT id, conversation_id, intent, user_text, answer_text, status, error_code, correlation_id, sources, memory_id,
       created_at, finished_at
FROM sensitive.turn WHERE id = $1;

-- name: restart_turn
-- role: lares_app
UPDATE sensitive.turn
SET status = 'running', answer_text = '', error_code = NULL, sources = '[]', finished_at = NULL, correlation_id = $2
WHERE id = $1 AND status IN ('failed', 'interrupted', 'running') RETURNING id;

-- name: save_partial
-- role: lares_app
UPDATE sensitive.turn SET answer_text = $2 WHERE id = $1 AND status = 'running';

-- name: save_sources
-- role: lares_app
UPDATE sensitive.turn SET sources = $2 WHERE id = $1;

-- name: finish_turn
-- role: lares_app
UPDATE sensitive.turn
SET status = $2, answer_text = $3, error_code = $4, memory_id = coalesce($5, memory_id), finished_at = now()
WHERE id = $1 AND status IN ('running', 'waiting') RETURNING id;

-- name: interrupt_turn
-- role: lares_app
UPDATE sensitive.turn SET status = 'interrupted', error_code = 'agents.interrupted', finished_at = now()
WHERE id = $1 AND status = 'running' RETURNING id;

-- name: history
-- role: lares_app
SELECT user_text, answer_text FROM (
    SELECT user_text, answer_text, created_at, id FROM sensitive.turn
    WHERE conversation_id = $1 AND id <> $2 AND intent = 'ask' AND status IN ('done', 'stopped')
      AND answer_text <> '' AND error_code IS NULL
    ORDER BY created_at DESC, id DESC LIMIT $3
) newest ORDER BY created_at, id;

-- name: list_conversations
-- role: lares_app
SELECT c.id, c.title, c.created_at, c.updated_at
FROM sensitive.conversation c
WHERE ($1::timestamptz IS NULL OR (c.updated_at, c.id) < ($1, $2::uuid))
ORDER BY c.updated_at DESC, c.id DESC LIMIT $3;

-- name: get_conversation
-- role: lares_app
SELECT id, title, created_at, updated_at FROM sensitive.conversation WHERE id = $1;

-- name: list_turns
-- role: lares_app
SELECT id, conversation_id, intent, user_text, answer_text, status, error_code, correlation_id, sources, memory_id,
       created_at, finished_at
FROM (
    SELECT * FROM sensitive.turn WHERE conversation_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2
) newest ORDER BY created_at, id;

-- name: rename_conversation
-- role: lares_app
UPDATE sensitive.conversation SET title = $2 WHERE id = $1 RETURNING id, title, created_at, updated_at;

-- name: delete_conversation
-- role: lares_app
DELETE FROM sensitive.conversation WHERE id = $1 RETURNING id;

-- name: redact_remembered
-- role: lares_app
UPDATE sensitive.turn
SET user_text = $2, answer_text = $2, memory_id = NULL, sources = '[]', error_code = 'agents.redacted'
WHERE memory_id = $1 RETURNING conversation_id;

-- name: redact_answers
-- role: lares_app
UPDATE sensitive.turn
SET user_text = CASE intent WHEN 'forget' THEN $2 ELSE user_text END,
    answer_text = CASE intent WHEN 'forget' THEN answer_text ELSE $2 END,
    error_code = CASE intent WHEN 'forget' THEN error_code ELSE 'agents.redacted' END,
    sources = '[]'
WHERE sources @> jsonb_build_array(jsonb_build_object('memory_id', $1::text)) RETURNING conversation_id;

-- name: redact_titles
-- role: lares_app
UPDATE sensitive.conversation c SET title = $2
WHERE c.id = ANY($1::uuid[]) AND $2 = (
    SELECT first.user_text FROM sensitive.turn first WHERE first.conversation_id = c.id
    ORDER BY first.created_at, first.id LIMIT 1);

-- name: begin_run
INSERT INTO agents.turn_run (turn_id, subject_id, conversation_id, correlation_id, intent)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (turn_id) DO NOTHING RETURNING turn_id;

-- name: end_run
DELETE FROM agents.turn_run WHERE turn_id = $1;

-- name: abandoned_runs
SELECT turn_id, subject_id, conversation_id, correlation_id, intent,
       (extract(epoch FROM now() - started_at) * 1000)::bigint AS age_ms
FROM agents.turn_run
WHERE NOT (turn_id = ANY($1::uuid[])) AND started_at < now() - make_interval(secs => $2)
ORDER BY started_at LIMIT 100;

-- name: insert_audit
INSERT INTO agents.audit_event (subject_id, correlation_id, turn_id, event, intent, action, decision, reason, risk,
    outcome, error_code, duration_ms, first_token_ms, model, prompt_tokens, completion_tokens, memories)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: list_audit
SELECT id, at, correlation_id, turn_id, event, intent, action, decision, reason, risk, outcome, error_code,
       duration_ms, first_token_ms, model, prompt_tokens, completion_tokens, memories
FROM agents.audit_event
WHERE subject_id = $1 AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3;

-- name: insert_confirmation
INSERT INTO agents.confirmation (id, subject_id, turn_id, action, arguments, argument_hash, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) RETURNING expires_at;

-- name: get_confirmation
SELECT id, turn_id, action, arguments, argument_hash, state, expires_at, expires_at <= now() AS is_late
FROM agents.confirmation WHERE id = $1 AND subject_id = $2;

-- name: confirmations_of_turns
SELECT DISTINCT ON (turn_id) id, turn_id, action, arguments, expires_at, state, expires_at <= now() AS is_late
FROM agents.confirmation
WHERE subject_id = $1 AND turn_id = ANY($2::uuid[])
ORDER BY turn_id, created_at DESC;

-- name: open_confirmations
SELECT id, turn_id, action, arguments, expires_at FROM agents.confirmation
WHERE subject_id = $1 AND state = 'pending' AND expires_at > now() ORDER BY created_at DESC LIMIT 50;

-- name: conversations_of_turns
-- role: lares_app
SELECT id, conversation_id FROM sensitive.turn WHERE id = ANY($1::uuid[]);

-- name: claim_confirmation
UPDATE agents.confirmation SET state = $3, decided_at = now()
WHERE id = $1 AND subject_id = $2 AND state = 'pending' AND expires_at > now() RETURNING id;

-- name: settle_confirmation
UPDATE agents.confirmation SET state = $2 WHERE id = $1 AND state = 'executing' RETURNING id;

-- name: expired_confirmations
SELECT c.id, c.subject_id, c.turn_id, c.action FROM agents.confirmation c
WHERE c.state = 'pending' AND c.expires_at <= now() ORDER BY c.expires_at LIMIT 100;

-- name: expire_confirmation
UPDATE agents.confirmation SET state = 'expired', decided_at = now()
WHERE id = $1 AND state = 'pending' AND expires_at <= now() RETURNING id;

-- name: interrupted_confirmations
SELECT id, subject_id, turn_id, action FROM agents.confirmation
WHERE state = 'executing' AND NOT (id = ANY($1::uuid[])) ORDER BY created_at LIMIT 100;

-- name: purge_confirmations
DELETE FROM agents.confirmation
WHERE state NOT IN ('pending', 'executing') AND created_at < now() - make_interval(days => 30);

-- name: read_switch
SELECT enabled FROM agents.switch WHERE name = 'actions';

-- name: set_switch
UPDATE agents.switch SET enabled = $1, changed_at = now() WHERE name = 'actions' RETURNING enabled;
