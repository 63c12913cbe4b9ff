from __future__ import annotations

import subprocess
import sys

import pluggy
import pytest
from raydp_wrap import hookspecs

from raydp_wrap_spark import plugin


@pytest.fixture
def hook():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    return manager.hook.raydp_wrap_build_launch


@pytest.mark.parametrize(
    ("tool", "argv"), [("spark-submit", ["app.py"]), ("raydp-submit", ["--master", "x", "app.py"])]
)
def test_both_tools_are_known(hook, env, tool, argv):
    assert hook(tool=tool, argv=argv, env=env).argv[-len(argv) :] == tuple(argv)


def test_no_other_tool_is(hook, env):
    assert hook(tool="beeline", argv=[], env=env) is None


def test_importing_the_plugin_imports_nothing_behind_it():
    program = (
        "import sys, raydp_wrap_spark.plugin; "
        "print(sorted(m for m in sys.modules if m.startswith(('raydp_wrap', 'pyspark', 'subprocess'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    known = [
        "raydp_wrap",
        "raydp_wrap.hookspecs",
        "raydp_wrap_spark",
        "raydp_wrap_spark.names",
        "raydp_wrap_spark.plugin",
    ]
    assert done.stdout == f"{known}\n"
