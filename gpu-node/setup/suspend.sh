#!/usr/bin/env bash
# Suspend this machine if node-agent asked for it just now, and nobody is at work on it.
#   gpu-node/setup/suspend.sh FILE      LARES_SUSPEND_COMMAND replaces `systemctl suspend`, for a machine that does it otherwise
set -euo pipefail
file=$1
# Asked for within half a minute: a request from before the last suspend must not send it to sleep again.
[ -n "$(find "$file" -maxdepth 0 -type f -newermt '-30 seconds' 2>/dev/null)" ] || exit 0
if [ -n "$(who 2>/dev/null)" ]; then
  echo "somebody is logged in: not suspending"
  exit 0
fi
# The agent's last line to the house is on its way.
sleep "${LARES_SUSPEND_DELAY_SECONDS:-3}"
rm -f "$file"
exec ${LARES_SUSPEND_COMMAND:-systemctl suspend}
