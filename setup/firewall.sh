#!/usr/bin/env bash
# What the engine leaves open: from its bridges, containers reach listeners on the host, and `front` and `egress`
# have the host as a router. Idempotent: the house's own two chains are replaced in one step, so that nothing slips
# through while they are made.
#
#   setup/firewall.sh STATE_DIR          install (also at boot, by lares-firewall.service)
#   setup/firewall.sh STATE_DIR remove
set -euo pipefail

state=$1
action=${2:-install}
setting() { sed -n "s/^$1=//p" "$state/env" | head -n 1; }
bridge=$(setting LARES_BRIDGE)
[ -n "$bridge" ] || { echo "firewall: no LARES_BRIDGE in $state/env" >&2; exit 1; }
to_host=LARES-HOST-$bridge
to_outside=LARES-OUT-$bridge
ipt() { iptables -w 10 "$@"; }

unhook() {
  while ipt -D INPUT -i "$bridge-+" -j "$to_host" 2>/dev/null; do :; done
  while ipt -D DOCKER-USER -i "$bridge-+" -j "$to_outside" 2>/dev/null; do :; done
}

if [ "$action" = remove ]; then
  unhook
  for chain in "$to_host" "$to_outside"; do
    ipt -F "$chain" 2>/dev/null && ipt -X "$chain" || true
  done
  exit 0
fi

rules=
rule() { rules+="-A $*"$'\n'; }

# The engine makes this chain at its start; at boot we may be first.
ipt -N DOCKER-USER 2>/dev/null || true

# The resolvers that this machine asks: egress-proxy may ask them too, wherever they live.
resolvers=$(cat /etc/resolv.conf /run/systemd/resolve/resolv.conf 2>/dev/null \
  | awk '$1 == "nameserver" && $2 ~ /^[0-9.]+$/ && $2 !~ /^127[.]/ { print $2 }' | sort -u || true)

# To the host: answers to what it asked itself (the published ports), and nothing new.
rule "$to_host" -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
for resolver in $resolvers; do
  for protocol in udp tcp; do
    rule "$to_host" -i "$bridge-6" -d "$resolver" -p "$protocol" --dport 53 -j RETURN
  done
done
rule "$to_host" -j REJECT

# To elsewhere: answers; egress-proxy to public addresses and to the addresses at home that egress.yaml names; nothing
# else. This machine itself is never among them: what is for the host passes the chain above.
rule "$to_outside" -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
rule "$to_outside" -o "$bridge-+" -j RETURN  # between our bridges the engine's own isolation decides
for resolver in $resolvers; do
  for protocol in udp tcp; do
    rule "$to_outside" -i "$bridge-6" -d "$resolver" -p "$protocol" --dport 53 -j RETURN
  done
done
# Checked where they were rendered; whoever can write here is root.
if [ -s "$state/rendered/lan.list" ]; then
  while read -r address port; do
    rule "$to_outside" -i "$bridge-6" -d "$address" -p tcp --dport "$port" -j RETURN
  done <"$state/rendered/lan.list"
fi
for private in 0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 224.0.0.0/3; do
  rule "$to_outside" -d "$private" -j REJECT
done
rule "$to_outside" -i "$bridge-6" -p tcp --dport 443 -j RETURN
rule "$to_outside" -j REJECT

printf '*filter\n:%s - [0:0]\n:%s - [0:0]\n%sCOMMIT\n' "$to_host" "$to_outside" "$rules" | iptables-restore -w 10 --noflush

ipt -C INPUT -i "$bridge-+" -j "$to_host" 2>/dev/null || ipt -I INPUT -i "$bridge-+" -j "$to_host"
ipt -C DOCKER-USER -i "$bridge-+" -j "$to_outside" 2>/dev/null || ipt -I DOCKER-USER -i "$bridge-+" -j "$to_outside"

# Reinstalled at boot, where systemd is: after the resolvers are known and before the engine starts a container.
unit=/etc/systemd/system/lares-firewall-$bridge.service
if [ -d /run/systemd/system ] && [ "$action" = install ]; then
  printf '%s\n' '[Unit]' "Description=Lares: what containers may not reach ($bridge)" 'Wants=network-online.target' \
    'After=network-online.target' 'Before=docker.service' \
    '[Service]' 'Type=oneshot' "ExecStart=$(readlink -f "$0") $state boot" '[Install]' 'WantedBy=docker.service' >"$unit.new"
  if cmp -s "$unit.new" "$unit"; then rm "$unit.new"; else mv "$unit.new" "$unit"; systemctl daemon-reload; systemctl enable "$(basename "$unit")" >/dev/null 2>&1; fi
fi
