# make run   sets everything up, then trains and reports
# make test  sets everything up, then runs every test
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARTIAL := $(VENV)/.partial
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: run test lint leaderboard bench docs clean data setup

run: $(READY)
	$(BIN)/python -m experiments.run +exp=ppo_portfolio $(ARGS)

test: $(READY) data
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# hours; called again it goes on. make leaderboard ARGS=--small is a check of minutes.
leaderboard: $(READY) data
	$(BIN)/python -m experiments.leaderboard $(or $(ARGS),--page docs/leaderboard.md)

bench: $(READY)
	@$(PIP) install -c constraints.txt -e ".[bench]" \
		|| echo "the peers could not be installed (offline?): their rows stay empty"
	@[ -e .peers/torchtrade/ready ] || $(BIN)/python -m benchmarks.torchtrade_peer \
		|| echo "torchtrade could not be installed (offline?): its rows stay empty"
	$(BIN)/python -m benchmarks.run $(ARGS)

docs: $(READY)
	$(BIN)/python -m pytest -q tests/test_docs.py

data: $(READY)
	@$(BIN)/python -m envs.data fetch olps futures crypto nfci lexicon rated_news earnings \
		|| echo "optional data could not be fetched (offline?): tests that need it are skipped"

setup: $(READY)

# The mark .partial stands while an installation is under way: a later make then starts afresh
# instead of trusting half an environment.
$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: Python 3.11 or newer was not found; install it, or say make PYTHON=/path/to/python3.11"; exit 1; fi
	@if [ -e $(PARTIAL) ]; then echo "the last setup was interrupted: starting afresh"; rm -rf $(VENV); fi
	@echo "setting up $(VENV) with $(PYTHON): a few minutes, once"
	@mkdir -p $(VENV) && touch $(PARTIAL)
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) && touch $(PARTIAL)
	@$(PIP) install torch==2.13.0 -c constraints.txt
	@$(PIP) install -c constraints.txt -e ".[data,tracking,dev]"
	@rm $(PARTIAL) && touch $(READY)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
