"""The search of sys.path's directories finds exactly what importlib.metadata finds, without importing it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs.installed import distribution

from raydp_wrap.plugins import discovery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS = "[raydp_wrap]\none = one_module\n"

Found = list[tuple[str, str]]


def by_us() -> Found:
    found, problems = discovery.find()
    assert problems == []
    return sorted((entry.name, entry.value) for entry in found)


def by_importlib() -> Found:
    return sorted((entry.name, entry.value) for entry in importlib.metadata.entry_points(group="raydp_wrap"))


def refuse_importlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the search by directories has to do."""

    def refused() -> None:
        pytest.fail("importlib.metadata was asked")

    monkeypatch.setattr(discovery, "_from_importlib", refused)


def plain(site: Path) -> list[str]:
    distribution(site, "one-1.dist-info", OURS)
    distribution(site, "other-1.dist-info", "[console_scripts]\nx = y:z\n")
    distribution(site, "silent-1.dist-info", None)
    return [str(site)]


def developed(site: Path) -> list[str]:
    distribution(site, "one.egg-info", OURS)
    return [str(site)]


def old_egg_info(site: Path) -> list[str]:
    distribution(site, "one-1.0-py3.11.egg-info", OURS)
    (site / "file-1.egg-info").write_text("Name: file\n")
    return [str(site)]


def twice_along_the_path(site: Path) -> list[str]:
    distribution(site / "a", "one-1.dist-info", OURS)
    distribution(site / "b", "one-2.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    return [str(site / "a"), str(site / "b"), str(site / "a")]


def hidden_by_one_without(site: Path) -> list[str]:
    distribution(site / "a", "one-1.dist-info", None)
    distribution(site / "b", "one-2.dist-info", OURS)
    return [str(site / "a"), str(site / "b")]


def names_that_are_the_same(site: Path) -> list[str]:
    distribution(site / "a", "My.Plug_in-1.dist-info", OURS)
    distribution(site / "b", "my_plug_in-1.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    distribution(site / "c", "MY_PLUG.IN.egg-info", "[raydp_wrap]\nthree = three_module\n")
    return [str(site / name) for name in "abc"]


def same_entry_point_of_two(site: Path) -> list[str]:
    distribution(site, "one-1.dist-info", OURS)
    distribution(site, "two-1.dist-info", "[raydp_wrap]\none = two_module\n")
    return [str(site)]


def strange_text(site: Path) -> list[str]:
    text = (
        "# a comment\n\n[other]\nraydp_wrap = x\n[ raydp_wrap ]\nno = no\n[raydp_wrap]\n  a=b.c:d.e [x,y]\n\tf  =  g\n"
    )
    distribution(site, "one-1.dist-info", f"{text}h = i=j\n[raydp_wrap_not]\nk = l\n[raydp_wrap]\nm = n\n")
    return [str(site)]


def nothing_there(site: Path) -> list[str]:
    distribution(site, "one-1.dist-info", OURS)
    closed = site / "closed"
    closed.mkdir(mode=0)
    return [str(site / "missing"), str(closed), str(site)]


def here(site: Path) -> list[str]:
    distribution(site, "one-1.dist-info", OURS)
    os.chdir(site)
    return [""]


PLAIN = [
    plain,
    developed,
    old_egg_info,
    twice_along_the_path,
    hidden_by_one_without,
    names_that_are_the_same,
    same_entry_point_of_two,
    strange_text,
    nothing_there,
    here,
]


def zipped(site: Path) -> list[str]:
    distribution(site / "a", "one-1.dist-info", OURS)
    with zipfile.ZipFile(site / "lib.zip", "w") as file:
        for path in (site / "a").rglob("*"):
            if path.is_file():
                file.write(path, path.relative_to(site / "a"))
    distribution(site / "b", "two-1.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    return [str(site / "lib.zip"), str(site / "b")]


def egg(site: Path) -> list[str]:
    distribution(site / "one-1-py3.11.egg", "EGG-INFO", OURS, name="one")
    return [str(site / "one-1-py3.11.egg")]


def upper_case(site: Path) -> list[str]:
    """Its name is the one in its metadata, where the directory's is written like this."""
    distribution(site / "a", "Nobody-1.DIST-INFO", OURS, name="one")
    distribution(site / "b", "one-1.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    return [str(site / "a"), str(site / "b")]


def left_by_pip(site: Path) -> list[str]:
    distribution(site / "a", "-ne-1.dist-info", OURS, name="one")
    distribution(site / "b", "one-1.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    return [str(site / "a"), str(site / "b")]


UNUSUAL = [zipped, egg, upper_case, left_by_pip]


@pytest.fixture
def standing(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The site, with the working directory to be restored."""
    monkeypatch.chdir(tmp_path)
    return site


@pytest.mark.requirement("plugin-3.3", "plugin-3.5")
@pytest.mark.parametrize("layout", PLAIN, ids=lambda layout: layout.__name__)
def test_directories_tell_the_same(
    layout: Callable[[Path], list[str]], standing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*layout(standing), *sys.path])
    expected = by_importlib()
    assert expected or layout is hidden_by_one_without
    refuse_importlib(monkeypatch)
    assert by_us() == expected


@pytest.mark.requirement("plugin-3.3")
@pytest.mark.parametrize("layout", UNUSUAL, ids=lambda layout: layout.__name__)
def test_what_directories_cannot_tell(
    layout: Callable[[Path], list[str]], standing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*layout(standing), *sys.path])
    assert by_us() == by_importlib()
    assert ("one", "one_module") in by_us()


NAMES = st.sampled_from(["one", "One", "o.ne", "o_ne", "o-ne", "two", "TWO", "t.w_o", "o-._ne"])
DIRECTORIES = st.lists(
    st.lists(st.tuples(NAMES, st.sampled_from(["dist-info", "egg-info"]), st.booleans()), max_size=4), max_size=4
)


@pytest.mark.requirement("plugin-3.5")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(directories=DIRECTORIES)
def test_any_path_tells_the_same(
    site: Path, monkeypatch: pytest.MonkeyPatch, directories: list[list[tuple[str, str, bool]]]
) -> None:
    shutil.rmtree(site)
    with monkeypatch.context() as patch:
        path = []
        for number, distributions in enumerate(directories):
            # A directory of its own each time: importlib.metadata keeps what it saw, by path and time.
            place = site / f"{number}-{os.urandom(4).hex()}"
            place.mkdir(parents=True)
            path.append(str(place))
            for serial, (name, suffix, tells) in enumerate(distributions):
                text = f"[raydp_wrap]\nplugin{number}{serial} = module\n" if tells else None
                directory = f"{name}-{serial}.{suffix}" if "-" not in name else f"{name.replace('-', '_')}.{suffix}"
                if not (place / directory).exists():
                    distribution(place, directory, text)
        patch.setattr(sys, "path", [*path, *sys.path])
        expected = by_importlib()
        refuse_importlib(patch)
        assert by_us() == expected
    site.mkdir(exist_ok=True)


SAME = """
import json, site, sys
site.addsitedir(sys.argv[1])
from raydp_wrap.plugins import discovery
found, problems = discovery.find()
imported = "importlib.metadata" in sys.modules
import importlib.metadata
expected = importlib.metadata.entry_points(group="raydp_wrap")
print(json.dumps([sorted(e[:2] for e in found), sorted((e.name, e.value) for e in expected), problems, imported]))
"""


@pytest.mark.requirement("plugin-3.3", "plugin-3.5")
def test_an_editable_install_is_found(tmp_path: Path) -> None:
    """setup.py develop leaves a .pth file, and the metadata beside the sources."""
    site = tmp_path / "site"
    site.mkdir()
    distribution(tmp_path / "sources", "one.egg-info", OURS)
    (site / "easy-install.pth").write_text(f"{tmp_path / 'sources'}\n")
    distribution(site, "two-1.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    (site / "__editable__.two-1.pth").write_text("import sys; sys.flags\n")
    done = subprocess.run([sys.executable, "-c", SAME, str(site)], capture_output=True, text=True, check=True)
    found, expected, problems, imported = json.loads(done.stdout)
    assert found == expected
    assert {"one", "two"} <= {name for name, _ in found}
    assert problems == []
    assert not imported


@pytest.mark.requirement("plugin-3.3")
def test_a_finder_of_somebody_is_asked(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(site, "one-1.dist-info", OURS)

    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None:
            return None

        @staticmethod
        def find_distributions(*_: object) -> list[importlib.metadata.Distribution]:
            return [importlib.metadata.PathDistribution(site / "elsewhere" / "two-1.dist-info")]

    distribution(site / "elsewhere", "two-1.dist-info", "[raydp_wrap]\ntwo = two_module\n")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert by_us() == by_importlib()
    assert ("two", "two_module") in by_us()


@pytest.mark.requirement("plugin-3.3")
def test_a_finder_that_fails_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(site, "one-1.dist-info", OURS)

    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None:
            return None

        @staticmethod
        def find_distributions(*_: object) -> list[importlib.metadata.Distribution]:
            raise OSError("no such luck")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    found, problems = discovery.find()
    assert found == []
    assert len(problems) == 1
    assert "no such luck" in problems[0]


@pytest.mark.requirement("plugin-3.3", "fault-37")
@pytest.mark.parametrize(
    "text", [b"[raydp_wrap]\n\xff\xfe = x\n", b"[raydp_wrap]\nnothing\n", b"[raydp_wrap]\na = b\n= \n c\n"]
)
@pytest.mark.parametrize("unusual", [False, True])
def test_broken_metadata_is_named_and_the_others_are_found(
    site: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, *, unusual: bool
) -> None:
    distribution(site, "broken-1.dist-info", "")
    (site / "broken-1.dist-info" / "entry_points.txt").write_bytes(text)
    distribution(site, "one-1.dist-info", OURS)
    if unusual:
        (site / "an.zip").write_bytes(b"")
        monkeypatch.syspath_prepend(str(site / "an.zip"))
    found, problems = discovery.find()
    assert "one" in {entry.name for entry in found}
    assert len(problems) == 1
    assert "broken" in problems[0]
    assert "entry_points.txt is broken" in problems[0]


@pytest.mark.requirement("fault-37")
def test_a_pipe_in_place_of_metadata_does_not_hold_us_up(site: Path) -> None:
    distribution(site, "pipe-1.dist-info", None)
    os.mkfifo(site / "pipe-1.dist-info" / "entry_points.txt")
    distribution(site, "one-1.dist-info", OURS)
    assert ("one", "one_module") in by_us()
