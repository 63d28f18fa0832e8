# What the token says about this node and its house becomes settings; its secret stays in JOIN.

if [ -n "${JOIN:-}" ]; then
  have python3 || apt_install python3
  said=$(printf '%s' "$JOIN" | /usr/bin/python3 -c '
import base64, json, sys
word = sys.stdin.read().strip()
body = word.removeprefix("lares1.")
if body == word: sys.exit(1)
told = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
for name, key in (("LARES_NODE", "node"), ("LARES_NODE_ADDRESS", "address"), ("LARES_HOUSE_ADDRESS", "house"),
                  ("LARES_HOUSE_HTTPS_PORT", "https_port"), ("LARES_HOUSE_HTTP_PORT", "http_port")):
    print(f"{name}={told[key]}")
' 2>/dev/null) || fail node.token_broken "JOIN is no token of make gpu-node, or a part of it is missing" "copy the whole word that begins with lares1."
  while IFS='=' read -r name value; do export "$name=$value"; done <<<"$said"
  ip -o -4 addr show | grep -qF " $LARES_NODE_ADDRESS/" \
    || fail node.address "the token is for the address $LARES_NODE_ADDRESS, which this machine does not have" "on the house run: sudo make gpu-node NAME=$LARES_NODE ADDRESS=$(ip -o route get "$LARES_HOUSE_ADDRESS" 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')"
fi
