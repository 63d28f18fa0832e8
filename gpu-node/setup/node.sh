# The node's own settings; sourced by the scripts beside this one, after ../setup/lib.sh.
# Order: the environment, then what an earlier run recorded in .state/env, then the default.

LARES_NODE_STATE=${LARES_NODE_STATE:-$NODE_ROOT/.state}
LARES_STATE=$LARES_NODE_STATE
LARES_LOG=$LARES_NODE_STATE/log
LARES_TMP=$LARES_NODE_STATE/tmp
LARES_CACHE=$LARES_ROOT/.cache

engine_socket() { case ${DOCKER_HOST:-} in unix://*) printf '%s' "${DOCKER_HOST#unix://}" ;; *) printf /var/run/docker.sock ;; esac; }

# What is in the machine: nvidia, amd or nothing.
cards_found() {
  if compgen -G '/dev/nvidia[0-9]*' >/dev/null; then echo nvidia
  elif [ -e /dev/kfd ] && compgen -G '/sys/class/drm/card*/device/mem_info_vram_total' >/dev/null; then echo amd
  else echo simulated; fi
}

# Whose group may open an AMD card, by number: the names differ from system to system.
card_groups() { stat -c %g /dev/kfd /dev/dri/renderD* 2>/dev/null | grep -vx 0 | sort -un | paste -sd, || true; }

# name=default; nothing secret stands here. The first five are the token's.
node_defaults() {
  cat <<DEFAULTS
LARES_NODE=
LARES_NODE_ADDRESS=
LARES_HOUSE_ADDRESS=
LARES_HOUSE_HTTPS_PORT=443
LARES_HOUSE_HTTP_PORT=80
LARES_NODE_CARDS=$(cards_found)
LARES_NODE_CARD_GROUPS=$(card_groups)
LARES_NODE_SIMULATED_CARDS=
LARES_NODE_SIMULATED_USE=
LARES_NODE_SIMULATED_FAULTS=
LARES_NODE_RAM_BUDGET_MIB=0
LARES_NODE_SUSPEND=false
LARES_NODE_WAKE_MAC=
LARES_NODE_STOP_MODELS=false
LARES_NODE_WEIGHTS=$NODE_ROOT/models
LARES_NODE_CATALOGUE=$NODE_ROOT
LARES_NODE_SELF=lares-node-agent
LARES_GPU_PROJECT=lares-gpu
LARES_GPU_BRIDGE=lares-gpu
LARES_GPU_NET=10.86.0
LARES_MODELS_NET=10.87
LARES_VERSION=dev
LARES_NODE_BUILD=yes
LARES_ENGINE_SOCKET=$(engine_socket)
LARES_DOCKER_GID=$(stat -c %g "$(engine_socket)" 2>/dev/null || echo 0)
LARES_CONFIG=$(sha256sum "$LARES_NODE_STATE/tls/node.pem" 2>/dev/null | cut -c 1-16)
DEFAULTS
}
node_measured=" LARES_DOCKER_GID LARES_NODE_CARD_GROUPS LARES_CONFIG "

node_load() {
  local name default recorded
  while IFS='=' read -r name default; do
    if [[ "$node_measured" == *" $name "* ]]; then recorded=$default
    elif [ -n "${!name:-}" ]; then recorded=${!name}
    elif [ -s "$LARES_NODE_STATE/env" ] && grep -q "^$name=" "$LARES_NODE_STATE/env"; then
      recorded=$(sed -n "s/^$name=//p" "$LARES_NODE_STATE/env" | head -n 1)
    else recorded=$default; fi
    case $recorded in
      *[!A-Za-z0-9._:@/+,-]*) fail node.setting "$name holds a character that is not allowed: $recorded" "set it to plain text" ;;
    esac
    export "$name=$recorded"
  done < <(node_defaults)
  # Without a card the models compute on the processor, and a played one is what is scheduled.
  if [ "$LARES_NODE_CARDS" = simulated ] && [ -z "$LARES_NODE_SIMULATED_CARDS" ]; then export LARES_NODE_SIMULATED_CARDS=sim-0:24576; fi
  # Only a machine that can be woken is ever suspended: the house is told how.
  if [ "$LARES_NODE_SUSPEND" = true ] && [ -z "$LARES_NODE_WAKE_MAC" ] && [ -n "$LARES_NODE_ADDRESS" ]; then
    LARES_NODE_WAKE_MAC=$(cat "/sys/class/net/$(ip -o -4 addr show | awk -v own="$LARES_NODE_ADDRESS" 'index($4, own "/") == 1 { print $2; exit }')/address" 2>/dev/null || true)
    export LARES_NODE_WAKE_MAC
  fi
  export LARES_NODE_STATE
}

node_save() {
  local name _
  {
    printf '# Written by make up. Change a line and run make up again. No secrets here.\n'
    while IFS='=' read -r name _; do printf '%s=%s\n' "$name" "${!name}"; done < <(node_defaults)
    printf 'LARES_NODE_STATE=%s\n' "$LARES_NODE_STATE"
  } >"$LARES_NODE_STATE/env.new"
  mv "$LARES_NODE_STATE/env.new" "$LARES_NODE_STATE/env"
}

compose() {
  local -a files=(-f "$NODE_ROOT/compose.yaml")
  [ "$LARES_NODE_CARDS" != nvidia ] || files+=(-f "$NODE_ROOT/compose.nvidia.yaml")
  docker compose --project-directory "$NODE_ROOT" "${files[@]}" --env-file "$LARES_NODE_STATE/env" "$@" 9>&-
}

joined() { [ -s "$LARES_NODE_STATE/tls/node.pem" ] && [ -s "$LARES_NODE_STATE/tls/key.pem" ] && [ -s "$LARES_NODE_STATE/tls/authority.pem" ]; }

# One run at a time works on the node's folder.
node_lock() {
  install -d -m 0711 "$LARES_NODE_STATE"
  exec 9>"$LARES_NODE_STATE/lock"
  flock -n 9 || fail setup.running "another run is under way for this node" "wait until it ends, or end it, then try again"
}
