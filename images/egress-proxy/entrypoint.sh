#!/bin/sh
# Check what is needed, then become the proxy. Who may go where is rendered by set-up from networks/egress.yaml.
set -eu

fail() { printf '{"level":"error","event":"%s","reason":"%s"}\n' "$1" "$2" >&2; exit 1; }

[ -n "${LARES_BIND:-}" ] || fail egress.bind_missing "LARES_BIND is not set: it is the one address to listen on"
[ -s /etc/lares/egress/acl.conf ] || fail egress.rules_missing "/etc/lares/egress/acl.conf is missing: run make up"

printf 'http_port %s:3128\n' "$LARES_BIND" > /run/squid/port.conf
exec squid -N -f /etc/lares/squid.conf
