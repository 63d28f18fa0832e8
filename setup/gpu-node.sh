#!/usr/bin/env bash
# GPU nodes of this house.
#
#   setup/gpu-node.sh add NAME ADDRESS [HARDWARE_ADDRESS]    opens the way there and prints a token for `make up JOIN=...`
#   setup/gpu-node.sh remove NAME                            closes it, and the node's certificate is worth nothing
#   setup/gpu-node.sh list
#
# The ways stand in $LARES_STATE/gpu-nodes, a line each: name, address, hardware address or -. setup/render.sh makes the
# proxy's rules and the firewall's from it; who has joined is in the database.
set -euo pipefail

LARES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_STATE=${LARES_STATE:-$LARES_ROOT/.lares}
LARES_CACHE=$LARES_ROOT/.cache
cd "$LARES_ROOT"
source setup/lib.sh
source setup/settings.sh
verb=${1:-} name=${2:-} address=${3:-} hardware=${4:-}

source setup/check-root.sh
[ -s "$LARES_STATE/env" ] || fail setup.no_house "there is no house here" "run: make up"
source setup/prepare-state.sh
nodes=$LARES_STATE/gpu-nodes

scheduler() { compose exec -T gpu-scheduler python -m gpu_scheduler.nodes "$@" </dev/null; }

[ "$verb" != list ] || { scheduler list; exit 0; }

[[ $name =~ ^[a-z][a-z0-9-]{0,30}$ ]] \
  || fail setup.gpu_node "a GPU node's name is small letters, digits and dashes, and '$name' is not" "for example: make gpu-node ADDRESS=192.168.1.20 NAME=forge"
compose ps --status running --services 2>/dev/null | grep -qx gpu-scheduler \
  || fail setup.gpu_scheduler_away "gpu-scheduler does not run" "run: make up"

others() { [ ! -s "$nodes" ] || awk -v name="$name" '$1 != name' "$nodes"; }

# The list as it was comes back when it cannot be rendered: a wrong address must not stop the next `make up`.
apply() {
  source setup/render.sh
  settings_load
  settings_save
  setup/firewall.sh "$LARES_STATE"
  source setup/start.sh
  # Last: it looks into a volume that is made at the start.
  setup/gpu-wake-install.sh "$LARES_STATE"
}

case $verb in
  add)
    [[ $hardware =~ ^(([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})?$ ]] \
      || fail setup.gpu_node "WAKE=$hardware is no hardware address" "take it from 'ip link' on the GPU node: aa:bb:cc:dd:ee:ff"
    [[ $address =~ ^[0-9]+([.][0-9]+){3}$ ]] \
      || fail setup.gpu_node "'$address' is no address in numbers" "for example: make gpu-node ADDRESS=192.168.1.20 NAME=forge"
    before=$(cat "$nodes" 2>/dev/null || true)
    { others; printf '%s %s %s\n' "$name" "$address" "${hardware:--}"; } >"$nodes.new"
    mv "$nodes.new" "$nodes"
    (source setup/render.sh) || { printf '%s' "${before:+$before$'\n'}" >"$nodes"; exit 1; }
    step "Opening the way to $name at $address, and to nothing beside it"
    apply
    secret=$(scheduler add "$name" "$address" ${hardware:+--wakeable})
    # Which of this machine's addresses the node meets; nothing is sent to find out.
    house=$(ip -o route get "$address" | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    web_authority=-
    if [ "$LARES_TLS" = internal ]; then
      web_authority=$(compose exec -T caddy cat /data/caddy/pki/authorities/local/root.crt </dev/null \
        | openssl x509 -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr 'A-F' 'a-f')
    fi
    token=$(SECRET=$secret /usr/bin/python3 "$LARES_ROOT/setup/gpu_token.py" "$name" "$address" "$house" "$LARES_HOST" \
      "$LARES_HTTPS_PORT" "$LARES_HTTP_PORT" "$web_authority")
    say ""
    say "On $name, within 15 minutes, in the folder gpu-node of this repository:"
    say "  sudo make up JOIN=$token"
    ;;
  remove)
    scheduler remove "$name" >/dev/null
    others >"$nodes.new"
    mv "$nodes.new" "$nodes"
    step "Closing the way to $name"
    apply
    say "$name belongs to the house no longer."
    ;;
  *) fail setup.gpu_node "'$verb' is none of add, remove and list" "run: make help" ;;
esac
