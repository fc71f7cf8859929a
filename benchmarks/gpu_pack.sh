#!/usr/bin/env bash
# Packs what benchmarks/gpu.sh needs on a machine with a card and without a network: wheels of what is missing there, the
# images as they are compressed, and the commit. It stays below 60 MB.
#
# usage: MNIST=FOLDER [CIFAR10=FILE] benchmarks/gpu_pack.sh [PACK]      PACK: benchmarks/gpu-pack
#   MNIST    folder of the four *-ubyte.gz files
#   CIFAR10  .tar.xz of {train,test}/CLASS/*.jpg; left out, so is its column
#   MISSING  packages that the machine lacks, of the versions installed here; pure Python, since its Python is another
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
pack=${1:-benchmarks/gpu-pack}
missing=${MISSING:-hydra-core omegaconf antlr4-python3-runtime hydra-joblib-launcher hydra-submitit-launcher submitit
    vector-quantize-pytorch torch-einops-utils einx frozendict loguru}

rm -rf "$pack"
mkdir -p "$pack/wheels" "$pack/MNIST/raw"
git describe --always --abbrev=40 --dirty --exclude='*' > "$pack/commit"
for name in $missing; do
    version=$("$python" -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' "$name")
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$pack/wheels" "$name==$version"
done
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$pack/wheels" .
if find "$pack/wheels" -name '*.whl' ! -name '*-none-any.whl' | grep .; then
    echo "these wheels fit this machine's Python alone" >&2
    exit 1
fi
cp "${MNIST:?folder of the four *-ubyte.gz files}"/*-ubyte.gz "$pack/MNIST/raw/"
if [ -n "${CIFAR10:-}" ]; then cp "$CIFAR10" "$pack/cifar10.tar.xz"; fi
chmod -R u+w "$pack"

size=$(du -sm "$pack" | cut -f1)
echo "$pack: $size MB"
[ "$size" -le 60 ]
