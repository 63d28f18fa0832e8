-- database: lares
-- How memories move between the levels: the switch, whose turn it is, what was moved and why, and the chores.

-- up
-- One row at most; without it all is as by default. Whether it is on is the owner's word; what the running consolidator made of its own setting is `mode`.
CREATE TABLE memory.consolidation (
    id            boolean PRIMARY KEY DEFAULT true CHECK (id),
    enabled       boolean NOT NULL DEFAULT true,
    switched_at   timestamptz,
    mode          text NOT NULL DEFAULT 'on' CHECK (mode IN ('on', 'off', 'dry_run')),
    leader        text CHECK (char_length(leader) BETWEEN 1 AND 100),
    round_at      timestamptz,
    next_round_at timestamptz,
    round_seconds real
);

-- Whose turn is next, and what was counted at the last one.
CREATE TABLE memory.consolidation_turn (
    subject_id uuid PRIMARY KEY,
    looked_at  timestamptz,
    occupancy  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX consolidation_turn_next ON memory.consolidation_turn (looked_at NULLS FIRST, subject_id);

-- The journal: ids, levels, scores and words of the program. Nothing that a memory says.
CREATE TABLE memory.consolidation_move (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject_id uuid NOT NULL,
    memory_id  uuid NOT NULL,
    tier       text NOT NULL CHECK (tier IN ('convenience', 'sensitive')),
    namespace  text NOT NULL,
    kind       text NOT NULL CHECK (kind IN
        ('promoted', 'demoted', 'archived', 'expired', 'merged', 'compressed', 'restored')),
    from_level text NOT NULL,
    to_level   text NOT NULL,
    score      real NOT NULL,
    reason     text NOT NULL CHECK (reason ~ '^[a-z_]{1,40}$'),
    into_id    uuid
);
CREATE INDEX consolidation_move_newest ON memory.consolidation_move (subject_id, at DESC, id DESC);
CREATE INDEX consolidation_move_of ON memory.consolidation_move (memory_id);
CREATE INDEX consolidation_move_old ON memory.consolidation_move (at);

-- The journal ends; the numbers do not go back.
CREATE TABLE memory.consolidation_count (
    kind  text PRIMARY KEY,
    moves bigint NOT NULL DEFAULT 0
);

-- What is done now and then beside the rounds: when it last began and what came of it.
CREATE TABLE memory.chore (
    name     text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    code     text
);

GRANT SELECT, INSERT, UPDATE, DELETE ON memory.consolidation,
    memory.consolidation_turn, memory.consolidation_move, memory.consolidation_count, memory.chore TO svc_memory;

-- Counting a level reads the index alone, policy and all.
CREATE INDEX memory_occupancy ON convenience.memory (subject_id, level, namespace, archived_at);
CREATE INDEX memory_occupancy ON sensitive.memory (subject_id, level, namespace, archived_at);
-- The few of the archive that somebody has used since.
CREATE INDEX memory_used_again ON convenience.memory (subject_id, accessed_at) WHERE accessed_at > archived_at;
CREATE INDEX memory_used_again ON sensitive.memory (subject_id, accessed_at) WHERE accessed_at > archived_at;

-- A summary holds its sources' words. When one of them is forgotten, moved to another tier or gets another text, the
-- summary goes in the same transaction, whoever writes; what is left of its sources is summarised anew in time.
CREATE FUNCTION convenience.drop_summaries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM convenience.memory
    WHERE id IN (SELECT from_id FROM convenience.memory_link WHERE to_id = OLD.id AND kind = 'summarises');
    RETURN NULL;
END
$$;
CREATE FUNCTION sensitive.drop_summaries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM sensitive.memory
    WHERE id IN (SELECT from_id FROM sensitive.memory_link WHERE to_id = OLD.id AND kind = 'summarises');
    RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION convenience.drop_summaries() TO lares_app, lares_remote_rw, lares_mcp;
GRANT EXECUTE ON FUNCTION sensitive.drop_summaries() TO lares_app, lares_remote_rw;
-- After, since one statement may delete a source and its summary; and by its name ahead of the foreign keys, which take
-- the links away.
CREATE TRIGGER "A_drop_summaries" AFTER DELETE ON convenience.memory
    FOR EACH ROW EXECUTE FUNCTION convenience.drop_summaries();
CREATE TRIGGER "A_drop_summaries" AFTER DELETE ON sensitive.memory
    FOR EACH ROW EXECUTE FUNCTION sensitive.drop_summaries();
CREATE TRIGGER drop_summaries_of_edited AFTER UPDATE OF text, namespace ON convenience.memory
    FOR EACH ROW WHEN (OLD.text <> NEW.text OR OLD.namespace <> NEW.namespace)
    EXECUTE FUNCTION convenience.drop_summaries();
CREATE TRIGGER drop_summaries_of_edited AFTER UPDATE OF text, namespace ON sensitive.memory
    FOR EACH ROW WHEN (OLD.text <> NEW.text OR OLD.namespace <> NEW.namespace)
    EXECUTE FUNCTION sensitive.drop_summaries();

-- down
DROP TRIGGER drop_summaries_of_edited ON sensitive.memory;
DROP TRIGGER drop_summaries_of_edited ON convenience.memory;
DROP TRIGGER "A_drop_summaries" ON sensitive.memory;
DROP TRIGGER "A_drop_summaries" ON convenience.memory;
DROP FUNCTION convenience.drop_summaries();
DROP FUNCTION sensitive.drop_summaries();
DROP INDEX convenience.memory_used_again, sensitive.memory_used_again;
DROP INDEX convenience.memory_occupancy, sensitive.memory_occupancy;
DROP TABLE memory.chore;
DROP TABLE memory.consolidation_count;
DROP TABLE memory.consolidation_move;
DROP TABLE memory.consolidation_turn;
DROP TABLE memory.consolidation;
