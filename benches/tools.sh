# Installs and builds what the benchmarks need. Their scripts source it; it sets `target` and PATH.
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
tools=$target/bench/venv
if ! "$tools/bin/tpchgen-cli" --version >/dev/null 2>&1 || ! "$tools/bin/aws" --version >/dev/null 2>&1; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check awscli==1.46.3 tpchgen-cli==4.0.0
fi
cargo build --quiet --release --package dbgraft --bin dbgraft --package dbgraft-testkit --bin testkit
PATH=$tools/bin:$PATH
