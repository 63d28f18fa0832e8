#!/usr/bin/env bash
# Who reaches what on a GPU node: the house alone reaches node-agent; node-agent reaches the house's door, to join, and
# nothing else; the models reach nothing at all. Idempotent; each chain is replaced in one step.
#
#   gpu-node/setup/firewall.sh STATE_DIR          install (also at boot, by lares-gpu-firewall.service)
#   gpu-node/setup/firewall.sh STATE_DIR remove
set -euo pipefail

state=$1
action=${2:-install}
setting() { sed -n "s/^$1=//p" "$state/env" | head -n 1; }
bridge=$(setting LARES_GPU_BRIDGE)
models=$(setting LARES_MODELS_NET).0.0/16
house=$(setting LARES_HOUSE_ADDRESS)
own=$(setting LARES_NODE_ADDRESS)
to_host=LARES-GPU-IN
through=LARES-GPU-THROUGH
ipt() { iptables -w 10 "$@"; }

unhook() {
  while ipt -D INPUT -j "$to_host" 2>/dev/null; do :; done
  while ipt -D DOCKER-USER -j "$through" 2>/dev/null; do :; done
}

if [ "$action" = remove ]; then
  unhook
  for chain in "$to_host" "$through"; do ipt -F "$chain" 2>/dev/null && ipt -X "$chain" || true; done
  exit 0
fi
[[ $house =~ ^[0-9.]+$ && $own =~ ^[0-9.]+$ && -n $bridge ]] || { echo "firewall: no house in $state/env" >&2; exit 1; }

rules=
rule() { rules+="-A $*"$'\n'; }
ipt -N DOCKER-USER 2>/dev/null || true

# To this machine: nothing new from a container of ours. And port 8443, should the engine pass it on by a program of its
# own in place of a rule, from the house and from nobody else.
rule "$to_host" -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
rule "$to_host" -i "$bridge" -j REJECT
rule "$to_host" -s "$models" -j REJECT
rule "$to_host" -d "$own" -p tcp --dport 8443 ! -s "$house" ! -i lo -j REJECT

# Through it: answers; the house to node-agent; node-agent to the house's two ports, which is what joining needs.
rule "$through" -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
# A model and node-agent, on the bridge they share; between two bridges the engine's own isolation decides.
rule "$through" -i lamodel-+ -o lamodel-+ -j RETURN
rule "$through" -s "$models" -j REJECT
rule "$through" -d "$models" -j REJECT
rule "$through" -o "$bridge" -s "$house" -p tcp --dport 8443 -j RETURN
rule "$through" -o "$bridge" -j REJECT
for port in $(setting LARES_HOUSE_HTTPS_PORT) $(setting LARES_HOUSE_HTTP_PORT); do
  rule "$through" -i "$bridge" -d "$house" -p tcp --dport "$port" -j RETURN
done
rule "$through" -i "$bridge" -j REJECT

printf '*filter\n:%s - [0:0]\n:%s - [0:0]\n%sCOMMIT\n' "$to_host" "$through" "$rules" | iptables-restore -w 10 --noflush
ipt -C INPUT -j "$to_host" 2>/dev/null || ipt -I INPUT -j "$to_host"
ipt -C DOCKER-USER -j "$through" 2>/dev/null || ipt -I DOCKER-USER -j "$through"

unit=/etc/systemd/system/lares-gpu-firewall.service
if [ -d /run/systemd/system ] && [ "$action" = install ]; then
  printf '%s\n' '[Unit]' 'Description=Lares: who reaches the GPU node' 'Before=docker.service' \
    '[Service]' 'Type=oneshot' "ExecStart=$(readlink -f "$0") $state boot" '[Install]' 'WantedBy=docker.service' >"$unit.new"
  if cmp -s "$unit.new" "$unit"; then rm "$unit.new"; else mv "$unit.new" "$unit"; systemctl daemon-reload; systemctl enable lares-gpu-firewall >/dev/null 2>&1; fi
fi
