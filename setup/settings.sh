# What this house is called and where it lives. Order: the environment, then what an earlier run recorded, then
# the default. Recorded in $LARES_STATE/env (and, for the main house, in .env, for plain `docker compose`).

# name=default; nothing secret may ever stand here.
settings_defaults() {
  cat <<DEFAULTS
COMPOSE_PROJECT_NAME=lares
LARES_NET=10.89
LARES_BRIDGE=lares
LARES_LISTEN=0.0.0.0
LARES_HTTP_PORT=80
LARES_HTTPS_PORT=443
LARES_HOST=$(hostname -s 2>/dev/null || echo lares).local
LARES_TLS=internal
LARES_ACME_EMAIL=
LARES_VERSION=dev
LARES_DOCKER_GID=$(stat -c %g /var/run/docker.sock 2>/dev/null || echo 0)
LARES_MTU=$(outside_mtu)
LARES_CONFIG=$(config_digest)
LARES_VALKEY_MAXMEMORY=96mb
LARES_LOCAL_LLM_MEMORY=768m
LARES_LOCAL_LLM_CPUS=$(nproc)
LARES_MODEL_PATH=/models/default.gguf
LARES_LOCAL_LLM_CONTEXT=4096
LARES_LOCAL_LLM_SLOTS=1
LARES_LOCAL_LLM_THREADS=0
LARES_LOCAL_LLM_IDLE_SECONDS=600
LARES_MODELS_YAML=$LARES_ROOT/inference/models.yaml
LARES_INFERENCE_DISABLED=
LARES_GPU_SCHEDULER_DISABLED=
LARES_GPU_NODE_IDLE_SECONDS=0
LARES_MEMORY_CONSOLIDATION=on
LARES_MEMORY_SYNC=on
LARES_MEMORY_SYNC_TIERS=convenience
DEFAULTS
}

# The way out of this machine may carry smaller packets than a bridge does by default.
outside_mtu() {
  local device
  device=$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
  cat "/sys/class/net/${device:-none}/mtu" 2>/dev/null || echo 1500
}

# One name for all files that are mounted into containers: Compose itself does not look into them.
config_digest() {
  local digest
  digest=$(cd "$LARES_ROOT" && find edge inference "$LARES_STATE/rendered" -type f ! -path '*/models/*' -print0 2>/dev/null \
    | sort -z | xargs -0 -r sha256sum | sha256sum)
  printf '%.16s' "$digest"
}

# Machine facts are measured anew every time; all else is kept as recorded.
settings_measured=" LARES_DOCKER_GID LARES_MTU LARES_CONFIG "

settings_load() {
  local name default recorded
  while IFS='=' read -r name default; do
    if [[ "$settings_measured" == *" $name "* ]]; then
      recorded=$default
    elif [ -n "${!name+set}" ]; then
      recorded=${!name}
    elif [ -s "$LARES_STATE/env" ] && grep -q "^$name=" "$LARES_STATE/env"; then
      recorded=$(sed -n "s/^$name=//p" "$LARES_STATE/env" | head -n 1)
    else
      recorded=$default
    fi
    case $recorded in
      *[!A-Za-z0-9._:@/+,-]*) fail setup.setting "$name holds a character that is not allowed: $recorded" "set it to plain text" ;;
    esac
    export "$name=$recorded"
  done < <(settings_defaults)
  export LARES_STATE
}

# Written beside and renamed: an interrupted run leaves the old file or the new one.
settings_save() {
  local name _
  {
    printf '# Written by make up. Change a line and run make up again. No secrets here.\n'
    while IFS='=' read -r name _; do printf '%s=%s\n' "$name" "${!name}"; done < <(settings_defaults)
    printf 'LARES_STATE=%s\n' "$LARES_STATE"
  } >"$LARES_STATE/env.new"
  mv "$LARES_STATE/env.new" "$LARES_STATE/env"
  if [ "$LARES_STATE" = "$LARES_ROOT/.lares" ]; then
    cp "$LARES_STATE/env" "$LARES_ROOT/.env.new"
    mv "$LARES_ROOT/.env.new" "$LARES_ROOT/.env"
  fi
}

# Every call to Compose speaks of this house and no other.
compose() {
  [ -s "$LARES_STATE/env" ] || settings_save
  # Without the lock: what outlives a killed set-up must not hold up the next one.
  docker compose --project-directory "$LARES_ROOT" -f "$LARES_ROOT/compose.yaml" --env-file "$LARES_STATE/env" "$@" 9>&-
}
