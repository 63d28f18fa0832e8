#!/bin/sh
# lares-install REQUIREMENTS TARGET: install exactly these lines, each by its hash, byte-compiled once and for all.
set -eu
mkdir -p "$2"
[ -s "$1" ] || exit 0
/opt/tools/bin/pip install -q --require-hashes --no-deps --only-binary :all: --no-compile --target "$2" -r "$1"
# Unchecked: the image never changes, so the interpreter need not look at the source at every start.
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$2" || true
