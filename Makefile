# `make` alone says what there is to make.

SHELL := /bin/bash
# Not by `cargo run`: it gives its children variables by which the build script of ring would run anew, and with it half of
# the dependencies, in each cargo that the test kit starts.
TESTKIT = cargo build --quiet --workspace --bin testkit && $${CARGO_TARGET_DIR:-target}/debug/testkit
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
LINT := target/lint/bin
PYTHON := target/python/tools/bin
PYTHON_CODE := --config bindings-python/pyproject.toml bindings-python examples/python
# maturin builds with this file, once it has written it. Builds with and without it would each compile pyo3 anew.
PYO3_CONFIG := $(lastword $(wildcard $(CURDIR)/target/maturin/pyo3-config-*.txt))
ifneq ($(PYO3_CONFIG),)
export PYO3_CONFIG_FILE := $(PYO3_CONFIG)
endif
# Servers beside MySQL 9.7 and MariaDB 10.11, for the tests between releases.
RELEASES := --mysql56 --mariadb105 --mariadb118
# The servers of the demo: mysql or mariadb.
DEMO ?= mysql
# The kills of the soak test, and the first seed.
KILLS ?= 200
SEED ?= 1
# The seconds for each fuzz target.
SECONDS ?= 60

.PHONY: help demo demo-regions test test-rust test-python test-node test-long test-versions soak fuzz lint bench bench-regions bench-follow agent wheel npm browser tools releases compiler python nodejs

help: ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 21

demo: tools ## Clone a small shop through S3 between two throw-away servers (DEMO=mariadb: MariaDB)
	cargo build --workspace --bins
	$(TESTKIT) run --$(DEMO) --s3 -- examples/demo.sh

demo-regions: tools ## The same between two regions, over SSH: through S3, without it, by tunnels (DEMO=mariadb: MariaDB)
	cargo build --workspace --bins
	$(TESTKIT) run --$(DEMO) --s3 --sshd -- examples/regions.sh

test: tools lint nodejs python browser ## Check the code, and run every test against MySQL, MariaDB, S3 and sshd (but `test-long`, `soak`, `test-versions`)
	@mkdir -p target/test-logs; rm -f target/test-logs/*; failed=; part() { \
		$(MAKE) --no-print-directory test-$$1 > target/test-logs/$$1 2>&1 || touch target/test-logs/$$1.failed; \
	}; \
	cargo build --workspace --bins --tests && { part node & part python & }; \
	$(MAKE) --no-print-directory test-rust 2>&1 | tee target/test-logs/rust; \
	[ $${PIPESTATUS[0]} = 0 ] || touch target/test-logs/rust.failed; \
	wait; cat target/test-logs/python target/test-logs/node; \
	for part in rust python node; do [ ! -e target/test-logs/$$part.failed ] || failed="$$failed $$part"; done; \
	awk '/^failures:$$/ { said = !said } said && ++lines <= 300' target/test-logs/rust; \
	sed -nE 's/^(test .* \.\.\. FAILED|(FAILED|ERROR) .*|not ok .*|    ✖ .*)/failed: \1/p' target/test-logs/*; \
	awk '/^test result:/ { passed += $$4; failed += $$6 } END { print "Rust: " passed " passed, " failed " failed" }' target/test-logs/rust; \
	sed -nE 's/^=* ?(([0-9]+ (passed|failed|errors?),? ?)+) in .*/Python: \1/p' target/test-logs/python; \
	sed -nE 's/^(#|ℹ) (pass|fail) ([0-9]+)/Node: \3 \2ed/p' target/test-logs/node; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# Four times as many tests at once as processors: most of their time they wait for servers.
test-rust: releases ## Run the tests of Rust (part of `make test`)
	export RUST_TEST_THREADS=$$((4 * $$(nproc))) DBGRAFT_TEST_SAMPLE=1; $(TESTKIT) run --mysql --mariadb $(RELEASES) --s3 --sshd -- \
		cargo test --workspace --no-fail-fast

test-long: releases ## Run all integration tests, each on both families: also lost hosts, rows of 64 MiB, memory
	export RUST_TEST_THREADS=$$((4 * $$(nproc))); $(TESTKIT) run --mysql --mariadb $(RELEASES) --s3 --sshd -- cargo test \
		--workspace --no-fail-fast --test integration -- --include-ignored --skip many_kills --skip soak_ --skip between_all_releases

test-versions: releases ## Clone each theme of the conformance suite between every two releases (PAIRS=mysql56-mysql97 CONFORMANCE=views)
	$(TESTKIT) run --mysql --mariadb $(RELEASES) -- \
		cargo test --workspace --test integration -- --ignored --nocapture versions::

# Without the Python module, which maturin builds with a feature more: each of the two builds would undo the other.
test-node: NODE = $${CARGO_TARGET_DIR:-target}/debug
test-node: tools nodejs browser ## Test the package for Node, as it is installed in an empty project (part of `make test`)
	cargo build --workspace --exclude dbgraft-python
	bindings-node/pack.sh $(NODE)/libdbgraft_node.so $(NODE)/dbgraft target/node-test/npm
	$(TESTKIT) run --mysql --mariadb --s3 --sshd -- bindings-node/test/run.sh target/node-test/npm/dbgraft-*.tgz target/node-test

test-python: tools python browser $(PYTHON)/ruff target/python/env/ready ## Check the Python package, and test it as it is installed (part of `make test`)
	$(PYTHON)/ruff check $(PYTHON_CODE) && $(PYTHON)/ruff format --check $(PYTHON_CODE)
	cargo build --workspace --bins
	install -D "$${CARGO_TARGET_DIR:-target}/debug/dbgraft" bindings-python/python/dbgraft/bin/dbgraft
	rm -rf target/python/wheel
	$(PYTHON)/maturin build --quiet --features workspace --manifest-path bindings-python/Cargo.toml --out target/python/wheel
	target/python/env/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/python/wheel/*.whl
	cd bindings-python && ../target/python/env/bin/mypy
	cd bindings-python && ../target/python/env/bin/stubtest dbgraft._native
	$(TESTKIT) run --mysql --mariadb --s3 --sshd -- target/python/env/bin/pytest -q bindings-python/tests

soak: tools ## Kill clones in every phase, resume or abandon them, and compare (KILLS=200, SEED=1)
	cargo build --workspace --bins
	export DBGRAFT_SOAK_KILLS=$(KILLS) DBGRAFT_SOAK_SEED=$(SEED); $(TESTKIT) run --s3 -- \
		cargo test --workspace --test integration -- --ignored --nocapture --test-threads 1 many_kills soak_

# Each target begins with its seeds, which are in the repository, and with what it has found before, which is in target/.
fuzz: FUZZ = PATH="$(CURDIR)/target/fuzz-tools/bin:$$PATH" cargo +nightly fuzz
fuzz: compiler ## Feed changed bytes to each parser of what another side sends (SECONDS=60 for each target)
	@rustc +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@test -x target/fuzz-tools/bin/cargo-fuzz || cargo install --quiet --locked --root target/fuzz-tools cargo-fuzz
	cd core && $(FUZZ) build --target-dir ../target/fuzz
	cd core && for target in $$($(FUZZ) list); do \
		mkdir -p ../target/fuzz/corpus/$$target; \
		$(FUZZ) run --target-dir ../target/fuzz $$target ../target/fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-fork=0 -max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 || exit 1; \
	done

lint: compiler python ## Check the code: format, clippy, documentation, and the benchmark's Python
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@$(LINT)/ruff --version >/dev/null 2>&1 || { python3 -m venv target/lint && \
		$(LINT)/pip install --quiet --disable-pip-version-check ruff==0.17.6 mypy==2.4.1; }
	$(LINT)/ruff check benches && $(LINT)/ruff format --check benches && $(LINT)/mypy --strict benches

bench: tools python ## Compare with what people do today: mysqldump, gzip and the AWS command (SCALE=1 FLAVOR=mariadb THREADS=8)
	benches/clone.sh

bench-regions: tools python ## Clone between two regions over lines of 80 ms and 25 MB/s (RATE=5000000 ROUND_TRIP=200 SCALE=1)
	benches/regions.sh

bench-follow: tools python ## Apply one log by following and by the server's own replication (FLAVOR=mariadb TRANSACTIONS=20000)
	benches/follow.sh

# Static, so that it runs whatever libraries a host has. glibc then resolves names by DNS and /etc/hosts only: other
# sources (LDAP, mDNS) are plugins, which a static executable cannot count on. Naming the target keeps build scripts
# and macros, which must be dynamic, out of it.
agent: TARGET = $(shell rustc -vV | sed -n 's/^host: //p')
agent: compiler ## Build the static executable for hosts on which work runs: target/agent/dbgraft, for --agent-binary
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target $(TARGET) --package dbgraft --bin dbgraft
	install -D "$${CARGO_TARGET_DIR:-target}/$(TARGET)/release/dbgraft" target/agent/dbgraft
	@ldd target/agent/dbgraft 2>&1 | grep -q "statically linked\|not a dynamic" || \
		{ echo "target/agent/dbgraft is not static:" >&2; ldd target/agent/dbgraft >&2; exit 1; }
	@target/agent/dbgraft --version && wc -c target/agent/dbgraft

npm: agent nodejs ## Build the package for Node: target/npm/dbgraft-VERSION.tgz
	cargo build --release --package dbgraft-node
	bindings-node/pack.sh "$${CARGO_TARGET_DIR:-target}/release/libdbgraft_node.so" target/agent/dbgraft target/npm
	@ls -l target/npm

wheel: agent python $(PYTHON)/ruff ## Build the Python package, with the command in it: target/wheel
	install -D target/agent/dbgraft bindings-python/python/dbgraft/bin/dbgraft
	$(PYTHON)/maturin build --release --manifest-path bindings-python/Cargo.toml --out target/wheel

$(PYTHON)/ruff: | python
	python3 -m venv target/python/tools
	$(PYTHON)/pip install --quiet --disable-pip-version-check maturin==1.16.0 ruff==0.17.6

# The environment of the tests, into which each run installs the package anew.
target/python/env/ready: bindings-python/tests/requirements.txt | python
	rm -rf target/python/env && python3 -m venv target/python/env
	target/python/env/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# A browser without a window, for the pages of the examples.
browser:
	@command -v chromium >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y chromium; }

# Servers for the tests and the demo; does nothing where they are.
tools: compiler
	$(TESTKIT) install

# npm has MySQL 5.6, Debian the others.
releases: tools nodejs
	$(TESTKIT) install $(RELEASES)

# Rust cannot link without a C compiler; zstd and ring are partly C.
compiler:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y gcc libc6-dev; }
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

# Python's tools come into virtual environments below target/.
python:
	@python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y python3 python3-venv; }

nodejs:
	@command -v npm >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends nodejs npm; }
