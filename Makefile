# make demo · make app · make test · make lint · make test-core · make test-pyside6 · make screenshots · make clean
# Needs Python 3.11 or newer; PYTHON=… picks one.
PYTHON ?= python3
BIN := .venv/bin
CORE_BIN := .venv-core/bin
PYSIDE6_BIN := .venv-pyside6/bin
INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt
# As many test processes as cores; a file of tests stays in one of them, since they share what is slow to make.
IN_PARALLEL := --numprocesses logical --dist loadfile
PROJECT := pyproject.toml hatch_build.py napari.yaml constraints.txt
# Threads that spin while they wait make torch ten times slower on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE
SOURCES := $(shell find src -type f -not -name '*.pyc' 2>/dev/null)

.DELETE_ON_ERROR:
.PHONY: demo app screenshots test lint test-core test-pyside6 clean

demo: .venv/.core-installed
	$(BIN)/unet-finetune demo --out demo-output

# napari with the docks and the sample data.
app: .venv/.test-installed
	@tools/system_libraries.sh
	$(BIN)/python tools/open_app.py

# The pictures of the tutorial, from a walk through the docks on generated data in a window of its own.
screenshots: .venv/.test-installed
	@tools/system_libraries.sh
	xvfb-run --auto-servernum --server-args="-screen 0 1920x1080x24" $(BIN)/python tools/walk_through.py --out docs/pictures

test: .venv/.test-installed
	@tools/system_libraries.sh
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_ARGS)

lint: .venv/.lint-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The wheel in an environment without napari and Qt, as on a cluster.
test-core: .venv-core/.installed
	@$(CORE_BIN)/python tools/check_core.py dist/*.whl
	$(CORE_BIN)/python -m pytest -m "not gui" --ignore=tests/_qt $(IN_PARALLEL) $(PYTEST_ARGS)

# The docks in real windows with the other binding of Qt.
test-pyside6: .venv-pyside6/.installed
	@tools/system_libraries.sh
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(PYSIDE6_BIN)/python -m pytest -m gui tests/_qt $(PYTEST_ARGS)

clean:
	rm -rf .venv .venv-core .venv-pyside6 build dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.core-installed: .venv/.ready $(PROJECT)
	$(BIN)/python $(INSTALL) -e .
	@touch $@

.venv/.test-installed: .venv/.core-installed
	$(BIN)/python $(INSTALL) --group test
	@touch $@

.venv/.lint-installed: .venv/.test-installed
	$(BIN)/python $(INSTALL) --group lint
	@touch $@

.venv-core/.installed: .venv-core/.ready $(PROJECT) $(SOURCES)
	rm -rf dist
	$(CORE_BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(CORE_BIN)/python $(INSTALL) --group core-test dist/*.whl
	$(CORE_BIN)/python $(INSTALL) --no-deps --force-reinstall dist/*.whl
	@touch $@

.venv-pyside6/.installed: .venv-pyside6/.ready $(PROJECT)
	$(PYSIDE6_BIN)/python $(INSTALL) --group pyside6-test -e .
	@touch $@

# pip knows dependency groups from 25.1 on.
%/.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, but $(PYTHON) is older or missing; name another one with: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $*/bin/python || $(PYTHON) -m venv $*
	$*/bin/python $(INSTALL) "pip>=25.1"
	@touch $@
