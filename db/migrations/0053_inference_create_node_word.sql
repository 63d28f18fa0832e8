-- database: lares
-- What a node that can be woken said of its cards and models last: without it, nothing of a node that is off could be
-- asked for after a restart of the scheduler, and so nothing would wake it.

-- up
CREATE TABLE inference.node_word (
    node    text PRIMARY KEY CHECK (node ~ '^[a-z][a-z0-9-]{0,30}$'),
    said    jsonb NOT NULL CHECK (jsonb_typeof(said) = 'object' AND pg_column_size(said) <= 1048576),
    said_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON inference.node_word TO svc_gpu_scheduler;

-- down
DROP TABLE inference.node_word;
