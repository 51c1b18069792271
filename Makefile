# make run    set up, then every notebook in the quick profile
# make test   set up, then unit tests, doctests and the notebooks' regression test
# make lab    JupyterLab in the same environment
# make pipeline  the online system as processes, with a live page on 127.0.0.1
# make bench  every benchmark; make bench-NAME for one of them
# make site   notebooks, findings and the API as pages to read offline, site/html
# make gpu    notebook 03's load tests on this machine's NVIDIA GPU (docs/your_gpu.md)
.PHONY: run test lab pipeline bench site gpu lock clean
.DEFAULT_GOAL := run

# The Python to build the environment with: the first of these that is 3.11 or 3.12 and can.
FITS     = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON  ?= $(shell for p in python3.11 python3.12 python3 python; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
PROFILE ?= quick
BIN     := .venv/bin

run: .venv/ready
	$(BIN)/python -m lib run --profile $(PROFILE)

test: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest --durations=25 --numprocesses 2 --dist loadfile
	$(BIN)/python -m pytest --nbval --nbval-current-env -p no:cacheprovider outputs/quick

lab: .venv/ready
	$(BIN)/jupyter lab --ip 127.0.0.1

pipeline: .venv/ready
	$(BIN)/python -m lib pipeline

bench: .venv/ready
	$(BIN)/python -m benchmarks

bench-%: .venv/ready
	$(BIN)/python -m benchmarks $*

# Static pages in an environment of their own, which needs nothing that lib needs. Once it is
# there, no network is needed.
site: .venv-site/ready
	rm -rf site docs/api
	.venv-site/bin/sphinx-build --quiet --conf-dir docs --doctree-dir site/doctrees . site/html
	rm -rf docs/api site/jupyter_execute
	.venv-site/bin/python docs/check_site.py site/html

.venv-site/ready: requirements-setup.lock requirements-site.lock
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or 3.12 with venv and ensurepip was found"; exit 1; }
	$(PYTHON) -m venv --clear .venv-site
	.venv-site/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock || { $(UNREACHED); }
	.venv-site/bin/uv pip install --python .venv-site/bin/python --quiet --require-hashes --compile-bytecode -r requirements-site.lock || { $(UNREACHED); }
	@touch $@

# One of TensorRT and JAX beside the locked environment; what came out, packed to be sent.
ENGINE ?= tensorrt
NEEDS_tensorrt := tensorrt polygraphy
NEEDS_jax_xla := 'jax[cuda12]'
gpu: .venv/ready
	@test -n "$(NEEDS_$(ENGINE))" || { echo "make: ENGINE=$(ENGINE); expected tensorrt or jax_xla"; exit 1; }
	$(BIN)/uv pip install --python $(BIN)/python --quiet $(NEEDS_$(ENGINE)) || { $(UNREACHED); }
	mkdir -p outputs/gpu
	{ git rev-parse HEAD; nvidia-smi; $(BIN)/uv pip freeze --exclude-editable --python $(BIN)/python; } > outputs/gpu/machine.txt 2>&1 || true
	$(BIN)/python -m lib run --profile gpu -p engine $(ENGINE); status=$$?; \
	tar --exclude=cache -czf gpu.tar.gz outputs/gpu; \
	echo "gpu.tar.gz holds what came out; docs/your_gpu.md says where to send it"; exit $$status

# The environment: exact versions with hashes, bytecode compiled once here
# instead of at every first import. The first pip only brings uv.
.venv/ready: requirements-setup.lock requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or 3.12 with venv and ensurepip was found (on Debian and Ubuntu: apt install python3-venv); give one's path, as in: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c '$(FITS)' || { echo "make: PYTHON=$(PYTHON) is not a Python 3.11 or 3.12 with venv and ensurepip"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock || { $(UNREACHED); }
	$(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes --compile-bytecode -r requirements.lock || { $(UNREACHED); }
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Behind a company's proxy, certificate or package index: docs/running.md, "When set-up stops".
UNREACHED = echo 'make: packages could not be installed (the reason is above). If the network is in the way: docs/running.md, "When set-up stops"'; exit 1
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= 1
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# Newest versions that fit pyproject.toml; run the tests before committing the result.
lock: .venv/ready
	printf 'uv\nsetuptools\n' | $(BIN)/uv pip compile - $(LOCK) -o requirements-setup.lock
	$(BIN)/uv pip compile pyproject.toml --extra test --extra bench $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile --group pyproject.toml:site $(LOCK) -o requirements-site.lock
LOCK := --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

clean:
	rm -rf .venv .venv-site site docs/api
