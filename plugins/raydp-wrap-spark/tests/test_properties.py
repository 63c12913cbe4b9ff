"""The wrapper's own settings among Spark's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from raydp_wrap_spark.options import Options
from raydp_wrap_spark.properties import configured, wrapper_settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("sink-4.4")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(
        "# spark.raydp.wrap.sinks file:/commented\n"
        "spark.master local[1]\n"
        "spark.raydp.wrap.sinks\tfile:/defaults\n"
        "  spark.raydp.wrap.report.timeout = 9s  \n"
        "spark.raydp.wrapper no\n"
    )
    return {"SPARK_HOME": str(tmp_path)}


def test_the_command_line_goes_before_the_files(env: dict[str, str]) -> None:
    argv = ["--conf", "spark.raydp.wrap.sinks=file:/a", "-c", "spark.raydp.wrap.sinks= exec:cat x=y ", "app.py"]
    found = wrapper_settings(Options([*argv, "--conf", "spark.raydp.wrap.sinks=of-the-application"]), env)
    assert found == {"sinks": "exec:cat x=y", "report.timeout": "9s"}


def test_without_any_there_are_none(tmp_path: Path) -> None:
    assert wrapper_settings(Options(["app.py"]), {"SPARK_HOME": str(tmp_path)}) == {}


def test_a_named_file_replaces_the_defaults_unless_they_are_asked_for(env: dict[str, str], tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.write_text("spark.raydp.wrap.sinks: file:/named\r\n")
    options = ["--properties-file", str(named)]
    assert wrapper_settings(Options(options), env) == {"sinks": "file:/named"}
    assert wrapper_settings(Options([*options, "--load-spark-defaults"]), env) == {
        "sinks": "file:/named",
        "report.timeout": "9s",
    }


def test_the_configuration_directory_may_be_elsewhere(env: dict[str, str], tmp_path: Path) -> None:
    assert configured(Options([]), env)["spark.master"] == "local[1]"
    assert configured(Options([]), {**env, "SPARK_CONF_DIR": str(tmp_path)}) == {}
