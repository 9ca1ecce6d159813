# Two commands matter: `make demo` and `make test`. Both set up .venv first, from the pinned lock.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.synced

.PHONY: demo serve test test-fast lint airflow bench soak lock clean help docs

help:            ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV) from requirements.lock (about 6 GB, a minute or more)"
	@$(PYTHON) -c 'import sys; v=sys.version_info; sys.exit(0 if (3,11)<=v[:2]<=(3,13) else "Python 3.11 to 3.13 is needed; found %d.%d. Run: make PYTHON=python3.12 ..." % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)   ## one night on a sample catalog, in Airflow; again for the next night; FORCE=1 trains anyway
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash infra/airflow/demo.sh

serve: $(STAMP)  ## the page and the HTTP API over the demo's index; PORT=8001 for another port
	@RECSYS_CONFIG="$${RECSYS_CONFIG:-$(CURDIR)/conf/demo.toml}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false \
	  $(BIN)/recsys serve $(if $(PORT),--port $(PORT))

airflow: $(STAMP) ## Airflow itself (scheduler, UI) with the DAGs on the demo's workspace
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash infra/airflow/standalone.sh

test: $(STAMP)   ## linters, types, import directions, then every test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest

test-fast: $(STAMP) ## the tests that take under two minutes together: no browser, no Airflow, no training
	$(BIN)/python -m pytest -m "not slow" -n auto

lint: $(STAMP)   ## formatting, linters, types, import directions, and the size of each package
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python infra/count_statements.py

bench: $(STAMP)  ## every speed benchmark; a record each under benchmarks/results
	@set -e; for name in decode fetch ingest_memory embedding training_step publish exact_search search_http training_cost gpu; do \
	  echo "== $$name"; $(BIN)/python -m benchmarks.$$name; done

soak: $(STAMP)   ## mutated input, and faults at every operation, for MINUTES (60); a record under benchmarks/results
	$(BIN)/python -m benchmarks.soak --minutes $${MINUTES:-60}

lock:            ## recompile requirements.lock after a change of pyproject.toml
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links -o requirements.lock

docs: $(STAMP)   ## rewrite docs/configuration.md from the settings in the code
	$(BIN)/python -m infra.docs.configuration

clean:           ## forget the demo: its workspace and Airflow's database
	rm -rf workspace/demo .airflow
