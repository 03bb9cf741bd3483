# `make` alone says what there is to make.

SHELL := /bin/bash
TESTKIT := cargo run --quiet --bin testkit --
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# The servers of the demo: mysql or mariadb.
DEMO ?= mysql

.PHONY: help demo test lint bench tools compiler python

help: ## Say what there is to make
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 15

demo: tools ## Clone a small shop through S3 between two throw-away servers (DEMO=mariadb: MariaDB)
	cargo build --workspace --bins
	$(TESTKIT) run --$(DEMO) --s3 -- examples/demo.sh

test: tools lint ## Check the code, and run every test against MySQL, MariaDB and S3
	$(TESTKIT) run --mysql --mariadb --s3 -- cargo test --workspace

lint: compiler ## Check the code: format, clippy, documentation
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

bench: tools python ## Compare with what people do today: mysqldump, gzip and the AWS command (SCALE=1 FLAVOR=mariadb THREADS=8)
	benches/clone.sh

# Servers for the tests and the demo; does nothing where they are.
tools: compiler
	$(TESTKIT) install

# Rust cannot link without a C compiler; zstd and ring are partly C.
compiler:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y gcc libc6-dev; }
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

# For the benchmark: the AWS command and the TPC-H generator come into a virtual environment below target/.
python:
	@python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y python3 python3-venv; }
