# node-agent and the models' servers, built here; or those that were loaded here, where LARES_NODE_BUILD=no.

if [ "$LARES_NODE_BUILD" = no ]; then
  docker image inspect "lares/node-agent:$LARES_VERSION" >/dev/null 2>&1 \
    || fail node.build "the image lares/node-agent:$LARES_VERSION is not here, and nothing is to be built" "load it (docker load), or run make up LARES_NODE_BUILD=yes"
else
  source setup/base-image.sh
  say "building (the first time takes some minutes; the log is $LARES_LOG/build.log)"
  compose --progress plain --profile images build >"$LARES_LOG/build.log" 2>&1 </dev/null || {
    grep -E 'ERROR:|error:' "$LARES_LOG/build.log" | tail -n 20 >&2
    fail node.build "an image could not be built" "read $LARES_LOG/build.log, then run make up again"
  }
fi
