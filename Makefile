# make demo   sets up, runs the main job on the embedded sample, answers three sentences
# make test   sets up, runs the fast, whole set of tests (under 10 minutes on 2 cores)
# make check  format, lint, types, tests; make test-all adds the slow tests; make bench prints those that want a quarter of an hour
PYTHON ?= $(or $(shell command -v python3.11 || command -v python3.12 || command -v python3.13),python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-$(shell cat setup.py constraints.txt | cksum | cut -d' ' -f1)

export CUDA_VISIBLE_DEVICES ?=

.PHONY: setup demo test test-all check format lint types bench docs clean
setup: $(READY)

$(READY):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools<82" wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@rm -f $(VENV)/.ready-*
	@touch $@

demo: setup
	$(BIN)/polisemia run configs/opiniones.toml
	$(BIN)/polisemia predict runs/opiniones \
	  --text "Aunque la pantalla es estupenda, la batería es un desastre." \
	  --text "Aunque la batería es un desastre, la pantalla es estupenda." \
	  --text "Mi cuñado dice que es un desastre; yo, en cambio, estoy encantada."

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: format lint types test

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

bench: setup
	for name in whole data_path training decoding retrain; do $(BIN)/python -m benchmarks.$$name || exit 1; done

docs: setup
	$(BIN)/python -m pipeline.reference > docs/config.md

clean:
	rm -rf runs build dist *.egg-info
