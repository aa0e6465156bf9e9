# Everything a newcomer or CI runs. `make demo` first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
RUN := $(VENV)/bin/python

# Real videos to test on are found through SPATIALCODE_DATA; without them those tests skip.
ifndef SPATIALCODE_DATA
ifneq ($(wildcard ../shared/.),)
export SPATIALCODE_DATA := $(abspath ../shared)
endif
endif

# Its own requirements (numpy below 2, xformers) are not what its networks need.
DA3 := depth-anything-3==0.1.1

.PHONY: demo test test-slow check lint serve bench clean

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# One resolution for everything, so that a later install never replaces an earlier version.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV), about 2 GB: some minutes"
	$(PIP) install --quiet -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV), about 2 GB: some minutes"
	$(PIP) install --quiet -e '.[test]'
	$(PIP) install --quiet --no-deps $(DA3)
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed
	$(RUN) -m jobs.demo

test: $(VENV)/.installed-test
	$(RUN) -m pytest

test-slow: $(VENV)/.installed-test
	$(RUN) -m pytest -m slow

check: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

serve: $(VENV)/.installed
	$(RUN) -m serve.app config=configs/serve.yaml $(SET)

# tiny_reasoner.py trains for an hour and more: run it by itself; encoder_gpu.py needs DA3
bench: $(VENV)/.installed-test
	@set -e; for script in $(filter-out benchmarks/tiny_reasoner.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(RUN) $$script; done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
