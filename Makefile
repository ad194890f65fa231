# Tetrarch. `make help` lists what there is.
SHELL := /bin/sh
XTASK = cargo xtask
TARGET = $(or $(CARGO_TARGET_DIR),target)
quote = '$(subst ','\'',$(1))'
RUN_ARGUMENTS = $(if $(RUN),--run $(call quote,$(RUN))) $(if $(KERNEL),--kernel $(KERNEL)) $(if $(SEED),--seed $(call quote,$(SEED))) $(if $(LOG),--log $(LOG)) $(if $(VERBOSE),--verbose)

.PHONY: help setup run-qemu-aarch64 replay test test-host model test-qemu lint campaign clean model-ipc bench-ipc simulate bench-consensus

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

setup: ## install what is missing (Debian 12), saying what and why
	@scripts/setup

run-qemu-aarch64: setup ## boot four kernels and a vote; RUN="command" runs it and hands out its exit status; KERNEL=classic: one kernel alone
	@$(XTASK) run $(RUN_ARGUMENTS)

replay: setup ## LOG=file: run a recorded log again on one kernel and compare its output
	@$(XTASK) replay $(if $(KERNEL),--kernel $(KERNEL)) $(or $(LOG),$(error LOG=file is missing; each run leaves one in target/session.log))

test: setup lint test-host model simulate test-qemu ## everything CI runs

test-host: ## unit, property and model tests on this machine
	cargo test --workspace --quiet --exclude system-tests
	cargo test --quiet -p ipc --features seeded-bugs --test controls

model-ipc: ## every interleaving of a small ring (loom), its seeded faults, and the ring's tests under Miri (nightly)
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(TARGET)/loom cargo test --quiet --release -p ipc --test model -- --nocapture
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(TARGET)/loom cargo test --quiet --release -p ipc --features seeded-bugs --test model
	CARGO_TARGET_DIR=$(TARGET)/miri MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --quiet -p ipc

bench-ipc: ## what a ring costs: on the host beside rtrb and heapless, on QEMU in instructions; target/bench.json
	@scripts/bench-ipc

bench-consensus: ## what agreement costs: on the host, and on QEMU in instructions; target/bench.json
	@scripts/bench-consensus

simulate: ## SEEDS=10000: whole clusters of replicas under faults and liars, each run replayed by its seed; FIRST=n: from seed n on
	@SEEDS=$(or $(SEEDS),10000) FIRST=$(or $(FIRST),0) cargo run --quiet --release -p consensus-simulator --bin simulate

model: ## explore the capability model (10^6 operations and states, 10^7 hostile inputs) and the replicas (10^5 states), with seeded faults; LONG=1: ten times as much
	@mkdir -p target
	@LONG=$(LONG) cargo test --quiet --release --package capability-model --test reference --test model --test decoder --test faults -- \
	  --nocapture --test-threads=1 > target/model.log 2>&1 || { cat target/model.log; exit 1; }
	@LONG=$(LONG) cargo test --quiet --release --package consensus-simulator --test model --test twins --test faults -- \
	  --nocapture --test-threads=1 >> target/model.log 2>&1 || { cat target/model.log; exit 1; }
	@echo '| Check | Size | States | Depth | Time | Result |'
	@echo '|---|---|---|---|---|---|'
	@sed -n 's/^[^|]*\(|.*|\)$$/\1/p' target/model.log | awk -F'|' 'NF == 8'
	@echo
	@sed -n 's/^[^|]*\(|.*|\)$$/\1/p' target/model.log | awk -F'|' 'NF == 5'
	@echo
	@sed -n 's/^[^|]*\(|.*|\)$$/\1/p' target/model.log | awk -F'|' 'NF == 6'

test-qemu: ## whole-system tests on QEMU
	cargo test --quiet --release --package system-tests -- --test-threads=1

lint: ## formatting and clippy, host and target
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet --release --target aarch64-unknown-none-softfloat -p microkernel -p manager -p sequencer -p gate -p devices -p classic -- -D warnings

campaign: setup ## RUNS=50: the determinism and fault tests, many times, under host load
	RUNS=$(or $(RUNS),50) cargo test --quiet --release --package system-tests --test campaign -- --ignored --nocapture --test-threads=1

clean: ## remove what was built
	cargo clean
