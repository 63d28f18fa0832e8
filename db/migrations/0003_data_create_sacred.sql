-- database: lares_sacred
-- The sacred tier is a database of its own: a schema cannot hide its names, row counts and sizes from a reader.

-- up
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;

CREATE SCHEMA sacred;
GRANT USAGE ON SCHEMA sacred TO lares_app, svc_memory;

CREATE TABLE sacred.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    topic text NOT NULL CHECK (topic ~ '^[a-z][a-z0-9_.]{0,63}$'),
    -- ids and short words only, never text that a person wrote
    payload jsonb NOT NULL CHECK (octet_length(payload::text) <= 2048),
    traceparent text CHECK (octet_length(traceparent) <= 64),
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT INSERT ON sacred.outbox TO lares_app;
-- UPDATE is what SELECT ... FOR UPDATE asks for
GRANT SELECT, INSERT, UPDATE, DELETE ON sacred.outbox TO svc_memory;

-- down
DROP TABLE sacred.outbox;
DROP SCHEMA sacred;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
