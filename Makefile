# Everything from a bare Python 3.11+: each target makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
SEED ?= 0
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BESIDE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format notebooks bench clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rxt-mrl needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e ".[test,dev]"
	@touch $(STAMP)

install: $(STAMP)  ## Make the virtual environment

demo: $(STAMP)  ## Teach a small RxT to remember, in minutes (SEED=0)
	$(BIN)/rxt-mrl train demo --seed $(SEED)

test: $(STAMP)  ## The fast test suite, on all cores
	$(BESIDE) -m "not slow"

test-slow: $(STAMP)  ## The slow tests, which guard promises of the README
	$(BESIDE) -m "slow and not timed"
	$(BIN)/python -m pytest -m timed

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy rxt_mrl envs rewards

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(STAMP)  ## Run the notebooks as people read them on the web, outputs and pictures stored (minutes; uses runs/demo)
	test -d runs/demo || $(BIN)/rxt-mrl train demo --out runs/demo
	RXT_MRL_NOTEBOOK=small RXT_MRL_RUN=$(CURDIR)/runs/demo $(BIN)/jupyter-execute --inplace notebooks/*.ipynb

bench: $(STAMP)  ## Print the benchmark table and write bench.json
	$(BIN)/python -m tests.benchmarks

clean:  ## Remove the virtual environment and build products
	rm -rf $(VENV) build dist *.egg-info
