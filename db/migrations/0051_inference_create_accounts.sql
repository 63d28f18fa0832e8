-- database: lares
-- What each model call took and what of a budget is used. Names, numbers and ids; never a word of a prompt or an answer.

-- up
CREATE TABLE inference.call (
    id             text PRIMARY KEY CHECK (id ~ '^[a-z0-9-]{1,64}$'),
    at             timestamptz NOT NULL,
    endpoint       text NOT NULL CHECK (length(endpoint) <= 64),
    model          text NOT NULL CHECK (length(model) <= 128),
    -- `gpu:<model>` or a backend's name; empty where no way was tried.
    way            text NOT NULL CHECK (length(way) <= 140),
    -- `person:<uuid>`, `service:<name>` or `unknown`.
    caller         text NOT NULL CHECK (length(caller) <= 128),
    service        text NOT NULL CHECK (length(service) <= 64),
    agent          text NOT NULL CHECK (length(agent) <= 64),
    service_class  text NOT NULL CHECK (service_class IN ('voice', 'interactive', 'agent', 'batch')),
    tier           text NOT NULL CHECK (tier IN ('convenience', 'sensitive', 'sacred')),
    -- `ok`, `client_gone`, or the code of the error that the caller got.
    outcome        text NOT NULL CHECK (length(outcome) <= 64),
    tokens_read    bigint NOT NULL CHECK (tokens_read >= 0),
    tokens_written bigint NOT NULL CHECK (tokens_written >= 0),
    audio_seconds  real NOT NULL CHECK (audio_seconds >= 0),
    characters     bigint NOT NULL CHECK (characters >= 0),
    images         bigint NOT NULL CHECK (images >= 0),
    seconds        real NOT NULL CHECK (seconds >= 0),
    queue_seconds  real NOT NULL CHECK (queue_seconds >= 0),
    -- Null where no card told what it drew.
    watt_hours     real CHECK (watt_hours >= 0),
    -- Millionths of the currency that models.yaml names.
    cost_micros    bigint NOT NULL CHECK (cost_micros >= 0),
    falls          smallint NOT NULL CHECK (falls >= 0),
    correlation_id text NOT NULL CHECK (correlation_id ~ '^[0-9a-f]{32}$')
);
CREATE INDEX call_by_time ON inference.call (at);

-- What is left of calls that are older than 90 days. Days are UTC's.
CREATE TABLE inference.call_day (
    day            date NOT NULL,
    caller         text NOT NULL CHECK (length(caller) <= 128),
    model          text NOT NULL CHECK (length(model) <= 128),
    way            text NOT NULL CHECK (length(way) <= 140),
    service_class  text NOT NULL CHECK (service_class IN ('voice', 'interactive', 'agent', 'batch')),
    calls          bigint NOT NULL,
    failed         bigint NOT NULL,
    tokens_read    bigint NOT NULL,
    tokens_written bigint NOT NULL,
    audio_seconds  double precision NOT NULL,
    characters     bigint NOT NULL,
    images         bigint NOT NULL,
    seconds        double precision NOT NULL,
    queue_seconds  double precision NOT NULL,
    watt_hours     double precision NOT NULL,
    cost_micros    bigint NOT NULL,
    PRIMARY KEY (day, caller, model, way, service_class)
);

-- Reserved before a call and settled after it: a gateway that is killed between the two leaves the reservation.
CREATE TABLE inference.budget_use (
    day         date NOT NULL,
    budget      text NOT NULL CHECK (length(budget) <= 128),
    -- Empty for a budget that all callers share.
    caller      text NOT NULL CHECK (length(caller) <= 128),
    tokens      bigint NOT NULL CHECK (tokens >= 0),
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    PRIMARY KEY (day, budget, caller)
);

GRANT SELECT, INSERT, DELETE ON inference.call TO svc_model_gateway;
GRANT SELECT, INSERT, UPDATE ON inference.call_day TO svc_model_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference.budget_use TO svc_model_gateway;

-- down
DROP TABLE inference.budget_use;
DROP TABLE inference.call_day;
DROP TABLE inference.call;
