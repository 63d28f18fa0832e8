"""Finding memories in Postgres: by their words, by their meaning, under any filter, and always as the caller."""
