# Two commands do all the set-up on a machine with Python 3.11+ and nothing else:
#   make run    install, then the main job on the sample creators
#   make test   install, then every check and test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

.PHONY: run demo demo-crawl test check quick slow notebooks bench lock image-check clean

run: $(VENV)/.installed
	$(BIN)/python main.py --csv data/creators.csv

# Everything at once on the sample, descriptions by a stand-in server here: no key, no cost.
demo: $(VENV)/.installed
	$(BIN)/python main.py demo

demo-crawl: $(VENV)/.installed-dev
	$(BIN)/python scripts/demo_crawl.py

test: $(VENV)/.installed-dev check quick slow

# Formatting, lint, types, layers.
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

quick: $(VENV)/.installed-dev
	$(BIN)/pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --durations=10

slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow -n auto --maxprocesses 2 --dist load --durations=20

# Notebooks without their outputs; their pages in docs/notebooks, run anew on the sample.
notebooks: $(VENV)/.installed-dev
	$(BIN)/python scripts/render_notebooks.py

# Benchmarks: one command each, peers in the same run.
bench: $(VENV)/.installed-dev
	$(BIN)/python bench/frames.py --save
	$(BIN)/python bench/runner.py --save
	$(BIN)/python bench/threads.py
	$(BIN)/python bench/memory.py --save
	$(BIN)/python bench/shots.py --save
	$(BIN)/python bench/audio.py
	$(BIN)/python bench/speech_rate.py
	$(BIN)/python bench/transcriber.py
	$(BIN)/python bench/music.py --part all --save
	$(BIN)/python bench/dedupe.py

# --no-deps: the lists are complete, and rapidocr's wish for opencv-python (which needs
# the system's libGL) is answered by opencv-python-headless; see docs/adr/003.
$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)
	$(INSTALL) --no-deps -r requirements.txt
	$(INSTALL) --no-deps -e .
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt pyproject.toml | $(VENV)
	$(INSTALL) --no-deps -r requirements-dev.txt
	$(INSTALL) --no-deps -e .
	touch $@ $(VENV)/.installed

ifdef UV
INSTALL := uv pip install -q --python $(BIN)/python
$(VENV):
	uv venv -q --python $(PYTHON) $(VENV)
else
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check
$(VENV):
	$(PYTHON) -m venv $(VENV)
endif

# Builds the Dockerfile without a Docker engine and runs the main job in it. Root, Debian,
# `apt install buildah debootstrap`, and some 40 GB of disk while it runs; see docs/docker.md.
image-check: $(VENV)/.installed-dev
	$(BIN)/python scripts/image_check.py $(IMAGE_CHECK)

# Pins anew from pyproject.toml (needs uv).
lock:
	uv pip compile -q --universal --python-version 3.11 pyproject.toml --all-extras -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 pyproject.toml --all-extras --group dev -o requirements-dev.txt
	uv pip compile -q --universal --python-version 3.11 docker/requirements-notebook.in -c requirements.txt -o docker/requirements-notebook.txt
	cp requirements.txt docker/requirements-small.txt  # what it pins is kept
	uv pip compile -q --universal --python-version 3.11 pyproject.toml --extra crawl --extra postgres --extra chromaprint --extra notebook --override docker/overrides-small.txt --no-emit-package torch --no-emit-package opencv-python -o docker/requirements-small.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
