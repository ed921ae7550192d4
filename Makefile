# One door to everything: `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-header --quiet
# What an image installs is a choice from the one lock, which has the hashes; CUDA has a lock of its own.
CHOOSE := $(BIN)/uv pip compile --universal --no-header --no-annotate --quiet --constraint requirements.lock

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow lint format docs bench lock clean

help: ## Say what there is to make
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install everything that the lock names into .venv

$(INSTALLED): requirements.lock requirements-bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version.split()[0] + "; say PYTHON=python3.12, for instance" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements.lock requirements-bootstrap.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## Start the service; on a new home also take in a first drop and retrain
	@$(BIN)/tumorml up

test: install lint ## Lint, type check and run every test but the slow ones
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

test-slow: install ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: install ## Check format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install ## Build the documentation into site/; a dead link or a stale reference page fails it
	$(BIN)/python docs/generate --check
	$(BIN)/python docs/build

bench: install ## Measure what is claimed about speed (recipes.py and nightly.py want a set, and hours)
	@for benchmark in benchmarks/[!rn]*.py; do echo "$$benchmark"; $(BIN)/python $$benchmark || exit 1; done

lock: install ## Write the locks anew from pyproject.toml
	$(COMPILE) $(addprefix --extra ,airflow cluster local s3 serving steps training) --group dev --group docs --output-file requirements.lock pyproject.toml
	$(CHOOSE) $(addprefix --extra ,airflow cluster s3) --output-file docker/control-plane.txt pyproject.toml
	$(CHOOSE) $(addprefix --extra ,airflow cluster s3 steps training) --output-file docker/worker.txt pyproject.toml
	$(CHOOSE) $(addprefix --extra ,s3 serving) --output-file docker/serving.txt pyproject.toml
	echo 'tensorflow[and-cuda]' | $(COMPILE) --no-annotate --constraint requirements.lock --output-file docker/cuda.lock -
	echo 'uv' | $(COMPILE) --output-file requirements-bootstrap.lock -

clean: ## Remove the virtual environment and caches; never the data under var/
	rm -rf $(VENV) site .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
