# Docker Engine, Compose and buildx from Debian's packages, each only when it is missing.

need_packages=()
have dockerd     || need_packages+=(docker.io)
have iptables    || need_packages+=(iptables)
have debootstrap || need_packages+=(debootstrap)
have openssl     || need_packages+=(openssl)
have ip          || need_packages+=(iproute2)
/usr/bin/python3 -c 'import yaml' 2>/dev/null || need_packages+=(python3 python3-yaml)

if [ ${#need_packages[@]} -gt 0 ]; then
  say "installing from Debian: ${need_packages[*]}"
  apt_install "${need_packages[@]}" ca-certificates
fi
# Trixie splits the client off into a package of its own; bookworm's docker.io holds it.
have docker || apt_install docker-cli

plugin_dir=/usr/local/lib/docker/cli-plugins

# Bookworm has no Compose v2 and no buildx. Trixie's are static enough to run there, so they are
# unpacked, never installed: installing them from trixie would move this machine's libc.
unpack_plugin() {
  local package=$1 plugin=$2 work
  work=$(mktemp -d "$LARES_TMP/plugin.XXXXXX")
  (
    cd "$work"
    trixie_apt download "$package" >"$LARES_LOG/$package.log" 2>&1
    dpkg -x ./*.deb unpacked
    install -D -m 0755 "unpacked/usr/libexec/docker/cli-plugins/$plugin" "$plugin_dir/$plugin"
  ) || fail setup.plugin "could not unpack $package" "see $LARES_LOG/$package.log, then run make up again"
  rm -rf "$work"
}

# apt with trixie's lists alone, kept apart from this machine's own.
trixie_apt() {
  local lists=$LARES_CACHE/trixie-apt mirror
  mkdir -p "$lists/state/lists/partial" "$lists/cache/archives/partial"
  if [ ! -s "$lists/trixie.sources" ]; then
    mirror=$(debian_mirror) || return 1
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$LARES_DEBIAN" \
      /usr/share/keyrings/debian-archive-keyring.gpg >"$lists/trixie.sources"
  fi
  local -a options=(
    -o "Dir::Etc::sourcelist=$lists/trixie.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$lists/state/lists" -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=root
  )
  if [ ! -e "$lists/updated" ]; then
    apt-get "${options[@]}" update -q || return 1
    touch "$lists/updated"
  fi
  apt-get "${options[@]}" -q "$@"
}

ensure_plugin() {
  local package=$1 plugin=$2 command=$3
  docker "$command" version >/dev/null 2>&1 && return 0
  say "installing $package"
  apt_update_once
  # The stock package only where Debian is new enough to have one that is a CLI plugin.
  if [ "$HOST_DEBIAN_VERSION" -ge 13 ]; then
    apt_install "$package"
  else
    unpack_plugin "$package" "$plugin"
  fi
  docker "$command" version >/dev/null 2>&1 \
    || fail setup.plugin "docker $command does not work after installing $package" "run: docker $command version"
}

ensure_plugin docker-compose docker-compose compose
ensure_plugin docker-buildx docker-buildx buildx
