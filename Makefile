# Every target runs from a clean clone; `make` alone explains them. Needs Python 3.11 or newer and, the first time the
# sandbox is built, Go 1.26 or newer (fetched as a wheel where it is missing).

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv/bin
INSTALLED := .venv/.installed
# Where generated files go; `verify` sends them elsewhere and compares.
OUT ?= .

# Tests start the operator dozens of times: without bytecode each process would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check verify chaos soak bench accuracy backtest generate lock clean

help: ## Explain the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Tell the whole story on a real control plane, here, in two to three minutes
	$(VENV)/aibudget sandbox demo

test: $(INSTALLED) ## Run all tests: unit, on a real PostgreSQL, on a real control plane, end to end
	$(VENV)/pytest -n auto tests/unit
	$(VENV)/pytest --ledger=postgresql tests/postgresql tests/unit/ledger
ifeq ($(AIBUDGET_SKIP_CLUSTER),1)
	@echo "AIBUDGET_SKIP_CLUSTER=1: the tests on a real control plane were NOT run." >&2
else
	$(VENV)/pytest tests/cluster
	$(VENV)/pytest tests/e2e
endif

check: $(INSTALLED) ## Lint and type-check the code, the image and the chart
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/hadolint Dockerfile
	"$$($(VENV)/python -c 'from aibudget.sandbox.binaries import locate; print(locate(["helm"])["helm"])')" \
		lint --strict --quiet charts/aibudget --set prometheus.url=http://prometheus:9090

backtest: $(INSTALLED) ## Foresee the ends of past months, beside what dashboards do
	PYTHONPATH=tests $(VENV)/python -m backtest.run $(BACKTEST)

generate: $(INSTALLED) ## Write what is generated: crds/, the chart's copy of it, reference pages
	@mkdir -p $(OUT)/crds $(OUT)/charts/aibudget/files/crds $(OUT)/docs/reference
	$(VENV)/python -m aibudget crds --dir $(OUT)/crds
	cp $(OUT)/crds/*.yaml $(OUT)/charts/aibudget/files/crds/
	$(VENV)/python docs/reference/generate.py $(OUT)/docs/reference

verify: $(INSTALLED) ## Fail when a generated file is not what `make generate` writes
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(MAKE) --no-print-directory generate OUT="$$fresh" >/dev/null && \
	for path in crds charts/aibudget/files/crds docs/reference; do \
		diff -ru --exclude=generate.py --exclude=__pycache__ "$$path" "$$fresh/$$path" || stale=yes; \
	done && \
	if [ -n "$$stale" ]; then echo "Generated files are stale: run 'make generate' and commit the result." >&2; exit 1; fi

chaos: $(INSTALLED) ## Kill, refuse, race and edit at random until something is lost; CHAOS="--seed 1 --steps 500"
	PYTHONPATH=tests $(VENV)/python -m chaos.run $(CHAOS)

soak: $(INSTALLED) ## Live through a year of budgets, kills and outages, to the cent; SOAK="--days 30"
	PYTHONPATH=tests $(VENV)/python -m soak.run $(SOAK)

bench: $(INSTALLED) ## Measure speed and memory; prints JSON; BENCH="--only stop"
	PYTHONPATH=tests $(VENV)/python -m bench.run $(BENCH)

accuracy: $(INSTALLED) ## Print every case's exact bill beside the operator's own; ACCURACY="--only gap --write"
	PYTHONPATH=tests $(VENV)/python -m accuracy.run $(ACCURACY)

lock: ## Pin the dependencies anew, with hashes (needs uv)
	uv pip compile --generate-hashes --no-emit-index-url --python-version 3.11 --universal \
		pyproject.toml -o requirements/operator.lock
	uv pip compile --generate-hashes --no-emit-index-url --python-version 3.11 --universal --group dev \
		pyproject.toml -o requirements/develop.lock

clean: ## Remove the environment and everything that tools left here
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find operator tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements/develop.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is not on PATH: install it, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/develop.lock
	$(VENV)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
