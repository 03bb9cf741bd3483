#!/usr/bin/env bash
# Clones a TPC-H database between two regions over simulated links. `make bench-regions` calls this; README.md says
# what it measures.
set -euo pipefail
cd "$(dirname "$0")/.."

source benches/tools.sh
exec "$target/release/testkit" run --fsync "--${FLAVOR:-mysql}" --s3 --sshd -- python3 benches/regions.py \
    --flavor "${FLAVOR:-mysql}" --scale "${SCALE:-0.1}" --threads "${THREADS:-4}" --rounds "${ROUNDS:-1}" \
    --round-trip "${ROUND_TRIP:-80}" --rate "${RATE:-25000000}" --directory "$target/bench" "$@"
