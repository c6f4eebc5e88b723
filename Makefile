# Everything runs in .venv, which make creates and updates as needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STARTED := $(VENV)/.installing
CORE := $(VENV)/.core
READY := $(VENV)/.installed

# Show pip's progress only in a terminal.
INSTALL := [ -t 1 ] || quiet=--quiet; $(BIN)/python -m pip install $$quiet --disable-pip-version-check

# Keep compiled files, even if this variable is set: otherwise, each test process compiles zoo again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-all reliability weights lint docs install clean

demo: $(CORE) ## Train a small LSTM on Python code in about a minute, evaluate it, and generate text.
	rm -rf runs/demo
	$(BIN)/zoo train stdlib-lstm --run runs/demo
	@echo
	$(BIN)/zoo eval runs/demo
	@echo
	$(BIN)/zoo sample runs/demo --prompt "    def __init__(self, " --temperature 1 --top-p 0.7 --max-new-tokens 300
	@printf '%s\n' "" "" "That was one epoch. A larger model, trained on Shakespeare for ten epochs:"
	$(BIN)/zoo sample tinyshakespeare-awd-lstm --prompt "ROMEO:" --temperature 0.6 --max-new-tokens 300
	@printf '%s\n' "" "" "runs/demo/curve.png shows the learning curve. Next, try:" \
		"    source $(BIN)/activate" \
		"    zoo sample runs/demo --prompt 'class ' --temperature 1 --top-p 0.7" \
		"    zoo analyze surprisal runs/demo" \
		"    zoo train shapes-from-cifar10"

test: $(READY) ## Run the default test suite. The tests of each file run in order, in one process.
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-all: $(READY) ## Run all tests, including slow and nightly tests (more than an hour).
	$(BIN)/python -m pytest -m "not gpu and not network"

reliability: $(READY) ## Run all reliability tests (about two hours), and write docs/explanation/reliability.md.
	nice $(BIN)/python -m tests.nightly.reliability.full --out docs/explanation/reliability.md

weights: $(READY) ## Retrain published weights, or continue: make weights NAMES="cifar10-resnet20".
	$(BIN)/python -m benchmarks.weights $(NAMES)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/pyright
	$(BIN)/pyright --project tests

docs: $(READY) ## Build the documentation site in site/, and fail if there are warnings.
	$(BIN)/python -m sitegen

install: $(READY)

clean:
	rm -rf $(VENV) .cache build dist runs/demo site

# The stamp file is written last, so make repeats an interrupted installation (from scratch if it was the first).
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
