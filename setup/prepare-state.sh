# The house's own folder, and the promise that one run at a time works on it.

install -d -m 0711 "$LARES_STATE"
LARES_LOG=$LARES_STATE/log
LARES_TMP=$LARES_STATE/tmp
mkdir -p "$LARES_LOG" "$LARES_CACHE"
exec 9>"$LARES_STATE/lock"
flock -n 9 || fail setup.running "another run is under way for this house" "wait until it ends, or end it, then run make up again"
# What an interrupted run has left half made.
rm -rf "$LARES_TMP"
install -d -m 0700 "$LARES_TMP"

settings_load
