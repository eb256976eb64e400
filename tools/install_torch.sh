#!/bin/sh
# Install torch, in the build for the CPU, into the environment $1: from this machine where pip's settings name a place
# that has it, or from where uv knows it to be. What the package index has brings gigabytes of CUDA, so it comes last.
set -eu
python=$1/bin/python
torch=$(grep '^torch==' constraints.txt)
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --no-index --no-deps "$torch" 2>/dev/null ||
    "$1/bin/uv" pip install --quiet --python "$python" --torch-backend cpu "$torch" ||
    "$python" -m pip install --quiet --disable-pip-version-check "$torch"
