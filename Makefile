# `make demo` needs python3 (3.11 or newer) with its venv module, and nothing else. No target needs root.
# ARGS="…" is handed on: make test ARGS="tests/unit -k candles", make bench ARGS=--quick, make demo ARGS=--help.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The lists of pyproject.toml that the tests need, beside the core; the names of extras may be added.
TEST_LISTS ?= dev charts

.PHONY: demo test check sim mutants figures bench docs charts lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/core.stamp charts
	$(BIN)/backtest-kit demo --html $(ARGS)

test: $(VENV)/dev.stamp charts
	$(BIN)/python -m pytest -n auto $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/house -q $(ARGS)

# Live trading in simulated worlds: every single fault, then SEEDS random ones. ARGS="--family kill --seed 7" shows one.
SEEDS ?= 2000

sim: $(VENV)/dev.stamp
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

# Rules of live trading taken out one by one, and the worlds that catch each; and the page that states all figures.
mutants: $(VENV)/dev.stamp
	$(BIN)/python -m tests.simulation.mutants $(ARGS)

figures: $(VENV)/dev.stamp
	$(BIN)/python -m tests.simulation.figures $(ARGS)

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(VENV)/docs.stamp
	$(BIN)/pdoc backtest_kit --docformat markdown --output-directory build/docs

# The chart library of the HTML report, from npm, checked against the hashes in npm/package-lock.json. Without npm the
# report is made all the same, with a sentence in place of the candles.
CHARTS := src/backtest_kit/reports/html/assets/lightweight-charts.js

charts:
	@if test -s $(CHARTS) && test $(CHARTS) -nt npm/package-lock.json; then :; \
	elif command -v npm >/dev/null; then $(MAKE) --no-print-directory $(CHARTS); \
	else echo "npm is not here: HTML reports will have no interactive candles (install Node.js, then: make charts)" >&2; fi

$(CHARTS): npm/package.json npm/package-lock.json
	mkdir -p build/npm && cp npm/package.json npm/package-lock.json npm/.npmrc build/npm
	cd build/npm && npm ci --silent
	cp build/npm/node_modules/lightweight-charts/dist/lightweight-charts.standalone.production.js $@

# Resolves anew for every supported Python and system; add ARGS="--upgrade" for newer versions.
# The index is uv's own affair (its settings, UV_DEFAULT_INDEX): the lock names none.
lock: | $(BIN)/python
	$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --all-extras --group dev --group docs $(ARGS) \
	  pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installs the pins of the given lists with their hashes checked, then this folder itself, editable.
# pip compiles to bytecode as it installs, also where PYTHONDONTWRITEBYTECODE is set.
define install
	$(BIN)/python .ci/locked.py build core $(1) > $@.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $@.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
endef

INSTALL_INPUTS := pyproject.toml requirements.lock .ci/locked.py

$(VENV)/core.stamp: $(INSTALL_INPUTS) | $(BIN)/python
	$(call install,)

$(VENV)/dev.stamp: $(INSTALL_INPUTS) | $(BIN)/python
	$(call install,$(TEST_LISTS))

$(VENV)/docs.stamp: $(INSTALL_INPUTS) | $(BIN)/python
	$(call install,docs)

# A python3 may be older than the one beside it, or lack venv (Debian ships that apart): each is tried, not believed.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv $(VENV)"; \
	    $$python -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "No usable Python: 3.11 or newer with the venv module is needed (on Debian: apt install python3 python3-venv)," >&2; \
	echo "or name one: make demo PYTHON=/path/to/python3" >&2; \
	exit 1
