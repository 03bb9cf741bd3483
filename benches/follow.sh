#!/usr/bin/env bash
# Applies one log by dbgraft and by the server's own replication. `make bench-follow` calls this; README.md says what it
# measures.
set -euo pipefail
cd "$(dirname "$0")/.."

source benches/tools.sh
exec "$target/release/testkit" run --fsync "--${FLAVOR:-mysql}" --s3 -- python3 benches/follow.py \
    --flavor "${FLAVOR:-mysql}" --transactions "${TRANSACTIONS:-20000}" --directory "$target/bench" "$@"
