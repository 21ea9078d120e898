# Every target in a line each: make help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-crash test crash nightly check lint types layers format up down status migrate views deploy worker sync organization plan explain verify fan-out connect psql bench screenshots clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first Python that is new enough. PYTHON=/path/to/python overrides it.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
ORG ?= demo
ENTITY ?= people.Person
EPOCH ?=
MODE ?=
METHOD ?=
INCLUDE ?=
EXCLUDE ?=
quoted = $(foreach pattern,$(1),'$(pattern)')
SELECTION = $(if $(MODE),--mode $(MODE)) $(if $(INCLUDE),--include $(call quoted,$(INCLUDE))) $(if $(EXCLUDE),--exclude $(call quoted,$(EXCLUDE)))
SQL ?=
export SQL

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment and install everything into it

$(READY): pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "error: Python 3.11 or newer is needed and was not found; set PYTHON=/path/to/python3" >&2; exit 1; fi
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (a minute, the first time only)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

demo: setup ## run the main job from nothing: servers, simulator, deployment, a people sync, its table
	@exec $(BIN)/python -m deployments demo

demo-crash: setup ## kill a worker in the middle of a fan-out, and watch the rest go on by itself
	@exec $(BIN)/python -m deployments demo-crash

test: setup ## pass the whole test suite
	@exec $(BIN)/python -m pytest

crash: setup ## only the tests that kill, stop and restart things
	@exec $(BIN)/python -m pytest tests/crash

nightly: setup ## what takes long, over an hour: random crash schedules, large groups, 5,000 histories of each walk
	@$(BIN)/python -m pytest -m nightly
	@PCO_SYNC_TEST_HISTORIES=5000 $(BIN)/python -m pytest tests/unit/tasks tests/integration/test_walk_histories.py

check: lint types layers ## lint, types and import layers

lint: setup ## ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup ## mypy, strict
	@$(BIN)/mypy

layers: setup ## imports go down only
	@$(BIN)/lint-imports

format: setup ## let ruff format and fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: setup ## start PostgreSQL, Redis and the Prefect server, migrate, deploy, and leave them running
	@$(BIN)/python -m deployments up

down: setup ## stop what `make up` started
	@$(BIN)/python -m deployments down

status: setup ## say what runs and where
	@$(BIN)/python -m deployments status

migrate: setup ## bring the tables of the mirror up to date
	@$(BIN)/python -m deployments migrate

views: setup ## make the view of a church's custom fields anew: make views ORG=my-church
	@$(BIN)/python -m deployments views $(ORG)

deploy: setup ## create the work pool and the deployments of prefect.yaml
	@$(BIN)/python -m deployments deploy

worker: setup ## run a worker of the work pool until Ctrl-C
	@exec $(BIN)/python -m deployments worker

connect: setup ## store a church's credentials with Prefect: make connect ORG=my-church
	@$(BIN)/python -m deployments connect $(ORG)

sync: setup ## start a sync as a deployment run and watch it: make sync ORG=my-church ENTITY=people.Person
	@exec $(BIN)/python -m deployments sync $(ORG) $(ENTITY) $(if $(EPOCH),--epoch $(EPOCH))

organization: setup ## mirror a whole church and watch: make organization ORG=my-church (MODE=delta, INCLUDE='people.* giving')
	@exec $(BIN)/python -m deployments organization $(ORG) $(SELECTION) $(if $(EPOCH),--epoch $(EPOCH))

plan: setup ## say what a sync of a whole church would cost: make plan ORG=my-church (INCLUDE='people.* giving')
	@$(BIN)/python -m deployments plan $(ORG) $(SELECTION)

explain: setup ## say how a resource is read, and why: make explain ENTITY=people.Address
	@$(BIN)/python -m deployments explain $(ENTITY)

verify: setup ## prove the mirror against Planning Center: make verify ORG=my-church (METHOD=full)
	@exec $(BIN)/python -m deployments verify $(ORG) $(if $(METHOD),--method $(METHOD))

fan-out: setup ## mirror what is listed per parent: make fan-out ORG=my-church ENTITY=groups.Membership EPOCH=2026-11-25
	@$(BIN)/python -m deployments fan-out $(ORG) $(ENTITY) --epoch $(if $(EPOCH),$(EPOCH),$(error EPOCH=... names the turn))

psql: setup ## open psql on the mirror, or run one statement: make psql SQL='TABLE sync.runs'
	@exec $(BIN)/python -m deployments psql $(if $(SQL),-c "$$SQL")

bench: setup ## measure the numbers of docs/benchmarks.md on this machine (more than an hour)
	@exec $(BIN)/python -m benchmarks

screenshots: setup ## draw the pictures of the README again (needs chromium)
	@exec $(BIN)/python -m docs.screenshots

clean: ## remove the virtual environment and caches; the data folder stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
