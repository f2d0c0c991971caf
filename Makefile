# Each target does what it needs first: a fresh clone needs `make quickstart` and nothing before it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install quickstart test test-fast chaos lint bench docs clean

install: .venv/installed

# Exact versions; on Linux without a GPU, PIP_EXTRA_INDEX_URL may point pip to CPU builds of torch.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: install
	$(BIN)/electra-pipeline run --preset quickstart

# Two processes, as the smallest machine has processors. PYTEST='-x -k corpus' adds options.
PYTEST_WORKERS ?= 2
RUN_PYTEST = $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --no-loadscope-reorder

# All tests, with real servers and killed processes.
test: lint
	$(RUN_PYTEST) $(PYTEST)

# The tests that start no server and no other process.
test-fast: install
	$(RUN_PYTEST) -m "not integration" $(PYTEST)

# Kills each part of the stack again and again; minutes to an hour. CHAOS='--kills 10 --seed 1'
chaos: install
	$(BIN)/python -m tests.faults.chaos $(CHAOS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/pretraining.py
	$(BIN)/python benchmarks/data_parallel.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/corpus.py
	$(BIN)/python benchmarks/languages.py
	$(BIN)/python benchmarks/near_duplicates.py
	$(BIN)/python benchmarks/filters.py
	$(BIN)/python benchmarks/sequences.py
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/finetuning.py
	$(BIN)/python benchmarks/trials.py

# Builds the documentation into build/docs/; a warning, such as a broken link, is an error.
docs: install
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
