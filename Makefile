# make demo · make app · make test · make lint · make full · make test-core · make test-qt · make test-pyside6 · make test-oldest ·
# make test-share · make check-release · make torture · make screenshots · make site · make lock · make clean
# Needs Python 3.11 or newer; PYTHON=… picks one.
PYTHON ?= python3
BIN := .venv/bin
CORE_BIN := .venv-core/bin
PYSIDE6_BIN := .venv-pyside6/bin
OLDEST_BIN := .venv-oldest/bin
SHARE_BIN := .venv-share/bin
RELEASE_BIN := .venv-release/bin
DOCS_BIN := .venv-docs/bin
# The environment that a rule makes.
ENVIRONMENT = $(firstword $(subst /, ,$@))
INSTALL = $(ENVIRONMENT)/bin/uv pip install --quiet --python $(ENVIRONMENT)/bin/python
LOCKED := --constraints constraints.txt
PROJECT := pyproject.toml hatch_build.py napari.yaml constraints.txt
SOURCES := $(shell find src -type f -not -name '*.pyc' 2>/dev/null)
# As many test processes as cores, and one that is done takes over tests of another.
PYTEST := -m pytest --numprocesses logical --dist worksteal --durations 25 --durations-min 1
# Where only some tests are asked for, an environment may have none of them.
CHOSEN = $(PYTEST_ARGS) $(if $(PYTEST_ARGS),|| test $$? -eq 5)
# Windows and events that may fail with another binding of Qt; `make full` runs all tests of the docks with it.
PYSIDE6_TESTS := $(addprefix tests/_qt/,annotate/test_painting_in_a_window.py test_compare_dock.py test_predict_dock.py layers/test_layers.py)
# Threads that spin while they wait make torch ten times slower on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE

.DELETE_ON_ERROR:
.PHONY: demo app screenshots site torture test lint full test-core test-qt test-pyside6 test-all-pyside6 test-oldest test-share check-release lock clean

demo: .venv/.core-installed
	$(BIN)/unet-finetune demo --out demo-output

# napari with the docks and the sample data.
app: .venv/.installed
	@tools/system_libraries.sh
	$(BIN)/python tools/open_app.py

# The pictures of the tutorial, from a walk through the docks on generated data in a window of its own.
PICTURES ?= docs/pictures
screenshots: .venv/.installed
	@tools/system_libraries.sh
	xvfb-run --auto-servernum --server-args="-screen 0 1920x1080x24" $(BIN)/python tools/walk_through.py --out $(PICTURES)

# The documentation as a web site in build/site, with the notebook run; a link that leads nowhere is an error.
site: build/notebooks/finetune.md
	NO_MKDOCS_2_WARNING=1 $(DOCS_BIN)/mkdocs build --strict
	$(DOCS_BIN)/python tools/check_site.py build/site

build/notebooks/finetune.md: docs/notebooks/finetune.ipynb .venv-docs/.installed $(SOURCES)
	rm -rf $(@D) && mkdir -p $(@D) && cp $< $(@D)
	PATH="$(CURDIR)/$(DOCS_BIN):$$PATH" OMP_NUM_THREADS=1 $(DOCS_BIN)/jupyter nbconvert --log-level WARN --to markdown --execute $(@D)/$(<F)

# Hostile files, injected faults and wear by the thousand. A short one:
# TORTURE="--models 100 --images 100 --others 100 --folders 8 --repeats 5 --kills 4"
torture: .venv/.core-installed
	OMP_NUM_THREADS=1 $(BIN)/python tools/torture $(TORTURE)

# Each test once: the core from its wheel in an environment without napari and Qt, as on a cluster; the docks with PyQt6.
test: test-core test-qt

# One thread each: as many test processes as cores run at once.
test-core test-qt test-pyside6 test-all-pyside6 test-oldest test-share: export OMP_NUM_THREADS = 1

test-core: .venv-core/.installed
	@$(CORE_BIN)/python tools/check_core.py dist/*.whl
	$(CORE_BIN)/python $(PYTEST) --ignore tests/_qt $(CHOSEN)

test-qt: .venv/.installed
	@tools/system_libraries.sh
	QT_API=pyqt6 PYTEST_QT_API=pyqt6 $(BIN)/python $(PYTEST) tests/_qt $(CHOSEN)

test-pyside6: .venv-pyside6/.installed
	@tools/system_libraries.sh
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(PYSIDE6_BIN)/python $(PYTEST) $(PYSIDE6_TESTS) $(CHOSEN)

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/mypy
	$(BIN)/lint-imports

# All that is checked before a larger change is done: too slow for every one.
full:
	.ci/run
	$(MAKE) test-core test-qt PYTEST_ARGS="-m full"
	$(MAKE) test-all-pyside6 test-oldest test-share check-release torture demo site
	$(MAKE) screenshots PICTURES=build/pictures

test-all-pyside6: .venv-pyside6/.installed
	@tools/system_libraries.sh
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(PYSIDE6_BIN)/python $(PYTEST) tests/_qt $(CHOSEN)

# The core with the oldest dependencies that pyproject.toml allows; what they warn of is no fault.
test-oldest: .venv-oldest/.installed
	$(OLDEST_BIN)/python $(PYTEST) -W default --disable-warnings --ignore tests/_qt $(CHOSEN)

# Our packages in the program by which BioImage.IO tests them. It asks for an older bioimageio.spec than we need.
test-share: .venv-share/.installed
	$(SHARE_BIN)/python $(PYTEST) tests/share/test_bioimageio_core.py -m full $(CHOSEN)

# Wheel and sdist, their papers, and the docks opened from the wheel beside napari. RELEASE_ARGS="--tag v0.2.0" for a release.
check-release: .venv-release/.installed
	@tools/system_libraries.sh
	$(RELEASE_BIN)/python tools/check_release.py $(RELEASE_ARGS)

# Write what pyproject.toml needs into constraints.txt; LOCK_ARGS=--upgrade renews all but torch, which is edited by hand.
lock: .venv/.ready
	grep '^torch==' constraints.txt | $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	  --extra share --group lock --constraints - --no-annotate --custom-compile-command "make lock" \
	  --output-file constraints.txt $(LOCK_ARGS) >/dev/null
	@sed -i.old -E '/^(cuda|nvidia|triton)/d' constraints.txt && rm constraints.txt.old # what only torch's build for CUDA needs

clean:
	rm -rf .venv .venv-core .venv-pyside6 .venv-oldest .venv-share .venv-release .venv-docs build dist demo-output
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.core-installed: .venv/.ready $(PROJECT)
	$(INSTALL) $(LOCKED) --editable .
	@touch $@

.venv/.installed: .venv/.core-installed
	$(INSTALL) $(LOCKED) --group dev --editable .
	@touch $@

.venv-core/.installed: .venv-core/.ready $(PROJECT) README.md $(SOURCES)
	rm -rf dist
	$(CORE_BIN)/uv build --quiet --wheel --out-dir dist
	$(INSTALL) $(LOCKED) --group core-test --reinstall-package napari-unet-finetune "$$(ls dist/*.whl)[share]"
	@touch $@

.venv-pyside6/.installed: .venv-pyside6/.ready $(PROJECT)
	$(INSTALL) $(LOCKED) --group pyside6-test --editable .
	@touch $@

.venv-oldest/.installed: .venv-oldest/.ready $(PROJECT)
	grep '^torch==' constraints.txt | $(INSTALL) --resolution lowest-direct --constraints - --group core-test --editable ".[share]"
	@touch $@

.venv-share/.installed: .venv-share/.ready $(PROJECT)
	grep '^bioimageio-spec==' constraints.txt >.venv-share/override.txt
	$(INSTALL) $(LOCKED) --override .venv-share/override.txt --group base-test --editable ".[share]" "bioimageio.core>=0.11"
	@touch $@

.venv-release/.installed: .venv-release/.tools $(PROJECT)
	$(INSTALL) $(LOCKED) --group release
	@touch $@

# No torch: nothing of ours runs in it.
.venv-release/.tools: constraints.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(RELEASE_BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

.venv-docs/.installed: .venv-docs/.ready $(PROJECT)
	$(INSTALL) $(LOCKED) --group docs --editable .
	@touch $@

%/.ready: constraints.txt tools/install_torch.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, but $(PYTHON) is older or missing; name another one with: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $*/bin/python || $(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	tools/install_torch.sh $*
	@touch $@
