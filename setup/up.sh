#!/usr/bin/env bash
# `make up`: from a fresh Debian or Raspberry Pi OS machine to a house that answers.
# `make setup` (setup/up.sh setup) stops after the engine and the images that tests start on their own.
# A table of contents: each line is a short script beside this one, sourced in order.
# Safe to interrupt and to repeat: each step looks first and changes only what is missing.
set -euo pipefail

LARES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_STATE=${LARES_STATE:-$LARES_ROOT/.lares}
LARES_CACHE=$LARES_ROOT/.cache
cd "$LARES_ROOT"
started_at=$SECONDS

source setup/lib.sh
source setup/settings.sh

step "Looking (nothing is changed yet)"
source setup/check-root.sh
source setup/check-system.sh
source setup/check-resources.sh
source setup/prepare-state.sh
[ "${1:-}" = setup ] || source setup/check-ports.sh

step "Engine"
source setup/engine-install.sh
source setup/engine-start.sh
source setup/base-image.sh

if [ "${1:-}" = setup ]; then
  source setup/test-tools.sh
  step "Images for tests"
  source setup/build.sh
  exit 0
fi

step "House"
source setup/check-data.sh
source setup/secrets.sh
source setup/render.sh
settings_load
settings_save
"$LARES_ROOT/setup/firewall.sh" "$LARES_STATE"

step "Images"
source setup/build.sh

step "Start"
source setup/start.sh
source setup/greet.sh
