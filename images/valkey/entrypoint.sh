#!/bin/sh
# Check what is needed, then become the server. Its users come from the secret, never from a command line.
set -eu

fail() { printf '{"level":"error","event":"%s","reason":"%s"}\n' "$1" "$2" >&2; exit 1; }

[ -n "${LARES_BIND:-}" ] || fail valkey.bind_missing "LARES_BIND is not set: it is the one address to listen on"
[ -s /run/secrets/users.acl ] || fail valkey.secret_missing "/run/secrets/users.acl is missing or empty"

exec valkey-server /etc/lares/valkey.conf --bind "$LARES_BIND" --maxmemory "${LARES_VALKEY_MAXMEMORY:-96mb}"
