-- database: lares
-- The words of memories, findable under row-level security: postings in blocks, and what is too fresh to be in one.
-- A posting is eight bytes: the memory's seq in five, how often it has the term in one, its words in two. docs/adr/0019.

-- up
-- Every change of a text is followed here in its own transaction, by triggers, so that no writer can forget it.
-- A new memory lies in posting_fresh; there are never many, because whoever adds the 2,048th folds them into blocks.
CREATE FUNCTION memory.posting(seq bigint, uses integer, words integer) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN int8send((seq << 24) | (least(uses, 255)::bigint << 16) | least(words, 65535));

-- Where in a block a memory's posting begins; 0 when it has none. A block is in order of seq, so it is found by halving.
CREATE FUNCTION memory.posting_place(codes bytea, seq bigint) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted bytea := substring(int8send(seq << 24) FROM 1 FOR 5);
    low    integer := 0;
    high   integer := octet_length(codes) / 8;
    middle integer;
BEGIN
    WHILE low < high LOOP
        middle := (low + high) / 2;
        IF substring(codes FROM middle * 8 + 1 FOR 5) < wanted THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN CASE WHEN substring(codes FROM low * 8 + 1 FOR 5) = wanted THEN low * 8 + 1 ELSE 0 END;
END
$$;

CREATE FUNCTION memory.sorted_postings(codes bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(code, ''::bytea ORDER BY code)
        FROM (SELECT substring(codes FROM place FOR 8) AS code
              FROM generate_series(1, octet_length(codes), 8) AS place) AS one);

CREATE FUNCTION memory.without_postings(codes bytea, seqs bigint[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seq   bigint;
    place integer;
BEGIN
    FOREACH seq IN ARRAY seqs LOOP
        place := memory.posting_place(codes, seq);
        IF place > 0 THEN
            codes := overlay(codes PLACING ''::bytea FROM place FOR 8);
        END IF;
    END LOOP;
    RETURN codes;
END
$$;
GRANT EXECUTE ON FUNCTION memory.posting(bigint, integer, integer)
    TO lares_app, lares_remote_rw, lares_mcp, lares_readonly;
GRANT EXECUTE ON FUNCTION memory.posting_place(bytea, bigint), memory.without_postings(bytea, bigint[]),
    memory.sorted_postings(bytea)
    TO lares_app, lares_remote_rw, lares_mcp;

DO $migration$
DECLARE
    tier text;
    name text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        EXECUTE replace($tables$
            CREATE TABLE tier.posting_fresh (
                seq        bigint NOT NULL,
                subject_id uuid NOT NULL,
                namespace  text NOT NULL,
                words      integer NOT NULL,
                lexemes    tsvector NOT NULL,
                PRIMARY KEY (subject_id, seq)
            ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

            -- Term equality is leakproof, so this key is used under the policy, which a GIN index never is.
            CREATE TABLE tier.posting (
                last_seq   bigint NOT NULL,
                subject_id uuid NOT NULL,
                namespace  text NOT NULL,
                term       text NOT NULL,
                -- One of a few memories, to be merged with its like; those of many stay as they are.
                young      boolean NOT NULL,
                codes      bytea STORAGE EXTERNAL NOT NULL,
                PRIMARY KEY (subject_id, term, last_seq)
            );
            CREATE INDEX posting_young ON tier.posting (subject_id, last_seq) WHERE young;

            -- How many rows and words the blocks hold: a sum, so that nobody waits for anybody to count.
            CREATE TABLE tier.posting_total (
                subject_id uuid NOT NULL,
                namespace  text NOT NULL,
                rows       bigint NOT NULL,
                words      bigint NOT NULL
            );
            CREATE INDEX posting_total_of ON tier.posting_total (subject_id);

            -- Few values, so a few bytes a row: a filter that leaves little need not read what it leaves out.
            CREATE INDEX memory_kinds ON tier.memory (subject_id, namespace, source_kind, level);
        $tables$, 'tier.', tier || '.');
        FOREACH name IN ARRAY ARRAY['posting_fresh', 'posting', 'posting_total'] LOOP
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

        EXECUTE replace($functions$
            -- Fold one person's fresh memories into blocks, `most` at a time, if there are `least`. Say how many went.
            CREATE FUNCTION tier.fold_postings(person uuid, least_rows integer, most integer) RETURNS integer
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            DECLARE
                folded integer := 0;
                taken  integer;
            BEGIN
                LOOP
                    IF (SELECT count(*) FROM (
                            SELECT FROM tier.posting_fresh WHERE subject_id = person LIMIT least_rows) AS bounded)
                            < greatest(least_rows, 1)
                        OR NOT pg_try_advisory_xact_lock(24, hashtext('tier.' || person::text)) THEN
                        RETURN folded;
                    END IF;
                    WITH oldest AS MATERIALIZED (
                        SELECT seq FROM tier.posting_fresh WHERE subject_id = person
                        ORDER BY seq LIMIT most FOR UPDATE SKIP LOCKED
                    ), gone AS MATERIALIZED (
                        DELETE FROM tier.posting_fresh USING oldest
                        WHERE posting_fresh.subject_id = person AND posting_fresh.seq = oldest.seq
                        RETURNING posting_fresh.seq, namespace, words, lexemes
                    ), counted AS (
                        INSERT INTO tier.posting_total (subject_id, namespace, rows, words)
                        SELECT person, namespace, count(*), sum(words) FROM gone GROUP BY namespace
                    ), blocks AS (
                        INSERT INTO tier.posting (last_seq, subject_id, namespace, term, young, codes)
                        SELECT max(seq), person, namespace, lexeme, most < 65536,
                               string_agg(memory.posting(seq, cardinality(positions), words), ''::bytea ORDER BY seq)
                        FROM gone, unnest(lexemes)
                        GROUP BY lexeme, namespace
                    )
                    SELECT count(*) INTO taken FROM gone;
                    folded := folded + taken;
                    IF taken = 0 THEN
                        RETURN folded;
                    END IF;
                END LOOP;
            END
            $$;

            -- Take memories out of the index, wherever they are; `texts` are those they were found by.
            CREATE FUNCTION tier.drop_postings(person uuid, seqs bigint[], spaces text[], texts text[], sizes integer[])
            RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            DECLARE
                fresh bigint[];
            BEGIN
                -- Who rebuilds the index holds this lock alone: nothing moves away under these hands.
                PERFORM pg_advisory_xact_lock_shared(25, hashtext('tier.' || person::text));
                WITH gone AS (
                    DELETE FROM tier.posting_fresh WHERE subject_id = person AND seq = ANY (seqs) RETURNING seq)
                SELECT coalesce(array_agg(seq), '{}') INTO fresh FROM gone;
                IF cardinality(fresh) = cardinality(seqs) THEN
                    RETURN;
                END IF;
                INSERT INTO tier.posting_total (subject_id, namespace, rows, words)
                SELECT person, space, -count(*), -sum(size)
                FROM unnest(seqs, spaces, sizes) AS folded (seq, space, size)
                WHERE seq <> ALL (fresh) GROUP BY space;
                WITH term AS MATERIALIZED (
                    SELECT seq, lexeme
                    FROM unnest(seqs, texts) AS folded (seq, text),
                         unnest(to_tsvector('english'::regconfig, text))
                    WHERE seq <> ALL (fresh)
                ), block AS MATERIALIZED (
                    SELECT posting.term, posting.last_seq, array_agg(term.seq) AS seqs
                    FROM term, LATERAL (
                        SELECT posting.term, posting.last_seq FROM tier.posting
                        WHERE subject_id = person AND posting.term = term.lexeme AND posting.last_seq >= term.seq
                          AND memory.posting_place(codes, term.seq) > 0
                        ORDER BY posting.last_seq LIMIT 1) AS posting
                    GROUP BY posting.term, posting.last_seq
                ), held AS MATERIALIZED (
                    -- Always in one order, so that two who forget at once wait for each other and not in a ring.
                    SELECT posting.term, posting.last_seq, block.seqs
                    FROM tier.posting JOIN block USING (term, last_seq)
                    WHERE subject_id = person ORDER BY posting.term, posting.last_seq FOR UPDATE OF posting
                )
                UPDATE tier.posting SET codes = memory.without_postings(codes, held.seqs)
                FROM held
                WHERE subject_id = person AND posting.term = held.term AND posting.last_seq = held.last_seq;
                DELETE FROM tier.posting
                USING unnest(texts) AS folded (text), unnest(to_tsvector('english'::regconfig, text))
                WHERE subject_id = person AND term = lexeme AND codes = ''::bytea;
            END
            $$;

            -- Merge one person's young blocks, if there are enough of them, and add up what was counted apart.
            -- Say how many went. A word's blocks then number one for every 65,536 memories.
            CREATE FUNCTION tier.merge_postings(person uuid, least_folds integer) RETURNS integer
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            DECLARE
                merged integer;
            BEGIN
                IF (SELECT count(*) FROM tier.posting_total WHERE subject_id = person) < least_folds
                    OR NOT pg_try_advisory_xact_lock(25, hashtext('tier.' || person::text)) THEN
                    RETURN 0;
                END IF;
                WITH oldest AS MATERIALIZED (
                    SELECT term, last_seq FROM tier.posting WHERE subject_id = person AND young
                    ORDER BY last_seq LIMIT 200000
                ), gone AS MATERIALIZED (
                    DELETE FROM tier.posting USING oldest
                    WHERE subject_id = person AND posting.term = oldest.term AND posting.last_seq = oldest.last_seq
                    RETURNING posting.namespace, posting.term, posting.last_seq, posting.codes
                ), beside AS (
                    SELECT gone.*, codes < lag(substring(codes FROM octet_length(codes) - 7))
                        OVER (PARTITION BY namespace, term, last_seq >> 16 ORDER BY last_seq) AS crosses
                    FROM gone
                ), blocks AS (
                    INSERT INTO tier.posting (last_seq, subject_id, namespace, term, young, codes)
                    SELECT max(last_seq), person, namespace, term, false,
                           CASE WHEN bool_or(crosses) THEN memory.sorted_postings(string_agg(codes, ''::bytea))
                                ELSE string_agg(codes, ''::bytea ORDER BY last_seq) END
                    FROM beside GROUP BY namespace, term, last_seq >> 16
                )
                SELECT count(*) INTO merged FROM gone;
                IF merged < 200000 THEN
                    WITH gone AS (
                        DELETE FROM tier.posting_total WHERE subject_id = person RETURNING namespace, rows, words)
                    INSERT INTO tier.posting_total (subject_id, namespace, rows, words)
                    SELECT person, namespace, sum(rows), sum(words) FROM gone GROUP BY namespace;
                END IF;
                RETURN greatest(merged, 1);
            END
            $$;

            -- Make a person's index anew from their texts; say how many memories it has.
            CREATE FUNCTION tier.rebuild_postings(person uuid) RETURNS integer
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock(25, hashtext('tier.' || person::text));
                DELETE FROM tier.posting WHERE subject_id = person;
                DELETE FROM tier.posting_fresh WHERE subject_id = person;
                DELETE FROM tier.posting_total WHERE subject_id = person;
                INSERT INTO tier.posting_fresh (seq, subject_id, namespace, words, lexemes)
                SELECT seq, subject_id, namespace, word_count, to_tsvector('english'::regconfig, text)
                FROM tier.memory WHERE subject_id = person
                ON CONFLICT DO NOTHING;
                RETURN tier.fold_postings(person, 1, 65536);
            END
            $$;

            GRANT EXECUTE ON FUNCTION tier.fold_postings(uuid, integer, integer),
                tier.drop_postings(uuid, bigint[], text[], text[], integer[]), tier.rebuild_postings(uuid),
                tier.merge_postings(uuid, integer)
                TO lares_app, lares_remote_rw;

            CREATE FUNCTION tier.index_remembered() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            BEGIN
                INSERT INTO tier.posting_fresh (seq, subject_id, namespace, words, lexemes)
                SELECT seq, subject_id, namespace, word_count, to_tsvector('english'::regconfig, text) FROM added;
                -- One write in 64 looks whether there are enough to fold.
                PERFORM tier.fold_postings(subject_id, 2048, 16384)
                FROM (SELECT DISTINCT subject_id FROM added WHERE seq % 64 = 0) AS person;
                RETURN NULL;
            END
            $$;

            CREATE FUNCTION tier.index_edited() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            BEGIN
                PERFORM tier.drop_postings(
                    OLD.subject_id, ARRAY[OLD.seq], ARRAY[OLD.namespace], ARRAY[OLD.text], ARRAY[OLD.word_count]);
                INSERT INTO tier.posting_fresh (seq, subject_id, namespace, words, lexemes)
                VALUES (NEW.seq, NEW.subject_id, NEW.namespace, NEW.word_count,
                        to_tsvector('english'::regconfig, NEW.text));
                RETURN NULL;
            END
            $$;

            CREATE FUNCTION tier.index_forgotten() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            BEGIN
                PERFORM tier.drop_postings(subject_id, array_agg(seq ORDER BY seq), array_agg(namespace ORDER BY seq),
                    array_agg(text ORDER BY seq), array_agg(word_count ORDER BY seq))
                FROM removed GROUP BY subject_id;
                RETURN NULL;
            END
            $$;

            -- What the index holds need not be kept a second time.
            ALTER TABLE tier.memory DROP COLUMN lexemes;

            CREATE TRIGGER memory_index_remembered AFTER INSERT ON tier.memory
                REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tier.index_remembered();
            CREATE TRIGGER memory_index_edited AFTER UPDATE OF text, namespace ON tier.memory
                FOR EACH ROW WHEN (OLD.text <> NEW.text OR OLD.namespace <> NEW.namespace)
                EXECUTE FUNCTION tier.index_edited();
            CREATE TRIGGER memory_index_forgotten AFTER DELETE ON tier.memory
                REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tier.index_forgotten();
        $functions$, 'tier.', tier || '.');
    END LOOP;
END
$migration$;
GRANT SELECT, INSERT, UPDATE, DELETE ON convenience.posting, convenience.posting_fresh, convenience.posting_total
    TO lares_mcp;
GRANT EXECUTE ON FUNCTION convenience.fold_postings(uuid, integer, integer),
    convenience.drop_postings(uuid, bigint[], text[], text[], integer[]), convenience.rebuild_postings(uuid)
    TO lares_mcp;

-- Memories that were there before, person by person, since row-level security binds the owner too.
DO $$
DECLARE
    person uuid;
BEGIN
    PERFORM set_config('lares.client', 'person', true);
    FOR person IN SELECT subject_id FROM memory.subject LOOP
        PERFORM set_config('lares.subject', person::text, true);
        PERFORM convenience.rebuild_postings(person);
        PERFORM sensitive.rebuild_postings(person);
    END LOOP;
    PERFORM set_config('lares.subject', '', true);
    PERFORM set_config('lares.client', '', true);
END
$$;

-- down
DO $migration$
DECLARE
    tier text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['convenience', 'sensitive'] LOOP
        EXECUTE replace($drop$
            DROP TRIGGER memory_index_remembered ON tier.memory;
            DROP TRIGGER memory_index_edited ON tier.memory;
            DROP TRIGGER memory_index_forgotten ON tier.memory;
            DROP FUNCTION tier.index_remembered(), tier.index_edited(), tier.index_forgotten(),
                tier.rebuild_postings(uuid), tier.merge_postings(uuid, integer),
                tier.fold_postings(uuid, integer, integer),
                tier.drop_postings(uuid, bigint[], text[], text[], integer[]);
            DROP INDEX tier.memory_kinds;
            ALTER TABLE tier.memory ADD COLUMN lexemes tsvector NOT NULL
                GENERATED ALWAYS AS (to_tsvector('english'::regconfig, text)) STORED;
            DROP TABLE tier.posting, tier.posting_fresh, tier.posting_total;
        $drop$, 'tier.', tier || '.');
    END LOOP;
END
$migration$;
DROP FUNCTION memory.without_postings(bytea, bigint[]), memory.sorted_postings(bytea), memory.posting_place(bytea, bigint),
    memory.posting(bigint, integer, integer);
