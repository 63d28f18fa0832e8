-- database: lares
-- Which GPU nodes belong to the house, and the one-time tokens by which they join. A joining is a row: one that has ended
-- stays, so that it can be seen who was believed when.

-- up
CREATE TABLE inference.node (
    tls_name    text PRIMARY KEY CHECK (length(tls_name) <= 253),
    name        text NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,30}$'),
    address     text NOT NULL CHECK (length(address) <= 64),
    port        integer NOT NULL DEFAULT 8443 CHECK (port BETWEEN 1 AND 65535),
    wakeable    boolean NOT NULL DEFAULT false,
    serial      text NOT NULL CHECK (serial ~ '^[0-9a-f]{1,40}$'),
    fingerprint text NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    signed_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    joined_at   timestamptz NOT NULL,
    left_at     timestamptz
);
CREATE UNIQUE INDEX node_present_name ON inference.node (name) WHERE left_at IS NULL;
CREATE UNIQUE INDEX node_present_address ON inference.node (address) WHERE left_at IS NULL;

-- The token's SHA-256 and never the token: what is read here lets nobody in. It has 256 random bits, so it needs no salt.
CREATE TABLE inference.node_token (
    hash       text PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
    name       text NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,30}$'),
    address    text NOT NULL CHECK (length(address) <= 64),
    wakeable   boolean NOT NULL DEFAULT false,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);

GRANT SELECT, INSERT, UPDATE ON inference.node TO svc_gpu_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference.node_token TO svc_gpu_scheduler;

-- down
DROP TABLE inference.node_token;
DROP TABLE inference.node;
