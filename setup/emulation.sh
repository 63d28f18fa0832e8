# Let this kernel run arm64 programs: trixie's qemu (bookworm's crashes in onnxruntime), registered with the flags that
# open it at once (F), so that containers need not hold it; and an arm64 base made by the emulated debootstrap.

qemu=$LARES_CACHE/qemu/qemu-aarch64
if [ ! -x "$qemu" ]; then
  work=$(mktemp -d "$LARES_TMP/qemu.XXXXXX")
  ( cd "$work" && trixie_apt download qemu-user >"$LARES_LOG/qemu.log" 2>&1 && dpkg -x ./*.deb unpacked ) \
    || fail setup.emulation "could not fetch qemu-user" "see $LARES_LOG/qemu.log"
  install -D -m 0755 "$work/unpacked/usr/bin/qemu-aarch64" "$qemu"
  rm -rf "$work"
fi
if [ "$(uname -m)" != aarch64 ] && [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
  [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc \
    || fail setup.emulation "this kernel has no binfmt_misc" "run make arm64 on another machine, or on an arm64 one"
  # The ELF header of an aarch64 program, and which of its bits count.
  printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$qemu"':POF' \
    >/proc/sys/fs/binfmt_misc/register \
    || fail setup.emulation "the kernel refused to register qemu" "see dmesg"
fi

# The engine takes it for this machine's own architecture, which suits: for another one, a build would ask a registry
# for the base. The programs in it are arm64 and say so.
if ! docker image inspect "$base" >/dev/null 2>&1; then
  say "making the arm64 base with debootstrap (some minutes, emulated)"
  make_base_with_debootstrap arm64 "$base"
fi
