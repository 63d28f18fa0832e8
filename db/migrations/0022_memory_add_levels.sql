-- database: lares
-- Levels, namespaces, places in a thread, times of validity, further sources, links, and vectors by model.

-- up
-- A namespace keeps some memories apart: shared with all of a person's clients, or with those it names.
CREATE TABLE memory.namespace (
    subject_id uuid NOT NULL,
    name       text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{0,39}$'),
    shared     boolean NOT NULL DEFAULT true,
    clients    text[] NOT NULL DEFAULT '{}' CHECK (cardinality(clients) <= 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject_id, name)
);

-- Whose memories there are, for work that goes from person to person.
CREATE TABLE memory.subject (
    subject_id uuid PRIMARY KEY,
    seen_at    timestamptz NOT NULL DEFAULT now()
);

-- What policies ask once per statement. A client that was not named, or none at all, sees no private namespace.
CREATE FUNCTION memory.hidden_namespaces() RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A dozen policies ask this in one search: the kept plan of plpgsql answers in a tenth of the time.
    IF current_setting('lares.client', true) = 'person' THEN
        RETURN '{}'::text[];
    END IF;
    RETURN coalesce(
        (SELECT array_agg(name) FROM memory.namespace
         WHERE subject_id = current_setting('lares.subject')::uuid AND NOT shared
           AND coalesce(current_setting('lares.client', true), '') <> ALL (clients)),
        '{}'::text[]);
END
$$;
GRANT EXECUTE ON FUNCTION memory.hidden_namespaces() TO lares_app, lares_remote_rw, lares_readonly, lares_mcp;
GRANT USAGE ON SCHEMA memory TO lares_readonly;

CREATE TABLE memory.embedding_model (
    id         smallint PRIMARY KEY CHECK (id BETWEEN 1 AND 32767),
    name       text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 100),
    dimensions integer NOT NULL CHECK (dimensions IN (256, 384, 512, 768, 1024)),
    state      text NOT NULL CHECK (state IN ('building', 'active', 'retired')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX embedding_model_active ON memory.embedding_model (state) WHERE state = 'active';
CREATE UNIQUE INDEX embedding_model_building ON memory.embedding_model (state) WHERE state = 'building';
INSERT INTO memory.embedding_model (id, name, dimensions, state) VALUES (1, 'minilm-l6-v2', 384, 'active');

GRANT SELECT, INSERT, UPDATE, DELETE ON memory.namespace, memory.subject, memory.embedding_model TO svc_memory;

ALTER TABLE convenience.memory
    ADD COLUMN seq           bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN namespace     text NOT NULL DEFAULT 'home' CHECK (namespace ~ '^[a-z][a-z0-9_-]{0,39}$'),
    ADD COLUMN level         text NOT NULL DEFAULT 'knowledge'
        CHECK (level IN ('identity', 'session', 'working', 'episodic', 'knowledge')),
    ADD COLUMN thread        text CHECK (char_length(thread) BETWEEN 1 AND 200),
    ADD COLUMN position      bigint CHECK ((position IS NULL) = (thread IS NULL)),
    ADD COLUMN speaker       text CHECK (char_length(speaker) BETWEEN 1 AND 100),
    ADD COLUMN strength      real NOT NULL DEFAULT 1 CHECK (strength >= 0 AND strength <= 8),
    ADD COLUMN accesses      integer NOT NULL DEFAULT 0 CHECK (accesses >= 0),
    ADD COLUMN accessed_at   timestamptz,
    ADD COLUMN expires_at    timestamptz,
    ADD COLUMN archived_at   timestamptz,
    ADD COLUMN valid_from    timestamptz,
    ADD COLUMN valid_to      timestamptz CHECK (valid_to >= valid_from),
    ADD COLUMN superseded_by uuid,
    ADD COLUMN superseded_at timestamptz,
    ADD COLUMN happened_at   timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(occurred_at, created_at)) STORED;
ALTER TABLE sensitive.memory
    ADD COLUMN seq           bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN namespace     text NOT NULL DEFAULT 'home' CHECK (namespace ~ '^[a-z][a-z0-9_-]{0,39}$'),
    ADD COLUMN level         text NOT NULL DEFAULT 'knowledge'
        CHECK (level IN ('identity', 'session', 'working', 'episodic', 'knowledge')),
    ADD COLUMN thread        text CHECK (char_length(thread) BETWEEN 1 AND 200),
    ADD COLUMN position      bigint CHECK ((position IS NULL) = (thread IS NULL)),
    ADD COLUMN speaker       text CHECK (char_length(speaker) BETWEEN 1 AND 100),
    ADD COLUMN strength      real NOT NULL DEFAULT 1 CHECK (strength >= 0 AND strength <= 8),
    ADD COLUMN accesses      integer NOT NULL DEFAULT 0 CHECK (accesses >= 0),
    ADD COLUMN accessed_at   timestamptz,
    ADD COLUMN expires_at    timestamptz,
    ADD COLUMN archived_at   timestamptz,
    ADD COLUMN valid_from    timestamptz,
    ADD COLUMN valid_to      timestamptz CHECK (valid_to >= valid_from),
    ADD COLUMN superseded_by uuid,
    ADD COLUMN superseded_at timestamptz,
    ADD COLUMN happened_at   timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(occurred_at, created_at)) STORED;
-- Row-level security binds the owner too; for the two statements that touch every person's rows it is lifted.
ALTER TABLE convenience.memory NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory NO FORCE ROW LEVEL SECURITY;
UPDATE convenience.memory SET accessed_at = created_at;
UPDATE sensitive.memory SET accessed_at = created_at;
ALTER TABLE convenience.memory ALTER COLUMN accessed_at SET NOT NULL, ALTER COLUMN accessed_at SET DEFAULT now();
ALTER TABLE sensitive.memory ALTER COLUMN accessed_at SET NOT NULL, ALTER COLUMN accessed_at SET DEFAULT now();
INSERT INTO memory.subject (subject_id)
SELECT subject_id FROM convenience.memory UNION SELECT subject_id FROM sensitive.memory;

CREATE UNIQUE INDEX memory_seq ON convenience.memory (seq);
CREATE UNIQUE INDEX memory_seq ON sensitive.memory (seq);
CREATE INDEX memory_happened ON convenience.memory (subject_id, happened_at DESC, id DESC);
CREATE INDEX memory_happened ON sensitive.memory (subject_id, happened_at DESC, id DESC);
CREATE INDEX memory_thread ON convenience.memory (subject_id, namespace, thread, position) WHERE thread IS NOT NULL;
CREATE INDEX memory_thread ON sensitive.memory (subject_id, namespace, thread, position) WHERE thread IS NOT NULL;
CREATE INDEX memory_superseded ON convenience.memory (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX memory_superseded ON sensitive.memory (superseded_by) WHERE superseded_by IS NOT NULL;
-- What the consolidator looks through is the little that is not knowledge.
CREATE INDEX memory_levels ON convenience.memory (subject_id, level, accessed_at) WHERE level <> 'knowledge';
CREATE INDEX memory_levels ON sensitive.memory (subject_id, level, accessed_at) WHERE level <> 'knowledge';

-- One vector per memory and model. Which slot a model has is its number's last bit: the one in use and the one being
-- built never share an index, and vectors of different lengths cannot.
CREATE TABLE convenience.memory_vector (
    memory_id  uuid NOT NULL REFERENCES convenience.memory (id) ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    model      smallint NOT NULL,
    revision   bigint NOT NULL,
    embedding  halfvec NOT NULL,
    PRIMARY KEY (memory_id, model)
);
CREATE TABLE sensitive.memory_vector (
    memory_id  uuid NOT NULL REFERENCES sensitive.memory (id) ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    model      smallint NOT NULL,
    revision   bigint NOT NULL,
    embedding  halfvec NOT NULL,
    PRIMARY KEY (memory_id, model)
);
DO $$
DECLARE
    tier text;
    dims integer;
    slot integer;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        EXECUTE format('INSERT INTO %1$I.memory_vector (memory_id, subject_id, namespace, model, revision, embedding)'
            ' SELECT id, subject_id, namespace, 1, revision, embedding FROM %1$I.memory WHERE embedding IS NOT NULL', tier);
        FOREACH dims IN ARRAY ARRAY[256, 384, 512, 768, 1024] LOOP
            FOREACH slot IN ARRAY ARRAY[0, 1] LOOP
                EXECUTE format('CREATE INDEX memory_vector_%2$s_%3$s ON %1$I.memory_vector'
                    ' USING hnsw ((embedding::halfvec(%2$s)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 64)'
                    ' WHERE vector_dims(embedding) = %2$s AND model %% 2 = %3$s', tier, dims, slot);
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;
DROP INDEX convenience.memory_by_meaning;
ALTER TABLE convenience.memory DROP COLUMN embedding;
ALTER TABLE sensitive.memory DROP COLUMN embedding;

-- Where else a memory came from: what was merged into it keeps its words, its source and its old id.
CREATE TABLE convenience.memory_source (
    id          uuid PRIMARY KEY,
    memory_id   uuid NOT NULL REFERENCES convenience.memory (id) ON DELETE CASCADE,
    subject_id  uuid NOT NULL,
    namespace   text NOT NULL,
    source_kind text NOT NULL CHECK (source_kind ~ '^[a-z][a-z0-9_.-]{0,39}$'),
    source_ref  text CHECK (char_length(source_ref) BETWEEN 1 AND 200),
    thread      text CHECK (char_length(thread) BETWEEN 1 AND 200),
    position    bigint,
    speaker     text CHECK (char_length(speaker) BETWEEN 1 AND 100),
    text        text CHECK (char_length(text) BETWEEN 1 AND 8000),
    occurred_at timestamptz,
    learned_at  timestamptz NOT NULL,
    merged_id   uuid
);
CREATE INDEX memory_source_of ON convenience.memory_source (memory_id);
CREATE INDEX memory_source_merged ON convenience.memory_source (merged_id) WHERE merged_id IS NOT NULL;
CREATE TABLE sensitive.memory_source (LIKE convenience.memory_source INCLUDING ALL);
ALTER TABLE sensitive.memory_source
    ADD FOREIGN KEY (memory_id) REFERENCES sensitive.memory (id) ON DELETE CASCADE;

CREATE TABLE convenience.memory_link (
    from_id    uuid NOT NULL REFERENCES convenience.memory (id) ON DELETE CASCADE,
    to_id      uuid NOT NULL REFERENCES convenience.memory (id) ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('summarises', 'derived')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (from_id, to_id, kind)
);
CREATE INDEX memory_link_back ON convenience.memory_link (to_id);
CREATE TABLE sensitive.memory_link (LIKE convenience.memory_link INCLUDING ALL);
ALTER TABLE sensitive.memory_link
    ADD FOREIGN KEY (from_id) REFERENCES sensitive.memory (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (to_id) REFERENCES sensitive.memory (id) ON DELETE CASCADE;

DROP POLICY own_rows ON convenience.memory;
DROP POLICY own_rows ON sensitive.memory;
DO $$
DECLARE
    tier text;
    name text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        FOREACH name IN ARRAY ARRAY['memory', 'memory_vector', 'memory_source', 'memory_link'] LOOP
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', tier, name);
            EXECUTE format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', tier, name);
            EXECUTE format('CREATE POLICY own_rows ON %I.%I'
                ' USING (subject_id = (SELECT current_setting(%3$L)::uuid)'
                '   AND namespace <> ALL ((SELECT memory.hidden_namespaces())::text[]))'
                ' WITH CHECK (subject_id = (SELECT current_setting(%3$L)::uuid)'
                '   AND namespace <> ALL ((SELECT memory.hidden_namespaces())::text[]))', tier, name, 'lares.subject');
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO lares_app, lares_remote_rw', tier, name);
            EXECUTE format('GRANT SELECT ON %I.%I TO lares_readonly', tier, name);
        END LOOP;
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    convenience.memory_vector, convenience.memory_source, convenience.memory_link TO lares_mcp;

-- What hangs on a memory follows it into another namespace in the same statement, or a policy would look at the old.
CREATE FUNCTION convenience.follow_namespace() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE convenience.memory_vector SET namespace = NEW.namespace WHERE memory_id = NEW.id;
    UPDATE convenience.memory_source SET namespace = NEW.namespace WHERE memory_id = NEW.id;
    UPDATE convenience.memory_link SET namespace = NEW.namespace WHERE from_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE FUNCTION sensitive.follow_namespace() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE sensitive.memory_vector SET namespace = NEW.namespace WHERE memory_id = NEW.id;
    UPDATE sensitive.memory_source SET namespace = NEW.namespace WHERE memory_id = NEW.id;
    UPDATE sensitive.memory_link SET namespace = NEW.namespace WHERE from_id = NEW.id;
    RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION convenience.follow_namespace() TO lares_app, lares_remote_rw, lares_mcp;
GRANT EXECUTE ON FUNCTION sensitive.follow_namespace() TO lares_app, lares_remote_rw;
CREATE TRIGGER memory_follow_namespace AFTER UPDATE OF namespace ON convenience.memory
    FOR EACH ROW WHEN (OLD.namespace <> NEW.namespace) EXECUTE FUNCTION convenience.follow_namespace();
CREATE TRIGGER memory_follow_namespace AFTER UPDATE OF namespace ON sensitive.memory
    FOR EACH ROW WHEN (OLD.namespace <> NEW.namespace) EXECUTE FUNCTION sensitive.follow_namespace();

-- down
DROP TRIGGER memory_follow_namespace ON convenience.memory;
DROP TRIGGER memory_follow_namespace ON sensitive.memory;
DROP FUNCTION convenience.follow_namespace();
DROP FUNCTION sensitive.follow_namespace();
DROP TABLE convenience.memory_link, sensitive.memory_link, convenience.memory_source, sensitive.memory_source;
ALTER TABLE convenience.memory NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory NO FORCE ROW LEVEL SECURITY;
ALTER TABLE convenience.memory_vector NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory_vector NO FORCE ROW LEVEL SECURITY;
ALTER TABLE convenience.memory ADD COLUMN embedding halfvec(384);
ALTER TABLE sensitive.memory ADD COLUMN embedding halfvec(384);
UPDATE convenience.memory AS memory SET embedding = vector.embedding
FROM convenience.memory_vector AS vector
WHERE vector.memory_id = memory.id AND vector.revision = memory.revision AND vector_dims(vector.embedding) = 384
  AND vector.model = (SELECT id FROM memory.embedding_model WHERE state = 'active');
UPDATE sensitive.memory AS memory SET embedding = vector.embedding
FROM sensitive.memory_vector AS vector
WHERE vector.memory_id = memory.id AND vector.revision = memory.revision AND vector_dims(vector.embedding) = 384
  AND vector.model = (SELECT id FROM memory.embedding_model WHERE state = 'active');
DROP TABLE convenience.memory_vector, sensitive.memory_vector;
CREATE INDEX memory_by_meaning ON convenience.memory
    USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX memory_embedding_idx ON sensitive.memory
    USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);
DROP POLICY own_rows ON convenience.memory;
DROP POLICY own_rows ON sensitive.memory;
CREATE POLICY own_rows ON convenience.memory
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));
CREATE POLICY own_rows ON sensitive.memory
    USING (subject_id = (SELECT current_setting('lares.subject')::uuid))
    WITH CHECK (subject_id = (SELECT current_setting('lares.subject')::uuid));
ALTER TABLE convenience.memory FORCE ROW LEVEL SECURITY;
ALTER TABLE sensitive.memory FORCE ROW LEVEL SECURITY;
ALTER TABLE convenience.memory
    DROP COLUMN happened_at, DROP COLUMN superseded_at, DROP COLUMN superseded_by, DROP COLUMN valid_to,
    DROP COLUMN valid_from, DROP COLUMN archived_at, DROP COLUMN expires_at, DROP COLUMN accessed_at,
    DROP COLUMN accesses, DROP COLUMN strength, DROP COLUMN speaker, DROP COLUMN position, DROP COLUMN thread,
    DROP COLUMN level, DROP COLUMN namespace, DROP COLUMN seq;
ALTER TABLE sensitive.memory
    DROP COLUMN happened_at, DROP COLUMN superseded_at, DROP COLUMN superseded_by, DROP COLUMN valid_to,
    DROP COLUMN valid_from, DROP COLUMN archived_at, DROP COLUMN expires_at, DROP COLUMN accessed_at,
    DROP COLUMN accesses, DROP COLUMN strength, DROP COLUMN speaker, DROP COLUMN position, DROP COLUMN thread,
    DROP COLUMN level, DROP COLUMN namespace, DROP COLUMN seq;
DROP TABLE memory.embedding_model;
REVOKE USAGE ON SCHEMA memory FROM lares_readonly;
DROP FUNCTION memory.hidden_namespaces();
DROP TABLE memory.subject;
DROP TABLE memory.namespace;
