-- database: lares
-- What a person and the house said to each other. Sensitive by nature, so it lives in that tier; sacred words
-- never come here: such a turn holds a placeholder.

-- up
CREATE TABLE sensitive.conversation (
    id          uuid PRIMARY KEY,
    subject_id  uuid NOT NULL,
    title       text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, subject_id)
);
CREATE INDEX conversation_newest ON sensitive.conversation (subject_id, updated_at DESC, id DESC);

CREATE TABLE sensitive.turn (
    id              uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    subject_id      uuid NOT NULL,
    intent          text NOT NULL,
    user_text       text NOT NULL CHECK (char_length(user_text) BETWEEN 1 AND 8000),
    answer_text     text NOT NULL DEFAULT '' CHECK (char_length(answer_text) <= 40000),
    status          text NOT NULL CHECK (status IN
                        ('running', 'waiting', 'done', 'stopped', 'failed', 'interrupted')),
    error_code      text,
    correlation_id  text NOT NULL,
    -- Ids and scores only. A memory's words are never copied beside it: forgetting has one place less to reach.
    sources         jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(sources) = 'array'),
    memory_id       uuid,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    -- The subject is part of the key, so a turn cannot be hung into somebody else's conversation.
    FOREIGN KEY (conversation_id, subject_id) REFERENCES sensitive.conversation (id, subject_id) ON DELETE CASCADE
);
CREATE INDEX turn_in_order ON sensitive.turn (conversation_id, created_at, id);
CREATE INDEX turn_by_memory ON sensitive.turn (memory_id) WHERE memory_id IS NOT NULL;
CREATE INDEX turn_by_source ON sensitive.turn USING gin (sources jsonb_path_ops);

ALTER TABLE sensitive.conversation ENABLE ROW LEVEL SECURITY;
ALTER TABLE sensitive.conversation FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON sensitive.conversation
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));
ALTER TABLE sensitive.turn ENABLE ROW LEVEL SECURITY;
ALTER TABLE sensitive.turn FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON sensitive.turn
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));

-- The application alone: no token, no other role, reads what people say to the house.
GRANT SELECT, INSERT, UPDATE, DELETE ON sensitive.conversation, sensitive.turn TO lares_app;

-- down
DROP TABLE sensitive.turn;
DROP TABLE sensitive.conversation;
