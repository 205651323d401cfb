# minitron: every target is one line; `make` alone lists them.
RECIPE ?= recipes/demo.toml
ARGS ?=
FUZZTIME ?= 30s
PYTHON ?= python3
BIN := .venv/bin
MINITRON := $(BIN)/minitron
# three files at a time on two cores, since most tests wait for programs that start; a process that crashes ends it all
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0
TYPED := minitron/recipe minitron/model minitron/align minitron/evaluate minitron/interop
GOROOT = $(shell $(BIN)/python -m minitron.program.go)
GO = GOTOOLCHAIN=local CGO_ENABLED=0 "$(GOROOT)/bin/go"
STAGES := data tokenizer pretrain sft reject kto feedback eval export binary

help: ## this list
	@grep -E '^[a-z -]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 36
	@echo 'data ... binary first run the stages before them, unless done. Try: make sft RECIPE=recipes/demo.toml ARGS="optim.lr=1e-3"' 

setup: .venv/.ready ## a virtual environment with everything, the Go toolchain included
.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "minitron needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "could not make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[binary]'
	@touch $@
.venv/.ready-test: .venv/.ready
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	-@$(BIN)/python -m compileall -qq -j 0 .venv/lib # tests begin a thousand processes; without it each compiles what it imports
	@touch $@

demo: setup ## from nothing to a chat program of your own, in six to ten minutes
	$(MINITRON) run recipes/demo.toml

data: ## keep the dialogues of RECIPE by their scores, hold some out
tokenizer: ## train the tokenizer
pretrain: ## train a base model on raw text, if RECIPE has [pretrain]
sft: ## train on the dialogues
reject: ## sample the model's own failures
kto: ## align the model on those failures
feedback: ## learn from the labels that people gave to answers
eval: ## write the report card
export: ## write what the chat program embeds
binary: ## build the chat program for this machine
$(STAGES): setup
	$(MINITRON) run "$(RECIPE)" --to $@ $(ARGS)

chat: setup ## talk to the model of RECIPE in the terminal
	$(MINITRON) chat "$(RECIPE)" $(ARGS)

binaries: export ## the chat program for all systems, and a folder to send from
	$(MINITRON) binary --target all --bundle "export/$$(basename "$(RECIPE)" .toml)"

html: setup ## one HTML file with the model inside, for friends who cannot run programs
	$(MINITRON) run "$(RECIPE)" --to eval $(ARGS)
	$(MINITRON) export "$(RECIPE)" --dtype q8 --out "export/$$(basename "$(RECIPE)" .toml)/html" $(ARGS)
	$(MINITRON) html --bundle "export/$$(basename "$(RECIPE)" .toml)/html"

test: .venv/.ready-test ## what must hold, Python and Go, but for what is slow
	$(PYTEST) -m "not slow"
	cd go_serve && $(GO) test ./...

test-all: .venv/.ready-test ## the slow tests too
	$(PYTEST)
	cd go_serve && $(GO) test ./...

fuzz: .venv/.ready-test ## random input for what reads files and people in the chat program: FUZZTIME=30s for each part
	GO="$(GOROOT)/bin/go" go_serve/fuzz.sh $(FUZZTIME)

lint: .venv/.ready-test ## formatting, types and static checks
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	cd go_serve && test -z "$$("$(GOROOT)"/bin/gofmt -l . | tee /dev/stderr)" && $(GO) vet ./...

fmt: .venv/.ready-test ## format everything
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	cd go_serve && "$(GOROOT)"/bin/gofmt -w .

bench: setup ## side-by-side measurements, half an hour (parity.py, apart, needs a finished make demo)
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/tokenizer.py
	$(BIN)/python benchmarks/threads.py

site: setup ## the documents as a web site, in site/
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove runs, bundles and programs; keep the environment
	rm -rf runs dist export/*/ export/.*.lock export/*.bin export/*.json

.PHONY: help setup demo chat binaries html test test-all fuzz bench lint fmt site clean $(STAGES)
