# Every target is enough on a fresh clone of a machine with only Python (3.11 or newer) and pip.
PYTHON ?= python3
ARGS ?= --latency 20ms
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# What tries families and the app as wholes. Tracing lines would make it half as long again, so that the lines of `nas`
# have to be reached by the other tests.
WHOLE := tests/app tests/conformance tests/diffusion tests/gan_compress

.PHONY: help install search browser test screenshots bench lock clean

help:
	@echo "make install   make the environment .venv"
	@echo "make search    nas search $(ARGS)        (other options: make search ARGS='--macs 5M')"
	@echo "make test      everything that CI checks"
	@echo "make screenshots   the app's journeys in a browser; pictures of every page in build/screenshots"
	@echo "make bench     the benchmarks; CSVs go to tests/benchmarks/results"
	@echo "make lock      pin the newest versions that fit in constraints.txt"
	@echo "make clean     remove what was built, the environment too"

install: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "anyfit needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv module; install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

search: $(STAMP)
	$(BIN)/nas search $(ARGS)

# The app is tested in a real browser; where none can be installed, those tests are skipped and say so.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
	  apt-get install -y -qq chromium >/dev/null 2>&1 || \
	  { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }; }; } || echo "no chromium: browser tests are skipped" >&2

test: $(STAMP) browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(PYTEST) $(WHOLE)
	$(PYTEST) $(addprefix --ignore=,$(WHOLE)) --cov --cov-report=term --cov-fail-under=90

screenshots: $(STAMP) browser
	ANYFIT_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -q tests/app/e2e
	@echo "the screenshots are in build/screenshots"

bench: $(STAMP)
	@set -e; for file in tests/benchmarks/bench_*.py; do \
	  name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name; \
	done

lock: $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	{ sed -n '/^#/p' constraints.txt; $(BIN)/uv pip compile pyproject.toml --all-extras --universal --upgrade \
	  --python-version 3.11 --fork-strategy fewest --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv build dist htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
