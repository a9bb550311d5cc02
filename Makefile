# Two commands are all a newcomer needs: `make run` and `make test`. Each sets up what it needs, once.

.DEFAULT_GOAL := help
.PHONY: help run dev test test-fast test-long coverage check lint types api-key doctor playground teams-package snapshots bench bench-short load soak soak-short chaos chaos-short fuzz fuzz-short lock audit clean

VENV := .venv
BIN := $(VENV)/bin
CHECKOV := .venv-checkov
# Each worker goes through files of its own, whose fixtures it makes once, and takes from another's when it is done.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
# Nothing that differs from what was locked.
INSTALL := -m pip --disable-pip-version-check --quiet install --require-hashes
PINS := requirements.txt $(wildcard requirements/*.txt)
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links --generate-hashes --quiet

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: $(VENV)/run-ready ## start the API on this machine (HOST, PORT and DATA_DIR are honoured)
	@exec $(BIN)/python local.py

dev: $(VENV)/run-ready ## the same for who works on it: started anew on every change, .env read, the texts of exceptions shown
	@exec $(BIN)/python dev.py

test: $(VENV)/dev-ready $(CHECKOV)/ready ## run all tests
	@$(PYTEST)

test-fast: $(VENV)/dev-ready ## run the tests of what has changed: seconds, not minutes (ARGS=tests/<package> for others)
	@$(PYTEST) -q $(if $(ARGS),$(ARGS),$$($(BIN)/python -m scripts.fast_tests))

test-long: $(VENV)/dev-ready $(CHECKOV)/ready ## run all tests, those that try a fault at every position in full
	@$(PYTEST) --long

coverage: $(VENV)/dev-ready $(CHECKOV)/ready ## run all tests, and fail below the share of lines in pyproject.toml (Python 3.13)
	@$(PYTEST) --cov --cov-report=term

check: lint types fuzz-short chaos-short ## all that CI runs: lint, types, fuzzing, chaos, tests with their coverage
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then $(MAKE) --no-print-directory coverage; else $(MAKE) --no-print-directory test; fi

lint: $(VENV)/dev-ready ## ruff, the order of imports, spelling, ESLint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python scripts/check_layers.py
	@$(BIN)/codespell
	@if command -v npx >/dev/null; then npx --no-install eslint .; else echo "No npx here: the page's scripts are not linted"; fi

types: $(VENV)/dev-ready ## mypy, strict, for the oldest and the newest Python that is promised
	@oldest=$$(mktemp); trap 'rm -f "$$oldest"' EXIT; \
	$(BIN)/mypy --cache-dir .mypy_cache/oldest --python-version 3.11 . >"$$oldest" 2>&1 & \
	$(BIN)/mypy --cache-dir .mypy_cache/newest .; newest=$$?; \
	wait $$!; status=$$?; echo "Python 3.11:"; cat "$$oldest"; exit $$((newest || status))

api-key: $(VENV)/run-ready ## make an API key: make api-key ARGS="web contoso --scope chat --days 365"
	@$(BIN)/python -m identity $(ARGS)

playground: $(VENV)/dev-ready ## open Microsoft's Agents Playground on the bot of `TEAMS_LOCAL=1 make run`
	@npx --no-install agentsplayground -e http://127.0.0.1:$${PORT:-7071}/api/messages -c msteams --disable-telemetry

# Make exports what its command line sets, and half a bot is none: the id is an argument here, not the app's setting.
teams-package: $(VENV)/run-ready ## zip the Teams app: make teams-package BOT_APP_ID=… DOMAIN=name.azurewebsites.net
	@unset BOT_APP_ID BOT_TENANT_ID; $(BIN)/python -m scripts.teams_package "$(BOT_APP_ID)" "$(DOMAIN)"

doctor: $(VENV)/run-ready ## try what the app needs with the settings of the environment; say what is wrong and what fixes it
	@$(BIN)/python -m doctor

snapshots: $(VENV)/dev-ready ## write tests/infra/snapshots anew, after a change to infra/ (needs the Bicep CLI: BICEP=<path>)
	@$(BIN)/python -m tests.infra.snapshots

bench: $(VENV)/dev-ready ## measure a turn's overhead, throughput, memory and cold start
	@$(BIN)/python -m tests.programs.bench

bench-short: $(VENV)/dev-ready
	@$(BIN)/python -m tests.programs.bench --short

load: $(VENV)/run-ready $(VENV)/load-ready ## Locust against a server here, or at BASE_URL (LOAD_USERS, LOAD_SECONDS)
	@$(BIN)/python -m tests.programs.load $(VENV)/load/bin/locust

soak: $(VENV)/dev-ready ## a minute of 32 clients on each store, then 200 streams: no error, no growth of memory
	@$(BIN)/python -m tests.programs.bench.soak

soak-short: $(VENV)/dev-ready
	@$(BIN)/python -m tests.programs.bench.soak --short

chaos: $(VENV)/dev-ready ## half an hour of faults on both stores; nothing may be lost (SEED=n repeats a run)
	@$(BIN)/python -m tests.programs.chaos --seconds 900 $(if $(SEED),--seed $(SEED))

chaos-short: $(VENV)/dev-ready
	@$(BIN)/python -m tests.programs.chaos --seconds 35 --seed 20261121

fuzz: $(VENV)/dev-ready ## thousands of made-up requests from the OpenAPI document, signed in and not
	@$(BIN)/python -m tests.programs.fuzz --examples 200

fuzz-short: $(VENV)/dev-ready
	@$(BIN)/python -m tests.programs.fuzz --examples 12 --seed 1

lock: $(VENV)/dev-ready ## compile the pinned requirements anew from requirements/*.in
	@$(LOCK) --upgrade requirements/app.in -o requirements.txt
	@$(LOCK) --upgrade requirements/local.in -o requirements/local.txt
	@$(LOCK) --upgrade requirements/dev.in -o requirements/dev.txt
	@$(LOCK) --upgrade requirements/checkov.in -o requirements/checkov.txt
	@$(LOCK) --upgrade requirements/load.in -o requirements/load.txt
	@$(LOCK) --upgrade requirements/audit.in -o requirements/audit.txt

audit: $(VENV)/audit-ready ## look all pins up in advisory databases, which takes the internet
	@$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(foreach file,$(PINS),-r $(file))
	@npm audit

clean: ## remove what these commands made, except your data (.data)
	rm -rf $(VENV) $(CHECKOV) node_modules .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh scripts/make-venv.sh $(VENV)

$(VENV)/run-ready: requirements.txt requirements/local.txt | $(BIN)/python
	@echo "Installing the app's packages into $(VENV) (once)"
	@$(BIN)/python $(INSTALL) -r requirements.txt -r requirements/local.txt
	@touch $@

# Locust has pins of its own, and brings gevent: neither is for the app's environment.
$(VENV)/load-ready: requirements/load.txt | $(BIN)/python
	@echo "Installing Locust into $(VENV)/load (once)"
	@$(BIN)/python -m venv $(VENV)/load
	@$(VENV)/load/bin/python $(INSTALL) -r requirements/load.txt
	@touch $@

$(VENV)/audit-ready: requirements/audit.txt | $(BIN)/python
	@echo "Installing pip-audit into $(VENV)/audit (once)"
	@$(BIN)/python -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python $(INSTALL) -r requirements/audit.txt
	@touch $@

$(VENV)/dev-ready: $(VENV)/run-ready requirements/dev.txt package-lock.json
	@echo "Installing the development packages into $(VENV) (once)"
	@$(BIN)/python $(INSTALL) -r requirements/dev.txt
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund; else echo "No npm here: tests that need it are skipped"; fi
	@touch $@

$(CHECKOV)/ready: requirements/checkov.txt
	@echo "Installing checkov into $(CHECKOV) (once)"
	@test -x $(CHECKOV)/bin/python || sh scripts/make-venv.sh $(CHECKOV)
	@$(CHECKOV)/bin/python $(INSTALL) -r requirements/checkov.txt
	@touch $@
