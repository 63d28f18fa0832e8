-- database: lares
-- The orchestrator's own bookkeeping: ids, states, hashes and durations, never anybody's words.

-- up
CREATE TABLE agents.turn_run (
    turn_id         uuid PRIMARY KEY,
    subject_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    correlation_id  text NOT NULL,
    intent          text NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agents.confirmation (
    id              uuid PRIMARY KEY,
    subject_id      uuid NOT NULL,
    turn_id         uuid NOT NULL,
    action          text NOT NULL,
    -- Ids and versions of what would be acted upon; the words shown to the person are looked up when shown.
    arguments       jsonb NOT NULL,
    argument_hash   text NOT NULL CHECK (argument_hash ~ '^[0-9a-f]{64}$'),
    state           text NOT NULL DEFAULT 'pending'
                        CHECK (state IN ('pending', 'executing', 'executed', 'denied', 'expired', 'failed')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    decided_at      timestamptz
);
CREATE INDEX confirmation_open ON agents.confirmation (expires_at) WHERE state IN ('pending', 'executing');
CREATE INDEX confirmation_by_turn ON agents.confirmation (turn_id);

CREATE TABLE agents.audit_event (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                timestamptz NOT NULL DEFAULT now(),
    subject_id        uuid NOT NULL,
    correlation_id    text NOT NULL,
    turn_id           uuid NOT NULL,
    event             text NOT NULL CHECK (event IN ('turn', 'confirmation', 'reconciled')),
    intent            text NOT NULL,
    action            text,
    decision          text NOT NULL,
    reason            text NOT NULL,
    risk              text NOT NULL,
    outcome           text NOT NULL,
    error_code        text,
    duration_ms       integer NOT NULL CHECK (duration_ms >= 0),
    first_token_ms    integer CHECK (first_token_ms >= 0),
    model             text,
    prompt_tokens     integer CHECK (prompt_tokens >= 0),
    completion_tokens integer CHECK (completion_tokens >= 0),
    memories          integer NOT NULL DEFAULT 0 CHECK (memories >= 0)
);
CREATE INDEX audit_event_newest ON agents.audit_event (subject_id, id DESC);

-- The brake. It is a row and not a setting, so that it works at once, survives a restart, and is read before each step.
CREATE TABLE agents.switch (
    name       text PRIMARY KEY CHECK (name IN ('actions')),
    enabled    boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO agents.switch (name, enabled) VALUES ('actions', true);

GRANT SELECT, INSERT, DELETE ON agents.turn_run TO svc_orchestrator;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents.confirmation TO svc_orchestrator;
-- Append only: the service that writes the account of itself cannot rewrite it.
GRANT SELECT, INSERT ON agents.audit_event TO svc_orchestrator;
GRANT SELECT, UPDATE ON agents.switch TO svc_orchestrator;

-- down
DROP TABLE agents.switch;
DROP TABLE agents.audit_event;
DROP TABLE agents.confirmation;
DROP TABLE agents.turn_run;
