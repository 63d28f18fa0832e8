-- database: lares_sacred
-- What 0028 gives the other tiers, as far as it applies: leases, and room for a second vector while a model is built.

-- up
ALTER TABLE sacred.pending_embedding
    ADD COLUMN leased_until timestamptz,
    ADD COLUMN related boolean NOT NULL DEFAULT false;
CREATE INDEX pending_embedding_leased ON sacred.pending_embedding (leased_until) WHERE leased_until IS NOT NULL;

-- The vector of the model that is being built. It becomes the row's own some time after the switch; until then a
-- search takes whichever of the two is of the query's model.
ALTER TABLE sacred.memory
    ADD COLUMN next_model  smallint,
    ADD COLUMN next_key_id text CHECK (octet_length(next_key_id) <= 32),
    ADD COLUMN next_sealed bytea CHECK (octet_length(next_sealed) IN (1052, 1564, 2076, 3100, 4124)),
    ADD CONSTRAINT memory_next_check CHECK ((next_model IS NULL) = (next_sealed IS NULL)
        AND (next_model IS NULL) = (next_key_id IS NULL));

-- down
ALTER TABLE sacred.memory DROP COLUMN next_sealed, DROP COLUMN next_key_id, DROP COLUMN next_model;
DROP INDEX sacred.pending_embedding_leased;
ALTER TABLE sacred.pending_embedding DROP COLUMN related, DROP COLUMN leased_until;
