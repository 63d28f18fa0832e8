#!/usr/bin/env bash
# Send the magic packet to each GPU node that gpu-scheduler has just asked to be woken.
#
#   setup/gpu-wake.sh NODES_FILE FOLDER
#
# The folder is gpu-scheduler's volume: only the names of its files are read, and only nodes whose hardware address the
# owner has given (NODES_FILE) are woken. So whoever holds that container can wake those machines, and nothing more.
set -euo pipefail
nodes=$1 folder=$2
[ -s "$nodes" ] || exit 0
while read -r name address hardware; do
  [ "$hardware" != - ] || continue
  # Asked for within half a minute: an older file has been answered.
  [ -n "$(find "$folder" -maxdepth 1 -type f -name "$name" -newermt '-30 seconds' 2>/dev/null)" ] || continue
  device=$(ip -o route get "$address" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  ip -o -4 addr show dev "$device" | awk '{ print $4 }' | /usr/bin/python3 -c '
import ipaddress, socket, sys
hardware, address = sys.argv[1], ipaddress.ip_address(sys.argv[2])
own = [ipaddress.ip_interface(line.strip()).network for line in sys.stdin]
packet = b"\xff" * 6 + bytes.fromhex(hardware.replace(":", "")) * 16
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for network in (network for network in own if address in network):
        # A packet may get lost, and nobody says that it arrived.
        for _ in range(3):
            sender.sendto(packet, (str(network.broadcast_address), 9))
' "$hardware" "$address"
  echo "woke $name"
done <"$nodes"
