#!/usr/bin/env bash
# `make arm64`: every image of the house built for arm64 and started until healthy, by emulation on this machine.
# A third house of its own; its table is docs/arm64.md. Slow, and no part of `make test`.
set -euo pipefail

LARES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LARES_STATE=$LARES_ROOT/.lares-arm64 COMPOSE_PROJECT_NAME=lares-arm64 LARES_NET=10.98 LARES_BRIDGE=larm \
  LARES_HTTP_PORT=8689 LARES_HTTPS_PORT=8688 LARES_LISTEN=127.0.0.1 LARES_HOST=arm64.lares.test LARES_VERSION=arm64
LARES_CACHE=$LARES_ROOT/.cache
base=debian:trixie-slim-arm64
table=$LARES_ROOT/docs/arm64.md
cd "$LARES_ROOT"
source setup/lib.sh
source setup/settings.sh

step "Looking"
source setup/check-root.sh
source setup/check-system.sh
source setup/check-resources.sh
source setup/prepare-state.sh
source setup/check-ports.sh

step "Engine and emulation"
source setup/engine-install.sh
source setup/engine-start.sh
source setup/base-image.sh
source setup/emulation.sh

step "House"
source setup/secrets.sh
source setup/render.sh
settings_load
settings_save
setup/firewall.sh "$LARES_STATE"
# Purge takes the lock itself.
trap 'exec 9>&-; YES=1 setup/down.sh purge >/dev/null 2>&1 || true' EXIT

step "Images"
for service in $(compose config --services | sort); do
  began=$SECONDS
  # Some containers share an image: Compose then has nothing to build for the second.
  compose --progress plain build --build-arg "BASE_IMAGE=$base" "$service" >"$LARES_LOG/build-$service.log" 2>&1 </dev/null || {
    tail -n 20 "$LARES_LOG/build-$service.log" >&2
    fail setup.build "the arm64 image of $service could not be built" "read $LARES_LOG/build-$service.log"
  }
  printf '  built        %-16s in %5d s\n' "$service" $((SECONDS - began))
done

step "Start"
# The emulator's own memory counts as the container's: the limits of the house are not for it.
compose --progress quiet up --no-start --no-build >"$LARES_LOG/create.log" 2>&1
docker update --memory 1g --memory-swap 1g $(compose ps -aq) >/dev/null
# Emulated, everything takes several times as long.
LARES_WAIT_SECONDS=${LARES_WAIT_SECONDS:-1200}
source setup/start.sh 2>&1 | tee "$LARES_LOG/healthy.txt"

{
  echo "# The house on arm64"
  echo
  echo "Made by \`make arm64\` with $("$qemu" --version | head -n 1 | sed 's/ Copyright.*//') on $(nproc) $(uname -m) cores: every image built for arm64 from its arm64"
  echo "packages, then the whole house started until healthy. Emulated seconds say nothing about a Raspberry Pi; that they end in"
  echo "\"healthy\" does. The memory limits are lifted, because the emulator's own memory counts as a container's."
  echo
  echo "| container | architecture | image, MB | outcome |"
  echo "|---|---|---|---|"
  for service in $(compose config --services | sort); do
    image=$(docker inspect -f '{{.Image}}' "$(compose ps -aq "$service")")
    bytes=$(docker image inspect -f '{{.Size}}' "$image")
    architecture=$(docker run --rm --network none --entrypoint dpkg "$image" --print-architecture)
    outcome=$(awk -v s="$service" '$2 == s { printf "%s %s %s %s", $1, $3, $4, $5 }' "$LARES_LOG/healthy.txt")
    echo "| $service | $architecture | $((bytes / 1000000)) | $outcome |"
  done
} >"$table.new"
mv "$table.new" "$table"
say "The table is $table"
