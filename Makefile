# All commands of development: `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-header --quiet
# Each image installs a subset of requirements.lock, which has the hashes; only CUDA has a lock of its own.
CHOOSE := $(BIN)/uv pip compile --universal --no-header --no-annotate --quiet --constraint requirements.lock

.DEFAULT_GOAL := help
.PHONY: help install run check test test-slow lint format docs bench lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install the locked dependencies and the project into .venv

$(INSTALLED): requirements.lock requirements-bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version.split()[0] + "; choose one, for instance: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements.lock requirements-bootstrap.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## Start the service; in an empty home also ingest a synthetic drop and retrain
	@$(BIN)/tumorml up

check: install format ## Format, lint, check reference pages, and test what changed since main; about a minute
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate --check
	@tests=$$($(BIN)/python .ci/changed_tests.py); test -z "$$tests" || \
	  $(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile --no-header -q $$tests

test: install lint ## Lint, type-check and run all tests except the slow ones
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

test-slow: install ## Run the slow tests; hours in all
	$(BIN)/python -m pytest -m slow

lint: install ## Check format, lint, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install ## Build the documentation into site/; a dead link or a stale reference page fails it
	$(BIN)/python docs/generate --check
	$(BIN)/python docs/build_site.py

# Benchmarks without required arguments; the others need a data set or the home of a trained champion.
BENCHMARKS := $(addprefix benchmarks/,data/ingest_rate data/ingest_shards data/twins explain/heatmap_speed \
	gate/bootstrap gate/gate_simulation serving/litert training/training_speed)

bench: install ## Run the benchmarks that need no data set and no home
	@for benchmark in $(addsuffix .py,$(BENCHMARKS)); do echo "$$benchmark"; $(BIN)/python $$benchmark || exit 1; done

lock: install ## Regenerate the lock files from pyproject.toml
	$(COMPILE) $(addprefix --extra ,airflow cluster local s3 serving steps training) --group dev --group docs --output-file requirements.lock pyproject.toml
	$(CHOOSE) $(addprefix --extra ,airflow cluster s3) --output-file docker/control-plane.txt pyproject.toml
	$(CHOOSE) $(addprefix --extra ,airflow cluster s3 steps training) --output-file docker/worker.txt pyproject.toml
	$(CHOOSE) $(addprefix --extra ,s3 serving) --output-file docker/serving.txt pyproject.toml
	echo 'tensorflow[and-cuda]' | $(COMPILE) --no-annotate --constraint requirements.lock --output-file docker/cuda.lock -
	echo 'uv' | $(COMPILE) --output-file requirements-bootstrap.lock -

clean: ## Remove the virtual environment and caches; keep the data under var/
	rm -rf $(VENV) site .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
