# The one image that is not built here. A registry has it, or debootstrap makes it from this machine's own mirror.
# Then this machine's own CA certificates go in, under a name of our own, so that pip works behind a TLS proxy.

# make_base_with_debootstrap [ARCHITECTURE IMAGE]: this machine's own, if nothing else is asked for.
make_base_with_debootstrap() {
  local architecture=${1:-$(dpkg --print-architecture)} image=${2:-$LARES_BASE_IMAGE}
  local root mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(debian_mirror) || fail setup.mirror "no Debian mirror in this machine's apt configuration" "add one to /etc/apt/sources.list.d"
  root=$(mktemp -d "$LARES_TMP/base.XXXXXX")
  # shellcheck disable=SC2064  # the path is wanted as it is now
  trap "rm -rf '$root'" RETURN
  quietly "$LARES_LOG/debootstrap.log" debootstrap --arch="$architecture" --variant=minbase --keyring="$keyring" \
    --include=ca-certificates "$LARES_DEBIAN" "$root" "$mirror" \
    || fail setup.base_image "debootstrap failed" "see $LARES_LOG/debootstrap.log and run make up again"
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/log/* \
    "$root"/usr/share/{doc,man,locale,info,lintian}/*
  # What is installed later must leave these out too, or every image carries them.
  printf 'path-exclude /usr/share/%s/*\n' doc man locale info lintian >"$root/etc/dpkg/dpkg.cfg.d/slim"
  printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/slim"
  tar -C "$root" --numeric-owner -c . | docker import - "$image" >/dev/null
}

if ! docker image inspect "$LARES_BASE_IMAGE" >/dev/null 2>&1; then
  say "fetching the base image $LARES_BASE_IMAGE"
  if ! timeout 20 docker pull -q "$LARES_BASE_IMAGE" >"$LARES_LOG/pull.log" 2>&1; then
    say "no registry answers: making it with debootstrap (about a minute)"
    make_base_with_debootstrap
  fi
fi

# The CA certificates are a build context of their own: what the host trusts, the builds trust.
ca_dir=$LARES_CACHE/host-ca
mkdir -p "$ca_dir"
find "$ca_dir" -type f -delete
touch "$ca_dir/.keep"
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
  cp -L /usr/local/share/ca-certificates/*.crt "$ca_dir/"
fi
