#!/usr/bin/env bash
# The unit of this machine that suspends it when node-agent asks: there while LARES_NODE_SUSPEND=true, and only then.
# node-agent can do nothing but touch one file; what follows from it is written here, by root.
#
#   gpu-node/setup/suspend-install.sh STATE_DIR [remove]
set -euo pipefail
state=$1
setting() { sed -n "s/^$1=//p" "$state/env" | head -n 1; }
units=/etc/systemd/system
if [ "${2:-}" = remove ] || [ "$(setting LARES_NODE_SUSPEND)" != true ]; then
  [ -e "$units/lares-gpu-suspend.path" ] || exit 0
  systemctl disable --now lares-gpu-suspend.path >/dev/null 2>&1 || true
  rm -f "$units"/lares-gpu-suspend.{path,service}
  exit 0
fi
if [ ! -d /run/systemd/system ]; then
  echo "WARNING: this machine has no systemd: it will not be suspended" >&2
  exit 0
fi
printf '%s\n' '[Unit]' 'Description=Lares: look whether node-agent asks to suspend' \
  '[Path]' "PathChanged=$state/host" '[Install]' 'WantedBy=multi-user.target' >"$units/lares-gpu-suspend.path"
printf '%s\n' '[Unit]' 'Description=Lares: suspend this GPU node' 'StartLimitIntervalSec=600' 'StartLimitBurst=5' \
  '[Service]' 'Type=oneshot' "ExecStart=$(readlink -f "$(dirname "$0")/suspend.sh") $state/host/suspend" >"$units/lares-gpu-suspend.service"
systemctl daemon-reload
systemctl enable --now lares-gpu-suspend.path >/dev/null 2>&1
