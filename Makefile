# Every target in a line each: make help. What a target takes is listed below, and the rest refused.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-crash test test-unit crash nightly check lint types layers format up down status service migrate views deploy worker sync plan explain verify connect doctor reader psql bench screenshots lock try-prefect clean _arguments

VENV := .venv
BIN := $(VENV)/bin
# Two markers: what is needed to run, and everything.
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
# The first Python that is new enough. PYTHON=/path/to/python overrides it.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

# What each target takes. Values reach the command through its environment, as they are: blanks, quotes and $ included.
VARIABLES := ORG ENTITY EPOCH MODE METHOD INCLUDE EXCLUDE SQL VERSION
takes-views := ORG
takes-connect := ORG
takes-doctor := ORG
takes-reader := ORG
takes-sync := ORG ENTITY MODE INCLUDE EXCLUDE EPOCH
takes-plan := ORG MODE INCLUDE EXCLUDE
takes-explain := ENTITY
takes-verify := ORG ENTITY METHOD
takes-psql := SQL
takes-try-prefect := VERSION
needs-connect := ORG
example-connect := ORG=my-church
needs-reader := ORG
example-reader := ORG=my-church
needs-try-prefect := VERSION
example-try-prefect := VERSION=3.10.0

# Test files side by side, in the order of tests/conftest.py: a process for each core, at most four.
BESIDE := --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

goals := $(or $(MAKECMDGOALS),help)
taken := $(sort $(foreach goal,$(goals),$(takes-$(goal))))
typed := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
ignored := $(strip $(filter-out $(taken) PYTHON VENV BIN SHELL MAKE% -%,$(typed)))
empty := $(strip $(foreach name,$(taken),$(if $(filter undefined,$(origin $(name)))$(value $(name)),,$(name))))
lacking := $(firstword $(foreach goal,$(goals),$(foreach name,$(needs-$(goal)),$(if $(value $(name)),,$(goal):$(name)))))
needy := $(firstword $(subst :, ,$(lacking)))
ifneq ($(ignored),)
refusal := make $(goals) does not take $(ignored); it takes $(or $(taken),no variables)
else ifneq ($(empty),)
refusal := $(firstword $(empty)) is empty: give it a value, or leave it out
else ifneq ($(lacking),)
refusal := $(lastword $(subst :, ,$(lacking))) is needed, such as: make $(needy) $(example-$(needy))
endif
$(foreach name,$(taken),$(eval override $(name) := $$(value $(name))))
export $(taken)
option = $${$(1):+"--$(2)=$$$(1)"}
SELECTION = $(call option,MODE,mode) $(call option,INCLUDE,include) $(call option,EXCLUDE,exclude)

help: _arguments ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Before anything is installed or started: nothing that was typed is ignored.
_arguments:
	@$(if $(refusal),echo "error: $(refusal)" >&2; exit 2)

setup: _arguments $(DEV) ## install everything, the tools for tests and checks too

install = python='$(PYTHON)'; if [ -z "$$python" ]; then echo "error: Python 3.11 or newer is needed and was not found; set PYTHON=/path/to/python3" >&2; exit 1; fi; command -v "$$python" >/dev/null || { echo "error: there is no $$python; see PYTHON" >&2; exit 1; }; exec "$$python" -m deployments.install $(VENV) $(1)

$(READY): pyproject.toml locks/embedded.txt
	@$(call install,embedded)

$(DEV): pyproject.toml locks/dev.txt
	@$(call install,dev)

demo: _arguments $(READY) ## the whole thing from nothing, with an invented church
	@exec $(BIN)/pco-sync demo

demo-crash: _arguments $(READY) ## kill a worker in a fan-out, and watch the rest finish by itself
	@exec $(BIN)/pco-sync demo-crash

test: _arguments $(DEV) ## pass the whole test suite
	@exec $(BIN)/python -m pytest $(BESIDE)

test-unit: _arguments $(DEV) ## the tests without servers, and of the house: seconds
	@exec $(BIN)/python -m pytest $(BESIDE) tests/unit tests/house

crash: _arguments $(DEV) ## only the tests that kill, stop and restart things
	@exec $(BIN)/python -m pytest tests/crash

nightly: _arguments $(DEV) ## the tests that take over an hour
	@$(BIN)/python -m pytest -m nightly
	@PCO_SYNC_TEST_HISTORIES=5000 $(BIN)/python -m pytest tests/unit tests/integration/pco_walks/test_walk_histories.py

check: _arguments lint types layers ## lint, types and import layers

lint: _arguments $(DEV) ## ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: _arguments $(DEV) ## mypy, strict
	@$(BIN)/mypy

layers: _arguments $(DEV) ## imports go down only
	@$(BIN)/lint-imports

format: _arguments $(DEV) ## let ruff format and fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: _arguments $(READY) ## start the servers, migrate, deploy, and leave them running
	@exec $(BIN)/pco-sync up

down: _arguments $(READY) ## stop what `make up` started
	@exec $(BIN)/pco-sync down

status: _arguments $(READY) ## show what runs, where, and whether it answers
	@exec $(BIN)/pco-sync status

service: _arguments $(READY) ## let the machine start servers and worker, now and after a reboot
	@exec $(BIN)/pco-sync service install

migrate: _arguments $(READY) ## bring the tables of the mirror up to date
	@exec $(BIN)/pco-sync migrate

views: _arguments $(READY) ## make the view of custom fields again: ORG=my-church
	@exec $(BIN)/pco-sync views -- "$${ORG:-demo}"

deploy: _arguments $(READY) ## create the work pool and the deployments of prefect.yaml
	@exec $(BIN)/pco-sync deploy

worker: _arguments $(READY) ## run a worker of the work pool until Ctrl-C
	@exec $(BIN)/pco-sync worker

connect: _arguments $(READY) ## store a church's credentials with Prefect: ORG=my-church
	@exec $(BIN)/pco-sync connect -- "$$ORG"

doctor: _arguments $(READY) ## check what syncs rely on at a church: ORG=my-church
	@exec $(BIN)/pco-sync doctor -- "$${ORG:-demo}"

reader: _arguments $(READY) ## make a login that reads one church with SQL: ORG=my-church
	@exec $(BIN)/pco-sync churches reader -- "$$ORG"

sync: _arguments $(READY) ## mirror a church or a part: ORG=my-church (ENTITY=people.Person)
	@exec $(BIN)/pco-sync sync $(call option,EPOCH,epoch) $(SELECTION) -- "$${ORG:-demo}" $${ENTITY:+"$$ENTITY"}

plan: _arguments $(READY) ## show what that would cost: ORG=my-church (MODE=delta)
	@exec $(BIN)/pco-sync plan $(SELECTION) -- "$${ORG:-demo}"

explain: _arguments $(READY) ## show how a resource is read, and why: ENTITY=people.Address
	@exec $(BIN)/pco-sync explain -- "$${ENTITY:-people.Person}"

verify: _arguments $(READY) ## compare with Planning Center: ORG=my-church (METHOD=full)
	@exec $(BIN)/pco-sync verify $(call option,METHOD,method) -- "$${ORG:-demo}" $${ENTITY:+"$$ENTITY"}

psql: _arguments $(READY) ## open psql on the mirror, or run a statement: SQL='TABLE sync.runs'
	@exec $(BIN)/pco-sync psql $${SQL:+"--command=$$SQL"}

bench: _arguments $(DEV) ## measure docs/benchmarks.md here (more than an hour)
	@exec $(BIN)/python -m benchmarks

screenshots: _arguments $(DEV) ## draw the README's pictures again (needs chromium)
	@exec $(BIN)/python -m docs.screenshots

lock: _arguments $(READY) ## renew locks/, within the bounds of pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@exec $(BIN)/python -m deployments.lock

try-prefect: _arguments $(READY) ## test with another Prefect: VERSION=3.10.0
	@$(BIN)/python -m pip install --quiet uv
	@exec $(BIN)/python -m deployments.try_prefect "$$VERSION"

clean: _arguments ## remove the virtual environment and caches; the data stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
