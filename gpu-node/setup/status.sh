#!/usr/bin/env bash
# `make status`: what runs on this node, and what it is to its house.
set -euo pipefail
NODE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_ROOT=$(cd "$NODE_ROOT/.." && pwd)
cd "$LARES_ROOT"
source setup/lib.sh
source gpu-node/setup/node.sh
source setup/check-root.sh
[ -s "$LARES_NODE_STATE/env" ] || { say "There is no node here. See gpu-node/README.md."; exit 0; }
node_load
say "node      $LARES_NODE at $LARES_NODE_ADDRESS, for the house at $LARES_HOUSE_ADDRESS"
say "cards     $LARES_NODE_CARDS ${LARES_NODE_SIMULATED_CARDS}"
if joined; then say "joined    until $(openssl x509 -in "$LARES_NODE_STATE/tls/node.pem" -noout -enddate | cut -d= -f2)"; else say "joined    no"; fi
say "suspend   $LARES_NODE_SUSPEND"
docker ps -a --filter "name=^$LARES_NODE_SELF\$" --format 'agent     {{.Status}}'
docker ps -a --filter "label=house.lares.node=$LARES_NODE" --filter label=house.lares.instance --format 'model     {{.Label "house.lares.model"}}: {{.Status}}'
