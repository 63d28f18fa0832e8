-- database: lares
-- Who and what memories speak of, and what they say of it over time. All of it derives from a memory and goes with it.

-- up
-- Somebody or something that is spoken of. Two that turn out to be one are merged by a pointer and never rewritten,
-- so that taking it back restores exactly what was: `root` is the entity that a tree of merged ones is shown as.
CREATE TABLE convenience.entity (
    id          uuid PRIMARY KEY,
    subject_id  uuid NOT NULL,
    namespace   text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('person', 'place', 'organisation', 'thing', 'event', 'topic')),
    name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    key         text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 200),
    -- The person whose memory this is: "I". Whatever they are called, their key stays `:self`.
    self        boolean NOT NULL DEFAULT false CHECK (NOT self OR key = ':self'),
    merged_into uuid REFERENCES convenience.entity (id) CHECK (merged_into <> id),
    root        uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((merged_into IS NULL) = (root = id))
);
CREATE UNIQUE INDEX entity_self ON convenience.entity (subject_id, namespace) WHERE self;
CREATE INDEX entity_tree ON convenience.entity (root);
CREATE INDEX entity_merged ON convenience.entity (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX entity_named ON convenience.entity (subject_id, namespace, key);

-- A name by which it is called. `given` by the person it outlives its mentions; found in texts it goes with the last.
CREATE TABLE convenience.entity_alias (
    entity_id  uuid NOT NULL REFERENCES convenience.entity (id) ON DELETE CASCADE,
    key        text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 200),
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    alias      text NOT NULL CHECK (char_length(alias) BETWEEN 1 AND 200),
    given      boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity_id, key)
);
CREATE INDEX entity_alias_named ON convenience.entity_alias (subject_id, namespace, key);

-- `pinned`: a person said which of two namesakes this memory means; no later extraction decides otherwise.
CREATE TABLE convenience.mention (
    memory_id  uuid NOT NULL REFERENCES convenience.memory (id) ON DELETE CASCADE,
    entity_id  uuid NOT NULL,
    alias_key  text NOT NULL,
    subject_id uuid NOT NULL,
    namespace  text NOT NULL,
    role       text NOT NULL CHECK (role IN ('named', 'speaker', 'self')),
    uses       integer NOT NULL CHECK (uses >= 1),
    span_from  integer,
    span_to    integer CHECK (span_to >= span_from),
    pinned     boolean NOT NULL DEFAULT false,
    revision   bigint NOT NULL,
    PRIMARY KEY (memory_id, entity_id, alias_key),
    FOREIGN KEY (entity_id, alias_key) REFERENCES convenience.entity_alias (entity_id, key) ON DELETE CASCADE
);
CREATE INDEX mention_of ON convenience.mention (entity_id, alias_key);

-- What a memory says: [valid_from, valid_to) is when it was true, [learned_at, retired_at) when it was believed.
-- What replaced what is worked out when it is asked for, among the facts of one `chain` (one entity, one slot that
-- holds one value at a time): so forgetting the newer re-opens the older, and late news of the past takes its place.
CREATE TABLE convenience.fact (
    id               uuid PRIMARY KEY,
    subject_id       uuid NOT NULL,
    namespace        text NOT NULL,
    memory_id        uuid NOT NULL REFERENCES convenience.memory (id) ON DELETE CASCADE,
    revision         bigint NOT NULL,
    entity_id        uuid NOT NULL REFERENCES convenience.entity (id) ON DELETE CASCADE,
    predicate        text NOT NULL CHECK (predicate ~ '^[a-z][a-z0-9_]{0,49}$'),
    qualifier        text NOT NULL DEFAULT '' CHECK (char_length(qualifier) <= 200),
    chain            text NOT NULL CHECK (char_length(chain) <= 800),
    polarity         boolean NOT NULL,
    object_text      text NOT NULL CHECK (char_length(object_text) BETWEEN 1 AND 500),
    object_key       text NOT NULL CHECK (char_length(object_key) <= 500),
    object_kind      text NOT NULL CHECK (char_length(object_kind) <= 20),
    object_entity_id uuid REFERENCES convenience.entity (id) ON DELETE CASCADE,
    valid_from       timestamptz NOT NULL,
    valid_to         timestamptz,
    learned_at       timestamptz NOT NULL,
    retired_at       timestamptz,
    confidence       real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    extractor        text NOT NULL CHECK (char_length(extractor) BETWEEN 1 AND 100),
    span_from        integer NOT NULL,
    span_to          integer NOT NULL CHECK (span_to >= span_from)
);
CREATE INDEX fact_chain ON convenience.fact (subject_id, namespace, chain, valid_from, learned_at);
CREATE INDEX fact_entity ON convenience.fact (entity_id);
CREATE INDEX fact_object ON convenience.fact (object_entity_id) WHERE object_entity_id IS NOT NULL;
CREATE INDEX fact_memory ON convenience.fact (memory_id);
CREATE INDEX fact_newest ON convenience.fact (subject_id, learned_at DESC, id DESC);

-- What a person did to an entity. It goes with the entity, and an old name also with the last memory that used it.
CREATE TABLE convenience.entity_change (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_id  uuid NOT NULL,
    namespace   text NOT NULL,
    entity_id   uuid NOT NULL REFERENCES convenience.entity (id) ON DELETE CASCADE,
    other_id    uuid,
    change      text NOT NULL CHECK (change IN ('merged', 'unmerged', 'split', 'renamed', 'retyped')),
    before_name text CHECK (char_length(before_name) <= 200),
    before_key  text,
    before_kind text,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX entity_change_of ON convenience.entity_change (entity_id, id DESC);

CREATE TABLE sensitive.entity (LIKE convenience.entity INCLUDING ALL);
ALTER TABLE sensitive.entity ADD FOREIGN KEY (merged_into) REFERENCES sensitive.entity (id);
CREATE TABLE sensitive.entity_alias (LIKE convenience.entity_alias INCLUDING ALL);
ALTER TABLE sensitive.entity_alias
    ADD FOREIGN KEY (entity_id) REFERENCES sensitive.entity (id) ON DELETE CASCADE;
CREATE TABLE sensitive.mention (LIKE convenience.mention INCLUDING ALL);
ALTER TABLE sensitive.mention
    ADD FOREIGN KEY (memory_id) REFERENCES sensitive.memory (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (entity_id, alias_key) REFERENCES sensitive.entity_alias (entity_id, key) ON DELETE CASCADE;
CREATE TABLE sensitive.fact (LIKE convenience.fact INCLUDING ALL);
ALTER TABLE sensitive.fact
    ADD FOREIGN KEY (memory_id) REFERENCES sensitive.memory (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (entity_id) REFERENCES sensitive.entity (id) ON DELETE CASCADE,
    ADD FOREIGN KEY (object_entity_id) REFERENCES sensitive.entity (id) ON DELETE CASCADE;
CREATE TABLE sensitive.entity_change (LIKE convenience.entity_change INCLUDING ALL);
ALTER TABLE sensitive.entity_change
    ADD FOREIGN KEY (entity_id) REFERENCES sensitive.entity (id) ON DELETE CASCADE;

-- Which memories are still to be read for facts: `rules` first, `model` where a language model is asked, too.
CREATE TABLE memory.pending_extraction (
    memory_id  uuid NOT NULL,
    stage      text NOT NULL CHECK (stage IN ('rules', 'model')),
    subject_id uuid NOT NULL,
    tier       text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    tries      integer NOT NULL DEFAULT 0,
    -- What follows a write reads it sooner, and strikes the note: only what was missed falls due.
    due_at     timestamptz NOT NULL DEFAULT now() + interval '30 seconds',
    PRIMARY KEY (memory_id, stage)
);
CREATE INDEX pending_extraction_due ON memory.pending_extraction (stage, due_at);
-- How far each person's memories have been read anew by an extractor of this version.
CREATE TABLE memory.extraction_walk (
    subject_id uuid NOT NULL,
    tier       text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    version    text NOT NULL CHECK (char_length(version) <= 200),
    after_seq  bigint NOT NULL DEFAULT 0,
    done       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (subject_id, tier)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON memory.pending_extraction, memory.extraction_walk TO svc_memory;

-- The books are kept by triggers, so that no writer of memories can forget them. They run as their owner: callers have
-- no part in the schema `memory`.
CREATE FUNCTION memory.note_new_texts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)
    SELECT id, 'rules', subject_id, TG_TABLE_SCHEMA FROM added
    ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = excluded.due_at;
    RETURN NULL;
END
$$;
CREATE FUNCTION memory.note_changed_text() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO memory.pending_extraction (memory_id, stage, subject_id, tier)
    VALUES (NEW.id, 'rules', NEW.subject_id, TG_TABLE_SCHEMA)
    ON CONFLICT (memory_id, stage) DO UPDATE SET tier = excluded.tier, tries = 0, due_at = excluded.due_at;
    -- A model is asked about the new words, whatever it said of the old.
    DELETE FROM memory.pending_extraction AS pending WHERE pending.memory_id = NEW.id AND pending.stage = 'model';
    RETURN NULL;
END
$$;
CREATE FUNCTION memory.drop_extraction_notes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM memory.pending_extraction AS pending USING gone
    WHERE pending.memory_id = gone.id AND pending.tier = TG_TABLE_SCHEMA;
    RETURN NULL;
END
$$;

-- What an edited text said before goes with the edit. Its mentions are replaced a moment later by the worker, so that
-- an entity lives through the edit of the one memory that names it; in another namespace nothing stays.
CREATE FUNCTION convenience.drop_derived() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM convenience.fact WHERE memory_id = NEW.id;
    IF NEW.namespace <> OLD.namespace THEN
        DELETE FROM convenience.mention WHERE memory_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION sensitive.drop_derived() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM sensitive.fact WHERE memory_id = NEW.id;
    IF NEW.namespace <> OLD.namespace THEN
        DELETE FROM sensitive.mention WHERE memory_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;

-- A name goes with its last mention, an entity with its last name; what was merged into it lives on under its heir.
CREATE FUNCTION convenience.drop_orphans() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    orphan_id uuid;
    parent uuid;
    heir uuid;
BEGIN
    DELETE FROM convenience.entity_change AS change USING gone
    WHERE change.entity_id = gone.entity_id AND change.before_key = gone.alias_key
      AND NOT EXISTS (SELECT FROM convenience.mention AS other
                      WHERE other.entity_id = gone.entity_id AND other.alias_key = gone.alias_key);
    DELETE FROM convenience.entity_alias AS alias USING gone
    WHERE alias.entity_id = gone.entity_id AND alias.key = gone.alias_key AND NOT alias.given
      AND NOT EXISTS (SELECT FROM convenience.mention AS other
                      WHERE other.entity_id = alias.entity_id AND other.alias_key = alias.key);
    UPDATE convenience.entity SET name = next.alias, key = next.key
    FROM (SELECT DISTINCT entity_id FROM gone) AS touched
    CROSS JOIN LATERAL (SELECT alias.alias, alias.key FROM convenience.entity_alias AS alias
                        WHERE alias.entity_id = touched.entity_id
                        ORDER BY alias.given DESC, char_length(alias.alias) DESC, alias.key LIMIT 1) AS next
    WHERE entity.id = touched.entity_id AND NOT entity.self
      AND NOT EXISTS (SELECT FROM convenience.entity_alias AS kept
                      WHERE kept.entity_id = entity.id AND kept.key = entity.key);
    FOR orphan_id IN
        SELECT entity.id FROM convenience.entity
        WHERE entity.id IN (SELECT entity_id FROM gone)
          AND NOT EXISTS (SELECT FROM convenience.mention AS other WHERE other.entity_id = entity.id)
        ORDER BY entity.id
    LOOP
        -- Read one by one: an orphan that went before may have been the parent of this one, or of the heir.
        SELECT entity.merged_into INTO parent FROM convenience.entity WHERE entity.id = orphan_id;
        SELECT entity.id INTO heir FROM convenience.entity
        WHERE entity.merged_into = orphan_id ORDER BY entity.created_at, entity.id LIMIT 1;
        IF heir IS NOT NULL THEN
            UPDATE convenience.entity
            SET merged_into = CASE WHEN entity.id = heir THEN parent ELSE heir END,
                root = CASE WHEN parent IS NULL THEN heir ELSE entity.root END
            WHERE entity.merged_into = orphan_id;
            IF parent IS NULL THEN
                UPDATE convenience.entity SET root = heir WHERE entity.root = orphan_id AND entity.id <> orphan_id;
            END IF;
        END IF;
        DELETE FROM convenience.entity WHERE entity.id = orphan_id;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE FUNCTION sensitive.drop_orphans() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    orphan_id uuid;
    parent uuid;
    heir uuid;
BEGIN
    DELETE FROM sensitive.entity_change AS change USING gone
    WHERE change.entity_id = gone.entity_id AND change.before_key = gone.alias_key
      AND NOT EXISTS (SELECT FROM sensitive.mention AS other
                      WHERE other.entity_id = gone.entity_id AND other.alias_key = gone.alias_key);
    DELETE FROM sensitive.entity_alias AS alias USING gone
    WHERE alias.entity_id = gone.entity_id AND alias.key = gone.alias_key AND NOT alias.given
      AND NOT EXISTS (SELECT FROM sensitive.mention AS other
                      WHERE other.entity_id = alias.entity_id AND other.alias_key = alias.key);
    UPDATE sensitive.entity SET name = next.alias, key = next.key
    FROM (SELECT DISTINCT entity_id FROM gone) AS touched
    CROSS JOIN LATERAL (SELECT alias.alias, alias.key FROM sensitive.entity_alias AS alias
                        WHERE alias.entity_id = touched.entity_id
                        ORDER BY alias.given DESC, char_length(alias.alias) DESC, alias.key LIMIT 1) AS next
    WHERE entity.id = touched.entity_id AND NOT entity.self
      AND NOT EXISTS (SELECT FROM sensitive.entity_alias AS kept
                      WHERE kept.entity_id = entity.id AND kept.key = entity.key);
    FOR orphan_id IN
        SELECT entity.id FROM sensitive.entity
        WHERE entity.id IN (SELECT entity_id FROM gone)
          AND NOT EXISTS (SELECT FROM sensitive.mention AS other WHERE other.entity_id = entity.id)
        ORDER BY entity.id
    LOOP
        -- Read one by one: an orphan that went before may have been the parent of this one, or of the heir.
        SELECT entity.merged_into INTO parent FROM sensitive.entity WHERE entity.id = orphan_id;
        SELECT entity.id INTO heir FROM sensitive.entity
        WHERE entity.merged_into = orphan_id ORDER BY entity.created_at, entity.id LIMIT 1;
        IF heir IS NOT NULL THEN
            UPDATE sensitive.entity
            SET merged_into = CASE WHEN entity.id = heir THEN parent ELSE heir END,
                root = CASE WHEN parent IS NULL THEN heir ELSE entity.root END
            WHERE entity.merged_into = orphan_id;
            IF parent IS NULL THEN
                UPDATE sensitive.entity SET root = heir WHERE entity.root = orphan_id AND entity.id <> orphan_id;
            END IF;
        END IF;
        DELETE FROM sensitive.entity WHERE entity.id = orphan_id;
    END LOOP;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    tier text;
    name text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        FOREACH name IN ARRAY ARRAY['entity', 'entity_alias', 'mention', 'fact', 'entity_change'] LOOP
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
        EXECUTE format('CREATE TRIGGER facts_noted AFTER INSERT ON %I.memory REFERENCING NEW TABLE AS added'
            ' FOR EACH STATEMENT EXECUTE FUNCTION memory.note_new_texts()', tier);
        EXECUTE format('CREATE TRIGGER facts_noted_again AFTER UPDATE OF text, namespace, speaker, occurred_at, valid_from'
            ' ON %I.memory FOR EACH ROW WHEN ((OLD.text, OLD.namespace, OLD.speaker, OLD.occurred_at, OLD.valid_from)'
            '   IS DISTINCT FROM (NEW.text, NEW.namespace, NEW.speaker, NEW.occurred_at, NEW.valid_from))'
            ' EXECUTE FUNCTION memory.note_changed_text()', tier);
        EXECUTE format('CREATE TRIGGER facts_dropped AFTER UPDATE OF text, namespace ON %1$I.memory FOR EACH ROW'
            ' WHEN (OLD.text <> NEW.text OR OLD.namespace <> NEW.namespace)'
            ' EXECUTE FUNCTION %1$I.drop_derived()', tier);
        EXECUTE format('CREATE TRIGGER facts_unnoted AFTER DELETE ON %I.memory REFERENCING OLD TABLE AS gone'
            ' FOR EACH STATEMENT EXECUTE FUNCTION memory.drop_extraction_notes()', tier);
        EXECUTE format('CREATE TRIGGER orphans_dropped AFTER DELETE ON %1$I.mention REFERENCING OLD TABLE AS gone'
            ' FOR EACH STATEMENT EXECUTE FUNCTION %1$I.drop_orphans()', tier);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    convenience.entity, convenience.entity_alias, convenience.mention, convenience.fact, convenience.entity_change
    TO lares_mcp;

-- down
DROP TABLE sensitive.entity_change, sensitive.fact, sensitive.mention, sensitive.entity_alias, sensitive.entity;
DROP TABLE convenience.entity_change, convenience.fact, convenience.mention, convenience.entity_alias, convenience.entity;
DROP TRIGGER facts_noted ON convenience.memory;
DROP TRIGGER facts_noted ON sensitive.memory;
DROP TRIGGER facts_noted_again ON convenience.memory;
DROP TRIGGER facts_noted_again ON sensitive.memory;
DROP TRIGGER facts_dropped ON convenience.memory;
DROP TRIGGER facts_dropped ON sensitive.memory;
DROP TRIGGER facts_unnoted ON convenience.memory;
DROP TRIGGER facts_unnoted ON sensitive.memory;
DROP FUNCTION convenience.drop_orphans(), sensitive.drop_orphans();
DROP FUNCTION convenience.drop_derived(), sensitive.drop_derived();
DROP FUNCTION memory.drop_extraction_notes();
DROP FUNCTION memory.note_changed_text();
DROP FUNCTION memory.note_new_texts();
DROP TABLE memory.extraction_walk;
DROP TABLE memory.pending_extraction;
