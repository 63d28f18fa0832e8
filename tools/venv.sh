#!/bin/sh
# Make or refresh .venv: the developers' environment, exactly as requirements.lock says. Idempotent.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv

if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q >/dev/null && apt-get install -y -q python3 python3-venv >/dev/null
    else
        echo "venv.python_missing: Python 3.11 or newer with its venv module is needed: sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi
# A folder whose interpreter went away (an upgraded machine) is made anew.
"$VENV/bin/python" -c '' 2>/dev/null || { rm -rf "$VENV"; python3 -m venv "$VENV"; }

export PIP_DISABLE_PIP_VERSION_CHECK=1
if [ ! -x "$VENV/bin/uv" ]; then
    bootstrap=$(mktemp)
    trap 'rm -f "$bootstrap"' EXIT
    "$VENV/bin/python" services/closure.py requirements.lock uv >"$bootstrap"
    "$VENV/bin/pip" install -q --require-hashes --no-deps -r "$bootstrap"
fi
# Behind a TLS proxy the machine's own authorities count, and uv has to be told.
[ -n "${SSL_CERT_FILE:-}" ] || [ ! -e /etc/ssl/certs/ca-certificates.crt ] \
    || export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
"$VENV/bin/uv" pip install -q --python "$VENV/bin/python" --require-hashes -r requirements.lock

# Every service's sources are importable by commands too (`python -m migrate`), as conftest.py does for tests.
site=$("$VENV/bin/python" -c 'import site; print(site.getsitepackages()[0])')
printf 'import glob, sys; sys.path.extend(sorted(glob.glob("%s/services/*/src")))\n' "$(pwd)" >"$site/lares_workspace.pth"
cp requirements.lock "$VENV/requirements.lock"
