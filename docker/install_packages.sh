#!/bin/sh
# The pinned packages, into /opt/venv. Root, in a build.
# Call: install_packages.sh REQUIREMENTS [TORCH_INDEX]
#
# --no-deps as in the Makefile: the list is complete (docs/adr/003-opencv-headless.md). With
# TORCH_INDEX torch and torchvision come from there, in the pinned versions, and what only CUDA
# needs stays out.
set -eu
requirements=$1 torch_index=${2:-}
only_cuda='^(nvidia-|cuda-|triton==)'
from_torch='^(torch|torchvision)=='

python3.11 -m venv /opt/venv
list=/tmp/install-packages.txt
if [ -n "$torch_index" ]; then
    grep -E "$from_torch" "$requirements" >"$list"
    /opt/venv/bin/pip install --quiet --no-deps --index-url "$torch_index" -r "$list"
    grep -Ev "$only_cuda|$from_torch" "$requirements" >"$list"
else
    cp "$requirements" "$list"
fi
/opt/venv/bin/pip install --quiet --no-deps -r "$list"
rm "$list"
