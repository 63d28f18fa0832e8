#!/usr/bin/env bash
# `make up` of a GPU node: from a fresh Debian machine to a node that serves its house. A table of contents; each step
# looks first and changes only what is missing, so it can be interrupted and repeated.
set -euo pipefail

NODE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_ROOT=$(cd "$NODE_ROOT/.." && pwd)
cd "$LARES_ROOT"
started_at=$SECONDS
source setup/lib.sh
source gpu-node/setup/node.sh

step "Looking (nothing is changed yet)"
source setup/check-root.sh
source setup/check-system.sh
node_lock
mkdir -p "$LARES_LOG" "$LARES_CACHE"
rm -rf "$LARES_TMP"
install -d -m 0700 "$LARES_TMP"
source gpu-node/setup/token.sh
node_load
if ! joined && [ -z "${JOIN:-}" ]; then
  fail node.no_house "this node belongs to no house yet" "on the house run: sudo make gpu-node ADDRESS=<this machine's> NAME=<its name>; then here: sudo make up JOIN=<token>"
fi
source gpu-node/setup/cards.sh

step "Engine"
source setup/engine-install.sh
source setup/engine-start.sh
node_load
node_save

step "Images"
source gpu-node/setup/images.sh

step "House"
install -d -m 0755 "$LARES_NODE_WEIGHTS"
install -d -m 0700 -o 10043 -g 10043 "$LARES_NODE_STATE/tls" "$LARES_NODE_STATE/host"
gpu-node/setup/firewall.sh "$LARES_NODE_STATE"
if [ -n "${JOIN:-}" ]; then
  # On stdin: a command line can be read by everybody on the machine.
  printf '%s' "$JOIN" | compose run --rm -T --no-deps joining 2>"$LARES_LOG/joining.log" || {
    cat "$LARES_LOG/joining.log" >&2
    exit 1
  }
  node_load
  node_save
fi
gpu-node/setup/suspend-install.sh "$LARES_NODE_STATE"

step "Start"
compose --progress quiet up -d --no-build --remove-orphans >"$LARES_LOG/start.log" 2>&1 </dev/null || {
  tail -n 20 "$LARES_LOG/start.log" >&2
  fail node.start "node-agent could not be started" "read the lines above and $LARES_LOG/start.log"
}
/usr/bin/python3 setup/wait_healthy.py "$LARES_GPU_PROJECT" "${LARES_WAIT_SECONDS:-120}" \
  || fail node.unhealthy "node-agent did not become healthy in time" "read its log: make logs"
say ""
say "$LARES_NODE is up after $((SECONDS - started_at)) seconds, for the house at $LARES_HOUSE_ADDRESS alone."
