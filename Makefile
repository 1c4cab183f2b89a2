# Every target sets up what it needs; a second run skips it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# RAY_* keep Ray quiet and local; users' own settings win.
export RAY_USAGE_STATS_ENABLED ?= 0
# Without byte code every process, and Ray starts many, compiles torch and transformers again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-rest test-all check format docs bench bench-setup constraints clean

setup: $(VENV)/.ready

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^uv==' constraints.txt)"

$(VENV)/.ready: pyproject.toml constraints.txt | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/.bench-ready: $(VENV)/.ready
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[bench]"
	touch $@

demo: setup
	$(BIN)/medsift demo

# What a developer runs before a commit. The rest: grids, kill matrices, real data at length,
# Chromium, and tests that start a Ray head of their own.
LATER := nightly or page or cluster
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope \
	--no-loadscope-reorder

test: setup
	$(PYTEST) -m "not ($(LATER))"

test-rest: setup
	$(PYTEST) -m "$(LATER)"

test-all: setup
	$(PYTEST)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	$(BIN)/python docs/generate.py

bench-setup: $(VENV)/.bench-ready

bench: bench-setup
	$(BIN)/python -m benchmarks

constraints: | $(UV)
	echo "# The tested set: versions only. Regenerate with 'make constraints'." > constraints.txt
	$(UV) pip compile --quiet --no-header --no-annotate --all-extras pyproject.toml >> constraints.txt
	$(UV) --version | awk '{print "uv==" $$2}' >> constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache medsift-runs
