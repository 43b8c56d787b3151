# Longshore. `make` alone lists what there is. Every target sets up what it needs in .venv.

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/installed
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input
# Tests that run side by side have servers of their own; those on servers from outside would share them.
PROCESSES := $(if $(DATABASE_URL)$(REDIS_URL),0,2)
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

.PHONY: help setup demo up test chaos check bench lock clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1 | /p' Makefile | column -t -s '|' 2>/dev/null || sed -n 's/^\([a-z]*\):[^#]*## /  make \1  /p' Makefile

demo: $(READY) ## set up, serve, push a made-up CRM export and show what became of it (ONCE=1 ends after it, FILE=path)
	@$(PY) manage.py demo

up: $(READY) ## serve on http://127.0.0.1:8000 (PORT, WORKERS, DATA_DIR, DATABASE_URL, REDIS_URL)
	@$(PY) manage.py up

test: $(READY) ## run the tests on a PostgreSQL and a Valkey of their own (ARGS=…, PROCESSES=2)
	@$(PY) -m pytest -n $(PROCESSES) $(ARGS)

chaos: $(READY) ## kill, flush and crash a house during an import and read every record back (ARGS=…)
	@$(PY) -m tests.chaos $(ARGS)

bench: $(READY) ## measure intake and throughput beside their floors (ARGS=…)
	@$(PY) -m bench $(ARGS)

# The settings of production, with values made up on the spot and a database that is never reached.
check: $(READY) ## lint, format, types, import rules, migrations, deployment settings
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	export DATA_DIR="$$scratch" DATABASE_URL='postgresql://check@/check?host=/nonexistent' \
	    REDIS_URL='unix:///nonexistent/valkey.sock' ALLOWED_HOSTS=longshore.example HTTPS=1 \
	    SECRET_KEY=$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(48))') \
	    MASTER_KEYS=c1:$$($(PY) -c 'import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())') && \
	set -ex && \
	$(PY) -m mypy . && \
	$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' && \
	$(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run && \
	$(PY) manage.py check --deploy --fail-level WARNING

lock: $(READY) ## choose the newest versions that requirements*.in allow
	$(PIP) install uv
	$(COMPILE) --upgrade requirements.in --output-file requirements.txt
	$(COMPILE) --upgrade requirements-dev.in --output-file requirements-dev.txt

clean: ## remove the virtual environment and caches, never the data in .data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

setup: $(READY) ## only set up

# umask: root's embedded servers run as another user, who must be able to read the binaries in .venv.
$(READY): requirements-dev.txt clients/python/pyproject.toml
	@umask 022; \
	fits='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(PY) -c "$$fits" >/dev/null 2>&1; then \
	    python=; \
	    for name in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3; do \
	        if "$$name" -c "$$fits" >/dev/null 2>&1; then python=$$name; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "Longshore needs Python 3.11 or newer, and there is none: python3 is $$(python3 --version 2>&1)." >&2; \
	        echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
	    fi; \
	    if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	        version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	        echo "Python $$version cannot make virtual environments here. On Debian or Ubuntu: apt-get install python$$version-venv" >&2; exit 1; \
	    fi; \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    rm -rf $(VENV); \
	    "$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi; \
	echo "installing requirements-dev.txt into $(VENV)" && \
	$(PIP) install --require-hashes -r requirements-dev.txt && \
	$(PIP) install --no-deps --no-build-isolation -e ./clients/python && \
	touch $(READY)
