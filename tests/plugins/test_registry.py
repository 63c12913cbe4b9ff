"""Plugins are loaded once, in order; one that can't be used is named in one sentence."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from programs.installed import HOOKS, distribution, hook, plugin

from raydp_wrap import hookspecs, plugins
from raydp_wrap.errors import UsageError
from raydp_wrap.plugins.registry import Registry, State

if TYPE_CHECKING:
    from pathlib import Path

GOOD = hook("event(event)", "pass")


def loaded(limit: float = 60) -> Registry:
    registry = Registry(limit)
    registry.load()
    return registry


@pytest.mark.requirement("plugin-3.3")
def test_a_plugin_is_loaded(site: Path) -> None:
    file = plugin(site, "good", GOOD)
    registry = loaded()
    (found,) = registry.loaded.values()
    assert (found.name, found.file, found.hooks) == ("good", str(file), ["raydp_wrap_event"])
    assert registry.problems == []


@pytest.mark.requirement("plugin-3.3")
def test_an_object_of_a_module_and_what_it_needs(site: Path) -> None:
    distribution(site, "good-1.dist-info", "[raydp_wrap]\ngood = some.thing:Outer.plugin [extra]\n")
    (site / "some").mkdir()
    (site / "some" / "thing.py").write_text(
        f"{HOOKS}class Outer:\n class plugin:\n  @staticmethod\n  @hookimpl\n  def raydp_wrap_event(event): pass\n"
    )
    assert list(loaded().loaded["good"].hooks) == ["raydp_wrap_event"]


BROKEN = {
    "raise RuntimeError('broken at import')": "broken at import",
    "import sys; sys.exit(3)": "SystemExit(3)",
    "raise KeyboardInterrupt": "KeyboardInterrupt()",
    "import no_such_module_at_all": "no_such_module_at_all",
    "syntax error": "SyntaxError",
    hook("event(nonsense)", "pass"): "nonsense",
    hook("evnt(event)", "pass"): "it implements raydp_wrap_evnt, and there is no such hook",
    hook("event(event)", "yield", "@hookimpl(wrapper=True)"): "wrappers can't be",
    hook("event(event)", "yield", "@hookimpl(hookwrapper=True)"): "wrappers can't be",
    f"RAYDP_WRAP_API = {hookspecs.API + 1}\n": (
        f"it asks for plugin API {hookspecs.API + 1}, and this raydp-wrap has {hookspecs.API}"
    ),
    "RAYDP_WRAP_API = 0\n": "it asks for plugin API 0",
    "RAYDP_WRAP_API = 'one'\n": "its RAYDP_WRAP_API is 'one', not a number",
}


@pytest.mark.requirement("plugin-3.3", "fault-37")
@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_one_is_named_and_skipped(site: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    plugin(site, "broken", source)
    plugin(site, "good", GOOD)
    registry = plugins.load()
    assert list(registry.loaded) == ["good"]
    assert [len(registry.implementations(name)) for name in ("raydp_wrap_event", "raydp_wrap_sinks")] == [1, 0]
    plugins.load()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("raydp-wrap: plugin 'broken' is skipped: ")
    assert BROKEN[source] in line


@pytest.mark.requirement("plugin-3.3")
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "names no module"),
        ("a b", "names no module"),
        ("fine:nothing", "has no attribute 'nothing'"),
        ("fine:absent", "is None"),
        (".fine", "TypeError"),
    ],
)
def test_a_broken_entry_point(site: Path, value: str, words: str) -> None:
    distribution(site, "broken-1.dist-info", f"[raydp_wrap]\nbroken = {value}\n")
    (site / "fine.py").write_text("absent = None\n")
    registry = loaded()
    assert not registry.loaded
    assert len(registry.problems) == 1
    assert words in registry.problems[0]


@pytest.mark.requirement("plugin-3.3")
def test_a_hook_to_come_may_be_optional(site: Path) -> None:
    plugin(site, "good", hook("from_the_future()", "pass", "@hookimpl(optionalhook=True)"))
    registry = loaded()
    assert registry.problems == []
    assert list(registry.loaded) == ["good"]


@pytest.mark.requirement("plugin-3.3")
def test_the_present_api_may_be_asked_for(site: Path) -> None:
    plugin(site, "good", f"RAYDP_WRAP_API = {hookspecs.API}\n{GOOD}")
    assert list(loaded().loaded) == ["good"]


@pytest.mark.requirement("plugin-3.3")
def test_of_two_with_one_name_the_first_on_the_path_counts(site: Path) -> None:
    distribution(site / "b", "second-1.dist-info", "[raydp_wrap]\nsame = second\n")
    distribution(site, "first-1.dist-info", "[raydp_wrap]\nsame = first\n")
    for name in ("first", "second"):
        (site / f"{name}.py").write_text(GOOD)
    sys.path.append(str(site / "b"))
    try:
        registry = loaded()
    finally:
        sys.path.remove(str(site / "b"))
    assert registry.loaded["same"].entry.value == "first"
    (problem,) = registry.problems
    assert problem == "plugin 'same' is skipped: first-1.dist-info brings one of this name too, and comes first"


@pytest.mark.requirement("plugin-3.3")
def test_one_object_under_two_names(site: Path) -> None:
    distribution(site, "one-1.dist-info", "[raydp_wrap]\nalias = one\nname = one\n")
    (site / "one.py").write_text(GOOD)
    registry = loaded()
    assert list(registry.loaded) == ["alias"]
    assert registry.problems == ["plugin 'name' is skipped: it is the same object as plugin 'alias'"]


@pytest.mark.requirement("plugin-3.3", "fault-37")
def test_an_import_that_hangs_is_given_up(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(threading, "released_by_test", release, raising=False)
    plugin(site, "hangs", "import threading; threading.released_by_test.wait(60)")
    plugin(site, "works", GOOD)
    try:
        registry = loaded(0.2)
    finally:
        release.set()
    assert list(registry.loaded) == ["works"]
    assert registry.problems == ["plugin 'hangs' is skipped: its import takes more than 0.2 s"]


@pytest.mark.requirement("plugin-3.3")
def test_what_is_left_out_is_not_imported(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        plugin(site, name, f"import os; os.environ['IMPORTED_{name.upper()}'] = '1'\n{GOOD}")
    monkeypatch.setenv("IMPORTED_ONE", "")
    monkeypatch.setenv("IMPORTED_TWO", "")
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "two,three")
    registry = loaded()
    assert (os.environ["IMPORTED_ONE"], os.environ["IMPORTED_TWO"]) == ("", "1")
    assert {plugin.name: plugin.state for plugin in registry.plugins if plugin.name in ("one", "two")} == {
        "one": State.LEFT_OUT,
        "two": State.LOADED,
    }
    assert registry.problems == ["plugin 'three' is in RAYDP_WRAP_PLUGINS and not installed"]


@pytest.mark.requirement("plugin-3.3")
def test_none_is_none(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(site, "one", "raise SystemExit")
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "none")
    registry = loaded()
    assert not registry.loaded
    assert registry.problems == []
    assert {plugin.state for plugin in registry.plugins} == {State.LEFT_OUT}


@pytest.mark.requirement("plugin-3.3")
def test_a_mix_is_refused(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    plugin(site, "one", GOOD)
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "one,-two")
    for _ in range(2):
        with pytest.raises(UsageError, match="can't be obeyed"):
            plugins.load()


@pytest.mark.requirement("plugin-3.3")
def test_they_are_loaded_once(site: Path) -> None:
    plugin(site, "one", GOOD)
    assert plugins.load() is plugins.load() is plugins.installed()


@pytest.mark.requirement("plugin-3.4")
def test_the_order_is_by_name_unless_a_plugin_asks(site: Path) -> None:
    for name in ("b", "a", "d"):
        plugin(site, name, GOOD)
    plugin(site, "first", hook("event(event)", "pass", "@hookimpl(tryfirst=True)"))
    plugin(site, "c-last", hook("event(event)", "pass", "@hookimpl(trylast=True)"))
    order = [one.name for one, _, _ in loaded().implementations("raydp_wrap_event")]
    assert order == ["first", "a", "b", "d", "c-last"]
