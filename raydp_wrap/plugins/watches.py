"""The watches that plugins keep over one attempt: asked one by one, and given up where they misbehave."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from raydp_wrap.plugins import answers
from raydp_wrap.plugins.calls import LIMIT, Result, load, one_by_one
from raydp_wrap.plugins.limited import call
from raydp_wrap.plugins.words import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from typing_extensions import Self

    from raydp_wrap.model import Launch, Submission
    from raydp_wrap.plugins.calls import Shape, Tell
    from raydp_wrap.watch import Notice, Watch

__all__ = ["Watches"]

_WATCH_LIMIT = 2.0
# A watch whose descriptor stays readable, whatever it does, would keep the owner busy.
_MOST_A_SECOND = 200
_LONGEST_STOP = 600.0


class _One:
    """A plugin's watch."""

    def __init__(self, plugin: str, watch: Watch, fd: int) -> None:
        self.plugin = plugin
        self.watch = watch
        self.fd = fd
        self.deadline: float | None = None
        self.stopping = False
        self.told: set[str] = set()
        self._second = 0
        self._calls = 0

    def is_busy(self) -> bool:
        """Whether it wants to be asked too often."""
        second = int(time.monotonic())
        self._calls = self._calls + 1 if second == self._second else 1
        self._second = second
        return self._calls > _MOST_A_SECOND


class Watches:
    """The watches over one attempt; none before :meth:`begin`.

    Whatever goes wrong in one is told, and it is not asked again.
    """

    def __init__(self, tell: Tell = warn) -> None:
        self._tell = tell
        self._watches: list[_One] = []
        self._saved: dict[str, str] = {}  # also of those that were given up

    def begin(self, submission: Submission, launch: Launch, *, limit: float = LIMIT) -> Launch:
        """Ask the plugins who wants to accompany SUBMISSION's attempt, to be started as LAUNCH; how they want it."""
        load(self._tell)
        given: dict[str, object] = {"submission": submission, "launch": launch}
        for result in one_by_one("raydp_wrap_watch", given, limit=limit, shape=answers.watch):
            if result.error:
                self._tell(result.error)
            elif result.value is not None:
                watch, launch, fd = result.value
                given["launch"] = launch
                self._watches.append(_One(result.plugin, watch, fd))
        return launch

    def __bool__(self) -> bool:
        return bool(self._watches)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def descriptors(self) -> list[int]:
        """What to wait on; they change when a watch is given up."""
        return [one.fd for one in self._watches]

    @property
    def deadline(self) -> float | None:
        """When the next of them wants to be asked, by ``time.monotonic()``."""
        return min((one.deadline for one in self._watches if one.deadline is not None), default=None)

    @property
    def stopping(self) -> bool:
        """Whether one of them is asking the application to stop."""
        return any(one.stopping for one in self._watches)

    def started(self, driver_pid: int) -> None:
        """Let them know."""
        for one in list(self._watches):
            self._ask(one, lambda one=one: one.watch.started(driver_pid))  # type: ignore[misc]

    def notices(self, ready: Collection[int]) -> list[Notice]:
        """What those have learnt whose descriptor is READY, or whose deadline is past."""
        now = time.monotonic()
        due = [one for one in self._watches if one.fd in ready or (one.deadline is not None and one.deadline <= now)]
        for one in due:
            if one.is_busy():
                self._give_up(one, f"wants to be asked more than {_MOST_A_SECOND} times a second")
        return self._learn([one for one in due if one in self._watches], lambda watch: watch.notices())

    def ended(self) -> list[Notice]:
        """What they have left to say when the tree is empty."""
        return self._learn(list(self._watches), lambda watch: watch.ended(), limit=LIMIT)

    def stop(self) -> float:
        """Have them ask the application to stop; the most seconds that one of them wants for it."""
        longest = 0.0
        for one in list(self._watches):
            asked = self._ask(one, lambda one=one: float(one.watch.stop()))  # type: ignore[misc]
            if asked is not None and asked.value is not None and asked.value > 0:
                one.stopping = True
                longest = max(longest, min(asked.value, _LONGEST_STOP))
        return longest

    def saved(self) -> dict[str, Any]:
        """By plugin, what to keep for a dead owner's sake, and for the evidence."""
        return {plugin: json.loads(text) for plugin, text in self._saved.items()}

    def close(self) -> None:
        """Let go of them all."""
        while self._watches:
            self._close(self._watches.pop(0))

    def _learn(
        self, watches: list[_One], ask: Callable[[Watch], Iterable[Notice]], limit: float = _WATCH_LIMIT
    ) -> list[Notice]:
        found: list[Notice] = []
        for one in watches:
            learnt = self._ask(one, lambda one=one: ask(one.watch), answers.notices, limit)  # type: ignore[misc]
            if learnt is None:
                continue
            found += learnt.value
            if any(notice.asked for notice in learnt.value):
                one.stopping = False
            kept = self._ask(one, lambda one=one: one.watch.save(), answers.saved)  # type: ignore[misc]
            if kept is not None and kept.value:
                self._saved[one.plugin] = kept.value
        return found

    def _ask(
        self, one: _One, function: Callable[[], object], shape: Shape | None = None, limit: float = _WATCH_LIMIT
    ) -> Result | None:
        def whole() -> tuple[object, list[str], float | None]:
            answer = function()
            value, problems = (answer, []) if shape is None else shape(answer)
            return value, problems, _moment(one.watch.deadline())

        called = call(whole, limit)
        if called.error is not None:
            self._give_up(one, f"failed in its watch: {called.says}")
        elif called.value is None:
            self._give_up(one, f"takes more than {limit:g} s in its watch")
        else:
            value, problems, one.deadline = called.value
            for problem in problems:
                if problem not in one.told:  # it may be asked many times a second
                    one.told.add(problem)
                    self._tell(f"plugin {one.plugin!r} is not heeded in its watch: {problem}")
            return Result(one.plugin, value)
        return None

    def _give_up(self, one: _One, why: str) -> None:
        self._tell(f"plugin {one.plugin!r} {why}: it is not asked again")
        self._watches.remove(one)
        self._close(one)

    def _close(self, one: _One) -> None:
        called = call(lambda: one.watch.close(), _WATCH_LIMIT)  # noqa: PLW0108 - to look it up is their code, too
        if called.error is not None:
            self._tell(f"plugin {one.plugin!r} failed to close its watch: {called.says}")
        elif called.hangs:
            self._tell(f"plugin {one.plugin!r} takes more than {_WATCH_LIMIT:g} s to close its watch")


def _moment(deadline: object) -> float | None:
    """What can be waited for: a watch without a deadline that there is has none."""
    if deadline is None:
        return None
    if not isinstance(deadline, (int, float)):
        raise TypeError(f"its deadline is {type(deadline).__name__}")
    at = float(deadline)
    return at if at < math.inf else None  # NaN is no moment either
