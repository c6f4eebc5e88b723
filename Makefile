# Everything runs in .venv, which is made and brought up to date as needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STARTED := $(VENV)/.installing
CORE := $(VENV)/.core
READY := $(VENV)/.installed

# In a terminal, pip shows what it downloads and installs; a log needs only the result.
INSTALL := [ -t 1 ] || quiet=--quiet; $(BIN)/python -m pip install $$quiet --disable-pip-version-check

# Even where Python is told to keep no compiled files: each of the tests' processes would compile zoo again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-all reliability weights lint docs install clean

demo: $(CORE) ## A small LSTM learns Python in about a minute, writes some, and is measured.
	rm -rf runs/demo
	$(BIN)/zoo train stdlib-lstm --run runs/demo
	@echo
	$(BIN)/zoo sample runs/demo --prompt "def " --max-new-tokens 300
	@echo
	$(BIN)/zoo eval runs/demo
	@printf '%s\n' "" "How it learned is drawn in runs/demo/curve.png. Try next:" \
		"    $(BIN)/zoo sample runs/demo --prompt 'class ' --temperature 0.5" \
		"    $(BIN)/zoo analyze surprisal runs/demo" \
		"    $(BIN)/zoo train shapes-from-cifar10"

test: $(READY) ## Each file's tests run in order, in one of the processes.
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-all: $(READY) ## The slow and the nightly tests too: an hour and more.
	$(BIN)/python -m pytest -m "not gpu and not network"

reliability: $(READY) ## Kills, failing disks and hostile files, in full: two hours where the cores have other work too. Writes docs/explanation/reliability.md.
	nice $(BIN)/python -m tests.nightly.reliability.full --out docs/explanation/reliability.md

weights: $(READY) ## Train published weights again: make weights NAMES="cifar10-resnet20". What was begun goes on.
	$(BIN)/python benchmarks/weights.py $(NAMES)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/pyright
	$(BIN)/pyright --project tests

docs: $(READY) ## The documentation site, strictly, into site/.
	$(BIN)/python -m sitegen

install: $(READY)

clean:
	rm -rf $(VENV) .cache build dist runs/demo site

# A stamp comes last, so an install that was interrupted is done again; if it was the first, from scratch.
$(CORE): pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1 || { [ -e $(STARTED) ] && [ ! -e $@ ]; }; then \
		$(PYTHON) -m venv --clear $(VENV); \
	fi
	@echo "installing zoo into $(VENV) (minutes the first time)"
	@touch $(STARTED)
	@$(INSTALL) --editable .
	@mv $(STARTED) $@

$(READY): $(CORE)
	@echo "installing the development tools into $(VENV)"
	@$(INSTALL) --editable '.[dev]'
	@touch $@
