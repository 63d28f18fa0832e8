# What is made from the committed lists for this house: the rules of egress-proxy, and the addresses at home that the
# firewall lets it reach. Nothing secret.

# What is never "at home": this machine itself, and the networks of its containers.
machine_networks() {
  ip -o -4 addr show | awk '{ sub("/.*", "", $4); print $4 }'
  # A network that goes away in between is no reason to fail.
  docker network ls -q --filter driver=bridge \
    | xargs -r docker network inspect --format '{{range .IPAM.Config}}{{.Subnet}}{{"\n"}}{{end}}' 2>/dev/null | grep -F . | grep -vF : || true
}

install -d -m 0755 "$LARES_STATE/rendered" "$LARES_STATE/rendered/egress" "$LARES_STATE/models"
# What `make gpu-node` has opened: the port of each GPU node, for the two that call nodes.
{
  printf 'clients:\n'
  for client in gpu-scheduler model-gateway; do
    printf '  %s:\n    lan: [%s]\n' "$client" "$(awk '{ printf "%s\"%s:8443\"", (NR > 1 ? ", " : ""), $2 }' "$LARES_STATE/gpu-nodes" 2>/dev/null || true)"
  done
} >"$LARES_STATE/rendered/gpu-nodes.yaml"
# No `-s`: an empty list is a list. Each file is replaced in one move.
/usr/bin/python3 "$LARES_ROOT/setup/render_egress.py" "$LARES_NET" \
    "$LARES_ROOT/networks/egress.yaml" "$LARES_STATE/egress.yaml" "$LARES_STATE/rendered/gpu-nodes.yaml" \
    --machine="$(machine_networks | paste -sd, -)" --pairs="$LARES_STATE/rendered/lan.list.new" \
    >"$LARES_STATE/rendered/egress/acl.conf.new" \
  || fail setup.egress "the list of what containers may reach is not right" "correct networks/egress.yaml, $LARES_STATE/egress.yaml or $LARES_STATE/gpu-nodes as said above"
mv "$LARES_STATE/rendered/lan.list.new" "$LARES_STATE/rendered/lan.list"
mv "$LARES_STATE/rendered/egress/acl.conf.new" "$LARES_STATE/rendered/egress/acl.conf"
