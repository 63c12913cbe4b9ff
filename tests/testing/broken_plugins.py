"""Sinks and backends that break their contract, each in one way; run by test_contracts.py in a pytest of its own.

Each class names in FAILS the tests that have to see it.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from raydp_wrap.backend import Answer, Observation, Sink, Verdict
from raydp_wrap.local import LocalBackend
from raydp_wrap.outcome import to_dict
from raydp_wrap.testing import BackendContract, SinkContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from raydp_wrap.backend import Running
    from raydp_wrap.model import Attempt, Launch, Limits, Report


class Lines(Sink):
    """A right one, for its receiver's sake."""

    def __init__(self, text: str) -> None:
        self.path = os.path.abspath(text)

    @property
    def text(self) -> str:
        return self.path

    def lines(self) -> list[Any]:
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def append(self, report: Report, outcome: dict[str, Any]) -> Answer:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps([report.key, outcome]) + "\n")
        except OSError as error:
            return Answer(Verdict.RETRY_AFTER, str(error))
        return Answer(Verdict.ACCEPTED)

    def deliver(self, report: Report) -> Answer:
        if any(key == report.key for key, _ in self.lines()):
            return Answer(Verdict.DUPLICATE)
        return self.append(report, dict(to_dict(report.outcome)))


class OfLines(SinkContract):
    patience = 1.0

    @pytest.fixture
    def sink_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WHERE", str(tmp_path))
        self.at = tmp_path / "below" / "lines"
        self.at.parent.mkdir()
        return "below/lines"

    def received(self) -> list[tuple[str | None, dict[str, Any]]]:
        return [(key, outcome) for key, outcome in Lines(str(self.at)).lines()]

    def break_receiver(self) -> None:
        self.at.parent.rename(self.at.parent.with_name("gone"))

    def heal_receiver(self) -> None:
        self.at.parent.with_name("gone").rename(self.at.parent)


class TestRight(OfLines):
    factory = Lines
    FAILS = ()


class Twice(Lines):
    def deliver(self, report: Report) -> Answer:
        return self.append(report, dict(to_dict(report.outcome)))


class TestTwice(OfLines):
    factory = Twice
    FAILS = ("test_one_key_is_applied_once",)


class Relative(Lines):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.path = text

    @property
    def text(self) -> None:
        return None


class TestRelative(OfLines):
    factory = Relative
    FAILS = ("test_another_process_can_tell_it",)


class OfEnvironment(Lines):
    def __init__(self, text: str) -> None:
        super().__init__(os.path.join(os.environ["WHERE"], text))

    @property
    def text(self) -> None:
        return None


class TestOfEnvironment(OfLines):
    factory = OfEnvironment
    FAILS = ("test_another_process_can_tell_it",)


class Chatty(Lines):
    def check(self) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write('["hello", {}]\n')


class TestChatty(OfLines):
    factory = Chatty
    FAILS = ("test_check_sends_nothing",)


class Forgetful(Lines):
    def deliver(self, report: Report) -> Answer:
        return self.append(report, {key: value for key, value in to_dict(report.outcome).items() if key != "tags"})


class TestForgetful(OfLines):
    factory = Forgetful
    FAILS = ("test_the_outcome_arrives",)


class Liar(Lines):
    def deliver(self, report: Report) -> Answer:
        super().deliver(report)
        return Answer(Verdict.ACCEPTED)


class TestLiar(OfLines):
    factory = Liar
    FAILS = ("test_a_broken_receiver_is_told_of_and_told_again",)


class Raising(Lines):
    def append(self, report: Report, outcome: dict[str, Any]) -> Answer:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps([report.key, outcome]) + "\n")
        return Answer(Verdict.ACCEPTED)


class TestRaising(OfLines):
    factory = Raising
    FAILS = ("test_a_broken_receiver_is_told_of_and_told_again",)


class Brittle(Lines):
    def deliver(self, report: Report) -> Answer:
        report.outcome.name.encode()
        return super().deliver(report)


class TestBrittle(OfLines):
    factory = Brittle
    FAILS = ("test_hostile_content_does_no_harm",)


class Torn(Lines):
    """What it has begun to write when it is ended is taken for written."""

    def append(self, report: Report, outcome: dict[str, Any]) -> Answer:
        with open(self.path, "a", encoding="utf-8") as file:
            for _ in range(2):
                file.write(json.dumps([report.key, outcome]) + "\n")
                file.flush()
        return Answer(Verdict.ACCEPTED)


class TestTorn(OfLines):
    factory = Torn
    FAILS = ("test_a_call_that_was_cut_short_is_applied_once",)


class Leaving(Lines):
    def deliver(self, report: Report) -> Answer:
        super().deliver(report)
        os._exit(0)


class TestLeaving(OfLines):
    factory = Leaving
    FAILS = ("test_the_outcome_arrives",)


class Hanging(Lines):
    def deliver(self, report: Report) -> Answer:
        os.read(os.pipe()[0], 1)
        raise AssertionError(report)


class TestHanging(OfLines):
    factory = Hanging
    FAILS = ("test_one_key_is_applied_once",)


class TestInside(OfLines):
    factory = staticmethod(lambda text: Lines(text))  # noqa: PLW0108 - another process can't import a lambda
    FAILS = ("test_it_can_be_imported_by_others",)


class Wrapped(LocalBackend):
    """A right one, whose attempts WRAP makes wrong."""

    @staticmethod
    def wrap(running: Any) -> Any:
        return running

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> Any:
        return self.wrap(await super().launch(attempt, launch, limits))

    async def restore(self, attempt: Attempt, saved: Any) -> Any:
        return self.wrap(await super().restore(attempt, saved))


class OfLocal(BackendContract):
    patience = 5.0


class TestRightBackend(OfLocal):
    factory = Wrapped
    FAILS = ()


class Deaf(Wrapped):
    @staticmethod
    def wrap(running: Any) -> Running:
        stop = running.stop

        async def unlabelled(*, grace: float | None = None, label: str = "") -> None:  # noqa: ARG001
            await stop(grace=grace)

        running.stop = unlabelled
        return running


class TestDeaf(OfLocal):
    factory = Deaf
    FAILS = ("test_a_stop_is_a_kill_by_who_asked",)


class Endless(Wrapped):
    @staticmethod
    def wrap(running: Any) -> Running:
        observe = running.observe

        async def without_end() -> AsyncIterator[Observation]:
            async for seen in observe():
                yield Observation(running=True) if seen.ended else seen

        running.observe = without_end
        return running


class TestEndless(OfLocal):
    factory = Endless
    FAILS = ("test_it_runs_and_then_has_ended",)


class Mangling(Wrapped):
    @staticmethod
    def wrap(running: Any) -> Running:
        logs = running.logs

        async def text(**how: Any) -> AsyncIterator[bytes]:
            async for chunk in logs(**how):
                yield chunk.replace(b"\r\n", b"\n")

        running.logs = text
        return running


class TestMangling(OfLocal):
    factory = Mangling
    FAILS = ("test_the_output_is_exact",)


class Again(LocalBackend):
    """Starts what it doesn't know, and knows only what it has started itself."""

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> Any:
        self._directory = f"{self._directory}/{os.urandom(4).hex()}"
        os.mkdir(self._directory, 0o700)
        return await super().launch(attempt, launch, limits)


class TestAgain(OfLocal):
    factory = Again
    FAILS = ("test_an_attempt_is_launched_once",)


class Possessive(Wrapped):
    @staticmethod
    def wrap(running: Any) -> Running:
        close = running.close

        async def ending() -> None:
            await running.stop(grace=0)
            await asyncio.sleep(0.1)
            await close()

        running.close = ending
        return running


class TestPossessive(OfLocal):
    factory = Possessive
    FAILS = ("test_it_runs_on_when_it_is_let_go",)
