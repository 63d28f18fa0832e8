# Every image, from the layers that are already there where nothing has changed.

# `make setup` needs only what tests start by themselves.
only=()
[ "${1:-}" != setup ] || only=(postgres valkey embedder local-llm)

say "building (the first time takes some minutes; the log is $LARES_LOG/build.log)"
if ! compose --progress plain build "${only[@]}" >"$LARES_LOG/build.log" 2>&1 </dev/null; then
  grep -E 'ERROR:|error:|^#[0-9]+ [0-9.]+ closure\.' "$LARES_LOG/build.log" | tail -n 20 >&2
  fail setup.build "an image could not be built" "read $LARES_LOG/build.log, then run make up again"
fi
