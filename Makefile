# Sentinel on Raft. `make help` lists the targets.

CARGO ?= cargo
RUNS ?= 10

# cargo-nextest if it is there (it honours .config/nextest.toml), else cargo test, one real-process test at a time.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUN_TESTS = $(CARGO) nextest run --workspace && $(CARGO) test --workspace --doc --quiet
RUN_SOAK = $(CARGO) nextest run --release -p integration --profile soak
else
RUN_TESTS = $(CARGO) test --workspace --no-fail-fast -- --test-threads=1
RUN_SOAK = $(CARGO) test --release -p integration --no-fail-fast -- --test-threads=1 --nocapture
endif

.DEFAULT_GOAL := help
.PHONY: help demo cluster test soak bench fuzz check fix deps

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

deps: ## Install redis-server, and a linker, from the system's packages if they are missing
	@deploy/install-deps.sh build server

demo: deps ## Start one master, two replicas and three nodes, kill the master, and watch the failover
	$(CARGO) build --quiet -p sentinel-node -p integration --bins
	@$(CARGO) run --quiet -p integration --bin demo

cluster: deps ## The same deployment, left running until Ctrl-C
	$(CARGO) build --quiet -p sentinel-node -p integration --bins
	@$(CARGO) run --quiet -p integration --bin cluster

test: deps ## All tests, including those with real processes and real client libraries
	@deploy/install-deps.sh sentinel openssl clients
	$(CARGO) build -p sentinel-node --bins
	SENTINEL_TEST_SLACK=$${SENTINEL_TEST_SLACK:-3} PROPTEST_RNG_SEED=$${PROPTEST_RNG_SEED:-1} $(RUN_TESTS)

soak: deps ## The real-process tests with their full repetitions, strict limits of time, release build (half an hour)
	@deploy/install-deps.sh openssl clients
	$(CARGO) build --release -p sentinel-node --bins
	SENTINEL_TEST_SOAK=1 $(RUN_SOAK)

bench: deps ## Failover time and address queries beside the system's redis-sentinel (RUNS=10)
	@deploy/install-deps.sh bench
	$(CARGO) build --release --quiet -p sentinel-node -p integration --bins
	@$(CARGO) run --release --quiet -p integration --bin bench -- --runs $(RUNS)

fuzz: ## Fuzz every parser, and the property tests with new inputs (TIME=600 seconds each; TARGETS="conf acl")
	@integration/fuzz/run $(TARGETS)

check: ## Formatting, lints, documentation, architecture: changes nothing
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO) test --quiet -p integration --test architecture

fix: ## Format, and apply what clippy can repair
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all
