#!/usr/bin/env bash
# `make image-vllm`: the image of vLLM for NVIDIA's cards, out of Debian's and PyPI's parts. Only who wants it builds it.
set -euo pipefail
NODE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LARES_ROOT=$(cd "$NODE_ROOT/.." && pwd)
cd "$LARES_ROOT"
source setup/lib.sh
source gpu-node/setup/node.sh
source setup/check-root.sh

folder=gpu-node/images/vllm
lock=$folder/requirements-$(uname -m).txt
[ -s "$lock" ] || fail node.vllm_image "vLLM publishes no wheels for $(uname -m)" "use llama.cpp on this machine"
version=$(sed -n 's/^vllm==\([^ ]*\) .*/\1/p' "$lock")
image=lares/vllm:$version
if docker image inspect "$image" >/dev/null 2>&1 && [ -z "${AGAIN:-}" ]; then
  say "$image is here already (make image-vllm AGAIN=yes builds it anew)"
  exit 0
fi

# The image, its packed layers while they are made, and room for the engine to work.
needed_mib=24000
place=$(docker info --format '{{.DockerRootDir}}')
free_mib=$(df -Pm "$place" | awk 'NR == 2 { print $4 }')
[ "$free_mib" -ge "$needed_mib" ] \
  || fail node.vllm_image "$place has $free_mib MiB free, and building vLLM's image needs $needed_mib" "make room there, then run make image-vllm again"

mkdir -p "$LARES_LOG" "$LARES_CACHE"
install -d -m 0700 "$LARES_TMP"
source setup/base-image.sh
say "building $image: 3.7 GiB are fetched, 9 GB stay (the log is $LARES_LOG/image-vllm.log)"
tar -c -C "$folder" Dockerfile "${lock##*/}" -C "$LARES_CACHE" host-ca \
  | DOCKER_BUILDKIT=1 docker build --progress plain --build-arg "BASE_IMAGE=$LARES_BASE_IMAGE" -t "$image" - \
      >"$LARES_LOG/image-vllm.log" 2>&1 || {
  tail -n 20 "$LARES_LOG/image-vllm.log" >&2
  fail node.vllm_image "the image could not be built" "read $LARES_LOG/image-vllm.log, then run make image-vllm again"
}
say "$image is built: name it under image: in models.yaml"
