# make demo | make test | make check | make bench | make soak       (each installs what it needs itself)
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PARTS ?= all
JOBS ?= 3

.PHONY: demo test check bench soak clean parts
.DEFAULT_GOAL := help

help:
	@echo "make demo [ARGS=\"--seconds 20 --json\"] | make test [PARTS=none] [JOBS=0 ARGS=\"-s tests/...\"] | make check | make bench | make soak"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "citygate needs Python 3.11 or newer as '$(PYTHON)'; name another with: make PYTHON=python3.12 ..." >&2; exit 69; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 69; }
	@$(PYTHON) -m venv $(VENV)

# The demo needs the product alone; the tests need the development group too.
$(VENV)/.product: pyproject.toml | $(VENV)/bin/python
	@echo "installing citygate into $(VENV) ..." >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check -e ".[live]" >&2
	@touch $@

$(STAMP): pyproject.toml $(VENV)/.product deploy/dev-requirements.txt
	@echo "installing the development tools into $(VENV) ..." >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check -r deploy/dev-requirements.txt >&2
	@touch $@

demo: $(VENV)/.product
	@exec $(VENV)/bin/citygate demo $(ARGS)

parts:
	@PARTS=$(PARTS) sh deploy/test-parts.sh

test: $(STAMP) parts check
	@PARTS=$(PARTS) $(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS) -m "not soak$(if $(filter none,$(PARTS)), and not parts)"
	@if [ "$(PARTS)" = none ]; then echo "left out: tests that need mosquitto, the databases or libmodbus (PARTS=none)"; fi

check: $(STAMP)
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m pytest tests/test_house_numbers.py

bench: $(STAMP) parts
	@mkdir -p build/bench
	@$(PY) tests/bench $(ARGS)

soak: $(STAMP) parts
	@$(PY) -m pytest -m soak --timeout 7200 $(ARGS)

clean:
	rm -rf $(VENV) build dist
