# Debian 12 or newer, or what is made of it, on a 64-bit machine with memory limits that work.
# LARES_SYSROOT lets a test show another machine's files.

sysroot=${LARES_SYSROOT:-}
[ -r "$sysroot/etc/os-release" ] || fail setup.system "this is no Debian: /etc/os-release is missing" "use Debian 12 or newer, or Raspberry Pi OS 64-bit"
os_id=$(. "$sysroot/etc/os-release"; echo "${ID:-} ${ID_LIKE:-}")
HOST_DEBIAN_VERSION=$(. "$sysroot/etc/os-release"; echo "${VERSION_ID%%.*}")
case " $os_id " in
  *" debian "* | *" raspbian "*) ;;
  *) fail setup.system "this is ${os_id%% *}, and Lares is made for Debian" "use Debian 12 or newer, or Raspberry Pi OS 64-bit" ;;
esac
# A rolling Debian has no number: it is newer than all that have one.
HOST_DEBIAN_VERSION=${HOST_DEBIAN_VERSION:-99}
[ "$HOST_DEBIAN_VERSION" -ge 12 ] || fail setup.system "Debian $HOST_DEBIAN_VERSION is too old" "upgrade to Debian 12 or newer"

machine=${LARES_ARCHITECTURE:-$(dpkg --print-architecture)}
case $machine in
  amd64 | arm64) ;;
  *) fail setup.architecture "the packages here are for $machine, and Lares needs a 64-bit system" "install the 64-bit Raspberry Pi OS or Debian" ;;
esac

# Raspberry Pi OS ships with the memory cgroup off; limits would be ignored without a word.
memory_limits_work() {
  if [ -f "$sysroot/sys/fs/cgroup/cgroup.controllers" ]; then
    grep -qw memory "$sysroot/sys/fs/cgroup/cgroup.controllers"
  else
    awk '$1 == "memory" && $4 == 1 { found = 1 } END { exit !found }' "$sysroot/proc/cgroups"
  fi
}
memory_limits_work || fail setup.memory_cgroup "the kernel's memory cgroup is off, so no container's memory would be limited" \
  "add  cgroup_enable=memory cgroup_memory=1  to the one line in /boot/firmware/cmdline.txt, then reboot"
