-- database: lares
-- Memory's worker follows its own stream and takes what is due from its tables: it has no event to see twice.

-- up
DROP TABLE memory.processed_event;

-- down
CREATE TABLE memory.processed_event (
    consumer text NOT NULL CHECK (octet_length(consumer) <= 64),
    event_id uuid NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX processed_event_by_time ON memory.processed_event (processed_at);
GRANT INSERT ON memory.processed_event TO lares_app;
GRANT SELECT, INSERT, DELETE ON memory.processed_event TO svc_memory;
