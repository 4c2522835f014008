# make demo: a cohort, a model, predictions and a page to read, from nothing
# make test: every gate and every test
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
# napari's window needs these (Qt, OpenGL and a screen that is not there); python3-venv makes the environment
LIBRARIES := python3-venv xvfb xauth libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libdbus-1-3 \
	libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 \
	libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1

# the window's tests draw with OpenGL: where there is no screen, they get one of their own
SCREEN := $(shell test "$$(uname)" != Linux || test -n "$$DISPLAY" || \
	echo "xvfb-run -a -s '-screen 0 1600x1000x24' env QT_QPA_PLATFORM=xcb")

.PHONY: venv demo test lint libraries

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory libraries
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $(STAMP)

libraries:
	@if ! command -v dpkg-query > /dev/null; then \
		test "$$(uname)" != Linux || echo "napari's window needs these system libraries (Debian's names): $(LIBRARIES)"; \
		exit 0; \
	fi; \
	missing=$$(for name in $(LIBRARIES); do \
		dpkg-query -W -f='$${Status}' $$name $${name}t64 2> /dev/null | grep -q 'install ok' || echo $$name; done | tr '\n' ' '); \
	test -n "$$missing" || exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
		echo "installing $$missing"; \
		apt-get update -q > /dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -q -y $$missing > /dev/null; \
	else \
		echo "these system libraries are missing: sudo apt-get install $$missing"; \
	fi

demo: $(STAMP)
	rm -rf demo
	$(BIN)/napari-myelin-train demo --out demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(SCREEN) $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
