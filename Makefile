# Everything a developer runs. Each target sets up what it needs; the first one takes a few minutes, later ones start at once.
# Settings: PYTHON (python3), PREFSTREAM_CACHE (.cache), PREFSTREAM_BOOTSTRAP_SERVERS (a broker of yours instead of ours).

PYTHON ?= python3
FAULTS ?= 200
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos removals check bench docs up down clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## Install everything into .venv and fetch Kafka; does nothing the second time
	@$(RUN) -m deploy.kafka.broker fetch

demo: setup ## See it work: real ratings, live summaries on screen (DEMO_SECONDS=60 CHAOS=1)
	@$(RUN) -m deploy.demo

test: setup ## Run the tests on a real broker (ARGS="-k keys" picks some)
	@$(RUN) -m pytest $(ARGS)

chaos: setup ## Inject faults for half an hour and account for every event (FAULTS=200 SEED=n)
	@$(RUN) -m tests.chaos --write --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

removals: setup ## Take each fix out of the worker, one at a time, and see the tests fail (ARGS=--list shows them)
	@$(RUN) -m tests.chaos.removals $(ARGS)

check: $(INSTALLED) ## Check style, formatting, types and the direction of imports
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: setup ## Measure speed, as ratios taken side by side in one run
	@$(RUN) -m benchmarks.stream
	@$(RUN) -m benchmarks.backpressure

docs: $(INSTALLED) ## Write the reference pages from the code and check what the documents say
	@$(RUN) -m docs.generate
	@$(RUN) -m pytest -q tests/test_docs.py

up: setup ## Start a Kafka broker in the background and print its address: eval "$(make up)"
	@$(RUN) -m deploy.kafka.broker up

down: ## Stop that broker; its data stays
	@if [ -x $(RUN) ]; then $(RUN) -m deploy.kafka.broker down; fi

clean: down ## Remove all that was installed, fetched and built here
	rm -rf $(VENV) .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis prefstream-state*

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Installing into $(VENV) ...' >&2
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --retries 10 --requirement requirements/dev.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --retries 10 --no-deps --editable .
	@touch $(INSTALLED)
