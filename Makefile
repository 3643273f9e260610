# Every target installs what it needs, or says what is missing. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# With its registry: Docker, buildah and containerd complete a short name differently.
IMAGE ?= localhost/backstay:dev
PYTHON ?=
export PYTHON

VENV := .venv/.complete
BIN := .venv/bin
CLUSTER := hack/cluster/cluster
MYPY_PATHS := operator/src tests hack requirements
# Tracked files and new ones, but nothing that a target produced.
FILES := git ls-files --cached --others --exclude-standard

PYTEST := $(BIN)/pytest --durations=10

TESTS := unit property packaging api faults e2e

.PHONY: help demo check test soak $(TESTS) lint crds lock image bench venv clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

demo: $(VENV) ## From nothing to a backup and a restore on a local cluster
	hack/demo

check: lint unit ## Lint and run the unit tests: what to run before every commit (3 minutes)

test: $(TESTS) ## Run all tests

soak: export BACKSTAY_SLICE := all
soak: unit property faults e2e ## Run the long sweeps and searches whole, of which the tests take a part

unit: $(VENV) ## Run the unit tests (a minute)
	$(PYTEST) --numprocesses auto tests/unit

property: $(VENV) ## Search for counterexamples to what always holds (minutes)
	$(PYTEST) --numprocesses auto tests/property

packaging: $(VENV) ## Test the chart, the manifests, the locks and the cluster kit
	@$(CLUSTER) tools helm kubectl versitygw restic >/dev/null # built once; a test would run out of time
	$(PYTEST) --numprocesses auto tests/install

faults: $(VENV) ## Kill dumps, copies and retention passes at every step, on real servers (minutes)
	@$(CLUSTER) tools etcd kube-apiserver mongodump mongorestore ferretdb restic versitygw >/dev/null
	$(PYTEST) --numprocesses auto --dist loadfile --no-loadscope-reorder tests/faults

api: $(VENV) ## Run the tests against a real API server (minutes)
	@$(CLUSTER) tools etcd kube-apiserver kubectl restic versitygw >/dev/null
	$(PYTEST) --numprocesses auto --dist loadfile --no-loadscope-reorder tests/api

e2e: $(VENV) ## Run the tests against a whole local cluster, or BACKSTAY_E2E_KUBECONFIG
	@$(CLUSTER) tools >/dev/null # what is built once must not run into a test's time limit
	@$(CLUSTER) test-images
	hack/e2e $(PYTEST)

lint: $(VENV) ## Run every static check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(MYPY_PATHS)
	$(BIN)/lint-imports
	$(FILES) | xargs grep -lIE -d skip '^#!.*[/ ](ba|da)?sh( |$$)|^# shellcheck shell=' | xargs $(BIN)/shellcheck
	$(FILES) '*.yaml' '*.yml' .yamllint | xargs $(BIN)/yamllint --strict
	$(BIN)/python hack/words.py
	! git grep -nIF -e '$(CURDIR)/' $(if $(filter-out /,$(HOME)),-e '$(HOME)/') # this machine's paths
	! git grep -nIE 'inde[x]-url[ =]' -- ':!*.py' # a package registry's address

crds: $(VENV) ## Write crds/ and docs/reference from the models
	$(BIN)/python -m backstay.api.crdgen crds
	$(BIN)/python -m backstay.api.reference docs/reference/crds.md

lock: $(VENV) ## Write requirements/*.txt from pyproject.toml (UPGRADE=1 moves the pins)
	$(BIN)/python requirements/lock.py $(if $(UPGRADE),--upgrade)

image: ## Build the image IMAGE (default localhost/backstay:dev) with Docker, else with buildah
	@if docker info >/dev/null 2>&1; then \
	  docker build --tag $(IMAGE) .; \
	else \
	  $(CLUSTER) image $(IMAGE) .; \
	fi

bench: $(VENV) ## Measure against the goals: a table and build/bench.json (BENCH=name for one)
	$(BIN)/python -m tests.bench.run $(BENCH)

venv: $(VENV) ## Make .venv from requirements/dev.txt

$(VENV): requirements/dev.txt requirements/venv
	requirements/venv
	@touch $@

clean: ## Remove everything that the targets made in this folder
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
