#!/usr/bin/env bash
# `make down`: stop node-agent and the models.   `make leave`: also erase the key and the certificate.
set -euo pipefail

NODE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_ROOT=$(cd "$NODE_ROOT/.." && pwd)
cd "$LARES_ROOT"
source setup/lib.sh
source gpu-node/setup/node.sh
source setup/check-root.sh
[ -s "$LARES_NODE_STATE/env" ] || { say "There is no node here: nothing to do."; exit 0; }
node_lock
node_load

compose --progress quiet down --remove-orphans
# The models outlive node-agent, so that a restart of it costs nobody an answer: they are stopped here.
docker ps -aq --filter "label=house.lares.node=$LARES_NODE" --filter label=house.lares.instance | xargs -r docker rm -f >/dev/null
docker network ls -q --filter "label=house.lares.node=$LARES_NODE" | xargs -r docker network rm >/dev/null
if [ "${1:-}" = leave ]; then
  gpu-node/setup/firewall.sh "$LARES_NODE_STATE" remove
  LARES_NODE_SUSPEND=false gpu-node/setup/suspend-install.sh "$LARES_NODE_STATE" remove
  rm -f /etc/systemd/system/lares-gpu-firewall.service
  rm -rf "$LARES_NODE_STATE"
  say "This machine belongs to no house now. On the house, run: make gpu-node-remove NAME=$LARES_NODE"
else
  say "The node is down. make up starts it again."
fi
