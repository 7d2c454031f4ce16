# The two commands of the README are `make demo` and `make test`; everything happens in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
TORCH ?= torch==2.13.0
# pyradiomics is built from source, and its setup.py imports numpy without asking for it.
PYRADIOMICS := setuptools==84.2.1 wheel numpy==2.4.6
# Three test files at once, since tests of servers wait; each process computes on half of the cores: on all of them, networks wait for each other.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder
HALF := OMP_NUM_THREADS=$$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 )) MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
CT ?=
LATER_CT ?=
CONFIG ?= lungspread.toml
SEED ?= 1
HISTORIES ?= 1000
INPUTS ?= 100000

.PHONY: demo test test-fast lint check faults fuzz serve bench conformance doctor lock sbom audit secrets digests clean

demo: .venv/worker
	$(BIN)/lungspread demo $(if $(CT),--ct "$(CT)") $(if $(LATER_CT),--ct "$(LATER_CT)")

test: .venv/dev
	$(HALF) $(BIN)/pytest $(SIDE_BY_SIDE)

# Pure code alone: no subprocess, no server, no released network.
test-fast: .venv/dev
	$(HALF) $(BIN)/pytest $(SIDE_BY_SIDE) tests/unit

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

# Histories of faults (kills, disks, clocks, PACS, damage) with a stub in place of the network; as root, disks fill, too.
faults: .venv/dev
	$(BIN)/python -m tests.faults --seed $(SEED) --histories $(HISTORIES)

# Malformed input for everything that takes bytes from outside.
fuzz: .venv/dev
	$(BIN)/python -m tests.fuzz --seed $(SEED) --inputs $(INPUTS)

serve: .venv/worker
	$(BIN)/lungspread serve --config $(CONFIG)

doctor: .venv/worker
	$(BIN)/lungspread doctor --config $(CONFIG)

bench: .venv/bench
	$(BIN)/python -m benchmarks.run_all

# Writes the tables of dicom_node/CONFORMANCE.md, as the code is now.
conformance: .venv/dev
	$(BIN)/python -m tests.conformance

# Renews the locks within the ranges of pyproject.toml; torch stays out, whose build each machine chooses.
# requirements.lock has the versions of everything; pip takes no hashes in it, because it constrains a resolution. What a node and
# a worker need is in locks of their own with the hash of every file. Not in them: torch, and what torch alone needs.
LOCK := .venv/tools/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header
HASHED := $(LOCK) --generate-hashes --constraint requirements.lock --excludes .venv/torch.txt pyproject.toml .venv/build.txt --extra postgresql
lock: .venv/tools/bin/uv
	$(LOCK) --no-emit-package torch --upgrade --extra dev --extra nnunet --extra bench pyproject.toml -o requirements.lock
	echo torch > .venv/torch.txt
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml > .venv/build.txt
	$(HASHED) -o requirements-node.lock
	$(HASHED) --extra worker -o requirements-worker.lock

# CycloneDX list of everything that is installed, with licences.
sbom: .venv/worker .venv/tools/bin/uv
	.venv/tools/bin/cyclonedx-py environment .venv --output-file sbom.json

# Known holes of the versions in requirements.lock. It fails if there are any, and if a version cannot be looked up.
audit: .venv/tools/bin/uv
	.venv/tools/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip --progress-spinner off

# Passwords for docker-compose.yml.
secrets:
	$(PYTHON) deploy/make_secrets.py

# The digest of each image that docker-compose.yml and the Dockerfiles name, to be written behind its tag (TAG@sha256:...).
digests:
	for image in $$(sed -nE 's/^(FROM| +image:) ([^ ]+:[^ ]+).*/\2/p' docker-compose.yml deploy/Dockerfile.* | grep -v '^lungspread-' | sort -u); do \
	  echo "$$image@$$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' $$image)"; done

clean:
	rm -rf .venv demo-out

# torch first: whatever follows then keeps the build (CPU or CUDA) that this machine's package index offers.
.venv/worker .venv/dev: pyproject.toml requirements.lock requirements-worker.lock
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "Python 3.11 to 3.13 is needed: make PYTHON=..."'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement requirements-worker.lock
	$(if $(filter dev,$(@F)),$(BIN)/pip install --quiet $(PYRADIOMICS))
	$(if $(filter dev,$(@F)),$(BIN)/pip install --quiet --no-build-isolation pyradiomics==3.0.1)
	$(BIN)/pip install --quiet --constraint requirements.lock --editable ".[$(@F)]"
	touch $@

# nnU-Net's network and sliding window as a peer. Without what it depends on: that asks for another build of torch.
.venv/bench: .venv/dev
	$(BIN)/pip install --quiet --no-deps --constraint requirements.lock nnunetv2 dynamic-network-architectures acvl-utils batchgenerators
	touch $@

# In an environment of their own, so that they are no part of what they list.
.venv/tools/bin/uv:
	$(PYTHON) -m venv .venv/tools
	.venv/tools/bin/pip install --quiet uv==0.13.8 cyclonedx-bom==7.5.0 pip-audit==2.10.1
