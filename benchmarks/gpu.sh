#!/usr/bin/env bash
# gpu.py on a machine that has torch, and neither this project's other packages nor a network:
#   benchmarks/gpu.sh wheels [3.12]       where there is a network: fetches the packages for that Python into wheels/
#   benchmarks/gpu.sh OUT [--minutes 9]   on the machine: installs them beside the others, for this run only, and runs
set -euo pipefail
if [ $# = 0 ]; then
    sed -n 's/^# *//p' "$0" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if [ "$1" = wheels ]; then
    rm -rf "$root/wheels" # two versions of one package would not install
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${2:-3.12}" \
        --implementation cp --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        -c "$root/constraints.txt" -r "$root/benchmarks/wheels.txt" -d "$root/wheels"
    du -sh "$root/wheels"
    exit
fi
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
"$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$root"/wheels/*.whl
PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" "$python" "$root/benchmarks/gpu.py" "$@"
