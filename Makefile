# make run    set up, then every notebook in the quick profile
# make test   set up, then unit tests, doctests and the notebooks' regression test
# make lab    JupyterLab in the same environment
# make bench  every benchmark; make bench-NAME for one of them
.PHONY: run test lab bench lock clean
.DEFAULT_GOAL := run

PYTHON  ?= $(shell for p in python3.11 python3 python; do $$p -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)
PROFILE ?= quick
BIN     := .venv/bin

run: .venv/ready
	$(BIN)/python -m lib run --profile $(PROFILE)

test: .venv/ready
	$(BIN)/ruff check
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --nbval --nbval-current-env -p no:cacheprovider outputs/quick

lab: .venv/ready
	$(BIN)/jupyter lab --ip 127.0.0.1

bench: .venv/ready
	$(BIN)/python -m benchmarks

bench-%: .venv/ready
	$(BIN)/python -m benchmarks $*

# The environment: exact versions with hashes, bytecode compiled once here
# instead of at every first import. The first pip only brings uv.
.venv/ready: requirements-setup.lock requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 was not found; give its path, as in: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Newest versions that fit pyproject.toml; run the tests before committing the result.
lock: .venv/ready
	printf 'uv\nsetuptools\n' | $(BIN)/uv pip compile - $(LOCK) -o requirements-setup.lock
	$(BIN)/uv pip compile pyproject.toml --extra test --extra bench $(LOCK) -o requirements.lock
LOCK := --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

clean:
	rm -rf .venv
