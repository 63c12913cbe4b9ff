"""Hooks are called one by one: each implementation's fault is one line, and stops nobody else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from programs.installed import HOOKS, hook, plugin

from raydp_wrap import plugins
from raydp_wrap.errors import PluginError, StartError, UsageError
from raydp_wrap.model import (
    Cause,
    Event,
    EventKind,
    Evidence,
    Exit,
    ExitRecord,
    Launch,
    Rank,
    Submission,
    TerminalState,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUBMISSION = Submission("id", "name", 0.0)
EVENT = Event(EventKind.SUBMITTED, SUBMISSION, 1, 0.0)
LAUNCH = Launch(("true",), settings={"sinks": "x"})
RECORD = ExitRecord("id", 1, 2, Exit(0), Cause.NONE, None, 0.0, 1.0, 1.0, Usage(), tree_empty=True)
LAUNCHES = "from dataclasses import replace\nfrom raydp_wrap.model import Launch\n"
PIECES = "from raydp_wrap.model import *\n"
SAYS = hook("evidence(saved)", "return [Evidence('saved', str(saved))]")


@pytest.fixture(autouse=True)
def released(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """``threading.hang()`` hangs until the test ends; ``threading.said`` takes notes."""
    release = threading.Event()
    said: list[object] = []
    monkeypatch.setattr(threading, "hang", lambda: release.wait(60), raising=False)
    monkeypatch.setattr(threading, "said", said, raising=False)
    yield said
    release.set()


FAULTS = {
    "raise ValueError('in the hook')": "failed in raydp_wrap_{}: ValueError('in the hook')",
    "raise SystemExit(0)": "failed in raydp_wrap_{}: SystemExit(0)",
    "raise KeyboardInterrupt": "failed in raydp_wrap_{}: KeyboardInterrupt()",
    "import threading; threading.hang()": "takes more than 0.5 s in raydp_wrap_{}: it is not asked again",
}
NONSENSE = {"return 7": "is not heeded in raydp_wrap_{}: it answered with int, not with "}


@pytest.mark.requirement("plugin-3.4", "fault-35")
@pytest.mark.parametrize("body", FAULTS)
def test_a_fault_stops_nobody_else(site: Path, released: list[object], body: str) -> None:
    plugin(site, "a", hook("event(event)", "import threading; threading.said.append(event)"))
    plugin(site, "b", hook("event(event)", body))
    plugin(site, "c", hook("event()", "import threading; threading.said.append('without arguments')\nprint('x')"))
    told: list[str] = []
    plugins.event(EVENT, told.append, limit=0.5)
    assert released == [EVENT, "without arguments"]
    assert told == [f"plugin 'b' {FAULTS[body].format('event')}"]


@pytest.mark.requirement("plugin-3.4")
def test_each_gives_every_result(site: Path) -> None:
    plugin(site, "a", hook("event(event)", "return 1"))
    plugin(site, "b", hook("event()", "raise ValueError"))
    plugin(site, "c", hook("event(event)", "return 3", "@hookimpl(tryfirst=True)"))
    told: list[str] = []
    results = plugins.each("raydp_wrap_event", tell=told.append, event=EVENT)
    assert [(one.plugin, one.value, bool(one.error)) for one in results] == [
        ("c", 3, False),
        ("a", 1, False),
        ("b", None, True),
    ]
    assert isinstance(results[2].cause, ValueError)
    assert told == [results[2].error]


@pytest.mark.requirement("fault-35")
def test_one_that_hung_is_not_asked_again(site: Path, released: list[object]) -> None:
    source = hook("event(event)", "import threading\nthreading.said.append(event)\nthreading.hang()")
    plugin(site, "a", f"{source}\n{hook('sinks()', 'raise ValueError')}")
    told: list[str] = []
    for _ in range(3):
        plugins.event(EVENT, told.append, limit=0.05)
    plugins.sinks(told.append)
    assert released == [EVENT]
    assert len(told) == 1


@pytest.mark.requirement("fault-35")
def test_what_a_hook_prints_is_not_on_stdout(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin(site, "a", f"print('imported')\n{hook('event(event)', 'print(1); import sys; sys.stdout.write(chr(50))')}")
    plugins.event(EVENT)
    assert capsys.readouterr() == ("", "imported\n1\n2")


class TestBuildLaunch:
    """``raydp_wrap_build_launch``: the first that answers counts."""

    @pytest.mark.requirement("hook-build-launch")
    def test_the_first_that_answers_counts(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plugin(site, "a", hook("build_launch(tool, argv, env)", "argv.append('spoilt')\nenv.clear()"))
        body = "return Launch((tool, *argv), env=env) if tool == 'tool' else None"
        plugin(site, "b", LAUNCHES + hook("build_launch(tool, argv, env)", body))
        plugin(site, "c", hook("build_launch()", "raise SystemExit"))
        assert plugins.build_launch("tool", ["x"], {"y": "z"}) == Launch(("tool", "x"), env={"y": "z"})
        assert capsys.readouterr().err == ""

    @pytest.mark.requirement("hook-build-launch", "plugin-3.4", "fault-35")
    @pytest.mark.parametrize(
        "body", FAULTS | {"return ['sh']": "is not heeded in raydp_wrap_{}: it answered with list"}
    )
    def test_one_that_fails_for_a_tool_of_others(self, site: Path, body: str) -> None:
        plugin(site, "a", hook("build_launch(tool)", body))
        plugin(site, "b", LAUNCHES + hook("build_launch()", "return Launch(('x',))"))
        told: list[str] = []
        assert plugins.build_launch("tool", [], {}, told.append, limit=0.5) == Launch(("x",))
        assert len(told) == 1
        words = (FAULTS | {"return ['sh']": "is not heeded in raydp_wrap_{}: it answered with list"})[body]
        assert told[0].startswith(f"plugin 'a' {words.format('build_launch')}")

    @pytest.mark.requirement("hook-build-launch")
    @pytest.mark.parametrize("error", ["UsageError('do it so')", "PluginError('do it so')"])
    def test_what_it_says_of_the_request_is_passed_on(self, site: Path, error: str) -> None:
        plugin(site, "a", f"from raydp_wrap.errors import *\n{hook('build_launch()', f'raise {error}')}")
        plugin(site, "b", LAUNCHES + hook("build_launch()", "return Launch(('x',))"))
        with pytest.raises((UsageError, PluginError), match=r"^do it so$"):
            plugins.build_launch("tool", [], {})

    @pytest.mark.requirement("hook-build-launch")
    def test_nobody_knows_the_tool(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plugin(site, "a", hook("build_launch()", "return None"))
        monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "a")
        with pytest.raises(PluginError, match="RAYDP_WRAP_PLUGINS admits knows tool"):
            plugins.build_launch("tool", [], {})
        monkeypatch.delenv("RAYDP_WRAP_PLUGINS")
        with pytest.raises(PluginError, match="no installed plugin knows tool: pip install raydp-wrap-spark"):
            plugins.build_launch("tool", [], {})

    @pytest.mark.requirement("hook-build-launch")
    def test_those_that_might_have_known_are_named(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plugin(site, "a", hook("build_launch()", "raise ValueError('at work')"))
        plugin(site, "b", "raise ValueError('at import')")
        with pytest.raises(PluginError, match=r"no plugin that works knows tool: .*'b' is skipped.*; .*'a' failed"):
            plugins.build_launch("tool", [], {})
        assert capsys.readouterr().err == ""


class TestEditLaunch:
    """``raydp_wrap_edit_launch``: each is given what the one before it made."""

    @pytest.mark.requirement("hook-edit-launch", "plugin-3.4")
    def test_one_after_the_other(self, site: Path) -> None:
        for name in ("a", "c"):
            body = f"return replace(launch, argv=(*launch.argv, submission.name, '{name}'))"
            plugin(site, name, LAUNCHES + hook("edit_launch(launch, submission)", body))
        plugin(site, "b", hook("edit_launch()", "return None"))
        told: list[str] = []
        edited = plugins.edit_launch(SUBMISSION, LAUNCH, told.append)
        assert edited == Launch(("true", "name", "a", "name", "c"), settings={"sinks": "x"})
        assert told == []

    @pytest.mark.requirement("hook-edit-launch", "fault-35")
    @pytest.mark.parametrize(
        "body",
        [
            *FAULTS,
            "return 7",
            "return ()",
            "return Launch(())",
            "return Launch('a string')",
            "return Launch(('a', 7))",
            "return Launch(('a', 'b\\0c'))",
            "return Launch(('a',), env={'x': 1})",
            "return Launch(('a',), env=['x'])",
            "return Launch(('a',), cwd=3)",
            "return Launch(('a',), executable=b'x')",
            "return Launch(('a',), pass_fds=('x',))",
            "return Launch(('a',), pass_fds=(-1,))",
            "return Launch(('a',), pass_fds=(10**6,))",
            "return Launch(('a',), pass_fds=(2**40,))",
            "return Launch(('a',), stdout=-1)",
            "return Launch(('a',), stdout='x')",
            "return Launch(('a',), stderr=True)",
            "return Launch(('a',), stderr=10**6)",
            "return Launch(('a',), stderr=2**40)",
            "return Launch(('a',), pass_fds=7)",
            "return Launch(('a',), settings='x')",
            "launch.argv = ()",
        ],
    )
    def test_what_is_wrong_is_told_and_left(self, site: Path, body: str) -> None:
        plugin(site, "a", LAUNCHES + hook("edit_launch(launch)", body))
        body = "return replace(launch, argv=[*launch.argv, 'b'])"
        plugin(site, "b", LAUNCHES + hook("edit_launch(launch)", body))
        told: list[str] = []
        edited = plugins.edit_launch(SUBMISSION, LAUNCH, told.append, limit=0.5)
        assert edited == Launch(("true", "b"), settings={"sinks": "x"})
        assert len(told) == 1
        assert told[0].startswith("plugin 'a' ")
        assert "raydp_wrap_edit_launch" in told[0]


class TestEvidence:
    """``raydp_wrap_evidence``: only Evidence passes, and none outranks a cluster's."""

    @pytest.mark.requirement("hook-evidence")
    def test_what_is_known_is_added(self, site: Path) -> None:
        source = hook("evidence(record, submission)", "yield Evidence(submission.name, str(record.driver_pid))")
        plugin(site, "a", PIECES + source)
        whole = "return [Evidence('b', 'b', at=at, exit_code=code, signal=number) for at, code, number in "
        whole += "((-62135596800, 0, 1), (253402300799.5, 255, 64), (0, None, None))]"
        plugin(site, "d", PIECES + hook("evidence()", whole))
        source = hook("evidence()", "return [Evidence('b', 'x' * 9000, rank, exit_code=3) for rank in Rank]")
        plugin(site, "b", PIECES + source)
        plugin(site, "c", hook("evidence()", "return None"))
        told: list[str] = []
        found = plugins.evidence(SUBMISSION, RECORD, told.append)
        assert told == []
        assert found[0] == Evidence("name", "2")
        ranks = [Rank.CONTEXT, Rank.LAUNCHER, Rank.WAIT_STATUS, Rank.CLUSTER, Rank.CLUSTER]
        assert found[1:-3] == [Evidence("b", "x" * 4096, rank, exit_code=3) for rank in ranks]
        assert [(one.exit_code, one.signal) for one in found[-3:]] == [(0, 1), (255, 64), (None, None)]

    @pytest.mark.requirement("hook-evidence", "plugin-3.4", "fault-35")
    @pytest.mark.parametrize(
        ("body", "kept"),
        [
            *((body, 0) for body in (*FAULTS, *NONSENSE)),
            ("return 'text'", 0),
            ("return {'a': 1}", 0),
            ("return Evidence('a', 'b')", 0),
            ("yield Evidence('a', 'b')\nraise ValueError", 0),
            ("yield Evidence('a', 'b')\nimport threading; threading.hang()", 0),
            ("return [Evidence('a', 'b'), 7]", 1),
            ("return [Evidence('a', 'b'), Evidence(None, 'b')]", 1),
            ("return [Evidence('a', 'b'), Evidence('a', 'b', rank=3)]", 1),
            ("return [Evidence('a', 'b'), Evidence('a', 'b', state='FAILED')]", 1),
            ("return [Evidence('a', 'b'), Evidence('a', 'b', exit_code='1')]", 1),
            ("return [Evidence('a', 'b'), Evidence('a', 'b', at='now')]", 1),
            ("while True:\n yield Evidence('a', 'b')", 100),
            *(
                (f"return [Evidence('a', 'b'), Evidence('a', 'b', {number})]", 1)
                for number in (
                    *("exit_code=256", "exit_code=2**40", "exit_code=-1", "exit_code=True", "exit_code=10**9999"),
                    *("signal=0", "signal=65", "signal=-9", "signal=True", "signal=10**9999"),
                    *("at=float('inf')", "at=float('-inf')", "at=float('nan')", "at=10**400", "at=-10**9999"),
                    *("at=-62135596801", "at=253402300800", "at=True"),
                )
            ),
        ],
    )
    def test_what_is_wrong_is_told_and_left(self, site: Path, body: str, kept: int) -> None:
        plugin(site, "a", PIECES + hook("evidence()", body))
        plugin(site, "b", PIECES + hook("evidence()", "return [Evidence('b', 'b', state=TerminalState.FAILED)]"))
        told: list[str] = []
        found = plugins.evidence(SUBMISSION, RECORD, told.append, limit=0.5)
        assert found == [Evidence("a", "b")] * kept + [Evidence("b", "b", state=TerminalState.FAILED)]
        assert len(told) == 1
        assert told[0].startswith("plugin 'a' ")


class TestStopRemote:
    """``raydp_wrap_stop_remote``: everybody is asked, each with what its own watch saved."""

    @pytest.mark.requirement("hook-stop-remote", "watch-saved")
    def test_each_is_given_what_its_own_watch_saved(self, site: Path, released: list[object]) -> None:
        for name in ("a", "b", "c"):
            body = f"import threading\nthreading.said.append(('{name}', submission.name, record, saved))"
            plugin(site, name, hook("stop_remote(saved, record, submission)", body))
        told: list[str] = []
        saved = {"a": {"x": 1}, "c": {"z": [3]}, "gone": {"y": 2}}
        plugins.stop_remote(SUBMISSION, None, told.append, saved=saved)
        plugins.stop_remote(SUBMISSION, RECORD, told.append)
        first = [("a", "name", None, {"x": 1}), ("b", "name", None, {}), ("c", "name", None, {"z": [3]})]
        assert released == first + [(name, "name", RECORD, {}) for name in "abc"]
        assert told == []

    @pytest.mark.requirement("hook-stop-remote", "fault-35")
    @pytest.mark.parametrize("body", FAULTS)
    def test_a_fault_stops_nobody_else(self, site: Path, released: list[object], body: str) -> None:
        plugin(site, "a", hook("stop_remote()", body))
        plugin(site, "b", hook("stop_remote()", "import threading; threading.said.append('b')\nreturn 'no matter'"))
        told: list[str] = []
        plugins.stop_remote(SUBMISSION, RECORD, told.append, limit=0.5)
        assert released == ["b"]
        assert told == [f"plugin 'a' {FAULTS[body].format('stop_remote')}"]

    @pytest.mark.requirement("hook-stop-remote", "watch-saved")
    def test_one_that_spoils_what_it_is_given_spoils_it_for_nobody(self, site: Path) -> None:
        plugin(site, "a", f"{hook('stop_remote(saved)', 'saved.clear()')}\n{PIECES}" + SAYS)
        saved = {"a": {"x": 1}}
        plugins.stop_remote(SUBMISSION, RECORD, saved=saved)
        (found,) = plugins.evidence(SUBMISSION, RECORD, saved=saved)
        assert found.observation == "{'x': 1}"
        assert saved == {"a": {"x": 1}}


@pytest.mark.requirement("hook-evidence", "watch-saved")
def test_evidence_is_asked_for_with_what_the_watch_saved(site: Path) -> None:
    plugin(site, "a", PIECES + SAYS)
    plugin(site, "b", PIECES + SAYS)
    found = plugins.evidence(SUBMISSION, RECORD, saved={"b": {"x": 1}})
    assert [one.observation for one in found] == ["{}", "{'x': 1}"]


@pytest.mark.requirement("hook-event")
def test_an_event_is_observed(site: Path, released: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    plugin(site, "a", hook("event(event)", "import threading\nthreading.said.append(event)\nreturn 'no matter'"))
    plugins.event(EVENT)
    assert released == [EVENT]
    assert capsys.readouterr().err == ""


SINK = f"""{HOOKS}
from raydp_wrap.backend import Answer, Sink, Verdict
class Mine(Sink):
    def __init__(self, text): self.given = text
    def deliver(self, report): return Answer(Verdict.ACCEPTED)
def make(text):
    if text == "wrong": raise ValueError(text)
    if text == "exit": raise SystemExit
    if text == "usage":
        from raydp_wrap.errors import UsageError
        raise UsageError("say it so")
    if text == "hang":
        import threading; threading.hang()
    return 7 if text == "seven" else Mine(text)
@hookimpl
def raydp_wrap_sinks(): return {{"mine": make, "file": make}}
"""


class TestSinks:
    """``raydp_wrap_sinks``."""

    @pytest.mark.requirement("hook-sinks")
    def test_they_are_made_of_their_text(self, site: Path) -> None:
        plugin(site, "a", SINK)
        told: list[str] = []
        found = plugins.sinks(told.append, taken=("file", "exec"))
        assert list(found) == ["mine"]
        assert found["mine"]("what follows").given == "what follows"  # type: ignore[attr-defined]
        assert told == ["plugin 'a' is not heeded in raydp_wrap_sinks: 'file' is one of raydp-wrap's own"]
        plugins.sinks(told.append, taken=("file", "exec"))
        assert len(told) == 1

    @pytest.mark.requirement("hook-sinks", "fault-35")
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("wrong", "can't be made: ValueError$"),  # not its words: they quote the text, which may hold a secret
            ("exit", "can't be made: SystemExit$"),
            ("hang", "can't be made: it takes more than 0.5 s$"),
            ("seven", "is int, not a Sink$"),
        ],
    )
    def test_one_that_cannot_be_made(self, site: Path, text: str, words: str) -> None:
        plugin(site, "a", SINK)
        make = plugins.sinks(limit=0.5)["mine"]
        with pytest.raises(PluginError, match=f"sink 'mine' of plugin 'a' {words}"):
            make(text)

    @pytest.mark.requirement("hook-sinks")
    def test_what_it_says_of_the_text_is_passed_on(self, site: Path) -> None:
        plugin(site, "a", SINK)
        with pytest.raises(UsageError, match=r"^say it so$"):
            plugins.sinks()["mine"]("usage")

    @pytest.mark.requirement("hook-sinks", "plugin-3.4", "fault-35")
    @pytest.mark.parametrize(
        "body",
        [
            *FAULTS,
            *NONSENSE,
            "return [('x', print)]",
            "return {7: print}",
            "return {'Upper': print}",
            "return {'a:b': print}",
            "return {'x': 7}",
        ],
    )
    def test_what_is_wrong_is_told_and_left(self, site: Path, body: str) -> None:
        plugin(site, "a", hook("sinks()", body))
        plugin(site, "b", SINK)
        told: list[str] = []
        assert set(plugins.brought("raydp_wrap_sinks", told.append, limit=0.5)) == {"mine", "file"}
        assert len(told) == 1
        assert told[0].startswith("plugin 'a' ")

    @pytest.mark.requirement("plugin-3.3")
    def test_of_two_of_a_name_the_first_counts(self, site: Path) -> None:
        plugin(site, "a", hook("sinks()", "return {'mine': print}"))
        plugin(site, "b", hook("sinks()", "return {'mine': len, 'other': len}"))
        told: list[str] = []
        found = plugins.brought("raydp_wrap_sinks", told.append)
        assert {name: one.plugin for name, one in found.items()} == {"mine": "a", "other": "b"}
        assert told == ["plugin 'b' is not heeded in raydp_wrap_sinks: 'a' brings 'mine' already"]

    @pytest.mark.requirement("plugin-3.4")
    def test_the_hook_is_asked_once(self, site: Path, released: list[object]) -> None:
        plugin(site, "a", hook("sinks()", "import threading; threading.said.append(1)\nreturn {'mine': print}"))
        for _ in range(3):
            assert list(plugins.sinks()) == ["mine"]
        assert released == [1]


BACKEND = f"""{HOOKS}
from raydp_wrap.backend import Backend
class Mine(Backend):
    async def launch(self, attempt, launch, limits): ...
    async def restore(self, attempt, saved): ...
@hookimpl
def raydp_wrap_backends(): return {{"mine": Mine, "wrong": dict, "broken": lambda: 1 / 0}}
"""


@pytest.mark.requirement("hook-backends")
def test_backends_are_made(site: Path) -> None:
    plugin(site, "a", BACKEND)
    found = plugins.backends(taken=("local",))
    assert type(found["mine"]()).__name__ == "Mine"
    with pytest.raises(PluginError, match="backend 'wrong' of plugin 'a' is dict, not a Backend"):
        found["wrong"]()
    with pytest.raises(PluginError, match="backend 'broken' of plugin 'a' can't be made: ZeroDivisionError"):
        found["broken"]()


COMMAND = f"""{HOOKS}
import click
def make():
    return click.Command("mine")
def own():
    from raydp_wrap.errors import UsageError
    raise UsageError("not today")
@hookimpl
def raydp_wrap_commands(): return {{"mine": make, "wrong": dict, "own": own, "gone": lambda: __import__("no_such")}}
"""


@pytest.mark.requirement("hook-commands")
def test_commands_are_made(site: Path) -> None:
    plugin(site, "a", COMMAND)
    found = plugins.commands()
    assert found["mine"]().name == "mine"
    with pytest.raises(PluginError, match="command 'wrong' of plugin 'a' is dict, not a Command"):
        found["wrong"]()
    with pytest.raises(PluginError, match="command 'gone' of plugin 'a' can't be made: ModuleNotFoundError"):
        found["gone"]()
    with pytest.raises(UsageError, match="not today"):
        found["own"]()


@pytest.mark.requirement("hook-checks", "plugin-3.4", "fault-35")
@pytest.mark.parametrize("body", [*FAULTS, *NONSENSE])
def test_a_check_that_fails_is_not_well(site: Path, body: str) -> None:
    plugin(site, "a", hook("checks()", body))
    source = hook("checks()", "yield Check('b', True, 'fine')\nyield Check('b', False, 'not fine')")
    plugin(site, "b", f"from raydp_wrap.backend import Check\n{source}")
    broken, *others = plugins.checks(limit=0.5)
    assert (broken.name, broken.ok) == ("plugin a", False)
    assert broken.text.startswith(f"plugin 'a' {(FAULTS | NONSENSE)[body].format('checks')}")
    assert [(one.name, one.ok, one.text) for one in others] == [("b", True, "fine"), ("b", False, "not fine")]


def test_a_start_error_is_passed_on_whole(site: Path) -> None:
    source = hook("build_launch()", "raise CommandNotFoundError(2, 'not there', 'x', stage='exec')")
    plugin(site, "a", f"from raydp_wrap.errors import *\n{source}")
    with pytest.raises(StartError) as caught:
        plugins.build_launch("tool", [], {})
    assert (caught.value.stage, caught.value.exit_code) == ("exec", 127)


def test_without_plugins_nothing_is_called(site: Path) -> None:
    assert site.exists()
    assert plugins.edit_launch(SUBMISSION, LAUNCH) is LAUNCH
    assert plugins.evidence(SUBMISSION, RECORD) == []
    assert plugins.sinks() == plugins.backends() == plugins.commands() == {}
    assert plugins.checks() == []
    assert plugins.each("raydp_wrap_event", event=EVENT) == []
