#!/usr/bin/env bash
# Clones a TPC-H database by mysqldump and by dbgraft. `make bench` calls this; README.md says what it measures.
set -euo pipefail
cd "$(dirname "$0")/.."

source benches/tools.sh
exec "$target/release/testkit" run --fsync "--${FLAVOR:-mysql}" --s3 -- python3 benches/clone.py \
    --flavor "${FLAVOR:-mysql}" --scale "${SCALE:-0.2}" --threads "${THREADS:-4}" --rounds "${ROUNDS:-3}" \
    --directory "$target/bench" "$@"
