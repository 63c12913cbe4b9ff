"""A plugin that misbehaves as $ODD says: a sink odd:, and every hook."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.hookspecs import hookimpl
from raydp_wrap.model import Evidence, Rank, TerminalState

if TYPE_CHECKING:
    from raydp_wrap.model import Event, ExitRecord, Launch, Report, Submission


class OwnError(UsageError):
    exit_code = 0


def misbehave(how: str) -> None:
    if how:
        print("noise on stdout")
    if how == "raise":
        raise RuntimeError("odd")
    if how == "exit":
        sys.exit(0)
    if how == "refuse":
        raise OwnError("say \x1b[31mit so")
    if how == "die":
        os._exit(0)
    if how == "crash":
        ctypes.string_at(0)
    if how == "hang":
        time.sleep(1000)


class OddSink(Sink):
    def __init__(self, rest: str) -> None:
        self.how, _, self.path = rest.partition(",")

    def deliver(self, report: Report) -> Answer:
        if self.how == "hang-until":
            while not os.path.exists(self.path):
                time.sleep(0.01)
        else:
            misbehave(self.how)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{report.key} {report.outcome.state.value} {report.outcome.app_id}\n")
        return Answer(Verdict.ACCEPTED)


class LateSink(OddSink):
    needs_app_id: ClassVar[bool] = True


class MadeSink(OddSink):
    def __init__(self, rest: str) -> None:
        super().__init__(rest)
        misbehave(self.how)


class CheckedSink(OddSink):
    def check(self) -> None:
        misbehave(self.how)


class TextSink(OddSink):
    @property
    def text(self) -> str | None:
        misbehave(self.how)
        return None


@hookimpl
def raydp_wrap_sinks() -> dict[str, type[OddSink]]:
    return {"odd": OddSink, "late": LateSink, "made": MadeSink, "checked": CheckedSink, "text": TextSink}


@hookimpl
def raydp_wrap_edit_launch(submission: Submission, launch: Launch) -> Launch | None:
    misbehave(os.environ.get("ODD_EDIT", ""))
    if os.environ.get("ODD_EDIT") == "edit":
        return replace(launch, env={**os.environ, "EDITED": submission.submission_id})
    return None


@hookimpl
def raydp_wrap_evidence(submission: Submission, record: ExitRecord) -> list[Evidence]:
    misbehave(os.environ.get("ODD_EVIDENCE", ""))
    if os.environ.get("ODD_EVIDENCE") == "failed":
        text = f"{submission.name} of driver {record.driver_pid} failed"
        return [Evidence("odd cluster", text, Rank.CLUSTER, 1.0, TerminalState.FAILED)]
    if strange := os.environ.get("ODD_NUMBER"):
        name, _, number = strange.partition("=")
        numbers = {name: int(number) if name != "at" else float(number)}
        return [Evidence("odd cluster", "failed", Rank.CLUSTER, state=TerminalState.FAILED, **numbers)]
    if os.environ.get("ODD_EVIDENCE") == "telling":
        text = "\x1b[31mpassword=hunter2"
        return [Evidence(text, text, Rank.CLUSTER, 1.0, TerminalState.FAILED)]
    return []


@hookimpl
def raydp_wrap_event(event: Event) -> None:
    misbehave(os.environ.get("ODD_EVENT", ""))
    if path := os.environ.get("ODD_EVENTS"):
        state = event.outcome.state.value if event.outcome else None
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{event.kind.value} {event.submission.submission_id} {event.attempt} {state}\n")
