#!/usr/bin/env bash
# `make down`: stop the house and keep its data.   `make purge`: also erase the data, after asking.
set -euo pipefail

LARES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_STATE=${LARES_STATE:-$LARES_ROOT/.lares}
cd "$LARES_ROOT"
source setup/lib.sh
source setup/settings.sh
source setup/check-root.sh
[ -s "$LARES_STATE/env" ] || { say "There is no house here: nothing to do."; exit 0; }
exec 9>"$LARES_STATE/lock"
flock -n 9 || fail setup.running "another run is under way for this house" "wait until it ends, then try again"
settings_load

if [ "${1:-}" != purge ]; then
  compose --progress quiet down --remove-orphans
  say "The house is down. Its data is kept: make up starts it again."
  exit 0
fi

if [ "${YES:-}" != 1 ]; then
  say "This erases the house $COMPOSE_PROJECT_NAME for good: every account, memory and conversation, and the keys in $LARES_STATE."
  read -r -p "Type the house's name to go on: " answer || answer=
  [ "$answer" = "$COMPOSE_PROJECT_NAME" ] || fail setup.purge_declined "nothing was erased" "type the name, or run: make purge YES=1"
fi
compose --progress quiet down --volumes --remove-orphans
"$LARES_ROOT/setup/firewall.sh" "$LARES_STATE" remove
rm -f "/etc/systemd/system/lares-firewall-$LARES_BRIDGE.service" "$LARES_STATE/gpu-nodes"
"$LARES_ROOT/setup/gpu-wake-install.sh" "$LARES_STATE"
[ "$LARES_STATE" != "$LARES_ROOT/.lares" ] || rm -f "$LARES_ROOT/.env"
rm -rf "$LARES_STATE"
say "The house is gone. Its images are kept: docker image prune -a removes them."
