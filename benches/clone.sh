#!/usr/bin/env bash
# Clones a TPC-H database side by side: today's way and dbgraft. `make bench` calls this; README.md says what it measures.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
tools=$target/bench/venv
if ! "$tools/bin/tpchgen-cli" --version >/dev/null 2>&1 || ! "$tools/bin/aws" --version >/dev/null 2>&1; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check awscli==1.46.3 tpchgen-cli==4.0.0
fi
cargo build --quiet --release --package dbgraft --bin dbgraft --package dbgraft-testkit --bin testkit

PATH=$tools/bin:$PATH
exec "$target/release/testkit" run "--${FLAVOR:-mysql}" --s3 -- python3 benches/clone.py \
    --flavor "${FLAVOR:-mysql}" --scale "${SCALE:-0.2}" --threads "${THREADS:-4}" --rounds "${ROUNDS:-3}" \
    --directory "$target/bench" "$@"
