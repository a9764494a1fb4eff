PY ?= python3
# The certificates of the system where it keeps some: company networks add their own.
UV := .venv/tools/bin/uv $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),--system-certs)
BIN := .venv/dev/bin
DEMO ?= .venv/runtime/bin/python -m pipelines.demo_traffic.demo
BENCH ?= $(subst /,.,$(basename $(shell grep -l __main__ benchmarks/*.py 2>/dev/null)))
TESTS ?=
COMPILE := $(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate
# Where CI is true, a missing server is a failure; elsewhere it is a skip that says so.
export FLOODWATCH_REQUIRE_SERVICES ?= $(if $(filter true,$(CI)),1,)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-live check check-format check-lint check-types check-imports check-docs check-locks test soak coverage bench locks upgrade clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/runtime/ok ## replay a raw Postfix log and show the floods in it
	@$(DEMO)

demo-live: .venv/dev/ok ## run all of it on a real Kafka and Redis, kill parts of it, and compare with a replay
	@.ci/install-debian redis-server default-jre-headless maven
	@$(MAKE) --no-print-directory build/kafka/ok
	@$(BIN)/python -m tests.live.demo

check: check-format check-lint check-types check-imports check-docs check-locks ## all that needs no test run
check-format: .venv/dev/ok ## formatting
	$(BIN)/ruff format --check .
check-lint: .venv/dev/ok ## lint
	$(BIN)/ruff check .
check-types: .venv/dev/ok ## types
	$(BIN)/mypy
check-imports: .venv/dev/ok ## who imports whom
	$(BIN)/lint-imports --no-logo
check-docs: .venv/dev/ok ## links, names and rules of the house
	$(BIN)/python -m pytest -q tests/test_house.py
check-locks: .venv/tools/ok ## the locks are what pyproject.toml asks for, with hashes and without addresses
	@! grep -n '://' locks/*.txt || { echo "locks must hold hashes, not addresses"; exit 1; }
	@rm -rf build/locks && mkdir -p build && cp -r locks build/locks
	@$(call compile,build/locks,)
	@for f in uv runtime dev; do cmp locks/$$f.txt build/locks/$$f.txt || { echo "locks/$$f.txt is out of date: make locks"; exit 1; }; done
	@echo "locks are up to date"

test: .venv/dev/ok ## run the tests (TESTS="tests/one_file.py -k name" narrows); says what was left out
	@.ci/install-debian postfix redis-server prometheus default-jre-headless maven openssl rbldnsd bind9-dnsutils bind9-utils
	@$(MAKE) --no-print-directory build/kafka/ok build/k8s/ok
	$(BIN)/python -m pytest $(TESTS)

soak: .venv/dev/ok ## the fault tests of live operation in full; takes some hours
	@.ci/install-debian redis-server default-jre-headless maven openssl
	@$(MAKE) --no-print-directory build/kafka/ok
	FLOODWATCH_SOAK=1 $(BIN)/python -m pytest tests/live $(TESTS)

coverage: .venv/dev/ok ## the tests with line and branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term $(TESTS)

bench: .venv/dev/ok ## print the figures (quality, speed, memory); takes a while
	@for b in $(BENCH); do echo "== $$b"; $(BIN)/python -m $$b || exit 1; done

locks: .venv/tools/ok ## write the locks after a change in pyproject.toml; pins stay
	@$(call compile,locks,)

upgrade: .venv/tools/ok ## write the locks with the newest versions allowed
	@$(call compile,locks,--upgrade)

clean: ## remove what was made, except the environments in .venv
	rm -rf build dist .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find detector pipelines tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# $(1) folder, $(2) further options
define compile
echo uv | $(COMPILE) $(2) - -o $(1)/uv.txt && \
$(COMPILE) $(2) pyproject.toml -o $(1)/runtime.txt && \
$(COMPILE) $(2) --all-extras --group dev pyproject.toml -o $(1)/dev.txt
endef

# Apache Kafka for the tests: its jars, for which Maven knows where they are. Without them it says so and goes on.
build/kafka/ok: tests/services/pom.xml
	@rm -rf build/kafka && mkdir -p build/kafka
	@if ! command -v mvn >/dev/null || ! command -v java >/dev/null; then \
		echo "no Kafka (needs java and mvn); tests that need it say so" >&2; \
	elif mvn -B -q -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/build/kafka/libs -DincludeScope=runtime \
			>build/kafka/maven.log 2>&1; then \
		touch $@; \
	else \
		tail -n 20 build/kafka/maven.log >&2; rm -rf build/kafka/libs; \
		echo "could not fetch Kafka's jars; tests that need them say so" >&2; \
	fi

# kustomize for the tests, of the version and checksums in k8s/tools. Without it they say so.
build/k8s/ok: k8s/tools/go.mod k8s/tools/go.sum
	@rm -rf build/k8s && mkdir -p build/k8s
	@if ! command -v go >/dev/null; then \
		echo "no kustomize (needs Go 1.24 or later); tests that need it say so" >&2; \
	elif cd k8s/tools && go build -mod=readonly -trimpath -o $(CURDIR)/build/k8s/kustomize sigs.k8s.io/kustomize/kustomize/v5 \
			>$(CURDIR)/build/k8s/go.log 2>&1; then \
		touch $(CURDIR)/$@; \
	else \
		tail -n 20 $(CURDIR)/build/k8s/go.log >&2; echo "could not build kustomize; tests that need it say so" >&2; \
	fi

# Environments: tools (uv itself), runtime (what users get), dev (all of it). Delete one to have it made anew.
.venv/tools/ok: locks/uv.txt
	@$(PY) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' || { echo "need Python >= 3.11 with venv (Debian: apt install python3-venv)"; exit 1; }
	@rm -rf .venv/tools && $(PY) -m venv .venv/tools
	@.venv/tools/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r locks/uv.txt
	@touch $@

define env
.venv/$(1)/ok: .venv/tools/ok locks/$(1).txt pyproject.toml
	@test -x .venv/$(1)/bin/python || $(UV) venv -q --python $(PY) .venv/$(1)
	@$(UV) pip sync -q --require-hashes --no-build --python .venv/$(1)/bin/python locks/$(1).txt
	@$(UV) pip install -q --no-deps --python .venv/$(1)/bin/python -e .
	@touch $$@
endef
$(foreach e,runtime dev,$(eval $(call env,$(e))))
