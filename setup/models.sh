#!/usr/bin/env bash
# `make models`: better chat models for local-llm. NAME=, URL= with SHA256=, or FILE= say which; nothing lists them.
# `make model-key NAME=`: the key of a model server outside the house.
set -euo pipefail

LARES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_STATE=${LARES_STATE:-$LARES_ROOT/.lares}
source "$LARES_ROOT/setup/lib.sh"

[ -d "$LARES_STATE" ] || fail models.no_house "there is no house in $LARES_STATE yet" "run make up first"
[ -w "$LARES_STATE" ] || fail models.no_root "the house's folder $LARES_STATE belongs to root" "run it again with sudo"
run() { exec /usr/bin/python3 "$LARES_ROOT/setup/models.py" "$LARES_STATE" "$@"; }

if [ "${1:-}" = key ]; then
  [ -n "${NAME:-}" ] || fail models.key_name "whose key is it?" "make model-key NAME=openai"
  run key "$NAME"
elif [ -n "${NAME:-}" ]; then
  run fetch "$NAME"
elif [ -n "${URL:-}" ]; then
  [ -n "${SHA256:-}" ] || fail models.checksum_missing "an address without SHA256 cannot be trusted" "copy the checksum that the file's owner publishes: make models URL=... SHA256=..."
  run fetch-url "$URL" "$SHA256"
elif [ -n "${FILE:-}" ]; then
  run add "$FILE"
else
  run list
fi
