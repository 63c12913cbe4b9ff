"""A plugin whose watch learns what the driver says on its stderr, a line each, and which logs all that is asked of it.

``app ID``, ``running``, ``asked``, ``over WHY`` are notices; ``save STATE [CODE]`` is kept, and evidence of a cluster's
rank. $WATCH_LOG is where it logs to; $WATCH_STOP what it does about a stop: ``usr1`` sends that signal, ``kill`` kills
the driver, else nothing, and then wants $WATCH_SECONDS. ``raise`` raises, and ``gone`` spoils
the descriptor.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.hookspecs import hookimpl
from raydp_wrap.model import Event, Evidence, ExitRecord, Launch, Rank, Submission, TerminalState
from raydp_wrap.watch import Notice, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping


def log(*words: object) -> None:
    with open(os.environ["WATCH_LOG"], "a", encoding="utf-8") as file:
        file.write(" ".join(map(str, words)) + "\n")


class Watchful(Watch):
    def __init__(self, launch: Launch) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.given = launch
        self.seen = b""
        self.kept: dict[str, Any] = {}

    @property
    def launch(self) -> Launch:
        return replace(self.given, stderr=self.write_end)

    def started(self, driver_pid: int) -> None:
        self.driver_pid = driver_pid
        os.close(self.write_end)
        self.write_end = -1
        log("started")

    def fileno(self) -> int:
        return self.read_end

    def notices(self) -> list[Notice]:
        try:
            chunk = os.read(self.read_end, 65536)
        except BlockingIOError:
            return []
        self.seen += chunk
        *lines, self.seen = self.seen.split(b"\n")
        return [found for line in lines for found in self.heard(line.decode())]

    def heard(self, line: str) -> list[Notice]:
        word, _, rest = line.partition(" ")
        if word == "raise":
            raise ValueError(rest)
        if word == "gone":
            with open(os.devnull, "rb") as file:  # always readable, and nothing ever comes
                os.dup2(file.fileno(), self.read_end)
        if word == "save":
            self.kept = {"said": rest}
        return {
            "app": [Notice(app_id=rest)],
            "running": [Notice(running=True)],
            "asked": [Notice(asked=True)],
            "over": [Notice(over=rest)],
        }.get(word, [])

    def stop(self) -> float:
        log("stop")
        how = os.environ.get("WATCH_STOP")
        if how == "usr1":
            os.kill(self.driver_pid, signal.SIGUSR1)
        elif how == "kill":
            os.kill(self.driver_pid, signal.SIGKILL)
        return float(os.environ.get("WATCH_SECONDS", "0"))

    def ended(self) -> list[Notice]:
        log("ended")
        return [*self.notices(), Notice(running=True, asked=True, over="late")]

    def save(self) -> Mapping[str, Any] | None:
        return self.kept or None

    def close(self) -> None:
        os.close(self.read_end)
        if self.write_end >= 0:
            os.close(self.write_end)
        log("close")


@hookimpl
def raydp_wrap_watch(launch: Launch) -> Watch:
    return Watchful(launch)


@hookimpl
def raydp_wrap_stop_remote(submission: Submission, record: ExitRecord | None, saved: Mapping[str, Any]) -> None:
    log("stop_remote", submission.app_id, record.cause.name if record else None, dict(saved))


@hookimpl
def raydp_wrap_evidence(record: ExitRecord, saved: Mapping[str, Any]) -> list[Evidence]:
    log("evidence", record.cause.name, dict(saved))
    if not saved:
        return []
    state, _, code = saved["said"].partition(" ")
    text = f"the cluster has it {state}"
    return [Evidence("cluster", text, Rank.CLUSTER, 1.0, TerminalState(state), int(code) if code else None)]


@hookimpl
def raydp_wrap_event(event: Event) -> None:
    log("event", event.kind.value, event.submission.app_id)
