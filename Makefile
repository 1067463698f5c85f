# Headrace: every command a person needs. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo up down test check lint generate pictures lock bench bench-hot-paths bench-simulator bench-features bench-handbook bench-handbook-features bench-quality bench-reco bench-scoring bench-reco-speed bench-exploration bench-drift bench-drift-loop bench-capacity

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stale when a lock file changes, so a pull that moves a pin reinstalls.
INSTALLED := $(VENV)/.installed
# What the features are measured beside; no part of Headrace needs it.
PEERS := .bench/peers-venv
PEERS_INSTALLED := $(PEERS)/.installed
# What recommendations are measured beside.
RECO_PEERS := .bench/reco-peers-venv
RECO_PEERS_INSTALLED := $(RECO_PEERS)/.installed
# What drift is measured beside.
DRIFT_PEERS := .bench/drift-peers-venv
DRIFT_PEERS_INSTALLED := $(DRIFT_PEERS)/.installed
# What scoring is measured beside: an environment each, since their pins conflict.
SCORING_PEERS := bentoml fastapi feast mlserver
SCORING_PEERS_INSTALLED := $(SCORING_PEERS:%=.bench/scoring-peers/%/.installed)

help:  ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(INSTALLED)  ## Make the virtual environment from the hash-pinned lock file

$(INSTALLED): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "Headrace needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(INSTALLED)

demo: setup  ## The whole life of two models, on real Kafka and Redis, in about 6 minutes
	$(BIN)/headrace demo

up: setup  ## Start Kafka, Redis and every service on this machine, and print the addresses
	$(BIN)/headrace up

down: setup  ## Stop what `make up` started
	$(BIN)/headrace down

test: check  ## Everything: check, then the whole suite on real Kafka and Redis
	$(BIN)/pytest

check: lint  ## Lint, types, generated files up to date
	$(BIN)/mypy
	$(BIN)/python -m docs.generate --check

lint: setup  ## Style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

generate: setup  ## Write what is derived from the code: schemas, the README's picture, tables in docs, dashboards
	$(BIN)/python -m docs.generate

pictures: setup  ## Draw the dashboards' panels from a Prometheus that watches a platform (URL=http://127.0.0.1:9090)
	$(BIN)/python -m deploy.grafana.pictures $(URL) --minutes 10

lock: setup  ## Resolve the newest versions that pyproject.toml allows into the lock files
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" tests/benchmarks/peers.in -o tests/benchmarks/peers.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" tests/benchmarks/reco_peers.in -o tests/benchmarks/reco_peers.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" tests/benchmarks/drift_peers.in -o tests/benchmarks/drift_peers.lock
	for peer in $(SCORING_PEERS:%=tests/benchmarks/scoring_peers/%); do $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" $$peer.in -o $$peer.lock || exit 1; done

bench: setup  ## Throughput and latency of the running platform, beside their floors
	$(BIN)/python -m tests.benchmarks.stream

bench-capacity: setup  ## What a core, a partition, a replica and a Redis shard carry (WRITE=1 also writes docs/capacity.md's tables)
	$(BIN)/python -m tests.benchmarks.capacity $(if $(WRITE),--page)

bench-hot-paths: setup  ## What a Kafka transaction and a batch of features cost on their own
	$(BIN)/python -m tests.benchmarks.hot_paths

bench-simulator: setup  ## How fast simulated payments are made
	$(BIN)/python -m tests.benchmarks.simulator

bench-features: setup $(PEERS_INSTALLED)  ## Exact features beside other libraries and designs (HEADRACE_DATA=folder of data sets, for the backfill)
	$(BIN)/python -m tests.benchmarks.features

$(PEERS_INSTALLED): tests/benchmarks/peers.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench-drift: setup $(DRIFT_PEERS_INSTALLED)  ## False alarms, delays and cost of the drift monitor beside other detectors (HEADRACE_DATA=folder of data sets)
	$(BIN)/python -m tests.benchmarks.drift

bench-drift-loop: setup  ## From a new fraud pattern to a better champion, beside never and daily retraining
	$(BIN)/python -m tests.benchmarks.drift_loop

$(DRIFT_PEERS_INSTALLED): tests/benchmarks/drift_peers.lock
	$(PYTHON) -m venv $(DRIFT_PEERS)
	$(BIN)/uv pip install --quiet --python $(DRIFT_PEERS)/bin/python --require-hashes -r $<
	@touch $@

bench-scoring: setup $(SCORING_PEERS_INSTALLED)  ## A payment scored over REST, beside its floor and other servers; the stream, reasons, swaps
	$(BIN)/python -m tests.benchmarks.scoring

.bench/scoring-peers/%/.installed: tests/benchmarks/scoring_peers/%.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench-reco-speed: setup $(RECO_PEERS_INSTALLED)  ## Recommendations over REST, beside their floor and the library implicit
	$(BIN)/python -m tests.benchmarks.reco_speed

$(RECO_PEERS_INSTALLED): tests/benchmarks/reco_peers.lock
	$(PYTHON) -m venv $(RECO_PEERS)
	$(RECO_PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench-exploration: setup  ## Off-policy estimates against known values, the bandit, cold start, fake clicks (HEADRACE_DATA=folder of data sets)
	$(BIN)/python -m tests.benchmarks.exploration

bench-handbook: setup  ## The card-fraud benchmark through the whole platform (HEADRACE_DATA=folder of data sets)
	$(BIN)/python -m tests.benchmarks.handbook

bench-handbook-features: setup  ## The book's published feature columns against ours (HEADRACE_DATA=folder of data sets)
	$(BIN)/python -m tests.benchmarks.handbook_features

bench-quality: setup  ## How well models catch the book's frauds, beside its published figures (HEADRACE_DATA=folder of data sets)
	$(BIN)/python -m tests.benchmarks.quality

bench-reco: setup  ## How well recommenders foretell what comes next, beside published figures (HEADRACE_DATA=folder of data sets)
	$(BIN)/python -m tests.benchmarks.recommendation_quality
