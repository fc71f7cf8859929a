# `make help` lists the targets. The environment in .venv is made by whichever target needs it first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9

EXPERIMENT ?= table_1
SEEDS ?= 0,1,2,3,4
LAUNCHER ?= local_joblib
FIDELITY ?= paper
LOGS ?= logs
REPORT ?= logs/report
SWEEP = experiment=$(EXPERIMENT) seed=$(SEEDS) fidelity=$(FIDELITY) hydra/launcher=$(LAUNCHER) hydra.sweep.dir=$(LOGS) $(ARGS)

help: ## what can be made
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.installed ## the environment alone, in .venv

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: setup ## soft VQ, the plain autoencoder and the raw pixels on small digits, in one table
	$(BIN)/python train.py -m experiment=demo

PYTEST := $(BIN)/python -m pytest -q

test: setup ## the tests that are quick and start no processes
	$(PYTEST) -n auto --dist loadfile -m "not slow and not process" # the tests of a file share what they set up

test-all: test test-slow ## every test

test-slow: setup ## the other tests: killed processes, real clusters, the wheel, browsers and documents
	$(PYTEST) -n auto -m "slow or process" --ignore tests/sweep --ignore tests/package
	$(PYTEST) -m "slow or process" tests/sweep tests/package # one at a time: they load the machine

lint: setup ## style, types, and which way imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reproduce: setup ## an experiment of the paper and its report: EXPERIMENT= SEEDS= LAUNCHER= FIDELITY= LOGS= DRY=1 ARGS=
ifdef DRY
	$(BIN)/softvq plan $(SWEEP)
else
	$(BIN)/python train.py -m $(SWEEP)
	$(BIN)/softvq report $(LOGS) --out $(REPORT)
endif

evidence: setup ## every run behind docs/results.md, most valuable first; goes on where it stopped: JOBS= LOGS= ARGS=
	$(BIN)/python benchmarks/evidence.py --logs $(LOGS) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

results: setup ## takes finished runs below LOGS into docs/results/, and renews what the pages show of them
	$(BIN)/python benchmarks/results.py $(LOGS)

report: setup ## tables and report.html from the run folders below LOGS, into REPORT
	$(BIN)/softvq report $(LOGS) --out $(REPORT)

docs: setup ## the documentation site, its notebooks executed, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

dashboard: setup ## the W&B workspace and report of a sweep: EXPERIMENT= LOGS= ARGS=
	$(BIN)/softvq dashboard --experiment $(EXPERIMENT) --logs $(LOGS) $(ARGS)

bench: setup ## speed and memory beside bounds and others, in ratios, into docs/performance.md: QUICK=1
	$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick)
	$(if $(QUICK),,$(BIN)/python benchmarks/document.py)

bench-growth: setup ## step time and memory against batch size, K, d, images and parallel runs: QUICK=1
	$(BIN)/python benchmarks/growth.py $(if $(QUICK),--quick)
	$(if $(QUICK),,$(BIN)/python benchmarks/document.py)

bench-seeds: setup ## seeds trained at once beside one after the other: QUICK=1 ARGS=
	$(BIN)/python benchmarks/seeds.py $(if $(QUICK),--quick) $(ARGS)
	$(if $(QUICK),,$(BIN)/python benchmarks/document.py)

lock: setup ## renews requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --all-extras pyproject.toml -o requirements.lock

.PHONY: docs help setup demo test test-all test-slow lint reproduce evidence results report dashboard bench bench-growth bench-seeds lock
