# The two commands of the README are `make demo` and `make test`; everything happens in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# pyradiomics is built from source, and its setup.py imports numpy without asking for it.
PYRADIOMICS := setuptools==84.2.1 wheel numpy==2.4.6
# Many tests wait for a server: two files at once take little more than half of the time. The slowest ones come first.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
# Each computes with half of the cores: on all of them, networks of both wait for each other's threads.
# What a network frees is used again at once, which saves a tenth of all the time.
HALF := OMP_NUM_THREADS=$$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 )) MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
CT ?=
LATER_CT ?=
CONFIG ?= lungspread.toml

.PHONY: demo test check serve bench doctor clean

demo: .venv/worker
	$(BIN)/lungspread demo $(if $(CT),--ct "$(CT)") $(if $(LATER_CT),--ct "$(LATER_CT)")

test: .venv/dev
	$(HALF) $(BIN)/pytest $(SIDE_BY_SIDE)

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(HALF) $(BIN)/pytest $(SIDE_BY_SIDE)

serve: .venv/worker
	$(BIN)/lungspread serve --config $(CONFIG)

doctor: .venv/worker
	$(BIN)/lungspread doctor --config $(CONFIG)

bench: .venv/dev
	for name in load receive step measurement_error; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv demo-out

# torch first: whatever follows then keeps the build (CPU or CUDA) that this machine's package index offers.
.venv/worker .venv/dev: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), "Python 3.11 is needed: make PYTHON=..."'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(if $(filter dev,$(@F)),$(BIN)/pip install --quiet $(PYRADIOMICS))
	$(if $(filter dev,$(@F)),$(BIN)/pip install --quiet --no-build-isolation pyradiomics==3.0.1)
	$(BIN)/pip install --quiet --editable ".[$(@F)]"
	touch $@
