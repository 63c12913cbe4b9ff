from __future__ import annotations

import os
import sys

from raydp_wrap_spark.packages import is_this_python, origins_in, own_origins


def test_another_environments_python_is_not_the_running_one(tmp_path):
    link = tmp_path / "venv" / "bin" / "python3"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    assert not is_this_python(str(link), {})
    assert is_this_python(sys.executable, {})
    assert not is_this_python(f"{sys.executable} -B", {})
    assert not is_this_python("no-such-python", {"PATH": str(tmp_path)})


def test_packages_are_found_and_not_imported(tmp_path, monkeypatch):
    for name in ("one_found", "two_found"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(name)")
    expected = {name: str(tmp_path / name / "__init__.py") for name in ("one_found", "two_found")}
    names = ["one_found", "not_found_anywhere", "two_found"]
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own_origins(names) == expected
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert origins_in(f"{sys.executable} -B", names, env) == expected


def test_a_python_that_talks_or_fails(tmp_path, executable):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "__init__.py").touch()
    talking = executable(
        tmp_path / "bin" / "talking",
        f'#!/bin/sh\nprintf "no line end"\nPYTHONPATH="{tmp_path}" exec {sys.executable} "$@"\n',
    )
    failing = executable(tmp_path / "bin" / "failing", "#!/bin/sh\nexit 3\n")
    binary = executable(tmp_path / "bin" / "binary", "\0")
    assert origins_in(str(talking), ["found"], {}) == {"found": str(tmp_path / "found" / "__init__.py")}
    assert origins_in(str(failing), ["found"], {}) == {}
    assert origins_in(str(binary), ["found"], {}) == {}
    assert origins_in("no-such-python", ["found"], {"PATH": ""}) == {}
    assert origins_in("", ["found"], {}) == {}
