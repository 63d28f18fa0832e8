#!/usr/bin/env bash
# The unit of the host that sends magic packets: there while a GPU node has a hardware address, and only then.
#
#   setup/gpu-wake-install.sh STATE_DIR
set -euo pipefail
state=$1
setting() { sed -n "s/^$1=//p" "$state/env" | head -n 1; }
unit=lares-gpu-wake-$(setting LARES_BRIDGE)
units=/etc/systemd/system
script=$(readlink -f "$(dirname "$0")/gpu-wake.sh")

if ! awk '$3 != "-" { found = 1 } END { exit !found }' "$state/gpu-nodes" 2>/dev/null; then
  [ -e "$units/$unit.path" ] || exit 0
  systemctl disable --now "$unit.path" >/dev/null 2>&1 || true
  rm -f "$units/$unit.path" "$units/$unit.service"
  exit 0
fi
if [ ! -d /run/systemd/system ]; then
  echo "WARNING: this machine has no systemd: nobody will look for nodes to wake; run $script by other means" >&2
  exit 0
fi
volume=$(setting COMPOSE_PROJECT_NAME)_gpu-wake
folder=$(docker volume inspect -f '{{.Mountpoint}}' "$volume")
printf '%s\n' '[Unit]' 'Description=Lares: look for GPU nodes to wake' '[Path]' "PathChanged=$folder" '[Install]' 'WantedBy=multi-user.target' >"$units/$unit.path.new"
# It reads two folders and sends one packet: everything else is taken from it.
printf '%s\n' '[Unit]' 'Description=Lares: wake a GPU node' 'StartLimitIntervalSec=60' 'StartLimitBurst=20' '[Service]' 'Type=oneshot' \
  "ExecStart=$script $state/gpu-nodes $folder" 'TimeoutStartSec=20' 'NoNewPrivileges=yes' 'CapabilityBoundingSet=CAP_DAC_READ_SEARCH' \
  'ProtectSystem=strict' 'ProtectHome=read-only' 'PrivateTmp=yes' 'PrivateDevices=yes' 'ProtectKernelTunables=yes' 'ProtectKernelModules=yes' \
  'ProtectControlGroups=yes' 'RestrictAddressFamilies=AF_INET AF_NETLINK' 'RestrictNamespaces=yes' 'MemoryDenyWriteExecute=yes' \
  'SystemCallFilter=@system-service' 'MemoryMax=64M' >"$units/$unit.service.new"
changed=
for kind in path service; do
  if cmp -s "$units/$unit.$kind.new" "$units/$unit.$kind"; then rm "$units/$unit.$kind.new"; else mv "$units/$unit.$kind.new" "$units/$unit.$kind"; changed=1; fi
done
[ -z "$changed" ] || systemctl daemon-reload
systemctl enable --now "$unit.path" >/dev/null 2>&1
