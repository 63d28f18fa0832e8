# The two published ports must be free, or held by this very house.

port_listens() {
  local hex
  hex=$(printf '%04X' "$1")
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }'
}

held_by_this_house() {
  have docker || return 1
  docker ps --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --filter "publish=$1" --format '{{.ID}}' 2>/dev/null | grep -q .
}

port_holder() {
  local holder=
  have docker && holder=$(docker ps --filter "publish=$1" --format 'the container {{.Names}}' 2>/dev/null | head -n 1)
  [ -n "$holder" ] || holder=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
  printf '%s' "${holder:-another program}"
}

for port in "$LARES_HTTP_PORT" "$LARES_HTTPS_PORT"; do
  if port_listens "$port" && ! held_by_this_house "$port"; then
    fail setup.port_taken "port $port is taken by $(port_holder "$port")" \
      "stop it, or choose others: make up LARES_HTTP_PORT=8080 LARES_HTTPS_PORT=8443"
  fi
done
