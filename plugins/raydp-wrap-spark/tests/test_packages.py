from __future__ import annotations

import json
import os
import shutil
import stat
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raydp_wrap_spark import asked_pythons, kept_answers, packages
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


class Venv:
    """An environment of its own, which is asked for one package; ``asked`` counts how often it was started."""

    def __init__(self, root, monkeypatch):
        self.root, self.bin = root, root / "venv" / "bin"
        self.bin.mkdir(parents=True)
        self.python = self.bin / "python3"
        self.python.symlink_to(os.path.realpath(sys.executable))
        base = os.path.dirname(os.path.realpath(sys.executable))
        text = f"home = {base}\ninclude-system-site-packages = false\n"
        (root / "venv" / "pyvenv.cfg").write_text(text)
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.site = root / "venv" / "lib" / version / "site-packages"
        self.site.mkdir(parents=True)
        self.more = root / "more"
        self.more.mkdir()
        self.env = {
            "HOME": str(root),
            "XDG_CACHE_HOME": str(root / "cache"),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.more),
        }
        self.asked = 0
        ask = packages._ask

        def counted(*arguments):
            self.asked += 1
            return ask(*arguments)

        monkeypatch.setattr(packages, "_ask", counted)

    def origin(self, command="python3", name="wanted", **variables):
        return origins_in(command, [name, "never"], {**self.env, **variables}).get(name)

    def install(self, directory, name="wanted"):
        (directory / name).mkdir()
        (directory / name / "__init__.py").touch()
        return str(directory / name / "__init__.py")

    @property
    def kept(self):
        return sorted(self.root.glob("cache/raydp-wrap/pythons/*"))


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """A Python that isn't this one. Whatever it looks at, its times are never too young to be believed."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr(asked_pythons, "_SETTLING", -(10**15))
    return Venv(tmp_path, monkeypatch)


@pytest.mark.requirement("start-python")
def test_a_python_is_asked_once(venv):
    expected = venv.install(venv.site)
    assert [venv.origin() for _ in range(3)] == [expected] * 3
    assert venv.asked == 1
    assert venv.origin(UNRELATED="x") == expected
    assert venv.asked == 1
    assert stat.S_IMODE(venv.kept[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(venv.kept[0].parent.stat().st_mode) == 0o700


@pytest.mark.requirement("start-python")
def test_that_it_has_none_is_known_until_it_has(venv):
    assert [venv.origin(), venv.origin()] == [None, None]
    assert venv.asked == 1
    expected = venv.install(venv.site)
    assert [venv.origin(), venv.origin()] == [expected] * 2
    assert venv.asked == 2


def _removed(venv):
    (venv.site / "wanted" / "__init__.py").unlink()


def _replaced(venv):
    file = venv.site / "wanted" / "__init__.py"
    file.write_text("x = 1")
    os.utime(file, (1, 1))


def _by_pth(venv):
    (venv.site / "a.pth").write_text(str(venv.install(venv.root / "elsewhere") and venv.root / "elsewhere"))


def _pth_edited(venv):
    venv.install(venv.root / "elsewhere")
    with (venv.site / "there.pth").open("a") as file:
        file.write(f"{venv.root / 'elsewhere'}\n")


@pytest.mark.requirement("start-python")
@pytest.mark.parametrize(
    "change",
    [
        lambda venv: venv.install(venv.more),
        lambda venv: venv.install(venv.site, "other"),
        lambda venv: (venv.more / "wanted.py").touch(),
        lambda venv: (venv.more / "wanted").mkdir(),
        lambda venv: (venv.more / "sitecustomize.py").touch(),
        lambda venv: (venv.root / "venv" / "pyvenv.cfg").write_text("home = /nowhere\n"),
        lambda venv: (venv.bin / "pyvenv.cfg").touch(),
        lambda venv: (venv.root / "promised").mkdir(),
        lambda venv: (venv.root / "nothing").mkdir(),
        _removed,
        _replaced,
        _by_pth,
        _pth_edited,
    ],
)
def test_a_python_is_asked_again_when_something_changed(venv, change):
    venv.install(venv.site)
    (venv.root / "elsewhere").mkdir()
    (venv.site / "there.pth").write_text(f"# nothing\n{venv.root / 'promised'}\n")
    path = {"PYTHONPATH": f"{venv.more}:{venv.root / 'nothing'}"}
    venv.origin(**path)
    venv.origin(**path)
    assert venv.asked == 1
    change(venv)
    kept = venv.origin(**path)
    assert venv.asked == 2
    assert kept == venv.origin(RAYDP_WRAP_JVM_CACHE="off", **path)


@pytest.mark.requirement("start-python")
def test_a_site_directory_that_comes_to_be_is_noticed(venv):
    config = venv.root / "venv" / "pyvenv.cfg"
    config.write_text(config.read_text().replace("= false", "= true"))
    assert [venv.origin(), venv.origin()] == [None, None]
    assert venv.asked == 1
    users = venv.root / ".local" / "lib" / venv.site.parent.name / "site-packages"
    users.mkdir(parents=True)
    expected = venv.install(users)
    assert venv.origin() == expected


@pytest.mark.requirement("start-python")
def test_other_words_variables_or_names_are_other_questions(venv):
    site, more = venv.install(venv.site), venv.install(venv.more)
    (venv.root / "home").mkdir()
    assert venv.origin() == more
    assert venv.origin(PYTHONPATH="") == site
    assert venv.origin("python3 -I") == site
    assert venv.origin(name="other") is None
    assert venv.origin(HOME=str(venv.root / "home")) == more
    assert venv.asked == 5
    assert venv.origin("python3 -I") == site
    assert venv.asked == 5


@pytest.mark.requirement("start-python")
def test_a_relative_path_is_of_one_directory(venv, monkeypatch):
    expected = venv.install(venv.more)
    (venv.root / "empty").mkdir()
    monkeypatch.chdir(venv.more)
    assert [venv.origin(PYTHONPATH="."), venv.origin(PYTHONPATH=".")] == [expected] * 2
    monkeypatch.chdir(venv.root / "empty")
    assert venv.origin(PYTHONPATH=".") is None
    assert venv.asked == 2


@pytest.mark.requirement("start-python")
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sitecustomize.py", "import os, sys; sys.path.append(os.environ.get('WHERE') or '/nowhere')"),
        ("code.pth", "import os, sys; sys.path.append(os.environ.get('WHERE') or '/nowhere')\n"),
    ],
)
def test_where_somebodys_code_runs_first_all_variables_count(venv, file, text):
    expected = venv.install(venv.more)
    # Debian's own sitecustomize comes before one in a site directory.
    first = venv.root / "first"
    first.mkdir()
    (first if file == "sitecustomize.py" else venv.site).joinpath(file).write_text(text)
    assert [venv.origin(PYTHONPATH=str(first)) for _ in range(2)] == [None] * 2
    assert venv.asked == 1
    assert venv.origin(PYTHONPATH=str(first), WHERE=str(venv.more)) == expected
    assert venv.asked == 2


@pytest.mark.requirement("start-python")
def test_what_another_finder_finds_is_always_asked(venv):
    (venv.more / "sitecustomize.py").write_text(
        "import sys\nclass Finder:\n    def find_spec(self, *_): pass\nsys.meta_path.append(Finder())\n"
    )
    venv.origin()
    venv.origin()
    assert venv.asked == 2
    assert venv.kept == []


@pytest.mark.requirement("start-python")
@pytest.mark.parametrize(("mapping", "asked"), [({"mine": "/src/mine"}, 1), ({"wanted": "/src/wanted"}, 2)])
def test_an_editable_install_of_something_else_changes_nothing(venv, mapping, asked):
    (venv.site / "__editable___mine_finder.py").write_text(
        f"import sys\nMAPPING = {mapping}\nclass Finder:\n    def find_spec(*_): pass\n"
        "def install(): sys.meta_path.append(Finder)\n"
    )
    hook = "import __editable___mine_finder; __editable___mine_finder.install()"
    (venv.site / "__editable__.mine.pth").write_text(hook)
    venv.origin()
    venv.origin(UNRELATED="x")
    assert venv.asked == asked


@pytest.mark.requirement("start-python")
def test_a_script_that_looks_for_a_python_is_always_asked(venv, executable):
    expected = venv.install(venv.site)
    shim = executable(venv.root / "shims" / "python3", f'#!/bin/sh\nexec "{venv.python}" "$@"\n')
    assert [venv.origin(str(shim)), venv.origin(str(shim))] == [expected] * 2
    assert [venv.origin(f"env {venv.python}"), venv.origin(f"env {venv.python}")] == [expected] * 2
    # One that hides itself: sys.executable is the script.
    hidden = executable(venv.root / "hidden" / "python3", f'#!/bin/bash\nexec -a "$0" "{venv.python}" "$@"\n')
    venv.origin(str(hidden))
    venv.origin(str(hidden))
    assert venv.asked == 6
    assert venv.kept == []


@pytest.mark.requirement("start-python")
def test_a_program_that_starts_a_python_elsewhere_is_always_asked(venv, monkeypatch):
    ask = packages._ask
    monkeypatch.setattr(packages, "_ask", lambda argv, env: ask(["/usr/bin/env", str(venv.python), *argv[1:]], env))
    binary = venv.root / "python3"
    binary.symlink_to("/bin/true")
    assert venv.origin(str(binary)) is None
    assert venv.kept == []
    monkeypatch.setattr(packages, "_ask", ask)
    venv.origin()
    assert len(venv.kept) == 1


@pytest.mark.requirement("start-python")
@pytest.mark.parametrize("variables", [{"RAYDP_WRAP_JVM_CACHE": "off"}, {"RAYDP_WRAP_JVM_CACHE": "?"}, {"HOME": ""}])
def test_nothing_is_kept_where_it_is_off_or_there_is_no_place(venv, variables):
    venv.origin(**variables)
    venv.origin(**variables)
    assert venv.asked == 2
    assert venv.kept == []


@pytest.mark.requirement("start-python")
def test_a_failure_is_not_remembered(venv):
    (venv.more / "sitecustomize.py").write_text("raise SystemExit(3)")
    assert [venv.origin(), venv.origin()] == [None, None]
    assert venv.asked == 2
    assert venv.kept == []


@pytest.mark.requirement("start-python")
def test_what_has_just_changed_is_not_believed(venv, monkeypatch):
    monkeypatch.setattr(asked_pythons, "_SETTLING", 600 * 10**9)
    venv.install(venv.site)
    os.utime(venv.site, (1, 1))
    venv.origin()
    assert venv.kept == []


def _changed(file, **parts):
    file.write_text(json.dumps({**json.loads(file.read_text()), **parts}))


@pytest.mark.requirement("start-python")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_text(file.read_text()[:-20]),
        lambda file: file.write_text(""),
        lambda file: file.write_text("[]"),
        lambda file: file.write_text("[" * 100_000),
        lambda file: _changed(file, origins={"wanted": "/bad"}),
        lambda file: _changed(file, origins=[]),
        lambda file: _changed(file, seen={}),
        lambda file: _changed(file, seen={"\0": None}),
        lambda file: file.chmod(0o644),
        lambda file: (file.rename(file.with_name("x")), file.symlink_to("x")),
        lambda file: (file.unlink(), os.mkfifo(file)),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: file.parent.chmod(0o777),
        lambda file: (file.parent.rename(file.parent.with_name("x")), file.parent.symlink_to("x")),
    ],
)
def test_a_kept_answer_that_is_not_as_it_was_left_is_not_believed(venv, spoil):
    expected = venv.install(venv.site)
    venv.origin()
    (file,) = venv.kept
    spoil(file)
    assert venv.origin() == expected
    assert venv.asked == 2


@pytest.mark.requirement("start-python")
def test_another_users_answer_is_not_believed(venv, monkeypatch):
    expected = venv.install(venv.site)
    venv.origin()
    # Not place's look at the directory, but the look at the file.
    monkeypatch.setattr(kept_answers.os, "fstat", lambda fd: _of_another(os.stat(f"/proc/self/fd/{fd}")))
    assert venv.origin() == expected
    assert venv.asked == 2


def _of_another(found):
    return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["site", "more", "late"]),
        st.sampled_from(["package", "module", "empty", "remove", "pth", "nothing"]),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.requirement("start-python")
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
@example(steps=[("site", "package"), ("more", "empty"), ("more", "package"), ("more", "remove")])
def test_a_kept_answer_is_the_one_that_would_be_given(steps, tmp_path_factory, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(asked_pythons, "_SETTLING", -(10**15))
        root = tmp_path_factory.mktemp("steps")
        venv = Venv(root, patch)
        late = root / "late"
        places = {"site": venv.site, "more": venv.more, "late": late}
        venv.env["PYTHONPATH"] += f":{late}"
        for place, what in steps:
            directory = places[place]
            directory.mkdir(exist_ok=True)
            if what == "package":
                (directory / "wanted").mkdir(exist_ok=True)
                (directory / "wanted" / "__init__.py").touch()
            elif what == "module":
                (directory / "wanted.py").touch()
            elif what == "empty":
                (directory / "wanted").mkdir(exist_ok=True)
            elif what == "remove":
                shutil.rmtree(directory / "wanted", ignore_errors=True)
                (directory / "wanted.py").unlink(missing_ok=True)
            elif what == "pth":
                (venv.site / f"{place}.pth").write_text(f"{directory}\n")
            assert venv.origin() == venv.origin(RAYDP_WRAP_JVM_CACHE="off")
            before = venv.asked
            venv.origin()
            assert venv.asked == before
