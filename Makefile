# make demo     sets everything up and shows the plugin at work
# make test     sets everything up and runs all checks
# make quick    runs the engine's tests but for the slow ones
# make setup    only sets everything up
# make docs     builds the documentation in build/docs; a broken link is an error
# make release  builds a release in dist/, installs it elsewhere and tries it there
PYTHON ?= python3
BIN := .venv/bin
TRITON := 3.9.0
WORKERS ?= 2
# A worker takes the next test when it has finished one; the slow ones come first.
SHARED := -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
# A virtual screen where there is none.
DISPLAYED := $(if $(DISPLAY)$(WAYLAND_DISPLAY),,xvfb-run -a -s "-screen 0 1600x1000x24")
PYQT := QT_API=pyqt6 PYTEST_QT_API=pyqt6 $(DISPLAYED) $(BIN)/python

.PHONY: tests-windows setup demo test quick lint docs tests tests-engine tests-gui tests-pyside \
	screenshots loop-screenshots tutorial-screenshots release licences benchmarks clean

setup: .venv/installed

.venv/installed: setup.cfg pyproject.toml constraints.txt scripts/system_packages.sh
	PYTHON=$(PYTHON) sh scripts/system_packages.sh
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	# For the tests alone, and apart: in one process with a software OpenGL it crashes.
	case "$$(uname)" in Linux) $(BIN)/python -m pip install --quiet --no-deps --upgrade \
		--target .venv/triton triton==$(TRITON);; esac
	touch $@

demo: setup
	$(BIN)/seglite demo --output demo

# Side by side; each target's output in one piece, where make can do that.
test: setup
	$(MAKE) -j3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
		lint docs tests-windows tests-engine

# One Qt binding after the other.
tests-windows: tests-gui
	$(MAKE) tests-pyside

quick: setup
	$(PYQT) -m pytest $(SHARED) -m "not slow" --ignore tests/gui

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests start many processes, which otherwise compile the package anew, a quarter of their start.
unexport PYTHONDONTWRITEBYTECODE

# From nothing each time, since what it takes from the program may have changed.
docs: setup
	QT_API=pyqt6 $(BIN)/python -m sphinx -q -E -W --keep-going -b html docs build/docs

# Processes side by side take a thread each; otherwise they wait for one another, spinning.
quick tests-engine tests-gui tests-pyside: export OMP_NUM_THREADS = 1
quick tests-engine tests-gui tests-pyside: export OMP_WAIT_POLICY = passive

tests: tests-engine tests-gui

tests-engine: setup
	$(PYQT) -m pytest $(SHARED) -m "not alone" --ignore tests/gui
	$(PYQT) -m pytest -m alone tests/annotation

tests-gui: setup
	$(PYQT) -m pytest tests/gui

# The same windows with the other Qt binding, but for what is about numbers alone.
tests-pyside: setup
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(DISPLAYED) $(BIN)/python -m pytest -m "not slow" tests/gui \
		--ignore tests/gui/test_two_doors.py --ignore tests/gui/test_three_doors.py \
		--ignore tests/gui/test_large_results.py \
		--ignore tests/gui/test_odd_inputs.py --ignore tests/gui/test_same_weights.py \
		-k "not works_while and not software_opengl and not cancel_ and not stop_keeps"

screenshots: setup
	$(DISPLAYED) $(BIN)/python scripts/screenshots.py

# With the labelled images: what the scripted user corrects to.
loop-screenshots: setup
	$(DISPLAYED) $(BIN)/python scripts/loop_screenshots.py $(DATA)

# With Python 3.11 to 3.14, as far as they are here; uploads nothing.
release: setup
	$(DISPLAYED) $(BIN)/python scripts/release.py

# After a change of what is required.
licences: setup
	$(BIN)/python scripts/licences.py
tutorial-screenshots: setup
	$(DISPLAYED) $(BIN)/python scripts/tutorial_screenshots.py $(DATA)

benchmarks: setup
	$(BIN)/python benchmarks/scan.py
	$(BIN)/python benchmarks/s_net.py

clean:
	rm -rf .venv build dist demo *.egg-info
