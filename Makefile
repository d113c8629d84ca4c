# make demo      install enrapt, without torch, and see it work on a shipped clip
# make test      what a change must pass: style, types, the quick tests
# make test-all  the same with the long tests
# make bundle    train and export the shipped bundles anew
#
# All of it happens in .venv; `make VENV=elsewhere …` takes another place, `PYTHON=python3.12` another Python.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
ROOMS := contracts models export realtime cli
SOURCES := pyproject.toml LICENSE $(shell find $(ROOMS) -type f -not -name '*.pyc')
# `build` keeps modules that are gone from the sources, and would install them again.
INSTALL = { test -d $(VENV) || $(PYTHON) -m venv $(VENV); } && rm -rf build && $(BIN)/pip install --quiet

.PHONY: demo test test-all check bundle

demo: $(VENV)/.installed
	$(BIN)/enrapt demo

test: check
	$(BIN)/pytest

test-all: check
	$(BIN)/pytest -m ""

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(addprefix -p enrapt.,$(ROOMS))

$(VENV)/.installed: $(SOURCES)
	@echo "Installing enrapt into $(VENV): a minute or two."
	@$(INSTALL) .
	@touch $@

$(VENV)/.installed-dev: $(SOURCES)
	@echo "Installing enrapt and what its tests need into $(VENV): some minutes."
	@$(INSTALL) ".[dev]"
	@touch $@

# Trains the shipped bundles anew from their seeds, an hour on one core, and replaces them.
bundle: $(VENV)/.installed-dev
	$(BIN)/enrapt train default --seed 0 --threads 1 -o runs/default
	$(BIN)/enrapt export runs/default -o bundle/shipped/default.onnx
	$(BIN)/enrapt train mdvae --seed 0 --threads 1 -o runs/mdvae-smoother
	$(BIN)/enrapt distil runs/mdvae-smoother --seed 0 --threads 1 -o runs/mdvae
	$(BIN)/enrapt export runs/mdvae -o bundle/shipped/mdvae.onnx
