# `make help` lists the targets. Each makes the environment it needs first.
PYTHON ?=
TORCH_INDEX ?=
RECIPE ?= fast/camvid-cpu
RUN ?=
BUNDLE ?=
BENCH ?= $(sort $(wildcard benchmarks/*.py))
BASE ?= python:3.13-slim-bookworm
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= semantic-palette:$(VERSION)
PODMAN ?= podman
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUF := node_modules/.bin/buf
OPEN_INFERENCE := semantic_palette_services/openinference/v2
protoc = $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(1) --grpc_python_out=$(1) --pyi_out=$(1) $(wildcard protos/$(2)/*.proto)
stubs = $(call protoc,$(1),semantic_palette/v1) && $(call protoc,$(1)/services,$(OPEN_INFERENCE))

.DEFAULT_GOAL := help
.PHONY: setup demo up test fuzz soak lint lint-python lint-protos lint-deploy format proto metrics settings train export bench gpu-check images clean help

setup: $(READY) ## make .venv with the semantic-palette command; TORCH_INDEX=URL chooses the torch build, PYTHON= the interpreter

demo: $(READY) ## 12 labelled pairs for three palettes in demo/, with a contact sheet
	$(BIN)/semantic-palette generate --count 12 --seed 7 --palettes docs/demo_palettes.json --bundle camvid --out demo && $(BIN)/semantic-palette show demo

up: $(READY) ## the services and, where it is installed, Prometheus, until Ctrl-C
	scripts/up $(ARGS)

test: $(READY) ## every test, on as many processes as there are cores; ARGS=-n0 uses one
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(ARGS)

fuzz: $(READY) ## every RPC with random and mutated messages; ARGS=--minutes=10, see docs/reliability.md
	PYTHONPATH=tests/semantic_palette_services $(BIN)/python -m fuzz $(ARGS)

soak: $(READY) ## mixed load with faults for 10 minutes; ARGS=--minutes=1, see docs/reliability.md
	PYTHONPATH=tests/semantic_palette_services $(BIN)/python -m soak $(ARGS)

lint: lint-python lint-protos lint-deploy ## every static check

format: $(READY) $(BUF) ## format Python and protos
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BUF) format -w

proto: $(READY) ## generate the Python code of protos/
	$(call stubs,.)

metrics: $(READY) ## write docs/metrics.md from the registry of a server
	mkdir -p build && $(BIN)/python scripts/metrics_page.py > build/metrics.md && mv build/metrics.md docs/metrics.md

settings: $(READY) ## write docs/settings.md from the settings of a server
	mkdir -p build && $(BIN)/python scripts/settings_page.py > build/settings.md && mv build/settings.md docs/settings.md

train: $(READY) ## train RECIPE= (default fast/camvid-cpu) into runs/
	$(BIN)/semantic-palette train --recipe $(RECIPE) $(ARGS)

export: $(READY) ## export RUN= as the next version of BUNDLE=
	$(if $(and $(RUN),$(BUNDLE)),$(BIN)/semantic-palette export --run $(RUN) --bundle $(BUNDLE) $(ARGS),$(error say what to export: make export RUN=runs/NAME BUNDLE=NAME))

bench: $(READY) ## every benchmark, or BENCH=benchmarks/NAME.py
	$(foreach file,$(BENCH),$(BIN)/python $(file) $(ARGS) &&) true

gpu-check: $(READY) ## what waits for an NVIDIA GPU; ARGS="--device cpu" is its dry run
	$(BIN)/python benchmarks/gpu/check.py $(ARGS)

images: ## the service image with podman (PODMAN=docker works too); BASE= is any image with Python 3.11-3.13
	scripts/images "$(PODMAN)" "$(BASE)" "$(IMAGE)"

clean: ## remove what these targets made, except runs/ and model_store/
	rm -rf $(VENV) node_modules build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lint-python: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

lint-protos: $(READY) $(BUF)
	$(BUF) lint && $(BUF) format -d --exit-code && $(BUF) breaking --against protos/baseline.binpb
	rm -rf build/stubs && mkdir -p build/stubs/services && $(call stubs,build/stubs)
	for folder in semantic_palette/v1 services/$(OPEN_INFERENCE); do diff -r -x __init__.py -x __pycache__ build/stubs/$$folder $$folder || { echo "generated code is stale: run make proto" >&2; exit 1; }; done

lint-deploy: $(READY)
	$(BIN)/yamllint --strict .

ifeq ($(origin TORCH_INDEX),command line)
.PHONY: $(READY)
endif
$(READY): pyproject.toml constraints.txt
	scripts/setup "$(VENV)" "$(PYTHON)" "$(TORCH_INDEX)"

$(BUF): package.json
	@command -v npm >/dev/null || { echo "npm is missing: the protos are linted with buf, so install Node.js" >&2; exit 1; }
	npm install --no-package-lock --no-audit --no-fund && touch $(BUF)
