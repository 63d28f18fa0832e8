# Start what has changed, and wait until the house's own probes pass.

compose --progress quiet up -d --no-build --remove-orphans >"$LARES_LOG/start.log" 2>&1 </dev/null || {
  tail -n 20 "$LARES_LOG/start.log" >&2
  fail setup.start "the containers could not be started" "read the lines above and $LARES_LOG/start.log"
}
/usr/bin/python3 "$LARES_ROOT/setup/wait_healthy.py" "$COMPOSE_PROJECT_NAME" "${LARES_WAIT_SECONDS:-300}" \
  || fail setup.unhealthy "not every container became healthy in time" "read one's log: make logs SERVICE=name"
