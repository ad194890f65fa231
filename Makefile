# Tetrarch. `make help` lists what there is.
SHELL := /bin/sh
XTASK = cargo xtask
TARGET = $(or $(CARGO_TARGET_DIR),target)
quote = '$(subst ','\'',$(1))'
RUN_ARGUMENTS = $(if $(RUN),--run $(call quote,$(RUN))) $(if $(PACKAGES),--packages $(call quote,$(PACKAGES))) $(if $(FILES),--files $(call quote,$(FILES))) $(if $(KERNEL),--kernel $(KERNEL)) $(if $(KERNELS),--kernels $(KERNELS)) $(if $(TIER),--tier $(TIER)) $(if $(SEED),--seed $(call quote,$(SEED))) $(if $(LOG),--log $(LOG)) $(if $(VERBOSE),--verbose)

.PHONY: suites help setup run-qemu-aarch64 operator demo run-qemu-raspi4b sdcard debug state logs replay test test-host model test-qemu lint deny size diversity campaign soak clean model-capabilities model-ipc model-consensus miri bench simulate

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-18s %s\n", $$1, $$2 }'

setup: ## install what is missing (Debian 12), saying what and why
	@scripts/setup

run-qemu-aarch64: setup ## boot four kernels and a vote; RUN="command" runs it and hands out its exit status; PACKAGES="lua5.4 sqlite3": Debian's, with what they need; FILES="a b": yours, in /root; KERNEL=lazy: one kernel alone; KERNELS=classic,lazy,actor,journal: by slot; TIER=3: on kernels that offer threads
	@$(XTASK) run $(RUN_ARGUMENTS)

operator: ## the operator's console of the session that runs, from another terminal: status, verdicts, inject ..., replace ..., policy ..., help
	@$(XTASK) operator

demo: setup ## a short tour: four unlike kernels, one lies, one crashes, one is replaced; the answers stay right
	@$(XTASK) demo

sdcard: setup ## target/tetrarch-rpi4.img for a Raspberry Pi 4, and how to flash it; FIRMWARE=directory: without network; ARMSTUB=file: e.g. Trusted Firmware
	@$(XTASK) sdcard $(if $(FIRMWARE),--firmware $(FIRMWARE)) $(if $(ARMSTUB),--armstub $(ARMSTUB))

run-qemu-raspi4b: sdcard ## boot QEMU's Raspberry Pi 4 from the files of that image
	@$(XTASK) run --card $(TARGET)/tetrarch-rpi4.img $(if $(VERBOSE),--verbose)

debug: setup ## gdb over EL2, services, kernels and program; RUN="command" and the rest as above
	@$(XTASK) debug $(RUN_ARGUMENTS)

state: ## a running session: KERNEL=k1 its threads, last calls and counters; else all domains, and whether tables, capabilities and manifest agree
	@$(if $(KERNEL),$(XTASK) look threads $(KERNEL) && $(XTASK) look turns $(KERNEL) && $(XTASK) look counters $(KERNEL),$(XTASK) look domains && $(XTASK) look capabilities)

logs: ## what all images logged in the last session, by time; FOLLOW=1: of one that runs, as it comes
	@$(XTASK) logs $(if $(FOLLOW),--follow)

replay: setup ## LOG=file: run a recorded log again on one kernel and compare its output
	@$(XTASK) replay $(if $(KERNEL),--kernel $(KERNEL)) $(or $(LOG),$(error LOG=file is missing; each run leaves one in target/session.log))

test: setup lint test-host model simulate test-qemu ## everything CI runs

test-host: ## unit, property and model tests on this machine
	cargo test --workspace --quiet --exclude system-tests
	cargo test --quiet -p ipc --features seeded-bugs --test controls

miri: ## undefined behaviour: all tests of the rings and of the capability model (nightly; not in CI)
	CARGO_TARGET_DIR=$(TARGET)/miri MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --quiet -p ipc
	CARGO_TARGET_DIR=$(TARGET)/miri MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --quiet -p capability-model

bench: ## costs: on the host in nanoseconds, on QEMU in instructions; target/bench.json
	@scripts/bench

model: model-ipc model-capabilities model-consensus ## everything that is explored rather than tested

model-ipc: ## every interleaving of a small ring (loom), and its seeded faults of order
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(TARGET)/loom cargo test --quiet --release -p ipc --test model -- --nocapture
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(TARGET)/loom cargo test --quiet --release -p ipc --features seeded-bugs --test model

simulate: ## SEEDS=10000: clusters of replicas under faults and liars, each run replayed by its seed; FIRST=n: from n on
	@SEEDS=$(or $(SEEDS),10000) FIRST=$(or $(FIRST),0) cargo run --quiet --release -p consensus-simulator --bin simulate

# $(call explore,PACKAGE,TESTS,CELLS): runs tests that print rows, and shows these as two tables: checks, and seeded faults of CELLS cells.
define explore
	@mkdir -p target
	@LONG=$(LONG) cargo test --quiet --release --package $(1) $(2:%=--test %) -- \
	  --nocapture --test-threads=1 > target/model-$(1).log 2>&1 || { cat target/model-$(1).log; exit 1; }
	@echo '| Check | Size | States | Depth | Time | Result |'
	@echo '|---|---|---|---|---|---|'
	@sed -n 's/^[^|]*\(|.*|\)$$/\1/p' target/model-$(1).log | awk -F'|' 'NF == 8'
	@echo
	@sed -n 's/^[^|]*\(|.*|\)$$/\1/p' target/model-$(1).log | awk -F'|' 'NF == $(3) + 2'
endef

model-consensus: ## explore the replicas: 10^5 states, Twins, seeded faults; LONG=1: 10^6 states, Twins to 5 rounds, all seeds for each fault
	$(call explore,consensus-simulator,model twins faults,4)

model-capabilities: ## explore the capability model: 10^6 operations and states, 10^7 hostile inputs, seeded faults; LONG=1: 10^7 each
	$(call explore,capability-model,reference model decoder confinement faults,3)

test-qemu: ## whole-system tests on QEMU
	cargo test --quiet --release --package system-tests -- --test-threads=1

lint: ## formatting, clippy for host and target, the project's own rules (tests/tidy)
	cargo fmt --all --check
	cargo test --quiet --package tidy
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet --release --target aarch64-unknown-none-softfloat -p loader -p microkernel -p manager -p replica -p gate -p devices -p classic -p lazy -p actor -p journal -p minimal -- -D warnings
	cargo clippy --quiet --release --target aarch64-unknown-none -p replica -- -D warnings

deny: ## licences, sources and duplicates of all dependencies, by cargo-deny (built once into target/tools)
	@[ -x $(TARGET)/tools/bin/cargo-deny ] || { echo "building cargo-deny, once"; cargo install --quiet --locked cargo-deny --version 0.20.2 --root $(TARGET)/tools; }
	@$(TARGET)/tools/bin/cargo-deny --offline check bans licenses sources

size: ## lines of code of microkernel and model, without tests and comments; bytes of the images of EL2 and of its loader
	@scripts/size

diversity: ## how unlike the kernels are: lines and machine functions that pairs have in common, what they depend on, whom found differences hit
	@scripts/diversity

campaign: setup ## RUNS=50: the determinism and fault tests, many times, under host load; eleven builds of EL2 with a hole each, which tests must find; a core and 64 MiB lent 1,000 times; 10^5 inputs while replicas stop, come back and lie; each fault in each kernel, and back to four; 10^6 attempts of a kernel that was taken over, and ten builds in which it must get through
	RUNS=$(or $(RUNS),50) cargo test --quiet --release --package system-tests --test campaign --test scenarios --test replicas --test return --test snapshot --test voices --test robustness --test suites --test hostile -- --ignored --nocapture --test-threads=1
	cargo test --quiet -p guests --test holes --test leases -- --ignored --nocapture

soak: setup ## MINUTES=60: a fault every few seconds in one machine, drawn by SEED=1: no byte changes, nobody else is accused, memory does not grow
	MINUTES=$(or $(MINUTES),60) SEED=$(or $(SEED),1) cargo test --quiet --release --package system-tests --test soak -- --ignored --nocapture

suites: setup ## others' test suites on each kernel alone and on Debian's kernel; the table goes into docs/results.md
	@scripts/suites

clean: ## remove what was built
	cargo clean
