# Every target is a line that can be copied. Variables in capitals go behind it: make sweep EXPERIMENT=lr_search
PYTHON ?= python3
EXPERIMENT ?= quickstart
DIR ?= outputs/$(EXPERIMENT)
JOBS ?=
ARGS ?=
TORCH ?=
# Versions of everything and the SHA-256 of their files. TORCH= takes files of another registry than these were read from,
# and where yours builds its own, give constraints.txt: the same versions, any files.
CONSTRAINTS ?= $(if $(TORCH),constraints.txt,constraints-hashed.txt)
BIN := .venv/bin
# PyTorch's own index holds a small build without CUDA; the plain registry always works.
BACKEND := $(if $(TORCH),--torch-backend $(TORCH),)
# Containers often forbid Python to keep what it compiles; without this every start would compile 3,000 files again.
BYTECODE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode,)

AUDIT := 2.10.1
pinned = $(shell sed -n "s/^$(1)==//p" constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help sweep train report test borrowed bench calibrate forecasts hostile torture s3 slurm lint audit hashes dashboard clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  EXPERIMENT=$(EXPERIMENT) (see experiments/)  JOBS=2 (workers)  ARGS=\"lr=1e-2 epochs=20\"  DIR=$(DIR)  PYTHON=$(PYTHON)  TORCH=cpu"

sweep: .venv/.installed ## run a study, or go on with it: EXPERIMENT=quickstart JOBS= ARGS=
	@$(BIN)/headstart -m experiments=$(EXPERIMENT) $(if $(JOBS),jobs=$(JOBS)) $(ARGS)

train: .venv/.installed ## one run: ARGS="model=resnet18 lr=1e-3"
	@$(BIN)/headstart $(ARGS)

report: .venv/.installed ## collate a folder of runs into tables again: DIR=outputs/quickstart
	@$(BIN)/headstart report $(DIR)

test: .venv/.installed ## all tests; ARGS=--fast: an answer in a minute, from the quick ones; ARGS=--slow: those of minutes, too
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal $(ARGS)

borrowed: .venv/.installed ## fetch the tests of Hydra's stock sweeper, which `make test` then runs on ours, too
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary hydra-optuna-sweeper \
		--dest .venv/borrowed 'hydra-optuna-sweeper==$(call pinned,hydra-optuna-sweeper)'

bench: .venv/.installed ## the short benchmarks, each against a named peer, into outputs/benchmarks/
	@$(BIN)/python experiments/benchmarks/data_path.py
	@$(BIN)/python experiments/benchmarks/training_loop.py --threads 1
	@$(BIN)/python experiments/benchmarks/feature_cache.py
	@$(BIN)/python experiments/benchmarks/sweep_overhead.py --trials 50
	@$(BIN)/python experiments/benchmarks/tables.py

calibrate: .venv/.installed ## how often equal arms get a winner, by simulation: ARGS="--studies 1000 --only auto"; hours, and goes on
	@$(BIN)/python experiments/calibration/calibrate.py $(ARGS)

forecasts: .venv/.installed ## how often forecasts from small to large held, on curves whose end is known: ARGS="--curves 100"; minutes
	@$(BIN)/python experiments/calibration/forecasts.py $(ARGS)

hostile: .venv/.installed ## two thousand hostile requests against a server, and what each kind was answered; minutes
	@$(BIN)/python -m pytest --slow -s tests/serving/test_storm.py $(ARGS)

torture: .venv/.installed ## kill and damage small studies, seeded: ARGS="--minutes 20" a slice; hours, and goes on
	@$(BIN)/python experiments/torture/torture.py $(ARGS)

s3: .venv/s3/.installed ## the tests of hydra.sweeper.sync with a server of S3's kind, in an environment of their own; minutes
	@.venv/s3/bin/python -m pytest --slow tests/sweep/sync $(ARGS)

slurm: .venv/.installed ## a study on a Slurm of this machine's own, disturbed in every way: ARGS="--accounts"; needs slurm-wlm, munge
	@$(BIN)/python experiments/torture/slurm.py $(ARGS)

lint: .venv/.installed ## style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

audit: .venv/.installed ## ask the package registry for known vulnerabilities of every version in constraints.txt: ARGS="-s osv"
	@$(BIN)/uv tool run --quiet --from pip-audit==$(AUDIT) pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		-r constraints-hashed.txt $(ARGS) || \
		{ echo "not all is known to be well: a version above has a known vulnerability, or could not be asked after" >&2; exit 1; }

hashes: ## write constraints-hashed.txt: the SHA-256 of every file that the package registry has of constraints.txt
	@$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate -o constraints-hashed.txt constraints.txt

dashboard: .venv/.installed ## watch a study in the browser: EXPERIMENT=quickstart
	@$(BIN)/optuna-dashboard sqlite:///$(DIR)/study.db

clean: ## remove the environment and caches, never outputs/
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './outputs/*' -prune -exec rm -rf {} +

.venv/.installed: setup.cfg pyproject.toml constraints.txt constraints-hashed.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("headstart needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name one: make PYTHON=python3.12")'
	@echo "Setting up .venv (once; PyTorch is large: about 5 GB with CUDA, seconds to minutes by the network)" >&2
	@$(PYTHON) -m venv .venv
	@awk '/^uv==/ {found = 1} found {print} found && !/\\$$/ {exit}' $(CONSTRAINTS) >.venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .venv/uv.txt 2>.venv/refused || \
		{ grep -A 9 'DO NOT MATCH' .venv/refused >&2 && echo "the package registry has another uv than constraints-hashed.txt; if you trust it: CONSTRAINTS=constraints.txt" >&2 || \
		echo "the package registry could not be reached; is there a network?" >&2; exit 1; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python $(BACKEND) $(BYTECODE) -c $(CONSTRAINTS) -b $(CONSTRAINTS) -e '.[dev,dashboard]'
	@touch $@

# Amazon's library wants a python-dateutil of before 3, all else stays as it is pinned.
.venv/s3/.installed: .venv/.installed
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv/s3
	@grep -v '^python-dateutil==' constraints.txt >.venv/s3/constraints.txt
	@$(BIN)/uv pip install --quiet --python .venv/s3/bin/python $(BACKEND) $(BYTECODE) -c .venv/s3/constraints.txt -e '.[dev,s3]' 's3fs==2026.9.0' 'moto[server]==5.2.5'
	@touch $@
