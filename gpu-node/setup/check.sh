#!/usr/bin/env bash
# `make test`: look at each thing that models need, and say which is missing. Changes nothing.
set -euo pipefail
NODE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_ROOT=$(cd "$NODE_ROOT/.." && pwd)
cd "$LARES_ROOT"
source setup/lib.sh
source gpu-node/setup/node.sh
source setup/check-root.sh
node_load
failed=0
look() { # look WHAT COMMAND...
  local what=$1; shift
  if "$@" >/dev/null 2>&1; then say "  ok       $what"; else say "  MISSING  $what"; failed=1; fi
}
running() { [ "$(docker inspect -f '{{.State.Running}}' "$LARES_NODE_SELF")" = true ]; }
healthy() { [ -n "$(docker exec "$LARES_NODE_SELF" find /run/lares/heartbeat -mmin -1)" ]; }
certificate() { openssl verify -CAfile "$LARES_NODE_STATE/tls/authority.pem" "$LARES_NODE_STATE/tls/node.pem"; }
private() { [ -z "$(find "$LARES_NODE_STATE/tls" -type f ! -perm 0600)" ] && [ -n "$(ls -A "$LARES_NODE_STATE/tls")" ]; }
# Without a certificate nobody gets a word out of it.
shut() { ! curl -ks --max-time 5 "https://$LARES_NODE_ADDRESS:8443/v1/state"; }
limits() { if [ -f /sys/fs/cgroup/cgroup.controllers ]; then grep -qw memory /sys/fs/cgroup/cgroup.controllers; else grep -q '^memory.*1$' /proc/cgroups; fi; }
look "the engine answers" docker info
look "memory limits work" limits
look "the firewall lets the house alone reach port 8443" iptables -w 10 -C DOCKER-USER -j LARES-GPU-THROUGH
look "the node has joined, and its certificate is its house's" certificate
look "its key is its own alone" private
look "node-agent runs" running
look "node-agent is well" healthy
look "node-agent answers nobody without a certificate" shut
case $LARES_NODE_CARDS in
  nvidia) look "the NVIDIA driver answers" nvidia-smi ;;
  amd) look "the AMD cards can be read" test -r /sys/class/kfd/kfd/topology/nodes/1/properties ;;
esac
exit "$failed"
