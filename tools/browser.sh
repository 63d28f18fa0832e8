#!/bin/sh
# Have a Chromium for the browser tests: Debian's own. Prints its path.
set -eu
find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
if ! find_browser >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "browser.missing: the browser tests need Chromium: sudo apt-get install chromium" >&2
        exit 1
    fi
    { apt-get update -q && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core; } >&2
fi
find_browser
