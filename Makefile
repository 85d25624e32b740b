# Everything a contributor runs. `make demo` and `make test` need Python 3.11+, git and make, and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what Headgate runs on (once) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check hatchling
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing what its tests and checks need (once) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.bench: requirements-bench.lock $(VENV)/.runtime
	@echo "installing what the benchmarks need (once) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

install: $(VENV)/.runtime ## the virtual environment, with what Headgate runs on
dev: $(VENV)/.dev ## the same, with what its tests and checks need

demo: $(VENV)/.runtime ## four services and a model server: one completion, its cached repeat, a limit, the ledger
	@$(BIN)/headgate demo

up: $(VENV)/.runtime ## the four services, until Ctrl-C
	@$(BIN)/headgate up

test: $(VENV)/.dev ## every test; those that need a server which is absent skip and say so
	@$(BIN)/python -m pytest -n 2 --dist loadscope

check: $(VENV)/.dev ## format, lint, types, import rules, contracts, stubs
	@$(BIN)/ruff format --check --quiet . || { echo 'run `make format`'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/tmp/headgate-imports.$$$$ 2>&1 || { cat /tmp/headgate-imports.$$$$; exit 1; }; rm -f /tmp/headgate-imports.$$$$
	@$(BIN)/python scripts/contracts.py check

format: $(VENV)/.dev ## format the code and the contracts
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix . && $(BIN)/buf format -w protos

stubs: $(VENV)/.dev ## regenerate gen/python from protos/
	@$(BIN)/python scripts/contracts.py generate

bench: $(VENV)/.bench ## Headgate beside its peers: CPU, latency, memory; `python -m bench --help` has the single scenarios
	@$(BIN)/python -m bench install-peers
	@$(BIN)/python -m bench all

trace: $(VENV)/.runtime ## docs/trace.md from a real run: one request across the four services
	@$(BIN)/python scripts/trace.py

lock: $(VENV)/.dev ## resolve the dependencies anew
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-annotate \
	  -c requirements.lock --custom-compile-command "make lock" --group dev pyproject.toml -o requirements-dev.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-annotate \
	  -c requirements-dev.lock --custom-compile-command "make lock" --group bench -o requirements-bench.lock

clean: ## remove what the above made
	@rm -rf $(VENV) .headgate .mypy_cache .pytest_cache .ruff_cache .hypothesis

.PHONY: help install dev demo up test check format stubs bench trace lock clean
