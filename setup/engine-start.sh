# Start the engine: through systemd where there is one, by ourselves where there is none.

engine_answers() { docker info >/dev/null 2>&1; }

if ! engine_answers; then
  if has_systemd; then
    say "starting the engine (systemd)"
    systemctl enable --now docker >/dev/null 2>&1 || true
  else
    say "starting the engine (no systemd here)"
    # A session of its own, so that it outlives this shell and its terminal; without our lock, which it would hold.
    setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null 9>&- &
    # .ci/run stops only the engine that a set-up of ours has started.
    printf '%s\n' $! >/run/lares-dockerd.pid
  fi
  for _ in $(seq 1 60); do engine_answers && break; sleep 1; done
  engine_answers || fail setup.engine "the Docker engine does not answer after 60 seconds" \
    "look at: journalctl -u docker -n 50, or /var/log/dockerd.log"
fi
