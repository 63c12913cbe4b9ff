"""Watches: whatever one of them does, the owner goes on, the others are asked, and each is closed once."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from programs.installed import hook, plugin

from raydp_wrap.model import Launch, Submission
from raydp_wrap.plugins import Watches, limited
from raydp_wrap.plugins import watches as module
from raydp_wrap.watch import Notice, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.requirement("hook-watch")

SUBMISSION = Submission("id", "name", 0.0)
LAUNCH = Launch(("true",), settings={"sinks": "x"})
PATIENCE = 0.5  # what a watch gets here, where one hangs


class Recording(Watch):
    """A watch that takes notes, and answers as its attributes say."""

    def __init__(self, launch: Launch, answers: Mapping[str, Any]) -> None:
        self.calls: list[str] = []
        self.given = launch
        self.answers = answers
        self.read_end, self.write_end = os.pipe()

    def answer(self, name: str, default: Any = None) -> Any:
        self.calls.append(name)
        found = self.answers.get(name, default)
        return found(self) if callable(found) else found

    @property
    def launch(self) -> Launch:
        return self.answer("launch", self.given)  # type: ignore[no-any-return]

    def started(self, driver_pid: int) -> None:
        assert driver_pid == 7
        self.answer("started")

    def fileno(self) -> int:
        return self.answer("fileno", self.read_end)  # type: ignore[no-any-return]

    def deadline(self) -> float | None:
        return self.answer("deadline")  # type: ignore[no-any-return]

    def notices(self) -> list[Notice]:
        return self.answer("notices", [])  # type: ignore[no-any-return]

    def stop(self) -> float:
        return self.answer("stop", 0.0)  # type: ignore[no-any-return]

    def ended(self) -> list[Notice]:
        return self.answer("ended", [])  # type: ignore[no-any-return]

    def save(self) -> Mapping[str, Any] | None:
        return self.answer("save")  # type: ignore[no-any-return]

    def close(self) -> None:
        self.calls.append("close")
        os.close(self.read_end)
        os.close(self.write_end)
        self.answers.get("close", bool)(self)


class Watched:
    """The watches over one attempt: those of the plugins a, b, … with these answers."""

    def __init__(self, site: Path, *answers: Mapping[str, Any]) -> None:
        self.told: list[str] = []
        self.by_name: dict[str, Recording] = {}
        self.watches = Watches(self.told.append)
        for name, given in zip("abc", answers, strict=False):

            def make(launch: Launch, name: str = name, given: Mapping[str, Any] = given) -> Recording:
                self.by_name[name] = Recording(launch, given)
                return self.by_name[name]

            plugin(site, name, hook("watch(launch)", f"import threading\nreturn threading.makes['{name}'](launch)"))
            threading.makes[name] = make  # type: ignore[attr-defined]

    def begin(self) -> Launch:
        return self.watches.begin(SUBMISSION, LAUNCH)

    def calls(self, name: str) -> list[str]:
        return [call for call in self.by_name[name].calls if call not in ("deadline", "launch", "fileno")]


@pytest.fixture(autouse=True)
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Hangs until the test ends; whoever asks for it has little patience."""
    release = threading.Event()
    monkeypatch.setattr(threading, "makes", {}, raising=False)
    yield lambda *_: release.wait(60) and None
    release.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "call", lambda function, seconds: limited.call(function, min(seconds, PATIENCE)))


def fail(error: BaseException) -> Callable[..., None]:
    def failing(*_: object) -> None:
        raise error

    return failing


FAULTS = {
    "raises": fail(ValueError("in the watch")),
    "exits": fail(SystemExit(0)),
    "interrupts": fail(KeyboardInterrupt()),
    "hangs": None,
}
METHODS = ["started", "deadline", "notices", "stop", "ended", "save"]


def whole_life(watched: Watched, fds: Callable[[], set[int]] | None = None) -> None:
    watches = watched.watches
    watches.started(7)
    watches.notices(fds() if fds else set(watches.descriptors))
    watches.stop()
    watches.ended()
    watches.close()


@pytest.mark.requirement("watch-contained")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_s_fault_stops_nobody_else(site: Path, hang: Callable[..., None], method: str, fault: str) -> None:
    watched = Watched(site, {method: FAULTS[fault] or hang}, {"notices": [Notice(app_id="x")], "stop": 3.0})
    watched.begin()
    bad = watched.by_name["a"].read_end
    with watched.watches as watches:
        watches.started(7)
        notices = watches.notices({bad, watched.by_name["b"].read_end})
        assert watches.stop() == 3.0
        watches.ended()
        assert watches.descriptors == [watched.by_name["b"].read_end]
    assert notices == [Notice(app_id="x")]
    assert watched.calls("b") == ["started", "notices", "save", "stop", "ended", "save", "close"]
    assert watched.calls("a").count("close") == 1
    assert watched.by_name["a"].calls.count(method) == 1, "it is not asked again"
    (sentence,) = watched.told
    assert sentence.startswith(
        "plugin 'a' takes more than " if fault == "hangs" else "plugin 'a' failed in its watch: "
    )
    assert sentence.endswith(": it is not asked again")


@pytest.mark.requirement("watch-contained")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_can_t_be_closed_keeps_no_other_open(site: Path, hang: Callable[..., None], fault: str) -> None:
    watched = Watched(site, {"close": FAULTS[fault] or hang}, {})
    watched.begin()
    whole_life(watched)
    assert watched.calls("a").count("close") == watched.calls("b").count("close") == 1
    (sentence,) = watched.told
    assert "to close its watch" in sentence


@pytest.mark.requirement("watch-contained")
@pytest.mark.parametrize("method", [*METHODS, "close"])
def test_even_to_look_a_method_up_is_their_code(site: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(Recording, method, property(fail(ValueError("looked up"))))
    watched = Watched(site, {})
    watched.begin()
    whole_life(watched)
    assert watched.told
    assert all("ValueError('looked up')" in sentence for sentence in watched.told)
    if method == "close":
        os.close(watched.by_name["a"].read_end)
        os.close(watched.by_name["a"].write_end)


def test_each_gets_the_launch_that_the_one_before_it_made(site: Path) -> None:
    def adds(watch: Recording) -> Launch:
        return replace(watch.given, argv=(*watch.given.argv, "more"), env={"N": str(len(watch.given.argv))})

    watched = Watched(site, {"launch": adds}, {}, {"launch": adds})
    with watched.watches:
        assert watched.begin() == Launch(("true", "more", "more"), env={"N": "2"}, settings={"sinks": "x"})
        assert [watched.by_name[name].given.argv for name in "abc"] == [
            ("true",),
            ("true", "more"),
            ("true", "more"),
        ]
    assert watched.told == []
    assert [watched.calls(name) for name in "abc"] == [["close"]] * 3, "not started, and yet closed"


CLOSED = os.dup(0)
os.close(CLOSED)


@pytest.mark.requirement("watch-contained")
@pytest.mark.parametrize(
    "answers",
    [
        {"launch": fail(ValueError())},
        {"launch": fail(SystemExit(0))},
        {"launch": lambda _: None},
        {"launch": 7},
        {"launch": Launch(())},
        {"launch": replace(LAUNCH, stderr=10**6)},
        {"launch": replace(LAUNCH, stdout=2**40)},
        {"launch": replace(LAUNCH, stdout=-1)},
        {"launch": replace(LAUNCH, pass_fds=(2**40,))},
        {"fileno": fail(KeyboardInterrupt())},
        {"fileno": lambda _: None},
        {"fileno": -1},
        {"fileno": True},
        {"fileno": "0"},
        {"fileno": 2**40},
        {"fileno": 10**6},
    ],
    ids=str,
)
def test_a_watch_that_can_t_be_used_is_closed_and_left(site: Path, answers: dict[str, Any]) -> None:
    watched = Watched(site, answers, {"launch": replace(LAUNCH, argv=("b",))})
    with watched.watches as watches:
        assert watched.begin().argv == ("b",)
        assert watches.descriptors == [watched.by_name["b"].read_end]
    assert watched.calls("a") == ["close"]
    (sentence,) = watched.told
    assert "plugin 'a'" in sentence
    assert "raydp_wrap_watch" in sentence


@pytest.mark.requirement("watch-contained")
@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError",
        "raise SystemExit(0)",
        "return 7",
        "return object",
        "from raydp_wrap.watch import Watch; return Watch",
    ],
)
def test_a_hook_that_makes_no_watch(site: Path, body: str) -> None:
    watched = Watched(site, {}, {})
    plugin(site, "c", hook("watch()", body))
    with watched.watches as watches:
        watched.begin()
        assert len(watches.descriptors) == 2
    (sentence,) = watched.told
    assert sentence.startswith("plugin 'c' ")


def test_nobody_watches(site: Path) -> None:
    plugin(site, "a", hook("watch()", "return None"))
    watched = Watched(site)
    with watched.watches as watches:
        assert watched.begin() is LAUNCH
        assert not watches
        assert (watches.descriptors, watches.deadline, watches.stop(), watches.saved()) == ([], None, 0.0, {})
        assert watches.notices(set()) == watches.ended() == []
    assert watched.told == []


@pytest.mark.requirement("watch-contained")
@pytest.mark.parametrize(
    ("deadline", "wanted"),
    [
        (None, None),
        (5.5, 5.5),
        (-math.inf, -math.inf),  # past: it is asked, and found to be busy
        (math.inf, None),
        (math.nan, None),
        (True, 1.0),
        ("soon", ...),
        (10**400, ...),
    ],
)
def test_only_what_can_be_waited_for_is_a_deadline(site: Path, deadline: object, wanted: object) -> None:
    watched = Watched(site, {"deadline": deadline}, {"deadline": 9.0})
    with watched.watches as watches:
        watched.begin()
        watches.started(7)
        at = watches.deadline
        assert at == (min(wanted, 9.0) if isinstance(wanted, float) else 9.0)
        assert isinstance(at, float)
        assert len(watched.told) == (wanted is ...)


def test_it_is_asked_when_it_is_readable_or_its_time_has_come(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=4.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    watched = Watched(site, {"deadline": 5.0, "notices": [Notice(app_id="a")]}, {"notices": [Notice(app_id="b")]})
    with watched.watches as watches:
        watched.begin()
        watches.started(7)
        assert watches.notices(set()) == []
        assert watches.notices({watched.by_name["b"].read_end}) == [Notice(app_id="b")]
        clock.now = 5.0
        assert watches.notices(set()) == [Notice(app_id="a")]
        assert watches.notices({watched.by_name["b"].read_end}) == [Notice(app_id="a"), Notice(app_id="b")]


@pytest.mark.requirement("watch-contained")
@pytest.mark.parametrize("why", ["readable", "deadline"])
def test_one_that_is_always_busy_is_given_up(site: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 7.0))
    watched = Watched(site, {"deadline": 6.0} if why == "deadline" else {}, {})
    with watched.watches as watches:
        watched.begin()
        watches.started(7)
        busy = {watched.by_name["a"].read_end} if why == "readable" else set()
        for _ in range(300):
            watches.notices(busy)
        assert watches.descriptors == [watched.by_name["b"].read_end]
        assert watches.deadline is None
    assert watched.calls("a").count("notices") == 200
    assert watched.calls("a").count("close") == 1
    (sentence,) = watched.told
    assert "more than 200 times a second" in sentence


def test_one_that_is_busy_for_long_is_not_given_up(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    watched = Watched(site, {})
    with watched.watches as watches:
        watched.begin()
        for _ in range(400):
            clock.now += 0.01
            watches.notices(set(watches.descriptors))
        assert watches
    assert watched.told == []


@pytest.mark.requirement("watch-contained")
@pytest.mark.parametrize(
    ("answer", "good", "told"),
    [
        (None, [], 0),
        (7, [], 1),
        ("text", [], 1),
        ([Notice(app_id="x"), 7], [Notice(app_id="x")], 1),
        ([Notice(app_id="x"), Notice(app_id=7)], [Notice(app_id="x")], 1),  # type: ignore[arg-type]
        ([Notice(app_id="x"), Notice(over=None)], [Notice(app_id="x")], 1),  # type: ignore[arg-type]
        ([Notice(running=1, asked="yes")], [Notice(running=True, asked=True)], 0),  # type: ignore[arg-type]
        ([Notice(running=True)] * 101, [Notice(running=True)] * 100, 1),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_notice_is_told_once_and_left(site: Path, answer: object, good: list[Notice], told: int) -> None:
    watched = Watched(site, {"notices": answer, "ended": answer})
    with watched.watches as watches:
        watched.begin()
        for _ in range(3):
            assert watches.notices(set(watches.descriptors)) == good
        assert watches.ended() == good
        assert watches, "it goes on"
    assert len(watched.told) == told


@pytest.mark.requirement("watch-stop-order")
@pytest.mark.parametrize(
    ("wanted", "longest"),
    [
        ((1.0, 3.0, 2.0), 3.0),
        ((0, -5.0, 0.25), 0.25),
        ((0.0, 0, -1.0), 0.0),
        ((math.nan, 1, "2"), 2.0),
        ((math.inf, 1.0, 1.0), 600.0),
        ((10**400, 1.0, None), 1.0),
    ],
)
def test_the_longest_stop_counts(site: Path, wanted: tuple[object, ...], longest: float) -> None:
    watched = Watched(site, *({"stop": (lambda _, answer=one: answer)} for one in wanted))
    with watched.watches as watches:
        watched.begin()
        assert watches.stop() == longest
        assert watches.stopping == (longest > 0)


@pytest.mark.requirement("watch-stop-order")
def test_one_that_has_asked_waits_for_the_other(site: Path) -> None:
    watched = Watched(site, {"stop": 3.0, "notices": [Notice(asked=True)]}, {"stop": 1.0}, {"stop": 1.0})
    with watched.watches as watches:
        watched.begin()
        watches.stop()
        assert watches.notices({watched.by_name["a"].read_end}) == [Notice(asked=True)]
        assert watches.stopping
        watched.by_name["b"].answers = {"notices": fail(ValueError())}
        watches.notices({watched.by_name["b"].read_end})
        assert watches.stopping
        watched.by_name["c"].answers = {"ended": [Notice(asked=True)]}
        watches.ended()
        assert not watches.stopping


@pytest.mark.requirement("watch-saved")
def test_what_is_saved_is_by_plugin_and_the_last(site: Path) -> None:
    watched = Watched(site, {"save": {"n": 1}}, {"save": {"deep": [{"\udc80": None}]}}, {})
    with watched.watches as watches:
        watched.begin()
        watches.notices(set(watches.descriptors))
        assert watches.saved() == {"a": {"n": 1}, "b": {"deep": [{"\udc80": None}]}}
        watches.saved()["a"]["n"] = "spoilt"
        watched.by_name["a"].answers = {"save": {"n": 2}}
        watched.by_name["b"].answers = {}  # None: nothing new
        watches.ended()
        assert watches.saved() == {"a": {"n": 2}, "b": {"deep": [{"\udc80": None}]}}
    assert watches.saved() == {"a": {"n": 2}, "b": {"deep": [{"\udc80": None}]}}, "closed, and not forgotten"


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["itself"] = found
    return found


@pytest.mark.requirement("watch-saved", "watch-contained")
@pytest.mark.parametrize(
    ("answer", "given_up"),
    [
        ({"x": "y" * 65536}, False),
        ([("n", 2)], False),
        ("text", False),
        ({"x": object()}, True),
        ({"x": b"bytes"}, True),
        ({("x",): 1}, True),
        ({"x": math.nan}, True),
        ({"x": math.inf}, True),
        (endless(), True),
        (fail(SystemExit(0)), True),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_can_t_be_saved_leaves_what_was(site: Path, answer: object, given_up: bool) -> None:  # noqa: FBT001 - a table
    watched = Watched(site, {"save": {"n": 1}})
    with watched.watches as watches:
        watched.begin()
        watches.notices(set(watches.descriptors))
        watched.by_name["a"].answers = {"save": answer}
        for _ in range(3):
            watches.notices(set(watches.descriptors))
        assert bool(watches) != given_up
        assert watches.saved() == {"a": {"n": 1}}
    (sentence,) = watched.told
    assert sentence.startswith("plugin 'a' ")


@pytest.mark.requirement("watch-saved")
def test_as_much_as_is_allowed_is_saved(site: Path) -> None:
    watched = Watched(site, {"save": {"x": "y" * (65536 - len('{"x": ""}'))}})
    with watched.watches as watches:
        watched.begin()
        watches.ended()
        assert len(watches.saved()["a"]["x"]) > 65000
    assert watched.told == []


def test_a_close_that_is_interrupted_closes_nobody_twice(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(site, {}, {})
    watched.begin()
    close = Watches._close

    def interrupted(watches: Watches, one: Any) -> None:
        monkeypatch.setattr(Watches, "_close", close)
        close(watches, one)
        raise KeyboardInterrupt

    monkeypatch.setattr(Watches, "_close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watched.watches.close()
    watched.watches.close()
    assert [watched.calls(name) for name in "ab"] == [["close"], ["close"]]
