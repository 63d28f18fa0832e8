#!/bin/sh
# Make the cluster once, keep the superuser's password equal to the secret, then become the server.
set -eu

fail() { printf '{"level":"error","event":"%s","reason":"%s"}\n' "$1" "$2" >&2; exit 1; }

data=/var/lib/postgresql/data/17
secret=/run/secrets/superuser_password
[ -n "${LARES_BIND:-}" ] || fail postgres.bind_missing "LARES_BIND is not set: it is the one address to listen on"
[ -s "$secret" ] || fail postgres.secret_missing "$secret is missing or empty"

if [ ! -s "$data/PG_VERSION" ]; then
  # Made beside and renamed: a set-up that is killed half way starts over instead of starting broken.
  rm -rf "$data.new"
  initdb --pgdata="$data.new" --username=postgres --pwfile="$secret" --data-checksums \
    --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --auth=scram-sha-256 --no-instructions >/dev/null
  mv "$data.new" "$data"
fi

set -- --config-file=/etc/lares/postgresql.conf -D "$data"

# The secret file is the truth. Written through the single-user server's stdin: no argv, no network.
printf "ALTER ROLE postgres PASSWORD '%s';\n" "$(cat "$secret")" \
  | postgres --single "$@" -c log_min_messages=fatal postgres >/dev/null

exec postgres "$@" -c "listen_addresses=$LARES_BIND"
