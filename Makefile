# Everything a checkout needs. `make serve` and `make test` install what they use, once.
#
#   make serve ARGS="--port 9000"     arguments for the command
#   make serve PYTHON=/path/python3   another interpreter (3.10 to 3.12)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help serve test lint types bench clean

VENV := .venv
ARGS ?=
PYTHON ?=
BACKEND ?= onnx

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.daemon ## install once, then start the daemon and print its URL
	@exec $(VENV)/bin/reenactd serve $(ARGS)

test: $(VENV)/.development ## install once (with Chromium), then run every test
	@sh .ci/system-packages $(VENV)
	@sh .ci/tests $(VENV)/bin/python $(ARGS)
	@sh .ci/node-tests

lint: $(VENV)/.development ## ruff: rules and format
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --check --quiet .

types: $(VENV)/.development ## mypy, strict
	@$(VENV)/bin/mypy

bench: $(VENV)/.daemon ## milliseconds per stage over a clip; the last line is JSON
	@$(VENV)/bin/reenactd bench pipeline --backend $(BACKEND) $(ARGS)

clean: ## remove the environment and all caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate counts only if it runs: a pyenv shim without its version is found and then fails.
$(VENV)/bin/python:
	@for candidate in $(PYTHON) python3.12 python3.11 python3.10 python3; do \
	    "$$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
	        >/dev/null 2>&1 || continue; \
	    in_range="$$candidate"; \
	    "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
	    rm -rf $(VENV); \
	    exec "$$candidate" -m venv $(VENV); \
	done; \
	if [ -n "$$in_range" ]; then \
	    echo "reenactd: $$in_range has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	else \
	    echo "reenactd: needs Python 3.10, 3.11 or 3.12 and found none; on Debian 12 and Ubuntu 22.04 or 24.04: apt-get install python3 python3-venv" >&2; \
	fi; \
	exit 2

# The stamps make a second start immediate; a changed pyproject.toml installs again.
$(VENV)/.daemon: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the daemon into $(VENV): about 1.5 GB, some minutes, once."
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -e . || \
	    { echo "reenactd: the dependencies could not be installed (no network, or a full disk); pip's reason is above" >&2; exit 2; }
	@touch $@

$(VENV)/.development: $(VENV)/.daemon
	@echo "Installing what the tests need into $(VENV)."
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -e '.[dev,train]' || \
	    { echo "reenactd: the test dependencies could not be installed (no network, or a full disk); pip's reason is above" >&2; exit 2; }
	@touch $@
