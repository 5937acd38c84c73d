# Every target is enough on a fresh clone of a machine with only Python (3.11 or newer) and pip.
PYTHON ?= python3
ARGS ?= --latency 20ms
BIN := .venv/bin
# Two stamps of one environment: what a search needs, and with it all that the project is developed with.
CORE := .venv/.installed-core
DEV := .venv/.installed-dev
UV := $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt
COVERAGE := build/coverage.json
# torch.compile cannot follow code in which lines are counted.
COMPILED := tests/conformance/test_runtimes.py::TestTorchCompiled
# Else every command would read PyTorch's sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install search browser test types pytest docs docs-serve screenshots bench zoo zoo-facts lock clean

help:
	@echo "make search    nas search $(ARGS)        (other options: make search ARGS='--macs 5M')"
	@echo "               makes the environment .venv with what that needs, if there is none"
	@echo "make install   everything in .venv: the app, pipelines, what the tests need"
	@echo "make test      everything that CI checks; installs as make install does"
	@echo "make docs      the documentation, in build/site; make docs-serve shows it while it is written"
	@echo "make screenshots   the app's journeys in a browser; pictures of every page in build/screenshots"
	@echo "make bench     the benchmarks; CSVs go to tests/benchmarks/results"
	@echo "make zoo       derives every model of timm under 40 million parameters; goes on where it stopped"
	@echo "make zoo-facts RESULTS=results-imagenet.csv   the table of published models, from timm's results"
	@echo "make lock      pin the newest versions that fit in constraints.txt"
	@echo "make clean     remove what was built, the environment too"

# Compiled as a whole for those who run tests by hand, also where PYTHONDONTWRITEBYTECODE is set.
install: $(DEV)
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "anyfit needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv module; install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(BIN)/uv: | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

# Bytecode is not compiled beforehand: a search imports an eighth of the files, and keeps what it has compiled.
$(CORE): pyproject.toml constraints.txt | $(BIN)/uv
	@echo "installing what a search needs into .venv: once, most of it PyTorch" >&2
	$(UV) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/uv
	@echo "installing everything into .venv: the app, pipelines, what the tests need" >&2
	$(UV) -e '.[dev]'
	@touch $(CORE) $@

search: $(CORE)
	$(BIN)/nas search $(ARGS)
	@echo "nas is $(BIN)/nas; after '. $(BIN)/activate' it is nas alone" >&2

# The app is tested in a real browser; where none can be installed, those tests are skipped and say so.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
	  apt-get install -y -qq chromium >/dev/null 2>&1 || \
	  { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }; }; } || echo "no chromium: browser tests are skipped" >&2

# Types are checked beside the tests: pyright is one process, and the tests leave a core idle now and then.
test: $(DEV) browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory -j 2 types pytest

types: $(DEV)
	$(BIN)/pyright --pythonpath $(BIN)/python

pytest: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --count-lines $(COVERAGE) --durations 40 --deselect $(COMPILED)
	$(BIN)/python -m pytest $(COMPILED)
	$(BIN)/python -m slipcover --merge $(COVERAGE) --out $(COVERAGE)

# Strict: a broken link or reference fails. The notice that is left out is about a version that pyproject.toml excludes.
docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "the documentation is build/site/index.html"

docs-serve: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

screenshots: $(DEV) browser
	ANYFIT_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -q tests/app/e2e
	@echo "the screenshots are in build/screenshots"

bench: $(DEV)
	@set -e; for file in tests/benchmarks/bench_*.py; do \
	  name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name; \
	done

zoo: $(DEV)
	$(BIN)/python -m tests.benchmarks.bench_any_model --zoo

zoo-facts: $(DEV)
	$(BIN)/python -m tests.benchmarks.make_zoo_facts $(RESULTS)

lock: | $(BIN)/uv
	{ sed -n '/^#/p' constraints.txt; $(BIN)/uv pip compile pyproject.toml --all-extras --universal --upgrade \
	  --python-version 3.11 --fork-strategy fewest --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
