-- database: lares
-- Who speaks in a person's memories is looked up before every search, name by name.

-- up
CREATE INDEX memory_speaker ON convenience.memory (subject_id, speaker, namespace) WHERE speaker IS NOT NULL;
CREATE INDEX memory_speaker ON sensitive.memory (subject_id, speaker, namespace) WHERE speaker IS NOT NULL;

-- down
DROP INDEX convenience.memory_speaker;
DROP INDEX sensitive.memory_speaker;
