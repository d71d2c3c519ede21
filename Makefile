# Every target creates the environment that it needs; all you need is Python (>= 3.11) and make.
# An environment is updated only if pyproject.toml or its constraints are newer.

PYTHON ?= python3
# The same pip everywhere; --group needs 25.1 or later.
PIP := pip==26.3
SANDBOX_AND_TESTS := -e . -e ./sandbox --group test
EVERYTHING := $(SANDBOX_AND_TESTS) --group demo --group lint --group bench
SOURCES := airflow_provider_convertapi sandbox tests dev example_dags bench
# Small machines have two cores, and tests wait for much of their time.
WORKERS := 3
PYTEST = -m pytest -n $(WORKERS) --dist loadgroup
STORE_PROVIDERS := apache-airflow-providers-google apache-airflow-providers-microsoft-azure
# Which tests of a suite to run; the long ones take minutes.
MARK := not long
# Which environments `make test-matrix` tries, as in "2.11.0-py3.11 newest-py3.12"; empty for all.
MATRIX ?=
# Every supported minor release, and three releases that pin an older starlette.
AIRFLOWS := 2.11.* 3.0.* 3.1.* 3.1.8 3.2.* 3.2.0 3.2.1 3.3.*

# The test of the pool needs Airflow 3's scheduler.  What needs no Airflow runs with the oldest
# libraries in test-floors.
NOT_ON_2 := -m "not once" --deselect tests/batch/test_pool.py --ignore tests/core

.DEFAULT_GOAL := help
SEEDS ?= 1000
OFFSET ?= 0

.PHONY: help demo ui simulate test test-core test-airflow coverage test-long test-floors test-2.11 test-matrix \
	test-crash test-celery test-browser screenshots test-stores test-node test-ocr live lint bench reference follow-pages constraints resolve clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9.-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: .venv/installed ## Convert real documents in a real Airflow, without an account
	.venv/bin/python dev/demo.py

ui: .venv/installed ## The same, with Airflow's web server to click through
	.venv/bin/python dev/demo.py --ui

simulate: .venv/installed ## Tell SEEDS=1000 random stories from OFFSET=0 on, or the one of SEED=123
	PYTHONHASHSEED=0 .venv/bin/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --offset $(OFFSET))

test: ## Run the tests: the two suites below
	$(MAKE) -k test-core test-airflow

test-core: .venv-core/installed ## Run the tests that need no Airflow, in an environment without it
	.venv-core/bin/python $(PYTEST) -o cache_dir=.pytest_cache/core -m "$(MARK)" sandbox/tests tests/core

test-airflow: .venv/installed ## Run all other tests, on the newest Airflow
	.venv/bin/python $(PYTEST) -m "$(MARK)" --ignore tests/core tests

coverage: .venv/installed ## Run all of these tests and the long ones, and measure branch coverage
	.venv/bin/python -m coverage erase
	.venv/bin/python -m coverage run $(PYTEST)
	.venv/bin/python -m coverage combine -q
	.venv/bin/python -m coverage report

test-long: ## Run the tests that take longer: batches, parity, engines, comparison
	$(MAKE) -k test-core test-airflow MARK=long

# The oldest aiohttp leaves the socket of an attempt that was given up, behind a proxy, to the
# garbage collector, which warns.
test-floors: .venv-floors/installed ## Run the tests that need no Airflow with the oldest versions that we allow
	.venv-floors/bin/python $(PYTEST) -m "not once" -W ignore::pytest.PytestUnraisableExceptionWarning sandbox/tests tests/core

test-2.11: .venv-2.11/installed ## Run the provider's tests on the oldest supported Airflow
	.venv-2.11/bin/python $(PYTEST) $(NOT_ON_2) tests

test-matrix: .venv-core/installed ## Run the provider's contract beside every supported Airflow; takes twenty minutes
	.venv-core/bin/python dev/matrix.py $(MATRIX)

test-crash: .venv/installed ## Kill components of a real Airflow while it converts; takes minutes
	.venv/bin/python -m pytest tests/crash

test-celery: .venv/celery ## Run batches on CeleryExecutor and kill a worker; installs Redis and PostgreSQL as root
	tests/celery/install-servers
	.venv/bin/python -m pytest tests/celery

test-browser: .venv/browser ## Look at the pages of a real Airflow in a browser; installs Chromium as root
	tests/browser/install-browser
	.venv/bin/python -m pytest tests/browser

screenshots: .venv/browser ## The same, and write the pictures that the docs show
	tests/browser/install-browser
	SCREENSHOTS=yes .venv/bin/python -m pytest tests/browser

test-stores: .venv-stores/installed ## Run what docs/storage.md promises on a server of each store; installs azurite and OpenSSH
	tests/stores/install-servers
	.venv-stores/bin/python $(PYTEST) tests/stores

test-ocr: .venv/ocr ## Recognise the text of scans in the sandbox; installs half a gigabyte
	.venv/bin/python -m pytest sandbox/tests/engines/test_ocr.py

test-node: .venv/installed ## Run the vendor's Node.js client against the sandbox; needs node and npm
	.venv/bin/python sandbox/tests/node/run.py

live: ## Find out what is true at the real ConvertAPI; needs CONVERTAPI_TOKEN, and takes about 11 conversions
	@$(PYTHON) dev/live.py --check
	$(MAKE) .venv/installed
	.venv/bin/python dev/live.py

follow-pages: .venv/installed ## Follow the tutorial and the pages about installation, in empty environments
	.venv/bin/python -m dev.follow_pages

lint: .venv/installed ## Check style, types, layers and spelling
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy $(SOURCES)
	.venv/bin/lint-imports
	.venv/bin/codespell $$(git ls-files '*.py' '*.md' '*.toml' Makefile)
	.venv/bin/validate-pyproject pyproject.toml sandbox/pyproject.toml

bench: .venv/installed .venv-stores/installed ## Measure speed, memory and import time
	.venv/bin/python dev/bench.py

reference: ## Write docs/reference.md from the docstrings
	$(PYTHON) dev/reference.py

constraints: ## Resolve the newest versions of everything, and rewrite constraints/
	$(call resolve,3.3,3.3.2,$(EVERYTHING) --group celery --group browser --group stores -e './sandbox[ocr]',$(STORE_PROVIDERS))
	$(call resolve,2.11,2.11.2,$(SANDBOX_AND_TESTS))

resolve: ## Check that everything can be installed with each supported Airflow, without installing it
	rm -rf build/resolve
	$(PYTHON) -m venv build/resolve
	build/resolve/bin/python -m pip install -q --disable-pip-version-check $(PIP)
	build/resolve/bin/python -m pip wheel -q --no-deps -w build/resolve/wheels . ./sandbox
	printf '%s\n' $(foreach airflow,$(AIRFLOWS),'$(airflow)') | xargs -t -P 2 -I VERSION \
		build/resolve/bin/python -m pip install -q --disable-pip-version-check --dry-run \
		--prefer-binary build/resolve/wheels/*.whl apache-airflow==VERSION
	rm -rf build/resolve

clean: ## Remove environments, caches and reports
	rm -rf .venv .venv-core .venv-floors .venv-2.11 .venv-stores build dist .coverage* .*_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

.venv/installed: pyproject.toml sandbox/pyproject.toml constraints/airflow-3.3.txt
	$(call install,-c constraints/airflow-3.3.txt $(EVERYTHING))

# The provider is installed without its dependencies, because one of them is Airflow.
.venv-core/installed: pyproject.toml sandbox/pyproject.toml constraints/airflow-3.3.txt
	$(call install,-c constraints/airflow-3.3.txt -e ./sandbox --group core,--no-deps -e .)

# Without Airflow, whose floor has its own suite.
.venv-floors/installed: pyproject.toml sandbox/pyproject.toml
	mkdir -p build
	sed -n '/^dependencies/,/^]/s/^  "\(.*\)>=\([0-9.]*\)", .*/\1==\2/p' pyproject.toml sandbox/pyproject.toml \
	  | grep -v '^apache-airflow==' | sort -u > build/floors.txt
	$(call install,-c build/floors.txt -e ./sandbox --group core,--no-deps -e .)

# Only test-ocr needs these.
.venv/ocr: .venv/installed
	$(call install,-c constraints/airflow-3.3.txt -e './sandbox[ocr]')

# Only test-celery needs these.
.venv/celery: .venv/installed
	$(call install,-c constraints/airflow-3.3.txt --group celery)

# Only test-browser needs this.
.venv/browser: .venv/installed
	$(call install,-c constraints/airflow-3.3.txt --group browser)

# The two providers without their dependencies: we use their file systems only.
.venv-stores/installed: pyproject.toml sandbox/pyproject.toml constraints/airflow-3.3.txt
	$(call install,-c constraints/airflow-3.3.txt $(SANDBOX_AND_TESTS) --group stores,-c constraints/airflow-3.3.txt --no-deps $(STORE_PROVIDERS))

.venv-2.11/installed: pyproject.toml sandbox/pyproject.toml constraints/airflow-2.11.txt
	$(call install,-c constraints/airflow-2.11.txt $(SANDBOX_AND_TESTS))

# $(1) and $(2), which may be empty, are what pip installs.  Nothing
# is byte-compiled at installation, because most of it is never imported here.
define install
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q --disable-pip-version-check $(PIP)
	$(@D)/bin/python -m pip install -q --no-compile $(1)
	$(if $(2),$(@D)/bin/python -m pip install -q --no-compile $(2))
	touch $@
endef

# $(1) names the constraints file, $(2) is its Airflow version, $(4), which may be empty, is pinned
# without its dependencies.  The comment at the top is kept.
define resolve
	rm -rf build/resolve
	$(PYTHON) -m venv build/resolve
	build/resolve/bin/python -m pip install -q --disable-pip-version-check $(PIP)
	build/resolve/bin/python -m pip install -q --no-compile apache-airflow==$(2) $(3)
	$(if $(4),build/resolve/bin/python -m pip install -q --no-compile --no-deps $(4))
	{ sed -n '/^#/p' constraints/airflow-$(1).txt; \
	  build/resolve/bin/python -m pip freeze --exclude airflow-provider-convertapi --exclude convertapi-sandbox; \
	} > build/constraints.txt
	mv build/constraints.txt constraints/airflow-$(1).txt
	rm -rf build/resolve
endef
