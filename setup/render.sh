# What is made from the committed lists for this house: the rules of egress-proxy. Nothing secret.

install -d -m 0755 "$LARES_STATE/rendered" "$LARES_STATE/rendered/egress" "$LARES_STATE/models"
# No `-s`: an empty list is a list. The file is replaced in one move.
/usr/bin/python3 "$LARES_ROOT/setup/render_egress.py" "$LARES_NET" \
    "$LARES_ROOT/networks/egress.yaml" "$LARES_STATE/egress.yaml" >"$LARES_STATE/rendered/egress/acl.conf.new" \
  || fail setup.egress "the list of permitted domains is not right" "correct networks/egress.yaml or $LARES_STATE/egress.yaml as said above"
mv "$LARES_STATE/rendered/egress/acl.conf.new" "$LARES_STATE/rendered/egress/acl.conf"
