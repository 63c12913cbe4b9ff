from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ray_head import ray_head
from raydp_installed import BIN, IS_THERE, MISSING


@pytest.fixture
def make_raydp(tmp_path, make_spark, executable):
    """Make packages with RayDP, Ray and Spark, which refuse to be imported, and a Python that has them."""

    def make(*, spark="3.5.7", requires="<=3.5.7,>=3.1.1", python="python3"):
        site = tmp_path / "site"
        make_spark(site / "pyspark", scala="2.12")
        (site / "pyspark" / "jars" / f"spark-core_2.12-{spark}.jar").touch()
        for jar in ("raydp/jars/raydp-agent-1.6.5.jar", "ray/jars/ray_dist.jar"):
            (site / jar).parent.mkdir(parents=True)
            (site / jar).touch()
        for name in ("pyspark", "raydp", "ray"):
            (site / name / "__init__.py").write_text("raise SystemExit('imported')\n")
        (site / "raydp-1.6.5.dist-info").mkdir()
        metadata = f"Name: raydp\nRequires-Dist: pyspark-extra==9\nRequires-Dist: pyspark{requires}\n"
        (site / "raydp-1.6.5.dist-info" / "METADATA").write_text(metadata)
        executable(
            tmp_path / "bin" / python,
            f'#!/bin/sh\necho start >> "{tmp_path}/starts"\nPYTHONPATH="{site}" exec {sys.executable} -S "$@"\n',
        )
        return site

    return make


@pytest.fixture
def starts(tmp_path):
    """How often that Python was started."""
    return lambda: len((tmp_path / "starts").read_text().splitlines()) if (tmp_path / "starts").exists() else 0


@pytest.fixture
def site(make_raydp):
    """The packages."""
    return make_raydp()


@pytest.fixture
def ray_env(site, tmp_path, java_home):
    """An environment in which ``python3`` has them, and nothing else of theirs is set but the node's address."""
    assert site.is_dir()
    return {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "JAVA_HOME": str(java_home), "RAY_DRIVER_NODE_IP": "192.0.2.7"}


@pytest.fixture(scope="session")
def raydp_environment():
    """The programs of the environment with RayDP. Where there is none, that is said, and in CI it is a failure."""
    if not IS_THERE:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    return BIN


@pytest.fixture(scope="session")
def head(raydp_environment):
    """The one Ray node of all tests."""
    with ray_head(raydp_environment) as node:
        yield node
