#!/usr/bin/env bash
# Erase what a test house has left in the engine, whichever checkout brought it up: its state may be gone with its folder.
#   setup/erase-leftovers.sh PROJECT
set -euo pipefail
project=$1
case $project in *-test) ;; *) echo "erase-leftovers: $project is no test house" >&2; exit 1 ;; esac
command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1 || exit 0
label="label=com.docker.compose.project=$project"
docker ps -aq --filter "$label" --filter label=com.docker.compose.config-hash | xargs -r docker rm -f >/dev/null
docker volume ls -q --filter "$label" | xargs -r docker volume rm >/dev/null
docker network ls -q --filter "$label" | xargs -r docker network rm >/dev/null
