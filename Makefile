# Everything that one does with this repository; `make` alone lists it.
# Needs Python 3.11 or newer, make and a network. Nothing is installed outside .venv, but for Apache Kafka's jars (44 MB),
# which are kept in the user's cache folder.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input
INSTALLED := .venv/.installed

# Two at a time, as most of them wait for something. `make test TESTS=tests/unit/test_event.py` runs only some of them.
TESTS ?= tests/unit tests/test_*.py tests/property tests/simulation tests/contract tests/integration tests/chaos

# `make demo TRANSPORT=mcp` chooses how meter talks to the provider, `make demo EVENTS=20000` how much it bills.
DEMO := .venv/bin/meter demo $(if $(TRANSPORT),--transport $(TRANSPORT)) $(if $(EVENTS),--events $(EVENTS))

# `make lock UPGRADE=--upgrade` moves every pin, without it only what pyproject.toml asks for.
# No address of any package index may end up in the files.
COMPILE := build/lock/bin/pip-compile --quiet --generate-hashes --strip-extras --annotation-style=line --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(UPGRADE)

.DEFAULT_GOAL := help
.PHONY: help install demo demo-keep test lint format bench bench-sandbox chaos simulate mutations lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) ## Make .venv with meter and everything pinned in requirements/dev.txt

$(INSTALLED): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## Kafka, provider sandbox and meter, killed halfway; ends with the books checked
	$(DEMO)

demo-keep: install ## The same, but everything is left running until Ctrl-C
	$(DEMO) --keep

test: install ## All tests: unit, property, simulation, contract, integration on a real broker
	.venv/bin/python -m pytest --numprocesses 2 --dist worksteal $(TESTS)

lint: install ## Check style, format and types; changes nothing
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: install ## Fix style and format where that can be automated
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: install ## Events per CPU second: bare consumer loop and whole pipeline
	.venv/bin/python -m bench.throughput

bench-sandbox: install ## Usages per CPU second that the sandbox takes
	.venv/bin/python -m bench.sandbox

chaos: install ## Real processes, killed, stopped and failing in turn; results are kept. CHAOS=forgetful: one variant
	.venv/bin/python -m tests.chaos $(CHAOS)

simulate: install ## Machine and processes against models of Kafka and provider: 15,000 fault schedules in virtual time
	.venv/bin/python -m tests.simulation.simulate

mutations: install ## Are the simulations strong enough? Known mistakes are put into copies of meter; each has to be noticed
	.venv/bin/python -m tests.simulation.mutations

lock: ## Pin the dependencies of pyproject.toml again, with hashes
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --output-file requirements/dev.txt --extra kafka --extra dev \
		--constraint requirements/runtime.txt pyproject.toml
	rm -rf build/lock

clean: ## Remove .venv and everything that tools left behind
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
