-- database: lares
-- What a domain has decided and not yet said (outbox), and what it has already heard (processed_event).

-- up
CREATE TABLE memory.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    topic text NOT NULL CHECK (topic ~ '^[a-z][a-z0-9_.]{0,63}$'),
    -- ids and short words only, never text that a person wrote
    payload jsonb NOT NULL CHECK (octet_length(payload::text) <= 2048),
    traceparent text CHECK (octet_length(traceparent) <= 64),
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT INSERT ON memory.outbox TO lares_app, lares_remote_rw, lares_mcp;
-- UPDATE is what SELECT ... FOR UPDATE asks for
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.outbox TO svc_memory;

CREATE TABLE memory.processed_event (
    consumer text NOT NULL CHECK (octet_length(consumer) <= 64),
    event_id uuid NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX processed_event_by_time ON memory.processed_event (processed_at);
GRANT INSERT ON memory.processed_event TO lares_app;
GRANT SELECT, INSERT, DELETE ON memory.processed_event TO svc_memory;

CREATE TABLE agents.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    topic text NOT NULL CHECK (topic ~ '^[a-z][a-z0-9_.]{0,63}$'),
    -- ids and short words only, never text that a person wrote
    payload jsonb NOT NULL CHECK (octet_length(payload::text) <= 2048),
    traceparent text CHECK (octet_length(traceparent) <= 64),
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT INSERT ON agents.outbox TO lares_app;
-- UPDATE is what SELECT ... FOR UPDATE asks for
GRANT SELECT, INSERT, UPDATE, DELETE ON agents.outbox TO svc_orchestrator;

CREATE TABLE agents.processed_event (
    consumer text NOT NULL CHECK (octet_length(consumer) <= 64),
    event_id uuid NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX processed_event_by_time ON agents.processed_event (processed_at);
GRANT INSERT ON agents.processed_event TO lares_app;
GRANT SELECT, INSERT, DELETE ON agents.processed_event TO svc_orchestrator;

-- down
DROP TABLE agents.processed_event;
DROP TABLE agents.outbox;
DROP TABLE memory.processed_event;
DROP TABLE memory.outbox;
