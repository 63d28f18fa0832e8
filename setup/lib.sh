# Shared by every set-up script; sourced, never run. Bash, with `set -euo pipefail` set by the caller.

# Debian's release whose packages the images are made of.
readonly LARES_DEBIAN=trixie
readonly LARES_BASE_IMAGE="debian:${LARES_DEBIAN}-slim"

say()  { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
warn() { printf 'WARNING: %s\n' "$*" >&2; }

# fail CODE "what is wrong" "what to do": one coded error, then out.
fail() {
  printf '\nERROR %s: %s\n' "$1" "$2" >&2
  [ -z "${3:-}" ] || printf '  What to do: %s\n' "$3" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# quietly LOG COMMAND...: run with the output kept in a log, shown only when it fails.
quietly() {
  local log=$1; shift
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    return 1
  fi
}

has_systemd() { [ -d /run/systemd/system ]; }

# The Debian mirror that this machine's own apt uses: the one place the mirror's address comes from.
debian_mirror() {
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null \
    | grep -v -- '-security' | head -n 1)
  if [ -z "$mirror" ]; then
    # Before the first `apt-get update` the origin is unknown: read the configured addresses instead.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Component: main' 2>/dev/null \
      | grep '/debian/*$' | head -n 1)
  fi
  [ -n "$mirror" ] || return 1
  printf '%s\n' "${mirror%/}"
}

# Keep apt's lists fresh, but ask the mirror at most once in a run.
apt_update_once() {
  [ -z "${LARES_APT_UPDATED:-}" ] || return 0
  quietly "$LARES_LOG/apt-update.log" apt-get update -q \
    || fail setup.apt_update "the package lists could not be fetched" "check the network and /etc/apt, then run make up again"
  LARES_APT_UPDATED=1
}

apt_install() {
  apt_update_once
  DEBIAN_FRONTEND=noninteractive quietly "$LARES_LOG/apt-install.log" \
    apt-get install -y -q --no-install-recommends "$@" \
    || fail setup.apt_install "could not install: $*" "see $LARES_LOG/apt-install.log, then run make up again"
}
