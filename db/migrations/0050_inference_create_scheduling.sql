-- database: lares
-- What gpu-scheduler must know again after a restart, and what it shows of the past. Names, numbers and reasons; never
-- anything that a person wrote.

-- up
CREATE SCHEMA inference;
GRANT USAGE ON SCHEMA inference TO svc_gpu_scheduler, svc_model_gateway;

-- A life of the scheduler, and the upper part of every fence: fences grow over restarts. With a billion below each, the
-- largest fence stays within what every JSON reader holds exactly.
CREATE SEQUENCE inference.scheduler_epoch MAXVALUE 9007198;

CREATE TABLE inference.model_peak (
    node        text NOT NULL CHECK (length(node) <= 128),
    model       text NOT NULL CHECK (length(model) <= 128),
    fingerprint text NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{16,64}$'),
    peak_mib    integer NOT NULL CHECK (peak_mib >= 0),
    measured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node, model, fingerprint)
);

CREATE TABLE inference.lease (
    id            text PRIMARY KEY CHECK (id ~* '^[a-z0-9_-]{1,64}$'),
    holder        text NOT NULL CHECK (length(holder) <= 200),
    agent         text CHECK (length(agent) <= 200),
    purpose       text NOT NULL CHECK (length(purpose) <= 200),
    service_class text NOT NULL CHECK (service_class IN ('voice', 'interactive', 'agent', 'batch')),
    model         text CHECK (length(model) <= 128),
    memory_mib    integer CHECK (memory_mib > 0),
    node          text NOT NULL CHECK (length(node) <= 128),
    card          text CHECK (length(card) <= 128),
    instance_id   text CHECK (length(instance_id) <= 128),
    fence         bigint NOT NULL CHECK (fence >= 0),
    ttl_seconds   real NOT NULL CHECK (ttl_seconds BETWEEN 1 AND 3600),
    granted_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    -- A model's instance, or bare memory on a card: one of the two.
    CHECK ((model IS NULL) = (memory_mib IS NOT NULL)),
    CHECK (model IS NULL OR instance_id IS NOT NULL),
    CHECK (memory_mib IS NULL OR card IS NOT NULL)
);

-- What the owner ordered once and for all. The brake is a row, so that it survives a restart.
CREATE TABLE inference.standing_order (
    kind       text NOT NULL CHECK (kind IN ('paused', 'pinned', 'banned', 'draining')),
    name       text NOT NULL DEFAULT '' CHECK (length(name) <= 128),
    enabled    boolean NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);

CREATE TABLE inference.decision (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    epoch   integer NOT NULL,
    verb    text NOT NULL CHECK (length(verb) <= 32),
    subject text NOT NULL CHECK (length(subject) <= 300),
    why     text NOT NULL CHECK (length(why) <= 500)
);
CREATE INDEX decision_by_time ON inference.decision (at);

-- One row a minute for each card: the bars of the dashboard.
CREATE TABLE inference.card_minute (
    card                text NOT NULL CHECK (length(card) <= 128),
    at                  timestamptz NOT NULL,
    node                text NOT NULL CHECK (length(node) <= 128),
    total_mib           integer NOT NULL,
    used_mib            integer NOT NULL,
    booked_mib          integer NOT NULL,
    utilisation_percent real,
    watts               real,
    parts               jsonb NOT NULL CHECK (jsonb_typeof(parts) = 'array'),
    PRIMARY KEY (card, at)
);
CREATE INDEX card_minute_by_time ON inference.card_minute (at);

GRANT USAGE ON SEQUENCE inference.scheduler_epoch TO svc_gpu_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference.model_peak TO svc_gpu_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference.lease TO svc_gpu_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference.standing_order TO svc_gpu_scheduler;
GRANT SELECT, INSERT, DELETE ON inference.decision TO svc_gpu_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference.card_minute TO svc_gpu_scheduler;

-- down
DROP TABLE inference.card_minute;
DROP TABLE inference.decision;
DROP TABLE inference.standing_order;
DROP TABLE inference.lease;
DROP TABLE inference.model_peak;
DROP SEQUENCE inference.scheduler_epoch;
DROP SCHEMA inference;
