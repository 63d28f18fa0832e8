-- database: lares_sacred
-- What 0027 gives the other tiers, for sacred memories: reports of ids and counts.

-- up
CREATE TABLE sacred.forget_report (
    id           uuid PRIMARY KEY,
    subject_id   uuid NOT NULL,
    tier         text NOT NULL CHECK (tier = 'sacred'),
    state        text NOT NULL CHECK (state IN ('running', 'done')),
    memories     bigint NOT NULL,
    erased       jsonb NOT NULL DEFAULT '{}',
    found        jsonb NOT NULL DEFAULT '{}',
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    verified_at  timestamptz
);
GRANT SELECT, INSERT, UPDATE, DELETE ON sacred.forget_report TO svc_memory;
-- A nightly VACUUM takes what was deleted out of the files; it reads nothing.
GRANT MAINTAIN ON sacred.memory TO lares_app;

-- down
REVOKE MAINTAIN ON sacred.memory FROM lares_app;
DROP TABLE sacred.forget_report;
