# Memory and disk, before they run out half way.

memory_min_mib=${LARES_MEMORY_MIN_MIB:-3000}
memory_mib=$(awk '/^MemTotal:/ { print int($2 / 1024) }' "$sysroot/proc/meminfo")
[ "$memory_mib" -ge "$memory_min_mib" ] \
  || fail setup.memory "this machine has $memory_mib MiB of memory and the house needs $memory_min_mib" \
    "use a machine with 4 GB or more"

# The first build fills about 6 GB; later ones add what has changed.
disk_min_mib=${LARES_DISK_MIN_MIB:-$([ -s "$LARES_STATE/env" ] && echo 1500 || echo 8000)}
engine_data=/var/lib/docker
[ -d "$engine_data" ] || engine_data=/var/lib
for place in "$engine_data" "$LARES_ROOT"; do
  disk_mib=$(df -Pm "$place" | awk 'NR == 2 { print $4 }')
  [ "$disk_mib" -ge "$disk_min_mib" ] \
    || fail setup.disk "$place has $disk_mib MiB free and set-up needs $disk_min_mib" \
      "make room, for example with: docker system prune"
done
