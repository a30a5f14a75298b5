# The verbs of this repository. `make` does the main job; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Chapters that use Keras run on torch unless told otherwise.
export KERAS_BACKEND ?= torch
# The experiments are small: on a busy machine two threads spend their time waiting for each other.
export OMP_NUM_THREADS ?= 1

STAMPS := _build/stamps
LOGS := _build/logs
LIBRARY := $(shell find bncourse -name '*.py' 2>/dev/null)
SOLUTIONS := $(wildcard solutions/*/*.md)
CHAPTERS := $(shell find chapters -name '*.md' -o -name '*.py' 2>/dev/null) index.md

# The sample class waits for limits while pages compute: both run at once.
MAKEFLAGS += --jobs=2

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all setup exercises book sandbox sample test test-backends test-triton pictures grid pages report effects versions gpu hub lint serve pdf speed clean help

all: exercises book sample ## set up, build the website, release the exercises, grade a sample class
	@echo "Website: _build/html/index.html (make serve shows it)"

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/installed ## make .venv and install the pinned requirements

$(VENV)/installed: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing. Install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed. Received: $$($(PYTHON) --version). Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing the pinned packages into $(VENV) (log: $(LOGS)/setup.log)"
	@mkdir -p $(LOGS) && $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt >$(LOGS)/setup.log 2>&1 \
	|| { tail -n 20 $(LOGS)/setup.log; echo "The packages could not be installed. The whole log: $(LOGS)/setup.log"; exit 1; }
	@touch $@

exercises: $(STAMPS)/exercises ## derive the notebooks and release them to exercises/

$(STAMPS)/exercises: $(VENV)/installed $(SOLUTIONS) nbgrader_config.py bncourse/release.py bncourse/course.py bncourse/addresses.py $(wildcard pictures/*.png)
	@bncourse release
	@mkdir -p $(@D) && touch $@

pictures: setup ## draw the pictures of the notebooks anew
	python -m bncourse.figures.problem_sets

book: $(STAMPS)/book ## build the website strictly into _build/html

$(STAMPS)/book: $(STAMPS)/exercises $(STAMPS)/library $(CHAPTERS) _config.yml _toc.yml references.bib $(wildcard _static/* _ext/* web/* web/.npmrc web/figures/* web/reading/*) | sandbox
	@bncourse book
	@mkdir -p $(@D) && touch $@

# The cache of outputs knows the text of a page, not the library or the data that its cells read.
$(STAMPS)/library: $(LIBRARY) $(wildcard chapters/data/*.json)
	@rm -rf _build/.jupyter_cache
	@mkdir -p $(@D) && touch $@

# Grading needs it. Only root may install it; anybody else is told how.
sandbox: # not listed by help: make does it where it is needed
	@command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && mkdir -p $(LOGS) \
	&& { apt-get update -q && apt-get install -y -q bubblewrap; } >$(LOGS)/sandbox.log 2>&1; } \
	|| echo "bubblewrap is missing, so submissions cannot be graded safely. Install it: sudo apt-get install bubblewrap"

sample: $(STAMPS)/sample ## grade a sample class with nbgrader in _build/sample_class
	@bncourse show-grades _build/sample_class

$(STAMPS)/sample: $(STAMPS)/exercises $(LIBRARY) | sandbox
	@bncourse sample-class
	@mkdir -p $(@D) && touch $@

test: setup sandbox ## run all tests, side by side
	pytest -n auto --dist loadscope --no-loadscope-reorder

# TensorFlow and JAX live apart: they are large, and only problem set 5 can use them.
BACKENDS := _build/backends
$(BACKENDS)/installed: requirements-backends.txt
	$(PYTHON) -m venv $(BACKENDS)
	$(BACKENDS)/bin/python -m pip install --disable-pip-version-check -r requirements-backends.txt
	@touch $@

test-backends: setup $(BACKENDS)/installed ## run problem set 5 on torch, TensorFlow and JAX
	KERAS_BACKEND=torch pytest tests/test_ps5_keras.py
	KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 $(BACKENDS)/bin/python -m pytest tests/test_ps5_keras.py
	KERAS_BACKEND=jax $(BACKENDS)/bin/python -m pytest tests/test_ps5_keras.py

# Triton takes 640 MB, and only problem set 9 can use it. PyTorch for GPUs brings its own.
test-triton: setup sandbox ## bring Triton into .venv where it is missing, and run problem set 9
	$(BIN)/python -c "import triton" 2>/dev/null \
	|| $(BIN)/python -m pip install --disable-pip-version-check --no-deps -r requirements-triton.txt
	pytest tests/test_ps9_triton.py tests/test_gpu_file.py::test_the_script_interprets_the_kernels_of_set_9

grid: setup ## train the relatives of batch norm anew, for the table of their chapter (20 minutes)
	python -m bncourse.lab.relatives

pages: setup ## print what there is to read, page by page
	@python benchmarks/pages.py

report: setup ## print what each exercise accepts, rejects and names, and the gap of its tolerances
	python benchmarks/classifier.py
	python benchmarks/tolerances.py

effects: setup ## measure the main effects of the experiments on Fashion-MNIST too (10 minutes)
	python benchmarks/effects.py

versions: setup ## try the oldest and the newest versions in fresh environments (an hour, 5 GB at a time)
	python benchmarks/versions.py

# No setup: a machine with a GPU has its own PyTorch, and needs nothing else of this course.
gpu: ## on a machine with a GPU: the same grade there, and what the layer costs (5 minutes)
	PYTHONPATH=$(CURDIR) $(PYTHON) benchmarks/gpu.py

HUB_PORT ?= 8000

# Its accounts live in a namespace, which only root can make.
hub: setup sandbox ## start a hub on this machine, as root: two graders, three students, each an account
	@python deploy/jupyterhub/start --port $(HUB_PORT)

lint: setup ## check style and format
	ruff check .
	ruff format --check .
	lint-imports

serve: book ## show the website on http://localhost:8000
	$(BIN)/python -m http.server --bind localhost --directory _build/html 8000

pdf: book ## print the website as one PDF, _build/batch-normalization.pdf (needs Chromium)
	@python _ext/print_book.py

speed: book ## print, page by page, how fast it loads, how much that is, and what axe finds
	@python benchmarks/speed.py

clean: ## remove everything built, but not .venv
	rm -rf _build
	find solutions -name '*.ipynb' -delete
