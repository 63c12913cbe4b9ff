# make demo: the main job on real input.  make test: the tests.  Both set up all they need below .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := pyproject.toml setup.py $(wildcard csrc/*.[ch] csrc/*.py csrc/guard/*.[ch])
SPARK := plugins/raydp-wrap-spark
# RayDP needs an older Spark than the other tests: it has an environment of its own.
RAYDP := .venv-raydp
RAYDP_NEEDS := raydp==1.6.5 pyspark==3.5.7 ray==2.60.0
# Ray's own jobs, which the benchmark of ours is compared with.
RAY := .venv-ray
RAY_NEEDS := ray[default]==2.60.0
PYTEST := $(BIN)/python -m pytest
# The provider asks for pyspark-client, which the hook and the operator do without: nothing of Spark's is installed here.
AIRFLOW := .venv-airflow
AIRFLOW_NEEDS := apache-airflow==3.3.2 apache-airflow-providers-common-compat requests tenacity
AIRFLOW_PROVIDER := apache-airflow-providers-apache-spark==6.3.4

.PHONY: demo test environments test-slow-core test-slow-spark test-slow test-all lint bench wheel clean

# Spark needs Java 17 or newer: the one that is here, or a runtime from PyPI.
HAS_JAVA := $(shell { test -n "$$JAVA_HOME" || java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])'; } && echo yes)
SPARK_EXTRAS := pyspark$(if $(HAS_JAVA),,$(comma)java)
comma := ,

$(VENV)/base.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "raydp_wrap needs Python 3.10 or newer: set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "$(PYTHON) can't make virtual environments: install its venv package (Debian: python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || { echo "the headers of $(PYTHON) are missing: install them (Debian: python3-dev)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/core.stamp: $(VENV)/base.stamp $(CORE) $(SPARK)/pyproject.toml
	$(BIN)/python -m pip install --quiet --group test --editable . --editable $(SPARK)
	touch $@

$(VENV)/spark.stamp: $(VENV)/core.stamp
	$(BIN)/python -m pip install --quiet --editable "$(SPARK)[$(SPARK_EXTRAS)]"
	touch $@

$(RAYDP)/raydp.stamp: $(VENV)/base.stamp
	$(PYTHON) -m venv $(RAYDP)
	$(RAYDP)/bin/python -m pip install --quiet --upgrade pip
	$(RAYDP)/bin/python -m pip install --quiet $(RAYDP_NEEDS)
	touch $@

$(RAY)/ray.stamp: $(VENV)/base.stamp
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --quiet --upgrade pip
	$(RAY)/bin/python -m pip install --quiet "$(RAY_NEEDS)"
	touch $@

$(AIRFLOW)/airflow.stamp: $(VENV)/base.stamp
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --upgrade pip
	$(AIRFLOW)/bin/python -m pip install --quiet $(AIRFLOW_NEEDS)
	$(AIRFLOW)/bin/python -m pip install --quiet --no-deps $(AIRFLOW_PROVIDER)
	touch $@

$(VENV)/lint.stamp: $(VENV)/core.stamp
	$(BIN)/python -m pip install --quiet --group lint
	touch $@

demo: $(VENV)/spark.stamp
	SPARK_LOCAL_IP=127.0.0.1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/raydp-submit --master 'local[2]' examples/word_count.py

test: $(VENV)/spark.stamp
	$(PYTEST) -m "not slow" tests $(SPARK)/tests

# What they need beside Spark. Without one of them its suite says so and is skipped.
environments: $(VENV)/spark.stamp
	$(BIN)/python -m pip install --quiet --editable "$(SPARK)[java]"
	-$(MAKE) --no-print-directory $(RAYDP)/raydp.stamp
	-$(MAKE) --no-print-directory $(AIRFLOW)/airflow.stamp

test-slow-core: $(VENV)/spark.stamp
	$(PYTEST) -m slow tests

test-slow-spark: environments
	$(PYTEST) -m slow --durations=25 $(SPARK)/tests

test-slow: test-slow-core test-slow-spark

test-all: test test-slow

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	CC="$${CC:-cc}" $(BIN)/python csrc/check.py

bench: $(VENV)/spark.stamp
	$(BIN)/python -m pip install --quiet --group bench --editable "$(SPARK)[java]"
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.delivery
	-$(MAKE) --no-print-directory $(RAY)/ray.stamp
	$(BIN)/python -m benchmarks.jobs
	$(BIN)/python -m benchmarks.spark

wheel: $(VENV)/base.stamp
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist $(SPARK)

clean:
	rm -rf $(VENV) build dist *.egg-info raydp_wrap/*.so raydp_wrap/raydp-guard $(SPARK)/build $(SPARK)/*.egg-info
